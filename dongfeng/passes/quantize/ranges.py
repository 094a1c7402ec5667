"""Statistics of activations on calibration inputs, and the ranges that eight bits cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dongfeng.passes.graph import Float, Graph
from dongfeng.passes.quantize.execution import in_portions, run

if TYPE_CHECKING:
    import onnx

Double = npt.NDArray[np.float64]
Range = tuple[float, float]  # its ends, at most 0 and at least 0

METHODS = ("mse", "percentile", "minmax")
PERCENTILE = 99.99  # of the values inside the range, on each side

_SAMPLES_PER_BATCH = 20_000
_BINS = 4096  # of the histogram of samples on which ranges are compared
_HIGH = np.linspace(0.3, 1.0, 29)  # shares of the largest and smallest value that are tried as ends of the range
_LOW = np.linspace(0.5, 1.0, 11)


@dataclass
class ActivationStatistics:
    """Statistics of one activation over all batches.

    Attributes:
        low: Smallest value, at most 0.
        high: Largest value, at least 0.
        channel_max: (C,) largest absolute value of each channel; empty where the activation is no map.
        samples: Values at even distances.
        elements: Number of values in the largest batch.
    """

    low: float = 0.0
    high: float = 0.0
    channel_max: Float = field(default_factory=lambda: np.zeros(0, np.float32))
    samples: list[Float] = field(default_factory=list)
    elements: int = 0

    def add(self, values: Float) -> None:
        """Add the values of one batch."""
        flat = values.ravel()
        self.elements = max(self.elements, flat.size)
        self.low = min(self.low, float(flat.min()))
        self.high = max(self.high, float(flat.max()))
        self.samples.append(
            flat[:: max(1, flat.size // _SAMPLES_PER_BATCH) | 1].copy()
        )  # odd: not always the same column
        if values.ndim == 4:
            largest = np.abs(values).max(axis=(0, 2, 3))
            self.channel_max = np.maximum(self.channel_max, largest) if self.channel_max.size else largest


def collect_statistics(model: onnx.ModelProto, batches: Sequence[Float]) -> dict[str, ActivationStatistics]:
    """Collect statistics of every float activation of a model over the batches, by name."""
    statistics: dict[str, ActivationStatistics] = {}
    for portion in in_portions(model, Graph(model).tensors()):
        for values in run(model, portion, batches):
            for name, value in values.items():
                if value.dtype == np.float32:
                    statistics.setdefault(name, ActivationStatistics()).add(value)
    return statistics


class Ranges:
    """Ranges of groups of tensors by one method; each is found once.

    Args:
        statistics: Statistics of all tensors, by name.
        method: One of `METHODS`.
        symmetric: Whether ranges reach as far below 0 as above.
    """

    def __init__(self, statistics: Mapping[str, ActivationStatistics], method: str, *, symmetric: bool) -> None:
        self.symmetric = symmetric
        self._statistics, self._method = statistics, method
        self._found: dict[tuple[str, ...], Range] = {}

    def of(self, names: tuple[str, ...]) -> Range:
        """Return the range of tensors that share a scale."""
        if names not in self._found:
            tensors = [self._statistics[name] for name in names]
            self._found[names] = find_range(tensors, self._method, symmetric=self.symmetric)
        return self._found[names]


def find_range(tensors: Sequence[ActivationStatistics], method: str, *, symmetric: bool) -> Range:
    """Find the range that tensors of one scale are quantized with; values outside are clipped.

    Args:
        tensors: Statistics of the tensors.
        method: "minmax": everything; "percentile": all but one of ten thousand values on each side; "mse": where the
            mean squared error of quantizing is least.
        symmetric: Whether the range reaches as far below 0 as above.
    """
    low, high = min(one.low for one in tensors), max(one.high for one in tensors)
    if symmetric:
        high = max(-low, high)
        low = -high
    if method == "minmax" or high - low <= 0:
        return low, high
    values = np.concatenate([part for one in tensors for part in one.samples])
    if method == "percentile":
        inner_low, inner_high = np.percentile(values, (100 - PERCENTILE, PERCENTILE))
        if symmetric:
            inner_high = np.percentile(np.abs(values), PERCENTILE)
            inner_low = -inner_high
        return min(0.0, float(inner_low)), max(0.0, float(inner_high))
    lows = [None] if symmetric or low == 0 else list(_LOW)  # None: as far as the other end
    tried = [(low * (a if b is None else b), high * a) for a in _HIGH for b in lows]
    counts, edges = np.histogram(values, _BINS, (low, high))
    filled = counts > 0
    centres = ((edges[1:] + edges[:-1]) / 2)[filled]
    return min(tried, key=lambda ends: _squared_error(centres, counts[filled], ends))


def scale_and_zero(ends: Range, *, symmetric: bool) -> tuple[np.float32, int]:
    """Return scale and zero point of a range: int8 -127..127 where symmetric, else uint8 0..255."""
    low, high = ends
    if symmetric:
        return np.float32(max(-low, high, 1e-8) / 127), 0
    scale = np.float32(max(high - low, 1e-8) / 255)
    return scale, round(float(-low / scale))


def _squared_error(values: Double, counts: npt.NDArray[np.integer], ends: Range) -> float:
    """Summed squared error of quantizing values, each as often as its count, with a range."""
    low, high = ends
    scale = (high - low) / 255
    zero = round(-low / scale)
    quantized = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale
    return float(np.dot(counts, np.square(quantized - values)))
