"""From ncnn's Pooling to Caffe's, wherever both have the same windows and the same divisor."""

from __future__ import annotations

from typing import Any

from dongfeng.formats.ncnn.param import Params
from dongfeng.formats.ncnn.parts import Bottoms, DynamicSize, Part, by_side, same_padding, symmetric, unsupported

_TYPES = ("MAX", "AVE")
_FULL, _VALID, _SAME_UPPER, _SAME_LOWER = range(4)


def pooling(p: Params, bottoms: Bottoms) -> list[Part]:
    """Convert a Pooling layer.

    ncnn's full mode rounds sizes up as Caffe does, its valid mode rounds down. ncnn and Caffe differ where a last
    window would begin in the padding, which Caffe drops, and in the divisor of an average: Caffe counts padding, but
    nothing beyond it.
    """
    number, counts_padding = p.integer(0, 0), bool(p.integer(6, 0))
    if number not in range(len(_TYPES)):
        raise unsupported(f"pooling_type {number}")
    kernel, stride, (top, left) = p.sides(11, 1, 0), p.sides(12, 2, 1), p.sides(13, 3, 0)
    edges = (left, p.integer(14, left), top, p.integer(15, top))
    mode, is_global = p.integer(5, _FULL), bool(p.integer(4, 0))
    if _is_adaptive_to_one(p) or is_global:
        return [Part("Pooling", "", {"pooling_param": {"pool": _TYPES[number], "global_pooling": True}})]
    if mode not in (_FULL, _VALID, _SAME_UPPER, _SAME_LOWER):
        raise unsupported(f"pad_mode {mode}")
    pad = same_padding(kernel, stride) if mode in (_SAME_UPPER, _SAME_LOWER) else symmetric(*edges)
    if min(*kernel, *stride) < 1:
        raise unsupported(f"kernel {kernel}, stride {stride}")
    is_full = mode == _FULL
    sizes = bottoms.shapes[0][2:]
    if len(sizes) != 2:
        raise unsupported("a bottom without height and width")
    for size, k, s, q in zip(sizes, kernel, stride, pad, strict=True):
        _check_side(size, k, s, q, is_full=is_full, counts_padding=counts_padding if _TYPES[number] == "AVE" else None)
    params: dict[str, Any] = {"pool": _TYPES[number], **by_side("kernel", kernel, square="kernel_size")}
    params |= by_side("stride", stride)
    if pad != (0, 0):
        params |= by_side("pad", pad)
    if not is_full:
        params["round_mode"] = "FLOOR"
    return [Part("Pooling", "", {"pooling_param": params})]


def _is_adaptive_to_one(p: Params) -> bool:
    out_h, out_w = p.sides(18, 8, 0)
    if not p.integer(7, 0):
        return False
    if (out_h, out_w) != (1, 1):
        raise unsupported(f"adaptive_pooling to {out_h}x{out_w}")
    return True


def _check_side(
    size: int | None, kernel: int, stride: int, pad: int, *, is_full: bool, counts_padding: bool | None
) -> None:
    """Refuse a side along which Caffe computes something else; `counts_padding` is None for MAX.

    Raises:
        UnsupportedLayer: the results differ.
        DynamicSize: whether they do depends on the size.
    """
    if pad >= kernel:
        raise unsupported(f"padding {pad} with a kernel of {kernel}")
    if counts_padding is False and pad:
        raise unsupported("an average that leaves the padding out; Caffe counts it")
    if size is not None and size + 2 * pad < kernel:
        raise unsupported(f"a kernel of {kernel} on {size} pixels with padding {pad}, which ncnn refuses")
    if not is_full:
        return
    if size is None:
        if counts_padding or (pad and pad + stride > kernel):
            raise DynamicSize("whether Caffe pools as ncnn does")
        return
    beyond = -(size + 2 * pad - kernel) % stride
    if pad and size + 2 * pad - kernel + beyond >= size + pad:
        raise unsupported("a last window that begins in the padding; Caffe drops it")
    if counts_padding and beyond:
        raise unsupported("an average that counts what lies beyond the padding; Caffe does not")
