"""Accuracies by training each candidate with PyTorch (extra `torch`)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from dongfeng.architectures.backbone import STEM, Blocks, backbone_net
from dongfeng.architectures.decoder import segmentation_net
from dongfeng.errors import DongfengError, TrainingDiverged
from dongfeng.net.graph import Net
from dongfeng.search.describe import Facts, describe
from dongfeng.search.outcome import candidate_seed
from dongfeng.search.space import Encoding, Space

if TYPE_CHECKING:
    from dongfeng.training import Data, TrainConfig

Builder = Callable[[Encoding], Net]

DECODER = (32, 32, 64)  # widths (cc3, cc4, cc5) of the decoder that a backbone gets to segment
_COARSEST_PYRAMID = 8  # windows along the shorter side, halved three times
# Settings that change no accuracy, or that are not the candidate's own.
_LEFT_OUT = ("net", "size_hw", "log_every", "eval_every", "checkpoint_every", "workers")

# Settings of `training_evaluator` for each data set: sizes and lengths for a search on one machine.
DEFAULTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "toyshapes": {
            "size_hw": (64, 64),
            "steps": 1500,
            "batch": 32,
            "optimizer": "adamw",
            "lr": 0.003,
            "random_scale": (1.0, 1.1),
            "jitter": 0.0,
            "warmup_steps": 30,
            "validation_images": 1000,
            "threads": 1,
        },
        "toytown": {
            "data": "toytown:500",
            "size_hw": (128, 256),
            "steps": 500,
            "label_stride": 2,
            "warmup_steps": 50,
            "threads": 1,
        },
        "imagenet": {"size_hw": (224, 224), "steps": 150_000, "batch": 256, "lr": 0.1, "warmup_steps": 2000},
        "cityscapes": {"size_hw": (512, 1024), "steps": 20_000, "batch": 8, "lr": 0.01, "warmup_steps": 500},
    }
)


class TrainingEvaluator:
    """Builds the net of an encoding, trains it, and measures its accuracy on held-out images.

    Each candidate has a seed of its own, computed from the run's seed and the encoding, and all see the same data: an
    accuracy does not depend on who trains when, and on the CPU not on the machine's load either. A loss that is no
    longer finite is a failed evaluation, NaN.

    Args:
        space: The space, or a builder of the net of an encoding. Where the builder takes `size_hw` and `classes`, as
            those of `Space.backbone` and `Space.decoder` do, it gets those of the data; otherwise its net is resized
            and has to have as many classes as the data.
        config: Settings of the trainings; `data` and `size_hw` have to be set, `seed` is the run's. Threads change sums
            of floats: set `threads` where accuracies are to be the same on machines with more or fewer cores.
    """

    def __init__(self, space: Space | Builder, config: TrainConfig) -> None:
        if config.size_hw is None:
            raise DongfengError("TrainingEvaluator: the configuration has no size_hw; set the size to train at")
        self._builder = space.builder if isinstance(space, Space) else space
        self.config, self._size_hw = config, config.size_hw

    def __call__(self, encoding: Encoding) -> float:
        """Return top-1 accuracy or mIoU on the held-out images, 0..1; NaN where the training diverged.

        Raises:
            BackendUnavailable: PyTorch is missing, or cannot train with this configuration on this machine.
            DongfengError: the data is not there, or the net does not fit it.
        """
        from dongfeng.training import train
        from dongfeng.training.settings import check_installed

        check_installed()
        given = self.config
        data = _data(given.data, self._size_hw, given.seed, given.validation_images)
        config = replace(given, seed=self.seed_of(encoding), eval_every=given.steps, checkpoint_every=given.steps)
        try:
            accuracy = train(self.net(encoding, data), config, data=data).metrics.accuracy
        except TrainingDiverged:
            return math.nan
        return math.nan if accuracy is None else accuracy

    def net(self, encoding: Encoding, data: Data) -> Net:
        """Build the net that is trained for an encoding."""
        if {"size_hw", "classes"} <= inspect.signature(self._builder).parameters.keys():
            given = {"size_hw": self._size_hw, "classes": len(data.train.class_names)}
            return partial(self._builder, **given)(encoding)
        return self._builder(encoding).resize(*self._size_hw)

    def seed_of(self, encoding: Encoding) -> int:
        """Return the seed of a candidate."""
        return candidate_seed(self.config.seed, encoding)

    def describe(self) -> Facts:
        """Describe net, data and settings; a folder of data by its name, as it may lie elsewhere on another machine."""
        dataset, _, where = self.config.data.partition(":")
        config = {name: value for name, value in self.config.as_dict().items() if name not in _LEFT_OUT}
        config["data"] = f"{dataset}:{Path(where).name}" if where else dataset
        return {"kind": "training", "net": describe(self._builder), "size_hw": list(self._size_hw), **config}


def training_evaluator(
    space: Space, data: str, *, seed: int = 0, decoder: Sequence[int] = DECODER, **settings: object
) -> TrainingEvaluator:
    """Return a `TrainingEvaluator` with settings that suit the data.

    Args:
        space: The space. To segment with a space of backbones, each gets a decoder of fixed widths.
        data: `toyshapes[:COUNT]`, `toytown[:COUNT]`, `imagenet:ROOT` or `cityscapes:ROOT`.
        seed: The run's seed.
        decoder: Widths (cc3, cc4, cc5) of that decoder.
        settings: Settings of `dongfeng.training.TrainConfig` that replace those of `DEFAULTS`.

    Raises:
        DongfengError: there is no such data or setting.
    """
    from dongfeng.training import DATA_SETS, TrainConfig

    dataset, _, where = data.partition(":")
    if dataset not in DATA_SETS:
        raise DongfengError(f'data is "{data}"; expected {", ".join(DATA_SETS.values())}')
    given = {"data": data, **settings} if where else settings
    config = TrainConfig().updated({"data": data, "seed": seed, **DEFAULTS[dataset], **given}, source="evaluator")
    builder = space.builder
    if dataset in ("toytown", "cityscapes") and isinstance(builder, partial) and builder.func is backbone_net:
        block, stem = builder.keywords.get("block", "basic"), builder.keywords.get("stem", STEM)
        builder = partial(segmenting_net, decoder=tuple(decoder), block=block, stem=tuple(stem))
    return TrainingEvaluator(builder, config)


def segmenting_net(
    encoding: Encoding,
    *,
    decoder: Sequence[int] = DECODER,
    block: Blocks = "basic",
    stem: Sequence[int] = STEM,
    size_hw: tuple[int, int] = (512, 1024),
    classes: int = 19,
) -> Net:
    """Build a segmentation net on a backbone, with a pyramid that fits its size.

    Args:
        encoding: Encoding of the backbone.
        decoder: Widths (cc3, cc4, cc5).
        block: As of `backbone_net`.
        stem: As of `backbone_net`.
        size_hw: Height and width of the input, multiples of 32.
        classes: Number of classes.

    Raises:
        ShapeError: an argument is not of this form.
    """
    shorter = max(1, min(size_hw) // 32)
    kernels = [max(1, shorter * part // _COARSEST_PYRAMID) for part in (8, 4, 2, 1)]
    return segmentation_net(encoding, decoder, block, size_hw=size_hw, classes=classes, stem=stem, psp_kernels=kernels)


@lru_cache(maxsize=1)
def _data(data: str, size_hw: tuple[int, int], seed: int, validation_images: int | None) -> Data:
    """Open a data set, once in each process; synthetic images are kept."""
    from dongfeng.training import open_data

    return open_data(data, size_hw=size_hw, seed=seed, validation_images=validation_images)
