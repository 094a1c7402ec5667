"""Words of messages."""

from __future__ import annotations

from collections.abc import Sequence


def listed(items: Sequence[str], most: int, *, separator: str = ", ") -> str:
    """Join the first `most` items and count the others: `a, b and 3 more`."""
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return separator.join(items[:most]) + rest
