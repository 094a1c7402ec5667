"""Networks of the zoo with their weights, whatever form those come in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.errors import WeightsMismatch, WeightsUnavailable
from dongfeng.net.preprocessing import for_size
from dongfeng.runtime.metadata import ModelSpec

if TYPE_CHECKING:
    from dongfeng.net.graph import Net
    from dongfeng.zoo.manifest import ModelInfo


@dataclass(frozen=True)
class WeightsSource:
    """Where weights come from: a file, or a seed."""

    path: Path | None
    seed: int = 0

    def identity(self) -> str:
        """What changes when the weights change."""
        if self.path is None:
            return f"random:{self.seed}"
        from dongfeng.zoo.pins import sha256_of

        return sha256_of(self.path)


def zoo_spec(info: ModelInfo, size_hw: tuple[int, int]) -> ModelSpec:
    """What a file made from a zoo model has to say so that `dongfeng.load` runs it as that model."""
    return ModelSpec(
        name=info.name,
        task=info.task,
        preprocessing=for_size(info.preprocessing, size_hw),
        head=info.head,
        classes=info.classes,
        score_blob=info.score_blob,
    )


def given_weights(weights: object) -> WeightsSource:
    """What a caller means by `weights`: a path, "random" or "random:SEED".

    Raises:
        WeightsUnavailable: there is no such file.
    """
    if isinstance(weights, str) and (found := re.fullmatch(r"random(?::(\d+))?", weights)):
        return WeightsSource(None, int(found[1] or 0))
    path = Path(str(weights))
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise WeightsUnavailable(f'{path}: {what}; weights is a weight file, "random" or "random:SEED"')
    return WeightsSource(path)


def zoo_weights(info: ModelInfo, weights: object) -> WeightsSource:
    """The same for a model of the zoo, where None is its released file, fetched if need be.

    Raises:
        WeightsUnavailable: there is no such file, or it cannot be fetched.
    """
    if weights is not None:
        return given_weights(weights)
    from dongfeng.zoo.fetch import fetch_weights

    return WeightsSource(fetch_weights(info))


def zoo_net(info: ModelInfo, source: WeightsSource) -> Net:
    """A zoo model's architecture with weights, in the variant they are for: BatchNorm folded or not.

    Raises:
        WeightsMismatch: the weights are another model's.
    """
    from dongfeng.architectures import build

    if source.path is None:
        from dongfeng.net.random_weights import random_weights

        return random_weights(build(info.architecture, folded=info.folded), source.seed)
    if source.path.suffix == ".bin":
        if info.weights[0].format != "ncnn":
            raise WeightsMismatch(
                f"{source.path}: {info.name} takes a .caffemodel; only pl1a_seg was released for ncnn"
            )
        from dongfeng.formats.ncnn import load_ncnn_weights

        return load_ncnn_weights(build(info.architecture), source.path)
    from dongfeng.caffe import caffemodel
    from dongfeng.net.weights import assign_weights

    records = caffemodel.read(source.path)
    unfolded = build(info.architecture)
    norms = {layer.name for layer in unfolded.layers if layer.type == "BatchNorm"}
    is_folded = norms.isdisjoint(record.name for record in records if record.blobs)
    net = build(info.architecture, folded=True) if is_folded else unfolded
    return assign_weights(net, records, source=str(source.path), require_all=True)
