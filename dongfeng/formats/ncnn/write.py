"""From a `Net` to the text and the weights of an ncnn network."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from os import PathLike
from typing import NamedTuple

from dongfeng.errors import DongfengWarning, Problems, UnsupportedLayer
from dongfeng.formats.ncnn.emit_layers import EMITTERS, activation, normalization
from dongfeng.formats.ncnn.emitted import Context, Emitted, KnownShape, param_words, params, weight_bytes
from dongfeng.formats.ncnn.param import MAGIC
from dongfeng.layers.base import is_known, layer_type
from dongfeng.layers.layer import Layer, show
from dongfeng.net.cut import cut, readers_of
from dongfeng.net.graph import Net
from dongfeng.net.weights import fill
from dongfeng.support.files import write_whole

_TAKES_RELU = ("Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise", "InnerProduct")
_ILLEGAL = re.compile(r"[\s=]")  # blanks end a word, and = marks a parameter


class _Node(NamedTuple):
    """One line of the param file."""

    emitted: Emitted
    name: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    where: str


def write_ncnn(
    net: Net,
    param: str | PathLike[str],
    bin: str | PathLike[str] | None = None,
    *,
    outputs: Sequence[str] | None = None,
    half: bool = False,
) -> None:
    """Write a net as ncnn's text `.param` and `.bin`; ncnn computes what Caffe computes.

    A ReLU behind a convolution or inner product, and a Scale behind a BatchNorm, become part of it; nothing else is
    folded (`dongfeng.fold` folds BatchNorm). Blobs keep their names, but for blanks and `=`, which become `_`. Each
    file appears complete or not at all.

    Args:
        net: The net, its input size known, for a batch of 1; layers without weights get Caffe's fillers.
        param: Network file to write.
        bin: Weight file to write, if any.
        outputs: Blobs to compute; default: all. Layers they do not need are left out.
        half: Store the weights of convolutions and inner products in half precision.

    Raises:
        UnsupportedLayer: naming all layers that ncnn cannot express exactly.
        ConversionError: an output is not a blob of the net.
        ShapeError: the input size is dynamic (use `Net.resize`).
        WeightsMismatch: a layer has no weights.
        OSError: a file cannot be written.

    Warns:
        DongfengWarning: the net has ArgMax layers, which are written as in released files, but which ncnn's own code
            computes otherwise.
    """
    text, data = to_ncnn(net, outputs=outputs, half=half, weights=bin is not None)
    write_whole(param, text)
    if bin is not None:
        write_whole(bin, data)


def to_ncnn(
    net: Net, *, outputs: Sequence[str] | None = None, half: bool = False, weights: bool = True
) -> tuple[str, bytes]:
    """Return the text of the `.param` and the bytes of the `.bin` of a net; see `write_ncnn`."""
    if outputs is None:
        net = net.with_layers(layer for layer in net.layers if layer.type != "Silence")
    else:
        net = cut(net, outputs)
    shapes = {blob: tuple(size) for blob, size in net.shapes().items()}
    if weights:
        net = fill(net)
    problems = Problems(
        f'input "{blob}": shape {show(shapes[blob])}; ncnn takes one to three axes behind a batch of 1'
        for blob in net.inputs
        if not _has_form(shapes[blob])
    )
    nodes = _fused(net, _emit(net, shapes, problems), kept=set(net.outputs if outputs is None else outputs))
    lines: list[str] = []
    data: list[bytes] = []
    for node in _legal([*_inputs(net, shapes), *_with_splits(nodes)]):
        with problems.collected(node.where):
            lines.append(_line(node))
            data += [weight_bytes(array, half=half) for array in node.emitted.weights if weights]
    problems.refuse()
    _warn_of_labels(net)
    n_blobs = sum(int(line.split()[3]) for line in lines)
    return "\n".join([str(MAGIC), f"{len(lines)} {n_blobs}", *lines, ""]), b"".join(data)


def _has_form(shape: KnownShape) -> bool:
    """Tell whether ncnn has such blobs: one, two or three axes, and no batch."""
    return 2 <= len(shape) <= 4 and shape[0] == 1


def _inputs(net: Net, shapes: dict[str, KnownShape]) -> list[_Node]:
    """Return an Input layer for each blob: width, then height where there is one, then channels."""
    inputs = {blob: Emitted("Input", params(dict(enumerate(reversed(shapes[blob][1:]))))) for blob in net.inputs}
    return [_Node(emitted, blob, (), (blob,), f'input "{blob}"') for blob, emitted in inputs.items()]


def _emit(net: Net, shapes: dict[str, KnownShape], problems: Problems) -> dict[int, list[Emitted]]:
    """Map the index of each layer to its ncnn layers; one without such a form is added to `problems`."""
    emitted: dict[int, list[Emitted]] = {}
    for index, layer in enumerate(net.layers):
        if layer.type not in EMITTERS or not is_known(layer.type):
            problems.append(f"{layer.where}: dongfeng cannot write this type for ncnn")
            continue
        tops = [shapes[top] for top in layer.tops]
        if bad := [show(shape) for shape in tops if not _has_form(shape)]:
            problems.append(f"{layer.where}: makes {', '.join(bad)}; ncnn has one to three axes behind a batch of 1")
            continue
        try:
            context = Context(layer_type(layer), [shapes[bottom] for bottom in layer.bottoms], tops)
            emitted[index] = EMITTERS[layer.type](context)
        except UnsupportedLayer as exc:
            problems += [f"{layer.where}: {problem}, has no form in ncnn" for problem in exc.problems]
    return emitted


def _fused(net: Net, emitted: dict[int, list[Emitted]], *, kept: set[str]) -> list[_Node]:
    """Return the nodes, with a ReLU or Scale fused into the layer before it where it alone reads that layer's top."""
    readers = readers_of(net.layers)
    fused: set[int] = set()
    nodes: list[_Node] = []
    for index, layer in enumerate(net.layers):
        if index in fused or index not in emitted:
            continue
        chain, tops = emitted[index], layer.tops
        following = readers.get(tops[0], [])
        if len(tops) == len(following) == 1 and tops[0] not in kept:
            reader = net.layers[following[0]]
            if (joint := _with_follower(chain[-1], layer, reader)) is not None:
                fused.add(following[0])
                chain, tops = [*chain[:-1], joint], reader.tops
        for step, part in enumerate(chain):
            is_last = step == len(chain) - 1
            bottoms = layer.bottoms if step == 0 else nodes[-1].tops
            name = layer.name if is_last else f"{layer.name}/{part.type.lower()}"
            nodes.append(_Node(part, name, bottoms, tops if is_last else (f"{tops[0]}/{name}",), layer.where))
    return nodes


