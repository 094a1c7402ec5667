"""`SavedConfig`: the config.json of a run, from which the space is built again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dongfeng.architectures.backbone import Backbone
from dongfeng.errors import SearchError
from dongfeng.search.config import SearchConfig
from dongfeng.search.space import BUILDERS, Space
from dongfeng.support.strict_json import JsonFormat, Node

CONFIG_JSON = JsonFormat(SearchError, "choose the folder of a search")

_FREE = ("version", "budget")  # settings that may change when a run goes on


@dataclass(frozen=True)
class SavedConfig:
    """The configuration of a run.

    Attributes:
        document: The whole document, of which every property raises `SearchError` where it is damaged.
    """

    document: Node

    @property
    def settings(self) -> Mapping[str, object]:
        """Every setting by its key, as JSON values."""
        return {key: node.value for key, node in self.document.members().items()}

    @property
    def window_ms(self) -> tuple[float, float]:
        """Least and greatest latency."""
        least, most = self.document.member("window_ms").items()
        return least.number(), most.number()

    @property
    def budget(self) -> int | None:
        """Evaluations after which to stop; None: no limit."""
        budget = self.document.member("budget")
        return None if budget.is_null else budget.positive_integer()

    def difference(self, config: SearchConfig) -> str | None:
        """Return the first setting that makes another run of `config`, in words; None if there is none."""
        there, here = dict(_flat(self.settings)), dict(_flat(config.to_json()))
        for key in dict.fromkeys((*there, *here)):
            if there.get(key) != here.get(key) and key not in _FREE:
                return f"{key} is {there.get(key)} there and {here.get(key)} here"
        return None

    def space(self) -> Space:
        """Build the space of the run.

        Raises:
            SearchError: its nets are built by the user's own code, which is not imported because a file names it.
        """
        space = self.document.member("space").fields(("widths", "depths", "timed_blob", "builder"))
        builder = space["builder"].members()
        name = builder["function"].text() if "function" in builder else "code of its own"
        if name not in BUILDERS or "arguments" in builder:
            raise SearchError(f"nets of this space are built by {name}, not by dongfeng; give the space itself")
        given = builder["keywords"].members() if "keywords" in builder else {}
        keywords = {key: _keyword(key, node) for key, node in given.items()}
        timed_blob = None if space["timed_blob"].is_null else space["timed_blob"].text()
        widths, depths = _tuples(space["widths"].value), _tuples(space["depths"].value)
        return Space(widths, depths, partial(BUILDERS[name], **keywords), timed_blob)


def _keyword(name: str, node: Node) -> object:
    """Return an argument of a builder; the JSON form of a `Backbone` becomes one again."""
    if name != "backbone":
        return _tuples(node.value)
    backbone = node.fields(("encoding", "block"))
    return Backbone(_tuples(backbone["encoding"].value), _tuples(backbone["block"].value))


def _tuples(value: Any) -> Any:
    """Return a JSON value with tuples for its lists, at any depth."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _flat(settings: Mapping[str, object], above: str = "") -> list[tuple[str, object]]:
    """List settings as pairs of a dotted key and a value."""
    found: list[tuple[str, object]] = []
    for key, value in settings.items():
        found += _flat(value, f"{above}{key}.") if isinstance(value, Mapping) else [(f"{above}{key}", value)]
    return found
