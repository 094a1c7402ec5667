"""Families of layers that work value by value, normalize, move data, or reduce it."""

from __future__ import annotations

import math
from typing import Any

from tests.networks.drafts import Draft, Shape, family, fits_in, image, rank

PLAIN = ("Sigmoid", "TanH", "BNLL", "ReLU6", "HSwish", "HardSwish", "Mish", "Dropout")
PARAMETRIC = {
    "ReLU": ({}, {"negative_slope": 0.1}),
    "ELU": ({}, {"alpha": 0.5}),
    "Swish": ({}, {"beta": 1.5}),
    "Clip": ({"min": -0.5, "max": 1.25},),
    "Power": ({}, {"scale": 0.5, "shift": -1}, {"power": 0, "shift": 2}, {"scale": 0, "power": 2, "shift": 3}),
}


def _param(kind: str) -> str:
    return f"{kind.lower()}_param"


def _dims(shape: Shape) -> dict[str, Any]:
    return {"shape": {"dim": list(shape)}}


@family(rank(0), weight=4)
def neuron(draft: Draft, x: str, shape: Shape) -> None:
    kind = draft.choose(*PLAIN, *PARAMETRIC, "AbsVal")
    options = PARAMETRIC.get(kind, ({},))
    draft.same(kind, x, may_overwrite=kind != "AbsVal", **{_param(kind): draft.choose(*options)})


@family(rank(0))
def neuron_of_bounded_values(draft: Draft, x: str, shape: Shape) -> None:
    x = draft.same("TanH", x)
    kind, param = draft.choose(
        ("Exp", {}), ("Exp", {"base": 2, "scale": 1.5, "shift": 0.5}), ("Power", {"power": 3}), ("Power", {"power": 2})
    )
    draft.same(kind, x, **{_param(kind): param})


@family(rank(0))
def neuron_of_positive_values(draft: Draft, x: str, shape: Shape) -> None:
    x = draft.add("AbsVal", x, shape)
    kind, param = draft.choose(
        ("Log", {"shift": 0.5}),
        ("Log", {"base": 10, "scale": 2, "shift": 1}),
        ("Power", {"power": 0.5, "shift": 1}),
        ("Power", {"power": -1.5, "shift": 0.5, "scale": 2}),
    )
    draft.same(kind, x, **{_param(kind): param})


@family(rank(2))
def prelu(draft: Draft, x: str, shape: Shape) -> None:
    draft.same("PReLU", x, prelu_param=draft.some(channel_shared=True))


@family(rank(0))
def threshold(draft: Draft, x: str, shape: Shape) -> None:
    draft.add("Threshold", x, shape, threshold_param=draft.some(threshold=0.3))


@family(rank(1), weight=2)
def batch_norm(draft: Draft, x: str, shape: Shape) -> None:
    param = draft.some(use_global_stats=draft.flag(), eps=0.01)
    x = draft.same("BatchNorm", x, batch_norm_param=param)
    if len(shape) > 1 and draft.flag():
        draft.same("Scale", x, scale_param=draft.some(bias_term=True))


@family(image)
def fork_bn(draft: Draft, x: str, shape: Shape) -> None:
    draft.same("BN", x, bn_param=draft.choose({"frozen": True}, {"eps": 0.01}, {"bn_mode": "INFERENCE"}))


@family(image)
def normalization(draft: Draft, x: str, shape: Shape) -> None:
    kind = draft.choose("LRN", "Normalize")
    if kind == "Normalize":
        draft.add(kind, x, shape, norm_param=draft.some(across_spatial=False, channel_shared=False, eps=0.01))
    else:
        region = draft.choose({"norm_region": "WITHIN_CHANNEL"}, {"k": 2})
        param = {"local_size": draft.choose(1, 3, 5), "alpha": 0.5, **draft.some(beta=0.5), **region}
        draft.add(kind, x, shape, lrn_param=param)


@family(rank(2, 4))
def mvn(draft: Draft, x: str, shape: Shape) -> None:
    param = {"eps": 0.01, **draft.some(across_channels=True, normalize_variance=False)}
    draft.add("MVN", x, shape, mvn_param=param)


@family(rank(1))
def softmax(draft: Draft, x: str, shape: Shape) -> None:
    written, axis = draft.axis(len(shape))
    draft.same("Softmax", x, softmax_param={} if axis == written == 1 else {"axis": written})


@family(rank(1), weight=2)
def scale_or_bias(draft: Draft, x: str, shape: Shape) -> None:
    """One learned operand, which spans some of the axes."""
    written, axis = draft.axis(len(shape))
    param: dict[str, Any] = {} if axis == written == 1 else {"axis": written}
    param |= draft.some(num_axes=draft.choose(-1, *range(len(shape) - axis + 1)))
    kind = draft.choose("Scale", "Bias")
    draft.same(kind, x, **{_param(kind): {**param, **(draft.some(bias_term=True) if kind == "Scale" else {})}})


