"""Reading what `trtexec --exportProfile` writes: the time of each layer, of any generation of TensorRT."""

from __future__ import annotations

from os import PathLike
from typing import NamedTuple

from dongfeng.errors import DeviceError
from dongfeng.support.strict_json import JsonFormat, Node

_FORMAT = JsonFormat(DeviceError, 'expected what "trtexec --exportProfile" writes')
_TIMES = ("medianMs", "averageMs")  # the first that is there


class TrtexecLayer(NamedTuple):
    """A line of the profile: TensorRT's name for a fused layer, and its milliseconds per run."""

    name: str
    ms: float


def read_trtexec(path: str | PathLike[str]) -> list[TrtexecLayer]:
    """Read the layers of a profile that `trtexec --exportProfile` wrote.

    Raises:
        DeviceError: it is no such file.
    """
    try:
        document = _FORMAT.read(path)
    except FileNotFoundError as error:
        _FORMAT.fail(str(path), str(error.strerror))
    return _layers(document)


def parse_trtexec(text: str | bytes, *, source: str) -> list[TrtexecLayer]:
    """Read the layers of a profile from its file's content.

    Args:
        text: The content.
        source: What to call it in a message.
    """
    return _layers(_FORMAT.parse(text, source=source))


def _layers(document: Node) -> list[TrtexecLayer]:
    layers = [_layer(row) for row in document.items() if "count" not in row.members()]
    if not layers:
        document.fail("no layers in it")
    return layers


def _layer(row: Node) -> TrtexecLayer:
    time = next((key for key in _TIMES if key in row.members()), _TIMES[-1])
    return TrtexecLayer(row.member("name").string(), row.member(time).milliseconds())
