"""What a run is made of, in words that JSON has and that are the same whenever the run is resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from dongfeng.devices import DeviceProfile
from dongfeng.search.latency import LatencySource

Facts = dict[str, Any]


def describe(thing: object) -> Facts:
    """An evaluator, a builder or another callable: what its `describe()` says, else the name of its code.

    A `functools.partial` is its function and its arguments. Code that changes under its name cannot be told apart.
    """
    own = getattr(thing, "describe", None)
    if callable(own):
        return dict(own())
    if isinstance(thing, partial):
        given = {name: plain(value) for name, value in thing.keywords.items()}
        return {**describe(thing.func), **({"arguments": plain(thing.args)} if thing.args else {}), "keywords": given}
    code = thing if hasattr(thing, "__qualname__") else type(thing)
    return {"function": f"{code.__module__}.{code.__qualname__}"}


def describe_latency(latency: LatencySource) -> Facts:
    """Where latencies come from; a profile or a mapping is known by its content, wherever its file lies."""
    if isinstance(latency, DeviceProfile):
        return {"device": latency.name, "sha256": _digest(latency.kernels, latency.roofline, latency.gap_us)}
    if isinstance(latency, str) and not latency.endswith(".json") and Path(latency).name == latency:
        return {"device": latency}
    if isinstance(latency, str | PathLike):
        return {"device": Path(latency).stem, "sha256": hashlib.sha256(Path(latency).read_bytes()).hexdigest()}
    if isinstance(latency, Mapping):
        return {"steps": len(latency), "sha256": _digest(*sorted((*step, ms) for step, ms in latency.items()))}
    return describe(latency)


def plain(value: object) -> Any:
    """A value as JSON would give it back; what JSON has no word for becomes its text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, PathLike):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps([repr(part) for part in parts]).encode()).hexdigest()
