"""From ncnn's files to a `Net`."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from dongfeng.formats.ncnn.graph import build_net
from dongfeng.formats.ncnn.param import read_param
from dongfeng.formats.ncnn.weights import load_ncnn_weights
from dongfeng.net.graph import Net


def read_ncnn(param: str | PathLike[str], bin: str | PathLike[str] | None = None) -> Net:
    """Read an ncnn network, with or without its weights.

    The `Net` computes what ncnn computes: Interp maps pixel centres (`align_corners: false`) unless the file says
    otherwise, and ArgMax gives each pixel's class. Blobs keep their names, which in a binary file are numbers.

    Args:
        param: Network file, text (`.param`) or binary (`.param.bin`).
        bin: Weight file (`.bin`), float32 or half precision; without one the net has structure only.

    Returns:
        The net; an input whose width and height the file leaves dynamic has None there.

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