@family(rank(1))
def scale_or_bias_by_a_blob(draft: Draft, x: str, shape: Shape) -> None:
    """The second bottom is made of the first, and spans its first axes."""
    last = draft.integer(0, len(shape))
    operand = draft.add("Reduction", x, shape[:last], reduction_param={"axis": last}) if last < len(shape) else x
    operand = draft.same("Sigmoid", operand, may_overwrite=False)
    kind = draft.choose("Scale", "Bias")
    bias = draft.some(bias_term=True) if kind == "Scale" else {}
    draft.add(kind, [x, operand], shape, **{_param(kind): {"axis": 0, **bias}})


@family(rank(2))
def axpy(draft: Draft, x: str, shape: Shape) -> None:
    factor, gate = draft.add("Reduction", x, shape[:2], reduction_param={"axis": 2}) if len(shape) > 2 else x, shape[:2]
    if draft.flag():
        gate = (*shape[:2], *(1,) * (len(shape) - 2))
        factor = draft.add("Reshape", factor, gate, reshape_param=_dims((0, 0, *gate[2:])))
    draft.add("Axpy", [factor, x, draft.same("TanH", x, may_overwrite=False)], shape)


@family(rank(0), weight=3)
def eltwise(draft: Draft, x: str, shape: Shape) -> None:
    bottoms = [x]
    for _ in range(draft.integer(1, 2)):
        other = draft.pick(lambda candidate: candidate == shape)
        bottoms.append(draft.same("TanH", x, may_overwrite=False) if other == x and draft.flag() else other)
    operation = draft.choose("SUM", "PROD", "MAX")
    param: dict[str, Any] = draft.some(operation=operation) if operation == "SUM" else {"operation": operation}
    if operation == "SUM" and draft.flag():
        param["coeff"] = [draft.choose(1, -1, 0.5, 2) for _ in bottoms]
    draft.add("Eltwise", bottoms, shape, eltwise_param=param)


@family(rank(1), weight=2)
def concat(draft: Draft, x: str, shape: Shape) -> None:
    written, axis = draft.axis(len(shape))

    def joins(other: Shape) -> bool:
        return len(other) == len(shape) and other[:axis] + other[axis + 1 :] == shape[:axis] + shape[axis + 1 :]

    bottoms = [x, *(draft.pick(joins) for _ in range(draft.integer(0, 2)))]
    top = (*shape[:axis], sum(draft.shapes[bottom][axis] for bottom in bottoms), *shape[axis + 1 :])
    if fits_in(top):
        field = draft.choose("axis", "concat_dim") if axis == written else "axis"
        draft.add("Concat", bottoms, top, concat_param={} if axis == written == 1 else {field: written})


@family(rank(1), weight=2)
def slice_or_split(draft: Draft, x: str, shape: Shape) -> None:
    if draft.flag():
        draft.add("Split", x, *[shape] * draft.integer(1, 3))
        return
    written, axis = draft.axis(len(shape))
    points = sorted({draft.integer(1, shape[axis] - 1) for _ in range(2)}) if shape[axis] > 1 else []
    edges = [0, *points, shape[axis]]
    tops = [(*shape[:axis], b - a, *shape[axis + 1 :]) for a, b in zip(edges, edges[1:], strict=False)]
    is_even = len({top[axis] for top in tops}) == 1
    field = draft.choose("axis", "slice_dim") if axis == written else "axis"
    param = {field: written, **({} if is_even and draft.flag() else {"slice_point": points})}
    draft.add("Slice", x, *tops, slice_param=param)


@family(rank(1), weight=2)
def flatten(draft: Draft, x: str, shape: Shape) -> None:
    first, last = sorted((draft.axis(len(shape)), draft.axis(len(shape))), key=lambda pair: pair[1])
    top = (*shape[: first[1]], math.prod(shape[first[1] : last[1] + 1]), *shape[last[1] + 1 :])
    draft.add("Flatten", x, top, flatten_param={"axis": first[0], "end_axis": last[0]})


@family(rank(1), weight=2)
def reshape(draft: Draft, x: str, shape: Shape) -> None:
    """Part of the axes become others, some of them kept by a 0, one of them left to be found by a -1."""
    first = draft.integer(0, len(shape) - 1)
    last = draft.integer(first + 1, len(shape))
    values = math.prod(shape[first:last])
    middle: list[int] = []
    written: list[int] = []
    for _ in range(draft.integer(0, 2)):
        place = first + len(middle)
        if place < last and values % shape[place] == 0 and draft.flag():
            middle.append(shape[place])
            written.append(0)
        else:
            middle.append(draft.choose(*(n for n in range(1, values + 1) if values % n == 0)))
            written.append(middle[-1])
        values //= middle[-1]
    middle.append(values)
    written.append(-1 if draft.flag() else values)
    top = (*shape[:first], *middle, *shape[last:])
    if len(top) <= 5:
        part = {"num_axes": last - first} if last < len(shape) or draft.flag() else {}
        axis = draft.choose(first, first - len(shape) - 1)
        draft.add("Reshape", x, top, reshape_param={"shape": {"dim": written}, "axis": axis, **part})


