"""Single layers for tests of the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np

from dongfeng.caffe.message import message
from dongfeng.net.graph import Layer
from dongfeng.reference import run_layer


def layer(kind: str, *, bottoms: int = 1, tops: int = 1, blobs: tuple = (), **params: Any) -> Layer:
    """A layer with blobs of arbitrary names."""
    return Layer(
        name="op",
        type=kind,
        bottoms=tuple(f"in{index}" for index in range(bottoms)),
        tops=tuple(f"out{index}" for index in range(tops)),
        params=message("LayerParameter", **params),
        blobs=tuple(np.asarray(blob, np.float32) for blob in blobs),
    )


def run_all(kind: str, *bottoms: np.ndarray, tops: int = 1, blobs: tuple = (), **params: Any) -> list[np.ndarray]:
    """The tops of a layer."""
    return run_layer(layer(kind, bottoms=len(bottoms), tops=tops, blobs=blobs, **params), bottoms)


def run_one(kind: str, *bottoms: np.ndarray, blobs: tuple = (), **params: Any) -> np.ndarray:
    """The only top of a layer."""
    return run_all(kind, *bottoms, blobs=blobs, **params)[0]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
