"""The window of a convolution over any number of spatial axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.reference.axes import show
from dongfeng.reference.registry import AnyArray, Array

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """Kernel, stride, padding and dilation of each spatial axis."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes

    @property
    def extent(self) -> Sizes:
        """Size of the dilated kernel."""
        return tuple(dilation * (kernel - 1) + 1 for kernel, dilation in zip(self.kernel, self.dilation, strict=True))

    def convolved(self, size: Sizes) -> Sizes:
        """Compute the output size of a convolution.

        Raises:
            ShapeError: it is empty.
        """
        axes = zip(size, self.extent, self.stride, self.pad, strict=True)
        # C++ truncates towards zero: a kernel that reaches out by less than a stride still gives one value.
        result = tuple(int((n + 2 * pad - extent) / stride) + 1 for n, extent, stride, pad in axes)
        return _not_empty(result, size)

    def deconvolved(self, size: Sizes) -> Sizes:
        """Compute the output size of a deconvolution.

        Raises:
            ShapeError: it is empty.
        """
        axes = zip(size, self.extent, self.stride, self.pad, strict=True)
        return _not_empty(tuple(stride * (n - 1) + extent - 2 * pad for n, extent, stride, pad in axes), size)


def _not_empty(result: Sizes, size: Sizes) -> Sizes:
    if min(result, default=1) < 1:
        raise ShapeError(f"the output of a {show(size)} input would be {show(result)}")
    return result


def read_window(param: Message, n_axes: int) -> Window:
    """Read the window of a ConvolutionParameter.

    Raises:
        ShapeError: values contradict each other, or none gives the kernel.
    """
    window = Window(
        kernel=_sizes(param, "kernel", "kernel_size", n_axes, None),
        stride=_sizes(param, "stride", "stride", n_axes, 1),
        pad=_sizes(param, "pad", "pad", n_axes, 0),
        dilation=_sizes(param, "dilation", "dilation", n_axes, 1),
    )
    if min((*window.kernel, *window.stride, *window.dilation), default=1) < 1:
        raise ShapeError(f"kernel {window.kernel}, stride {window.stride}, dilation {window.dilation}: all must be > 0")
    return window


def _sizes(param: Message, name: str, repeated: str, n_axes: int, default: int | None) -> Sizes:
    """Read one value per axis: `name_h` and `name_w`, or a list of one value or of one each."""
    values: Sizes = getattr(param, repeated)
    if name != "dilation" and (param.has(f"{name}_h") or param.has(f"{name}_w")):
        if n_axes != 2 or values:
            raise ShapeError(f"{name}_h and {name}_w are for two spatial axes, instead of {repeated}")
        return (getattr(param, f"{name}_h"), getattr(param, f"{name}_w"))
    if not values and default is not None:
        return (default,) * n_axes
    if len(values) not in (1, n_axes):
        raise ShapeError(f"{repeated} has {len(values)} values, expected one, or one for each of {n_axes} axes")
    return tuple(values) * (n_axes if len(values) == 1 else 1)


def patches(image: Array, window: Window) -> AnyArray:
    """Return a view of the values under the kernel at each position: Caffe's im2col.

    Args:
        image: (C, *size), one sample.
        window: Of len(size) axes.

    Returns:
        (C, *kernel, *output size), the same dtype.
    """
    size = image.shape[1:]
    out = window.convolved(size)
    reach = [(o - 1) * s + e for o, s, e in zip(out, window.stride, window.extent, strict=True)]
    pads = [(p, max(0, r - n - p)) for r, n, p in zip(reach, size, window.pad, strict=True)]
    padded = np.pad(image, [(0, 0), *pads]) if any(map(any, pads)) else image
    axes = tuple(range(1, image.ndim))
    seen = np.lib.stride_tricks.sliding_window_view(padded, window.extent, axes)
    starts = [slice(None, r - e + 1, s) for r, e, s in zip(reach, window.extent, window.stride, strict=True)]
    taps = [slice(None, None, d) for d in window.dilation]
    seen = seen[(slice(None), *starts, *taps)]
    return seen.transpose(0, *(axis + len(axes) for axis in axes), *axes)
