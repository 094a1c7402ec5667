"""Layout of the JSON that is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def json_text(value: Mapping[str, Any]) -> str:
    """Format a JSON object, with a line for each entry and for each row of a list of rows.

    Raises:
        ValueError: it holds NaN or infinity, which JSON has no word for.
    """
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {_json(item)}" for key, item in value.items()) + "\n}"


def _json(item: object) -> str:
    if isinstance(item, list) and item and isinstance(item[0], dict):
        return "[\n    " + ",\n    ".join(json.dumps(row, allow_nan=False) for row in item) + "\n  ]"
    return json.dumps(item, allow_nan=False)