def _with_follower(emitted: Emitted, layer: Layer, following: Layer) -> Emitted | None:
    """Return a layer that does the work of its only reader as well; None where ncnn has none."""
    if following.type == "ReLU" and emitted.type in _TAKES_RELU:
        return emitted._replace(params={**emitted.params, **activation(following)})
    if following.type == "Scale" and emitted.type == "BatchNorm" and len(following.bottoms) == 1:
        param, n_channels = following.params.scale_param, emitted.params[0]
        if param.axis == 1 and param.num_axes == 1 and param.bias_term and isinstance(n_channels, int):
            return emitted._replace(weights=normalization(layer, following, n_channels) if layer.blobs else ())
    return None


def _with_splits(nodes: Sequence[_Node]) -> list[_Node]:
    """Insert a Split behind each blob with several readers, for ncnn frees a blob once it has been read."""
    n_readers = Counter(bottom for node in nodes for bottom in node.bottoms)
    copies = {blob: [f"{blob}_split_{i}" for i in range(count)] for blob, count in n_readers.items() if count > 1}
    result: list[_Node] = []
    inputs = [blob for node in nodes for blob in node.bottoms]
    produced = {top for node in nodes for top in node.tops}
    for blob in dict.fromkeys(blob for blob in inputs if blob not in produced and blob in copies):
        result.append(_split(blob, copies[blob]))
    unread = {blob: iter(names) for blob, names in copies.items()}
    for node in nodes:
        result.append(node._replace(bottoms=tuple(next(unread[b]) if b in unread else b for b in node.bottoms)))
        result += [_split(top, copies[top]) for top in node.tops if top in copies]
    return result


def _split(blob: str, tops: Sequence[str]) -> _Node:
    return _Node(Emitted("Split", {}), f"split_{blob}", (blob,), tuple(tops), f'blob "{blob}"')


def _legal(nodes: Sequence[_Node]) -> list[_Node]:
    """Return the nodes with names that a text file can hold, unique for each blob."""
    names: dict[str, str] = {}
    taken: set[str] = {top for node in nodes for top in node.tops}
    for blob in [top for node in nodes for top in node.tops]:
        name = _ILLEGAL.sub("_", blob)
        while name != blob and name in taken:
            name += "_"
        names[blob] = name
        taken.add(name)
    return [
        node._replace(
            name=_ILLEGAL.sub("_", node.name) or "_",
            bottoms=tuple(names[blob] for blob in node.bottoms),
            tops=tuple(names[blob] for blob in node.tops),
        )
        for node in nodes
    ]


def _line(node: _Node) -> str:
    head = f"{node.emitted.type:<24} {node.name:<24} {len(node.bottoms)} {len(node.tops)}"
    return " ".join([head, *node.bottoms, *node.tops, *param_words(node.emitted.params)])


def _warn_of_labels(net: Net) -> None:
    labels = [layer for layer in net.layers if layer.type == "ArgMax"]
    if labels:
        warnings.warn(
            f"{labels[0].where} and every other ArgMax: stock ncnn searches the whole blob instead of each pixel, and "
            f'most builds leave it out; write the net down to "{labels[0].bottoms[0]}" to run it there',
            DongfengWarning,
            stacklevel=4,
        )
