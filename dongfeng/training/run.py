"""`train_run`: a whole training by its configuration, from data and network to the files of the trained network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.errors import UnknownModel, WeightsUnavailable
from dongfeng.support.wording import listed
from dongfeng.training.config import TrainConfig
from dongfeng.training.data_sets import open_config_data
from dongfeng.training.log import LogEntry
from dongfeng.training.loop import TrainResult, train
from dongfeng.training.network import build_net, initialize_weights, input_size, with_classes
from dongfeng.training.samples import Note
from dongfeng.training.settings import check_installed
from dongfeng.training.training_folder import TrainingFolder

if TYPE_CHECKING:
    from dongfeng.net.graph import Net

_LISTED = 8  # names of layers in a message


@dataclass(frozen=True)
class Trained:
    """A trained network and its files.

    Attributes:
        result: The network and its metrics.
        steps: Number of updates.
        prototxt: Its network file.
        caffemodel: Its weights.
    """

    result: TrainResult
    steps: int
    prototxt: Path
    caffemodel: Path

    def to_json(self) -> dict[str, object]:
        """Files and metrics as JSON has them; a row for each class of a segmentation."""
        metrics = self.result.metrics.to_json()
        metrics.pop("iou", None)
        rows = [{"class": name, "iou_fraction": iou} for name, iou in (self.result.metrics.iou or {}).items()]
        files = {"prototxt": str(self.prototxt), "caffemodel": str(self.caffemodel)}
        return {"steps": self.steps, **files, **metrics, "rows": rows}


def train_run(
    config: TrainConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    half: bool = False,
    on_entry: Callable[[LogEntry], None] | None = None,
    note: Note | None = None,
) -> Trained:
    """Train the network of a configuration, and write it as `RUN/NAME.prototxt` and `.caffemodel`.

    Args:
        config: Settings.
        run_dir: Folder of the training.
        resume: Go on with the training that is there.
        half: Write the weights in half precision.
        on_entry: Called with each entry of the log.
        note: Called with messages for people.

    Raises:
        DongfengError: as `train`, `build_net`, `open_data` and `initialize_weights` do.
    """
    from dongfeng.formats.caffe import write_caffe

    check_installed()
    TrainingFolder(run_dir).check(config, resume=resume)
    net = build_net(config)
    data = open_config_data(config, input_size(net), note)
    net = with_classes(net, len(data.train.class_names))
    if config.weights is not None:
        net = _with_weights(net, config.weights, config.seed, note)
    result = train(net, config, run_dir, data=data, resume=resume, on_entry=on_entry, note=note)
    prototxt = run_dir / f"{Path(net.name).name or 'net'}.prototxt"
    caffemodel = prototxt.with_suffix(".caffemodel")
    write_caffe(result.net, prototxt, caffemodel, half=half)
    return Trained(result, config.steps, prototxt, caffemodel)


def _with_weights(net: Net, weights: str, seed: int, note: Note | None) -> Net:
    """Give a network the weights of a file, and random ones where the file has none."""
    from dongfeng.caffe import caffemodel

    path = _weight_file(weights)
    initialized = initialize_weights(net, caffemodel.read(path), seed=seed, source=str(path))
    if note is not None:
        others = listed(initialized.random, _LISTED) or "none"
        note(f"{path}: weights for {len(initialized.loaded)} layers; random ones for {others}")
    return initialized.net


def _weight_file(weights: str) -> Path:
    """Find the file of a path or a zoo name."""
    from dongfeng.zoo.fetch import fetch_weights
    from dongfeng.zoo.models import model_info

    if Path(weights).is_file():
        return Path(weights)
    try:
        return fetch_weights(model_info(weights))
    except UnknownModel as error:
        raise WeightsUnavailable(f"{weights}: no such file; weights is a .caffemodel or a name of the zoo") from error
