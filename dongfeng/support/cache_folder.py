"""The folder of converted and downloaded files."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the cache folder: `DONGFENG_HOME`, else the platform's own; it need not exist."""
    home = os.environ.get("DONGFENG_HOME")
    if home:
        return Path(home).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("dongfeng", appauthor=False)
