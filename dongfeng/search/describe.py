"""Descriptions of a run's parts, as JSON values that stay the same when the run is resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from functools import partial
from os import PathLike
from pathlib import Path

from dongfeng.devices import DeviceProfile
from dongfeng.search.latency import LatencySource

Facts = dict[str, object]

# Words of a profile's checksum. They are those of the first version, so that a run of any version goes on.
_KERNEL = (
    "Unit(operation={!r}, kernel_hw={!r}, stride_hw={!r}, groups={!r}, c_in={!r}, c_out={!r}, in_hw={!r}, out_hw={!r})"
)
_ROW = "MeasuredUnit(unit={}, ms={!r}, samples={!r}, spread={!r})"
_ROOFLINE = (
    "Roofline(tflops={!r}, gb_per_s={!r}, unit_us={!r}, deconv_traffic={!r}, bytes_per_value={!r}, fitted_to={!r}, "
    "error={!r})"
)


def describe(thing: object) -> Facts:
    """Describe an evaluator, a builder or another callable: by its own `describe()`, else by the name of its code.

    A `functools.partial` is its function and its arguments. Code that changes under its name cannot be told apart.
    """
    own = getattr(thing, "describe", None)
    if callable(own):
        return dict(own())
    if isinstance(thing, partial):
        given = {"arguments": plain(thing.args)} if thing.args else {}
        return {**describe(thing.func), **given, "keywords": plain(thing.keywords)}
    code = thing if hasattr(thing, "__qualname__") else type(thing)
    return {"function": f"{code.__module__}.{code.__qualname__}"}


def describe_latency(latency: LatencySource) -> Facts:
    """Describe where latencies come from: a profile or a mapping by its content, wherever its file lies."""
    if isinstance(latency, DeviceProfile):
        return {"device": latency.name, "sha256": _profile_digest(latency)}
    if isinstance(latency, str) and not latency.endswith(".json") and Path(latency).name == latency:
        return {"device": latency}
    if isinstance(latency, str | PathLike):
        return {"device": Path(latency).stem, "sha256": hashlib.sha256(Path(latency).read_bytes()).hexdigest()}
    if isinstance(latency, Mapping):
        rows = sorted((*step, ms) for step, ms in latency.items())
        return {"steps": len(rows), "sha256": _digest(*map(repr, rows))}
    return describe(latency)


def plain(value: object) -> object:
    """Return a value as JSON would give it back; a value that JSON does not know becomes its text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, PathLike):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _profile_digest(profile: DeviceProfile) -> str:
    """Return the checksum of a profile's content, as the folders of all versions hold it."""
    rows = [_ROW.format(_KERNEL.format(*kernel), *figures) for kernel, *figures in profile.kernels]
    roofline = asdict(profile.roofline)
    if roofline["fitted_to"] == "kernels":
        roofline["fitted_to"] = "units"
    table = f"({', '.join(rows)}{',' if len(rows) == 1 else ''})"
    return _digest(table, _ROOFLINE.format(*roofline.values()), repr(profile.gap_us))


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
