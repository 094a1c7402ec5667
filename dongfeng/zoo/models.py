"""Looking models up by name."""

from __future__ import annotations

import re
from difflib import get_close_matches
from fnmatch import fnmatchcase

from dongfeng.errors import UnknownModel
from dongfeng.zoo.manifest import ModelInfo, canonical, manifest

__all__ = ["ModelInfo", "list_models", "model_info"]


def model_info(name: str) -> ModelInfo:
    """Look up a model.

    Args:
        name: A zoo name (`list_models`) or the name of a released file, such as "df1seg_mergebn"; case, `-` and `_`
            do not matter.

    Raises:
        UnknownModel: no such name; the message lists the closest three.

    Example:
        >>> model_info("DF1-Seg").size_hw
        (1024, 2048)
    """
    known = manifest()
    by_key = {canonical(key): info for key, info in {**known.models, **known.aliases}.items()}
    info = by_key.get(canonical(name))
    if info is None:
        names = {canonical(key): key for key in known.models}
        close = [names[key] for key in get_close_matches(canonical(name), names, n=3, cutoff=0)]
        raise UnknownModel(f'no model is called "{name}"; the closest names: {", ".join(close)} (all: dongfeng models)')
    return info


def list_models(pattern: str = "*") -> list[str]:
    """List the names of the zoo's models, in the manifest's order.

    Args:
        pattern: Shell pattern such as "df1*"; case, `-` and `_` do not matter.

    Example:
        >>> list_models("df2a*")
        ['df2a']
    """
    # A '-' inside brackets is a range.
    plain = re.sub(r"(\[[^]]*\])|[-_]", lambda found: found[1] or "", pattern.lower())
    return [name for name in manifest().models if fnmatchcase(canonical(name), plain)]
