"""A network for a board's own TensorRT: an ONNX file of the opset that it reads, and the commands to run there."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import NamedTuple

from dongfeng.backends.tensorrt.trtexec.boards import Board, board_named, write_bundle
from dongfeng.errors import WeightsUnavailable
from dongfeng.runtime.export import export_onnx
from dongfeng.runtime.source import Size, find_net, require_size


class Bundle(NamedTuple):
    """What `export_trtexec` has written.

    Attributes:
        board: The board it is for.
        files: The files.
    """

    board: Board
    files: tuple[Path, ...]


def export_trtexec(
    name: str | PathLike[str],
    out: str | PathLike[str],
    *,
    board: str,
    weights: str | PathLike[str] | None = None,
    size: Size | None = None,
) -> Bundle:
    """Write a network for a board's own TensorRT.

    Args:
        name: A zoo name, or a .prototxt, .param or .param.bin file.
        out: Folder to write.
        board: "tx2", "nano", "xavier" or "orin".
        weights: A weight file, "random" or "random:SEED"; default: those that belong to the network.
        size: Height and width of the input; default: as published, or that of the file.

    Raises:
        WeightsUnavailable: there are no weights.
        ShapeError: the net does not fit the size, or has a dynamic one and none is given.
    """
    target = board_named(board)
    source = find_net(name, weights)
    size_hw = source.sized(size)
    net = require_size(source.net(size_hw), source.label)
    if not any(layer.blobs for layer in net.layers):
        raise WeightsUnavailable(f"{source.label}: no weights were given; name the weight file, or --weights random")
    model = export_onnx(net, source.spec(size_hw), opset=target.opset)
    return Bundle(target, tuple(write_bundle(model, Path(out), source.name, target)))
