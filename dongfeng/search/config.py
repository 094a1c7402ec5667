"""What defines a run, as its config.json holds it, and the space that is read back from there."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from dongfeng._version import __version__
from dongfeng.architectures.backbone import Backbone
from dongfeng.errors import SearchError
from dongfeng.search.describe import Facts, describe, describe_latency, plain
from dongfeng.search.latency import LatencySource
from dongfeng.search.samplers import Sampler
from dongfeng.search.space import Space

FORMAT = "dongfeng.search/1"
_FREE = ("version", "budget")  # a run may go on with another


def run_config(
    space: Space,
    *,
    latency: LatencySource,
    evaluate: object,
    window_ms: tuple[float, float],
    budget: int | None,
    seed: int,
    batch: int,
    margin: float,
    sampler: str | Sampler,
) -> Facts:
    """All that decides a run, as JSON has it."""
    return {
        "format": FORMAT,
        "version": __version__,
        "space": {
            "widths": plain(space.widths),
            "depths": plain(space.depths),
            "timed_blob": space.timed_blob,
            "builder": describe(space.builder),
        },
        "latency": describe_latency(latency),
        "window_ms": [float(ms) for ms in window_ms],
        "evaluate": plain(describe(evaluate)),
        "sampler": sampler if isinstance(sampler, str) else describe(sampler)["function"],
        "margin": float(margin),
        "batch": int(batch),
        "seed": int(seed),
        "budget": budget,
    }


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """The first setting that makes these two different runs, in words; None if there is none."""
    theirs, ours = dict(_flat(there)), dict(_flat(here))
    for key in dict.fromkeys((*theirs, *ours)):
        if theirs.get(key) != ours.get(key) and key not in _FREE:
            return f"{key} is {theirs.get(key)} there and {ours.get(key)} here"
    return None


def space_of(config: Mapping[str, Any]) -> Space:
    """The space of a run.

    Raises:
        SearchError: its nets are built by code of the user's own, which a file cannot name safely.
    """
    told = config["space"]
    builder = told["builder"]
    name = str(builder.get("function"))
    if not name.startswith("dongfeng.") or "arguments" in builder:
        raise SearchError(f"nets of this space are built by {name}, not by dongfeng; give the space itself")
    module, _, function = name.rpartition(".")
    build: Callable[..., Any] = getattr(importlib.import_module(module), function)
    keywords = {key: _value(key, value) for key, value in builder.get("keywords", {}).items()}
    return Space(_tuples(told["widths"]), _tuples(told["depths"]), partial(build, **keywords), told["timed_blob"])


def _value(key: str, value: Any) -> Any:
    return Backbone(**{name: _tuples(part) for name, part in value.items()}) if key == "backbone" else _tuples(value)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _flat(facts: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in facts.items():
        found += _flat(value, f"{above}{key}.") if isinstance(value, Mapping) else [(f"{above}{key}", value)]
    return found