@family(rank(1))
def permute(draft: Draft, x: str, shape: Shape) -> None:
    order: list[int] = []
    for _ in range(draft.integer(1, len(shape))):
        order.append(draft.choose(*(axis for axis in range(len(shape)) if axis not in order)))
    complete = [*order, *(axis for axis in range(len(shape)) if axis not in order)]
    draft.add("Permute", x, tuple(shape[axis] for axis in complete), permute_param={"order": order})


@family(rank(1))
def crop(draft: Draft, x: str, shape: Shape) -> None:
    """Cut to a blob that is there for its size only."""
    written, axis = draft.axis(len(shape))
    size = tuple(draft.integer(1, n) for n in shape[axis:])
    like = draft.add("DummyData", [], (*shape[:axis], *size), dummy_data_param=_dims((*shape[:axis], *size)))
    room = [a - b for a, b in zip(shape[axis:], size, strict=True)]
    offset = draft.choose([draft.integer(0, n) for n in room], [draft.integer(0, min(room))], [])
    top = (*shape[:axis], *size)
    draft.add("Crop", [x, like], top, crop_param={"axis": written, **({"offset": offset} if offset else {})})


@family(rank(1))
def tile(draft: Draft, x: str, shape: Shape) -> None:
    written, axis = draft.axis(len(shape))
    tiles = draft.integer(1, 3)
    top = (*shape[:axis], shape[axis] * tiles, *shape[axis + 1 :])
    if fits_in(top):
        draft.add("Tile", x, top, tile_param={"axis": written, "tiles": tiles})


@family(rank(2))
def shuffle(draft: Draft, x: str, shape: Shape) -> None:
    group = draft.choose(*(g for g in range(1, shape[1] + 1) if shape[1] % g == 0))
    draft.add("ShuffleChannel", x, shape, shuffle_channel_param={"group": group})


@family(rank(1), weight=2)
def reduction(draft: Draft, x: str, shape: Shape) -> None:
    written, axis = draft.axis(len(shape))
    param = {"axis": written, **draft.some(operation=draft.choose("SUM", "ASUM", "SUMSQ", "MEAN"), coeff=0.25)}
    draft.add("Reduction", x, shape[:axis], reduction_param=param)


@family(rank(2), weight=2)
def argmax(draft: Draft, x: str, shape: Shape) -> None:
    """Sometimes its indices are looked up again."""
    values = draft.flag()
    if draft.flag():
        written, axis = draft.axis(len(shape))
        top_k = draft.integer(1, shape[axis])
        top = (*shape[:axis], top_k, *shape[axis + 1 :])
        param, size = {"axis": written}, shape[axis]
    else:
        size = math.prod(shape[1:])
        top_k = draft.integer(1, min(size, 4))
        top = (shape[0], 1 + values, top_k, *(1,) * (len(shape) - 3))
        param = {}
    param |= {"top_k": top_k, "out_max_val": values}
    found = draft.add("ArgMax", x, top, argmax_param=param)
    if not values and draft.flag() and fits_in((*top, 3)):
        embed = {"input_dim": size, "num_output": 3, **draft.some(bias_term=False)}
        draft.add("Embed", found, (*top, 3), embed_param=embed)


@family(rank(1))
def batch_reindex(draft: Draft, x: str, shape: Shape) -> None:
    count = draft.integer(1, 4)
    if fits_in((count, *shape[1:])):
        draft.add("BatchReindex", [x, draft.input((count,), shape[0])], (count, *shape[1:]))


@family(rank(3))
def recurrent(draft: Draft, x: str, shape: Shape) -> None:
    """Time is the first axis; the static input is what the first sample of time holds."""
    bottoms = [x, draft.input(shape[:2], "cont")]
    if draft.flag():
        static = draft.add("Reduction", x, shape[:2], reduction_param={"axis": 2})
        bottoms.append(draft.add("Permute", static, shape[1::-1], permute_param={"order": [1]}))
    units = draft.integer(1, 4)
    draft.add(draft.choose("LSTM", "RNN"), bottoms, (*shape[:2], units), recurrent_param={"num_output": units})


@family(rank(0))
def constant(draft: Draft, x: str, shape: Shape) -> None:
    """A blob that nothing feeds, of the shape of another, so that they can meet."""
    if draft.flag():
        draft.add("Parameter", [], shape, parameter_param=_dims(shape))
    else:
        filler = {"data_filler": {"type": "constant", "value": 0.5}}
        draft.add("DummyData", [], shape, dummy_data_param={**_dims(shape), **draft.some(**filler)})


@family(rank(0))
def silence(draft: Draft, x: str, shape: Shape) -> None:
    draft.add("Silence", [draft.pick() for _ in range(draft.integer(1, 2))])
