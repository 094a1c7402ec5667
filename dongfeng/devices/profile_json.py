"""Device profiles as JSON, strictly read; docs/devices.md describes the file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from os import PathLike
from typing import Annotated, Any

from dongfeng.devices.kernel import Kernel
from dongfeng.devices.profile import DeviceProfile, MeasuredKernel, fitted_roofline, read_precision
from dongfeng.devices.profile_values import AtLeastZero, Count, Pair
from dongfeng.errors import DeviceError
from dongfeng.support.files import write_whole
from dongfeng.support.json_dataclass import as_json, read_as
from dongfeng.support.json_layout import json_text
from dongfeng.support.strict_json import JsonFormat, Node

FORMAT = "dongfeng.device/1"
_HEAD = (
    *("name", "device", "runtime", "runtime_version", "precision", "threads", "fusion", "source", "gap_us"),
    *("sum_error", "roofline"),
)
_OPERATION = re.compile(r"[a-z0-9_ ]{1,40}(\+add)?(\+relu)?")
_JSON = JsonFormat(DeviceError, "see docs/devices.md")


def _operation(node: Node) -> str:
    if not _OPERATION.fullmatch(node.text()):
        node.fail(f"{json.dumps(node.value)[:60]} is no operation")
    return node.text()


@dataclass(frozen=True)
class _Row:
    """A row of "units": a `Kernel`, and what a `MeasuredKernel` says of it."""

    operation: Annotated[str, _operation]
    kernel_hw: Pair
    stride_hw: Pair
    groups: Count
    c_in: Count
    c_out: Count
    in_hw: Pair
    out_hw: Pair
    ms: AtLeastZero
    samples: Count = 1
    spread: AtLeastZero = 0.0


def read_profile(path: str | PathLike[str]) -> DeviceProfile:
    """Read a profile from a file.

    Raises:
        DeviceError: the file cannot be read or is no profile; the message names the place.
    """
    try:
        return _profile(_JSON.read(path))
    except FileNotFoundError as error:
        raise DeviceError(f"{path}: {error.strerror}; expected a device profile (JSON), see docs/devices.md") from error


def parse_profile(text: str, *, filename: str) -> DeviceProfile:
    """Read a profile from its JSON.

    Raises:
        DeviceError: it is no profile; the message names file and key.
    """
    return _profile(_JSON.parse(text, source=filename))


def write_profile(profile: DeviceProfile, path: str | PathLike[str]) -> None:
    """Write a profile, complete or not at all.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    write_whole(path, format_profile(profile))


def format_profile(profile: DeviceProfile) -> str:
    """Format a profile as JSON, one row a line."""
    head = {key: as_json(getattr(profile, key)) for key in _HEAD}
    head["roofline"]["fitted_to"] = head["roofline"]["fitted_to"].replace("kernels", "units")
    points = [{key: value for key, value in as_json(point).items() if value is not None} for point in profile.published]
    rows = as_json([_Row(*row.kernel, *row[1:]) for row in profile.kernels])
    return json_text({"format": FORMAT, **head, "published": points, "units": rows}) + "\n"


def _profile(root: Node) -> DeviceProfile:
    members, name, precision = root.members(), root.member("name").text(), read_precision(root.member("precision"))
    given: dict[str, Any] = {"kernels": _kernels(members["units"]) if "units" in members else ()}
    if "roofline" not in members or members["roofline"].is_null:
        if not given["kernels"]:
            root.fail('expected measured "units", a "roofline", or both')
        root = root.without("roofline")
        given["roofline"] = fitted_roofline(given["kernels"], precision, profile=name)
    profile = read_as(DeviceProfile, root.without("format", "units"), given)
    root.member("format").choice([FORMAT])
    return profile


def _kernels(units: Node) -> tuple[MeasuredKernel, ...]:
    """Read the table, whose kernels differ."""
    rows: dict[Kernel, MeasuredKernel] = {}
    for node in units.items():
        row = read_as(_Row, node)
        kernel = Kernel(
            row.operation, row.kernel_hw, row.stride_hw, row.groups, row.c_in, row.c_out, row.in_hw, row.out_hw
        )
        if row.c_in % row.groups or row.c_out % row.groups:
            node.member("groups").fail(f"{row.groups} groups do not divide {row.c_in} -> {row.c_out} channels")
        if kernel in rows:
            node.fail("this kernel stands in the table twice")
        rows[kernel] = MeasuredKernel(kernel, row.ms, row.samples, row.spread)
    return tuple(rows.values())
