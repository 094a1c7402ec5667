"""From Caffe's pooling to ncnn's: by ncnn's rounding where windows and divisors agree, else by explicit padding."""

from __future__ import annotations

from typing import NamedTuple

from dongfeng.formats.ncnn.emitted import Context, Emitted, params
from dongfeng.formats.ncnn.parts import unsupported
from dongfeng.layers.pooling import Pooling

_FULL, _VALID = 0, 1


class _Side(NamedTuple):
    """Windows along one side."""

    size: int
    kernel: int
    stride: int
    pad: int
    n_windows: int

    @property
    def reach(self) -> int:
        """Padding behind the input that the last window needs."""
        return (self.n_windows - 1) * self.stride + self.kernel - self.size - self.pad

    @property
    def beyond(self) -> int:
        """Pixels by which the last window reaches past input and padding; below 0 it falls short."""
        return self.reach - self.pad

    @property
    def is_empty(self) -> bool:
        """Whether the last window holds no pixel."""
        return (self.n_windows - 1) * self.stride - self.pad >= self.size

    @property
    def is_full(self) -> bool:
        """Whether ncnn's full mode, which rounds up, makes the same windows."""
        return self.size + 2 * self.pad >= self.kernel and 0 <= self.beyond < self.stride

    @property
    def is_valid(self) -> bool:
        """Whether ncnn's valid mode, which rounds down, makes the same windows."""
        return -self.stride < self.beyond <= 0

    def clipped(self) -> _Side:
        """Cut a lone window down to the input, where there is no padding to count."""
        return self._replace(kernel=min(self.kernel, self.size)) if self.n_windows == 1 and not self.pad else self


def pooling(context: Context) -> list[Emitted]:
    """Convert a Pooling layer; a padded average whose last window reaches too far gets a Padding layer."""
    layer_type = Pooling(context.layer)
    if len(context.tops) > 1:
        raise unsupported("a second top with the places of the maxima, which ncnn's Pooling does not have")
    (_, _, height, width), (_, _, out_h, out_w) = context.bottoms[0], context.tops[0]
    if layer_type.param.global_pooling:
        return [Emitted("Pooling", params({0: not layer_type.is_max, 7: 1, 8: 1}))]  # to 1x1, all three axes kept
    window = layer_type.window(context.bottoms[0])
    sides = [
        _Side(*values).clipped()
        for values in zip((height, width), window.kernel, window.stride, window.pad, (out_h, out_w), strict=True)
    ]
    if not layer_type.is_max and any(side.is_empty for side in sides):
        raise unsupported("an average of no pixels, in a last window that lies behind the input")
    layers = []
    if not layer_type.is_max and any(side.pad for side in sides) and any(side.beyond > 0 for side in sides):
        h, w = sides
        layers.append(Emitted("Padding", params({0: h.pad, 1: h.pad, 2: w.pad, 3: w.pad})))
        sides = [side._replace(size=side.size + 2 * side.pad, pad=0) for side in sides]
    return [*layers, _pooling(sides, is_max=layer_type.is_max)]


def _pooling(sides: list[_Side], *, is_max: bool) -> Emitted:
    h, w = sides
    counts_padding = not is_max and any(side.pad for side in sides)
    values = {0: not is_max, 1: w.kernel, 11: h.kernel, 2: w.stride, 12: h.stride, 3: w.pad, 13: h.pad}
    values[6] = counts_padding
    if all(side.is_full for side in sides):
        values[5] = _FULL
    else:
        values[5] = _VALID
        if not all(side.is_valid for side in sides):
            values |= {14: max(w.reach, 0), 15: max(h.reach, 0)}
    defaults = {2: 1, 11: w.kernel, 12: w.stride, 13: w.pad, 14: w.pad, 15: h.pad}
    return Emitted("Pooling", params(values, defaults))
