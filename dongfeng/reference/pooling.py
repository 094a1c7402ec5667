"""Pooling and spatial pyramid pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import read_pair, require_axes, show
from dongfeng.reference.registry import AnyArray, Array, forward_of

FLT_MAX = float(np.finfo(np.float32).max)
Pair = tuple[int, ...]  # of height and width


@dataclass(frozen=True)
class Pool:
    """Windows of a pooling, height before width; sizes round up unless `floor`."""

    kernel: Pair
    stride: Pair
    pad: Pair = (0, 0)
    floor: bool = False

    def size(self, bottom: Pair) -> Pair:
        """Return the number of windows along both axes.

        Raises:
            ShapeError: there is none.
        """
        size = tuple(self._axis_size(n, axis) for axis, n in enumerate(bottom))
        if min(size) < 1:
            raise ShapeError(f"the output of a {show(bottom)} input would be {show(size)}")
        return size

    def _axis_size(self, n: int, axis: int) -> int:
        kernel, stride, pad = self.kernel[axis], self.stride[axis], self.pad[axis]
        span = n + 2 * pad - kernel
        windows = (span // stride if self.floor else -(-span // stride)) + 1
        # Only a padded pooling drops a last window that begins behind the image.
        if any(self.pad) and (windows - 1) * stride >= n + pad:
            windows -= 1
        return windows

    def starts(self, out: Sequence[int]) -> tuple[AnyArray, AnyArray]:
        """Return the rows and columns where `out` windows begin; the first begin at -pad."""
        rows, columns = (np.arange(n) * stride - pad for n, stride, pad in zip(out, self.stride, self.pad, strict=True))
        return rows, columns


def _taps(x: AnyArray, pool: Pool, fill: float) -> list[tuple[Pair, AnyArray]]:
    """Return, for each place in the kernel, row by row, the values of all windows there: (N, C, *out)."""
    out = pool.size(x.shape[2:])
    spans = [(o - 1) * s + 1 for o, s in zip(out, pool.stride, strict=True)]
    sizes = zip(spans, pool.kernel, x.shape[2:], pool.pad, strict=True)
    pads = [(0, 0), (0, 0), *((pad, max(0, span - 1 + kernel - n - pad)) for span, kernel, n, pad in sizes)]
    padded = np.pad(x, pads, constant_values=fill)
    places = np.ndindex(*pool.kernel)
    step_y, step_x = pool.stride
    return [((i, j), padded[:, :, i : i + spans[0] : step_y, j : j + spans[1] : step_x]) for i, j in places]


def max_pool(x: Array, pool: Pool) -> tuple[AnyArray, AnyArray]:
    """Find the largest value of each window, and its place in the plane (row * width + column; the first of several).

    A window outside the plane gives -FLT_MAX and place -1.
    """
    taps = _taps(x, pool, -FLT_MAX)
    best = np.full(taps[0][1].shape, -FLT_MAX, np.float32)
    place = np.full(best.shape, -1, np.int64)
    rows, columns = pool.starts(best.shape[2:])
    for (row, column), values in taps:
        better = values > best
        place = np.where(better, (rows[:, None] + row) * x.shape[3] + columns + column, place)
        best = np.where(better, values, best)
    return best, place


def average_pool(x: AnyArray, pool: Pool) -> AnyArray:
    """Divide the sum of each window by its area, which counts padding on both sides but nothing behind it."""
    taps = _taps(x, pool, 0.0)
    total = np.zeros(taps[0][1].shape)
    for _, values in taps:
        total += values
    starts = pool.starts(total.shape[2:])
    ends = [np.minimum(s + k, n + p) for s, k, n, p in zip(starts, pool.kernel, x.shape[2:], pool.pad, strict=True)]
    result: AnyArray = total / np.outer(ends[0] - starts[0], ends[1] - starts[1])
    return result


@forward_of("Pooling", tops=(1, 2))
def pooling(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """The largest or average value of windows, and as second top the place of the largest."""
    (x,), param = bottoms, layer.params.pooling_param
    require_axes(x, 4)
    pool = _read_pool(param, x.shape[2:])
    if param.pool == "STOCHASTIC":
        raise UnsupportedLayer(["pool: STOCHASTIC does not run on Caffe's CPU; use MAX or AVE"])
    if param.pool == "AVE":
        if len(layer.tops) > 1:
            raise ShapeError("a second top, the mask, is for pool: MAX only")
        return [average_pool(x, pool)]
    return list(max_pool(x, pool))[: len(layer.tops)]


def _read_pool(param: Message, size: Pair) -> Pool:
    """Read the windows of a PoolingParameter for a blob of some height and width."""
    stride, pad = read_pair(param, "stride", "stride"), read_pair(param, "pad", "pad")
    if param.global_pooling:
        if any(map(param.has, ("kernel_size", "kernel_h", "kernel_w"))) or pad != (0, 0) or stride != (1, 1):
            raise ShapeError("global_pooling takes no kernel, pad 0 and stride 1")
        return Pool(size, (1, 1))
    kernel = read_pair(param, "kernel", "kernel_size")
    if min(*kernel, *stride) < 1 or any(p >= k for p, k in zip(pad, kernel, strict=True) if p):
        raise ShapeError(f"kernel {kernel}, stride {stride} and pad {pad} do not fit: pad must be below kernel")
    return Pool(kernel, stride, pad, floor=param.round_mode == "FLOOR" or not param.ceil_mode)


@forward_of("SPP")
def spatial_pyramid(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Poolings into 1, 4, 16, ... bins, one behind the other as (N, C * bins); a single one keeps its axes."""
    (x,), param = bottoms, layer.params.spp_param
    require_axes(x, 4)
    if param.pyramid_height < 1 or param.pool == "STOCHASTIC":
        raise UnsupportedLayer([f"pyramid_height {param.pyramid_height} with pool: {param.pool} cannot be computed"])
    levels = []
    for level in range(param.pyramid_height):
        kernel = tuple(-(-n // 2**level) for n in x.shape[2:])
        pad = tuple((k * 2**level - n + 1) // 2 for k, n in zip(kernel, x.shape[2:], strict=True))
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            raise ShapeError(f"{show(x.shape[2:])} is too small for pyramid level {level}: pad {pad}, kernel {kernel}")
        pool = Pool(kernel, kernel, pad)
        levels.append(average_pool(x, pool) if param.pool == "AVE" else max_pool(x, pool)[0])
    if len(levels) == 1:
        return levels
    return [np.concatenate([values.reshape(x.shape[0], -1) for values in levels], 1)]
