"""Device profiles as JSON, strictly read; docs/devices.md describes the file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, TypeVar

from dongfeng.devices.fusion import FUSIONS
from dongfeng.devices.kernel import Kernel
from dongfeng.devices.profile import BYTES_PER_VALUE, DeviceProfile, MeasuredKernel, fitted_roofline
from dongfeng.devices.published import PublishedPoint
from dongfeng.devices.roofline import Roofline
from dongfeng.errors import DeviceError
from dongfeng.support.files import replacing
from dongfeng.support.json_layout import json_text
from dongfeng.support.strict_json import JsonFormat, Node

T = TypeVar("T")
FORMAT = "dongfeng.device/1"
_REQUIRED = ("format", "name", "device", "runtime", "runtime_version", "precision", "fusion", "source")
_OPTIONAL = ("gap_us", "sum_error", "threads", "roofline", "units", "published")
_KERNEL_KEYS = ("operation", "kernel_hw", "stride_hw", "groups", "c_in", "c_out", "in_hw", "out_hw")
_OPERATION = re.compile(r"[a-z0-9_ ]{1,40}(\+add)?(\+relu)?")
_LARGEST = 1 << 24  # of a size or a number of channels
_LONGEST_MS = 1e9
_JSON = JsonFormat(DeviceError, "see docs/devices.md")


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
    with replacing(path) as temporary:
        temporary.write_text(format_profile(profile), encoding="utf-8")


def format_profile(profile: DeviceProfile) -> str:
    """Format a profile as JSON, one row a line."""
    head: dict[str, Any] = {
        "format": FORMAT,
        "name": profile.name,
        "device": profile.device,
        "runtime": profile.runtime,
        "runtime_version": profile.runtime_version,
        "precision": profile.precision,
        "threads": profile.threads,
        "fusion": profile.fusion,
        "source": profile.source,
        "gap_us": profile.gap_us,
        "sum_error": profile.sum_error,
        "roofline": _roofline_json(profile.roofline),
    }
    points = [_without_none(vars(point)) for point in profile.published]
    kernels = [
        {**dict(zip(_KERNEL_KEYS, row.kernel, strict=True)), "ms": row.ms, "samples": row.samples, "spread": row.spread}
        for row in profile.kernels
    ]
    return json_text({**head, "published": points, "units": kernels}) + "\n"


def _roofline_json(roofline: Roofline) -> dict[str, Any]:
    return {
        "tflops": roofline.tflops,
        "gb_per_s": roofline.gb_per_s,
        "unit_us": roofline.kernel_us,
        "deconv_traffic": roofline.deconv_traffic,
        "bytes_per_value": roofline.bytes_per_value,
        "fitted_to": "units" if roofline.fitted_to == "kernels" else "networks",
        "error": roofline.error,
    }


def _without_none(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def _profile(root: Node) -> DeviceProfile:
    fields = root.fields(_REQUIRED, _OPTIONAL)
    fields["format"].choice([FORMAT])
    name, precision = fields["name"].text(), fields["precision"].choice(list(BYTES_PER_VALUE))
    kernels = tuple(_row(node) for node in fields["units"].items()) if "units" in fields else ()
    _refuse_twins(root, kernels)
    if ("roofline" not in fields or fields["roofline"].is_null) and not kernels:
        root.fail('expected measured "units", a "roofline", or both')
    return DeviceProfile(
        name=name,
        device=fields["device"].text(),
        runtime=fields["runtime"].text(),
        runtime_version=None if fields["runtime_version"].is_null else fields["runtime_version"].text(),
        precision=precision,
        fusion="layers" if fields["fusion"].choice(FUSIONS) == "layers" else "fused",
        source=fields["source"].text(),
        roofline=_optional(fields.get("roofline"), _roofline) or fitted_roofline(kernels, precision, profile=name),
        gap_us=_at_least_zero(fields["gap_us"]) if "gap_us" in fields else 0.0,
        sum_error=_at_least_zero(fields["sum_error"]) if "sum_error" in fields else 0.0,
        kernels=kernels,
        published=tuple(_point(node) for node in fields["published"].items()) if "published" in fields else (),
        threads=_optional(fields.get("threads"), _count),
    )


def _optional(node: Node | None, read: Callable[[Node], T]) -> T | None:
    """Read a value that may be missing or null."""
    return None if node is None or node.is_null else read(node)


def _row(node: Node) -> MeasuredKernel:
    fields = node.fields((*_KERNEL_KEYS, "ms"), ("samples", "spread"))
    operation = fields["operation"].text()
    if not _OPERATION.fullmatch(operation):
        fields["operation"].fail(f"{json.dumps(operation)[:60]} is no operation")
    kernel = Kernel(
        operation,
        _pair(fields["kernel_hw"]),
        _pair(fields["stride_hw"]),
        _count(fields["groups"]),
        _count(fields["c_in"]),
        _count(fields["c_out"]),
        _pair(fields["in_hw"]),
        _pair(fields["out_hw"]),
    )
    if kernel.c_in % kernel.groups or kernel.c_out % kernel.groups:
        fields["groups"].fail(f"{kernel.groups} groups do not divide {kernel.c_in} -> {kernel.c_out} channels")
    samples = _count(fields["samples"]) if "samples" in fields else 1
    spread = _at_least_zero(fields["spread"]) if "spread" in fields else 0.0
    return MeasuredKernel(kernel, _at_least_zero(fields["ms"]), samples, spread)


def _refuse_twins(root: Node, rows: tuple[MeasuredKernel, ...]) -> None:
    seen: set[Kernel] = set()
    for index, row in enumerate(rows):
        if row.kernel in seen:
            root.members()["units"].items()[index].fail("this kernel stands in the table twice")
        seen.add(row.kernel)


def _roofline(node: Node) -> Roofline:
    fields = node.fields(("tflops", "gb_per_s"), ("unit_us", "deconv_traffic", "bytes_per_value", "fitted_to", "error"))
    fitted_to = fields["fitted_to"].choice(("units", "networks")) if "fitted_to" in fields else "units"
    return Roofline(
        tflops=_positive(fields["tflops"]),
        gb_per_s=_positive(fields["gb_per_s"]),
        kernel_us=_at_least_zero(fields["unit_us"]) if "unit_us" in fields else 0.0,
        deconv_traffic=_positive(fields["deconv_traffic"]) if "deconv_traffic" in fields else 1.0,
        bytes_per_value=_count(fields["bytes_per_value"]) if "bytes_per_value" in fields else 4,
        fitted_to="networks" if fitted_to == "networks" else "kernels",
        error=_optional(fields.get("error"), _at_least_zero),
    )


def _point(node: Node) -> PublishedPoint:
    fields = node.fields(("model", "size_hw", "ms", "source"), ("fps", "computed_hw", "fitted"))
    return PublishedPoint(
        model=fields["model"].text(),
        size_hw=_pair(fields["size_hw"]),
        ms=_positive(fields["ms"]),
        source=fields["source"].text(),
        fps=_positive(fields["fps"]) if "fps" in fields else None,
        computed_hw=_pair(fields["computed_hw"]) if "computed_hw" in fields else None,
        fitted=fields["fitted"].boolean() if "fitted" in fields else False,
    )


def _pair(node: Node) -> tuple[int, int]:
    size_hw = node.size_hw()
    for side in node.items():
        _count(side)
    return size_hw


def _count(node: Node) -> int:
    value = node.positive_integer()
    if value > _LARGEST:
        node.fail(f"expected at most {_LARGEST}")
    return value


def _positive(node: Node) -> float:
    value = _at_least_zero(node)
    if value < 1 / _LONGEST_MS:
        node.fail(f"expected a positive number, got {value}")
    return value


def _at_least_zero(node: Node) -> float:
    value = node.number()
    if not 0 <= value <= _LONGEST_MS:
        node.fail(f"expected a number from 0 to {_LONGEST_MS:g}, got {value}")
    return value
