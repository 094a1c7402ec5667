"""Read and write ncnn networks and weights.

Reading: `param` and `types` know the network file, `layers`, `convolution` and `pooling` what each layer is in Caffe's
terms, `graph` puts them together, `weights` knows the weight file. Writing: `emit_layers` and `emit_pooling` know what
each Caffe layer is in ncnn's terms, `write` puts them together, `emitted` knows both files.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from dongfeng.formats.ncnn.graph import build_net
from dongfeng.formats.ncnn.param import read_param
from dongfeng.formats.ncnn.weights import load_weights
from dongfeng.formats.ncnn.write import to_ncnn
from dongfeng.net.graph import Net
from dongfeng.support.files import replacing

__all__ = ["load_ncnn_weights", "read_ncnn", "write_ncnn"]


def read_ncnn(param: str | PathLike[str], bin: str | PathLike[str] | None = None) -> Net:
    """Read an ncnn network, with or without its weights.

    The `Net` computes what ncnn computes: Interp maps pixel centres (`align_corners: false`) unless the file says
    otherwise, and ArgMax gives each pixel's class. Blobs keep their names, which in a binary file are numbers.

    Args:
        param: Network file, text (`.param`) or binary (`.param.bin`).
        bin: Weight file (`.bin`), float32 or half precision; without one the net has structure only.

    Returns:
        The net; an input whose width and height the file leaves open has None there.

    Raises:
        ConversionError: the network file is no ncnn file or damaged, or the weights are int8.
        UnsupportedLayer: naming all layers and parameters that Caffe's layers cannot express.
        WeightsMismatch: the weights are not of this net.
        ShapeError: blobs do not fit together.
        OSError: a file cannot be opened.
    """
    path = Path(param)
    net = build_net(read_param(path), name=path.name.split(".")[0], source=str(path))
    return net if bin is None else load_ncnn_weights(net, bin)


def load_ncnn_weights(net: Net, bin: str | PathLike[str]) -> Net:
    """The net with the weights of an ncnn `.bin`, which hold no names: their order and number must be the net's.

    Raises:
        WeightsMismatch: the file does not hold the weights of this net, to the byte.
        ConversionError: the weights are int8, or a layer's weights have no place in ncnn.
        ShapeError: the number of weights depends on an input size that is open.
        OSError: the file cannot be opened.
    """
    return load_weights(net, Path(bin))


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
    folded (`dongfeng.fold` merges BatchNorm). Blobs keep their names, but for blanks and `=`, which become `_`.

    Args:
        net: The net, its input size known, for a batch of 1; layers without weights get Caffe's fillers.
        param: Network file to write.
        bin: Weight file to write; None: only the network.
        outputs: Blobs to compute; default: all. Layers they do not need are left out.
        half: Whether to store the weights of convolutions and inner products in half precision.

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
    with replacing(param) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if bin is not None:
        with replacing(bin) as temporary:
            temporary.write_bytes(data)
