"""How far each blob is from the reference, and which layer is to blame.

Rounding grows on its way through a net: a Softmax of large scores enlarges it, an ArgMax of nearly equal ones turns it
into another index. A layer is to blame only where that explains nothing: from the model's own values it computes
something else than the interpreter does, or its bottoms are too close to the reference for its result to be so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dongfeng.errors import DongfengError
from dongfeng.layers.layer import Array, Layer, show
from dongfeng.net.graph import Net

_HUGE = 1e30  # beyond it values mark something (-FLT_MAX of an empty window), and are compared for equality
_GROWTH = 1e3  # by which a layer may enlarge the relative error of its bottoms
_JUMPS = 1e-4  # fraction of indices that nearly equal scores may change; one always may


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far one blob is from the reference.

    Attributes:
        max_abs_error: Largest absolute difference; None where there is no number to compare.
        max_rel_error: The same as a fraction of the largest magnitude in the reference (of 1 where that is 0).
        mismatches: Fraction of values that differ, for indices, which have no errors; else None.
        passed: Whether the layer is right.
        follows: Whether the blob is off, but no more than follows from the layer's bottoms: the layer is right.
        problem: Reason why no error can be computed, such as another shape.
    """

    max_abs_error: float | None = None
    max_rel_error: float | None = None
    mismatches: float | None = None
    passed: bool = False
    follows: bool = False
    problem: str | None = None

    @property
    def relative_error(self) -> float:
        """The relative error; infinite where it cannot be computed."""
        if self.max_rel_error is not None:
            return self.max_rel_error
        return 0.0 if self.mismatches == 0 else np.inf

    @property
    def result(self) -> str:
        """The result in words: "ok", "follows" or "differs", then the problem or the share of wrong indices."""
        word = "follows" if self.follows else "ok" if self.passed else "differs"
        if self.problem is not None:
            return f"{word}: {self.problem}"
        return f"{word}: {self.mismatches:.2%} of the indices" if self.mismatches else word


def compare(got: Array, expected: Array, tolerance: float) -> Difference:
    """Compare two blobs of numbers.

    Args:
        got: The model's values.
        expected: The reference's values.
        tolerance: Largest error that passes, as a fraction of the largest magnitude in `expected`.
    """
    if got.shape != expected.shape:
        return Difference(problem=f"shape {show(got.shape)}, expected {show(expected.shape)}")
    finite = np.abs(expected) <= _HUGE  # false for NaN too
    if not np.array_equal(got[~finite], expected[~finite], equal_nan=True):
        return Difference(problem="not NaN, infinite or huge where the reference is")
    error = np.abs(got[finite] - expected[finite])
    if not np.all(np.isfinite(error)):
        return Difference(problem=f"{int(np.sum(~np.isfinite(error)))} values are NaN or infinite")
    largest = float(np.max(error, initial=0.0))
    relative = largest / (float(np.max(np.abs(expected[finite]), initial=0.0)) or 1.0)
    return Difference(max_abs_error=largest, max_rel_error=relative, passed=relative <= tolerance)


def compare_exactly(got: Array, expected: Array) -> Difference:
    """Compare two blobs of indices, which are equal or not."""
    if got.shape != expected.shape:
        return compare(got, expected, 0.0)
    mismatches = float(np.mean(got != expected)) if got.size else 0.0
    return Difference(mismatches=mismatches, passed=mismatches == 0)


def holds_indices(layer: Layer, top: str) -> bool:
    """Tell whether a blob holds indices, or 0 and 1: values that jump from one whole number to another."""
    if layer.type == "Pooling":
        return layer.tops.index(top) == 1  # places of the maxima
    return layer.type in ("ArgMax", "Threshold")


class BlobComparison:
    """The comparison of a model's blobs with a reference, in the net's order.

    Args:
        net: The net.
        inputs: Input blob -> array that net, model and reference were fed with.
        computed: Blob of the net -> array that the model computes from them.
        tolerance: Largest relative error that passes.
    """

    def __init__(self, net: Net, inputs: Mapping[str, Array], computed: Mapping[str, Array], tolerance: float) -> None:
        self.net, self.computed, self.tolerance = net, computed, tolerance
        self._compared: dict[str, Array] = dict(inputs)  # the model's values
        self._errors: dict[str, float] = dict.fromkeys(inputs, 0.0)

    def judge(self, index: int, top: str, expected: Array) -> Difference:
        """Compare a top of layer number `index`, and judge whether that layer is right."""
        got = self.computed[top]
        difference = self._difference(self.net.layers[index], top, expected)
        if not difference.passed and self._is_explained(index, top, difference):
            difference = replace(difference, passed=True, follows=True)
        self._compared[top], self._errors[top] = got, difference.relative_error
        return difference

    def _difference(self, layer: Layer, top: str, expected: Array) -> Difference:
        got = self.computed[top]
        return compare_exactly(got, expected) if holds_indices(layer, top) else compare(got, expected, self.tolerance)

    def _is_explained(self, index: int, top: str, difference: Difference) -> bool:
        """Tell whether a blob is off only because the bottoms of its layer are."""
        layer, size = self.net.layers[index], self.computed[top].size
        has_few_jumps = difference.mismatches is not None and difference.mismatches * size <= max(_JUMPS * size, 1)
        try:
            recomputed, bottom_error = self._recomputed(index, top)
        except DongfengError:  # the interpreter does not know the layer, or cannot run it on these bottoms
            return has_few_jumps
        if not self._difference(layer, top, recomputed).passed:
            return False
        if layer.type == "DetectionOutput":  # one rounding may move, add or remove a row
            return bottom_error > 0
        if holds_indices(layer, top):
            return bottom_error > self.tolerance or has_few_jumps
        return difference.relative_error <= _GROWTH * bottom_error

    def _recomputed(self, index: int, top: str) -> tuple[Array, float]:
        """Compute a blob with the interpreter from the model's own values.

        The computation starts at the nearest blobs that have been compared, and runs the layers between.

        Returns:
            The blob, and the largest relative error of the blobs it was computed from.
        """
        from dongfeng.reference import run_layer

        wanted: set[str] = {top}
        start: set[str] = set()
        path = []
        for layer in reversed(self.net.layers[: index + 1]):
            if wanted.intersection(layer.tops):
                path.append(layer)
                start.update(bottom for bottom in layer.bottoms if bottom in self._compared)
                wanted.update(bottom for bottom in layer.bottoms if bottom not in self._compared)
        values = {blob: self._compared[blob] for blob in start}
        for layer in reversed(path):
            tops = run_layer(layer, [values[bottom] for bottom in layer.bottoms])
            values.update(zip(layer.tops, tops, strict=True))
        return values[top], max((self._errors[blob] for blob in start), default=0.0)
