"""Families of layers that move a window over a blob, or change the size of its planes."""

from __future__ import annotations

import math
from typing import Any

from tests.networks.drafts import Draft, Shape, family, fits_in, image, rank

Axes = list[int]


def _spelled(draft: Draft, name: str, values: Axes, default: int | None) -> dict[str, Any]:
    """A window's values in one of Caffe's spellings; `kernel` is `kernel_size` in two of them."""
    square = "kernel_size" if name == "kernel" else name
    if all(value == values[0] for value in values) and draft.flag():
        return {} if values[0] == default else {square: values[0]}
    if len(values) == 2 and name != "dilation" and draft.flag():
        return {f"{name}_h": values[0], f"{name}_w": values[1]}
    return {square: values}


def _window(draft: Draft, size: Shape, *, transposed: bool) -> tuple[dict[str, Any], list[int]]:
    """Parameters of a (de)convolution over planes of `size`, and the size of its output."""
    out, kernel, stride, pad, dilation = [], [], [], [], []
    for n in size:
        d, p = draft.choose(1, 1, 2), draft.choose(0, 0, 1, 2)
        reach = 3 if transposed else max((n + 2 * p - 1) // d + 1, 1)
        k, s = draft.integer(1, min(reach, 4)), draft.choose(1, 1, 2, 3)
        extent = d * (k - 1) + 1
        if transposed and s * (n - 1) + extent <= 2 * p:
            p = 0
        out.append(s * (n - 1) + extent - 2 * p if transposed else (n + 2 * p - extent) // s + 1)
        for values, value in zip((kernel, stride, pad, dilation), (k, s, p, d), strict=True):
            values.append(value)
    param: dict[str, Any] = {}
    spelled = {"kernel": (kernel, None), "stride": (stride, 1), "pad": (pad, 0), "dilation": (dilation, 1)}
    for name, (values, default) in spelled.items():
        param |= _spelled(draft, name, values, default)
    return param, out


@family(rank(3), weight=4)
def convolution(draft: Draft, x: str, shape: Shape) -> None:
    """One to three spatial axes behind any channel axis, groups, sometimes two bottoms with the same weights."""
    transposed = draft.flag()
    axis = draft.choose(1, 1, 1, len(shape) - 2)
    param, out = _window(draft, shape[axis + 1 :], transposed=transposed)
    group = draft.choose(*(g for g in (1, 1, 2, 3, shape[axis]) if shape[axis] % g == 0))
    units = group * draft.integer(1, 3)
    top = (*shape[:axis], units, *out)
    if not fits_in(top):
        return
    param |= {"num_output": units, **draft.some(bias_term=False), **({"group": group} if group > 1 else {})}
    written = draft.choose(axis, axis - len(shape))
    bottoms = [x]
    other = draft.pick(lambda candidate: candidate == shape)
    if other != x and draft.flag():
        bottoms.append(other)
    kind = "Deconvolution" if transposed else "Convolution"
    fields = {**param, **({} if written == 1 else {"axis": written})}
    draft.add(kind, bottoms, *[top] * len(bottoms), convolution_param=fields)


@family(image)
def depthwise(draft: Draft, x: str, shape: Shape) -> None:
    param, out = _window(draft, shape[2:], transposed=False)
    top = (*shape[:2], *out)
    if fits_in(top):
        param |= {"num_output": shape[1], **draft.some(bias_term=False)}
        draft.add(draft.choose("DepthwiseConvolution", "ConvolutionDepthwise"), x, top, convolution_param=param)


@family(image)
def im2col(draft: Draft, x: str, shape: Shape) -> None:
    param, out = _window(draft, shape[2:], transposed=False)
    kernel = param.get("kernel_size", [param.get("kernel_h", 1), param.get("kernel_w", 1)])
    taps = kernel**2 if isinstance(kernel, int) else math.prod(kernel)
    if fits_in((shape[0], shape[1] * taps, *out)):
        draft.add("Im2col", x, (shape[0], shape[1] * taps, *out), convolution_param=param)


@family(rank(1), weight=2)
def inner_product(draft: Draft, x: str, shape: Shape) -> None:
    written, axis = draft.axis(len(shape))
    units = draft.integer(1, 5)
    param = {"num_output": units, **({} if axis == written == 1 else {"axis": written})}
    param |= draft.some(bias_term=False, transpose=True)
    draft.add("InnerProduct", x, (*shape[:axis], units), inner_product_param=param)


def _pooled(draft: Draft, size: Shape) -> tuple[dict[str, Any], Axes] | None:
    """Parameters of a pooling, and the size of its output; None where a window would see nothing."""
    kernel = [draft.integer(1, n + 1) for n in size]
    stride = [draft.choose(1, 1, 2, 3) for _ in size]
    pad = [draft.choose(0, *range(min(k, 3))) for k in kernel]
    floor = draft.choose(False, False, True)
    out = []
    for n, k, s, p in zip(size, kernel, stride, pad, strict=True):
        steps = (n + 2 * p - k) / s
        windows = (math.floor(steps) if floor else math.ceil(steps)) + 1
        if any(pad) and (windows - 1) * s >= n + p:  # either padding makes Caffe look at both axes
            windows -= 1
        if windows < 1 or (windows - 1) * s - p >= n:
            return None
        out.append(windows)
    param = {
        **_spelled(draft, "kernel", kernel, None),
        **_spelled(draft, "stride", stride, 1),
        **_spelled(draft, "pad", pad, 0),
    }
    for square, name in (("kernel_size", "kernel"), ("stride", "stride"), ("pad", "pad")):
        if isinstance(param.get(square), list):  # a list is for convolutions
            param[f"{name}_h"], param[f"{name}_w"] = param.pop(square)
    return param | ({"round_mode": "FLOOR"} if floor else {}), out


@family(image, weight=3)
def pooling(draft: Draft, x: str, shape: Shape) -> None:
    """MAX or AVE, padded, rounding either way, global; with its mask and an Upsample behind it."""
    kind = draft.choose("MAX", "AVE")
    if draft.choose(False, False, False, True):
        draft.add("Pooling", x, (*shape[:2], 1, 1), pooling_param={"pool": kind, "global_pooling": True})
        return
    drawn = _pooled(draft, shape[2:])
    if drawn is None:
        return
    param, out = drawn
    top = (*shape[:2], *out)
    if kind == "AVE" or draft.flag():
        draft.add("Pooling", x, top, pooling_param={**param, **({} if kind == "MAX" else {"pool": kind})})
        return
    pooled = draft.add("Pooling", x, top, top, pooling_param=param)
    if draft.flag():
        size = {"upsample_h": shape[2], "upsample_w": shape[3]}
        mask = draft.newest
        draft.add("Upsample", [draft.same("TanH", pooled), mask], shape, upsample_param=size)


@family(image)
def pyramid(draft: Draft, x: str, shape: Shape) -> None:
    height, kind = draft.integer(1, 3), draft.choose("MAX", "AVE")
    values = 0
    for level in range(height):
        bins = 2**level
        kernels = [-(-n // bins) for n in shape[2:]]
        pads = [(k * bins - n + 1) // 2 for k, n in zip(kernels, shape[2:], strict=True)]
        if any(p >= k for p, k in zip(pads, kernels, strict=True)):
            return
        cells = []
        for n, k, p in zip(shape[2:], kernels, pads, strict=True):
            windows = math.ceil((n + 2 * p - k) / k) + 1
            cells.append(windows - (any(pads) and (windows - 1) * k >= n + p))
        values += shape[1] * math.prod(cells)
    top = (*shape[:2], 1, 1) if height == 1 else (shape[0], values)
    draft.add("SPP", x, top, spp_param={"pyramid_height": height, "pool": kind})


@family(image, weight=2)
def interp(draft: Draft, x: str, shape: Shape) -> None:
    begin, end = -draft.choose(0, 0, 1), -draft.choose(0, 0, 2)
    crop = {name: pad for name, pad in (("pad_beg", begin), ("pad_end", end)) if pad}
    size = [n + begin + end for n in shape[2:]]
    if min(size) < 1:
        return
    factor = draft.integer(1, 3)
    how = draft.choose("size", "zoom", "shrink")
    if how == "size":
        size = [draft.integer(1, 12), draft.integer(1, 12)]
        param = {"height": size[0], "width": size[1]}
    elif how == "zoom":
        size, param = [n + (n - 1) * (factor - 1) for n in size], {"zoom_factor": factor}
    else:
        size, param = [(n - 1) // factor + 1 for n in size], {"shrink_factor": factor}
    if fits_in((*shape[:2], *size)):
        draft.add("Interp", x, (*shape[:2], *size), interp_param={**param, **crop})


@family(image)
def repeat_pixels(draft: Draft, x: str, shape: Shape) -> None:
    scale = draft.integer(1, 3)
    top = (*shape[:2], shape[2] * scale, shape[3] * scale)
    if fits_in(top):
        draft.add("Upsample", x, top, upsample_param={"scale": scale})


@family(image)
def prior_box(draft: Draft, x: str, shape: Shape) -> None:
    small = draft.choose([7], [5, 9])
    param = {"min_size": small, **draft.some(clip=True, flip=False, offset=0.25, step=3)}
    ratios = draft.choose([], [2], [1, 2, 3])
    n_boxes = len(small) * (1 + sum(1 if param.get("flip") is False else 2 for ratio in ratios if ratio != 1))
    if draft.flag():
        param["max_size"] = [size + 4 for size in small]
        n_boxes += len(small)
    variance = draft.choose([], [0.2], [0.1, 0.1, 0.2, 0.2])
    param |= {name: values for name, values in (("aspect_ratio", ratios), ("variance", variance)) if values}
    draft.add("PriorBox", [x, "data"], (1, 2, math.prod(shape[2:]) * n_boxes * 4), prior_box_param=param)
