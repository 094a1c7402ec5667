"""A whole training by its configuration, from data and network to the files of the trained network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.errors import UnknownModel, WeightsUnavailable
from dongfeng.training.config import TrainConfig
from dongfeng.training.loop import Record, TrainResult, train
from dongfeng.training.network import build_net, input_size, start, with_classes
from dongfeng.training.samples import Note, open_data
from dongfeng.training.settings import check_installed
from dongfeng.training.training_folder import TrainingFolder

if TYPE_CHECKING:
    from dongfeng.net.graph import Net

_LISTED = 8  # layer names that a message spells out


@dataclass(frozen=True)
class Trained:
    """A trained network in its run's folder.

    Attributes:
        result: The network and its metrics.
        prototxt: Its network file.
        caffemodel: Its weights.
    """

    result: TrainResult
    prototxt: Path
    caffemodel: Path


def train_run(
    config: TrainConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    half: bool = False,
    on_record: Callable[[Record], None] | None = None,
    note: Note | None = None,
) -> Trained:
    """Train what a configuration says, and write the network as `RUN/NAME.prototxt` and `.caffemodel`.

    Args:
        config: All of it.
        run_dir: The run's folder.
        resume: Go on with the run that is there.
        half: Write the weights in half precision.
        on_record: Called with each line of the log.
        note: Called with messages for people.

    Raises:
        DongfengError: as `train`, `build_net`, `open_data` and `start` do.
    """
    from dongfeng.formats.caffe import write_caffe

    check_installed()
    TrainingFolder(run_dir).check(config, resume=resume)
    net = build_net(config)
    data = open_data(
        config.data,
        size_hw=input_size(net),
        seed=config.seed,
        validation_images=config.validation_images,
        note=note,
    )
    net = with_classes(net, len(data.train.class_names))
    if config.weights is not None:
        net = _with_weights(net, config.weights, config.seed, note)
    result = train(net, config, run_dir, data=data, resume=resume, on_record=on_record, note=note)
    prototxt, caffemodel = (
        run_dir / f"{Path(net.name).name or 'net'}{suffix}" for suffix in (".prototxt", ".caffemodel")
    )
    write_caffe(result.net, prototxt, caffemodel, half=half)
    return Trained(result, prototxt, caffemodel)


def _with_weights(net: Net, weights: str, seed: int, note: Note | None) -> Net:
    from dongfeng.caffe import caffemodel

    path = _weight_file(weights)
    begun = start(net, caffemodel.read(path), seed=seed, source=str(path))
    if note is not None:
        note(f"{path}: weights for {len(begun.loaded)} layers; random ones for {_some(begun.fresh)}")
    return begun.net


def _weight_file(weights: str) -> Path:
    """The file of a path or a zoo name."""
    from dongfeng.zoo.fetch import fetch_weights
    from dongfeng.zoo.models import model_info

    if Path(weights).is_file():
        return Path(weights)
    try:
        return fetch_weights(model_info(weights))
    except UnknownModel as error:
        raise WeightsUnavailable(f"{weights}: no such file; weights is a .caffemodel or a name of the zoo") from error


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    return (", ".join(names[:_LISTED]) or "none") + (f" and {rest} more" if rest > 0 else "")
