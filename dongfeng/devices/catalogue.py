"""Device profiles by name: those that ship with the package; or by path."""

from __future__ import annotations

import difflib
from importlib.resources import files
from os import PathLike
from pathlib import Path

from dongfeng.devices.profile import DeviceProfile
from dongfeng.devices.profile_json import parse_profile, read_profile
from dongfeng.errors import DeviceError
from dongfeng.zoo.manifest import canonical


def list_devices() -> list[str]:
    """List the names of the profiles that ship, sorted.

    Example:
        >>> list_devices()
        ['gtx1080ti', 'snapdragon845', 'titanx', 'tx2']
    """
    folder = files("dongfeng.devices") / "profiles"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def load_profile(name_or_path: str | PathLike[str]) -> DeviceProfile:
    """Load a device profile.

    Args:
        name_or_path: A name of `list_devices()` (case, `-` and `_` do not matter), or a path: anything with a folder
            or the suffix .json in it.

    Raises:
        DeviceError: there is no such profile, or it is damaged; the message says where.
    """
    text = str(name_or_path)
    if not isinstance(name_or_path, str) or text.endswith(".json") or Path(text).name != text:
        return read_profile(Path(name_or_path))
    known = {canonical(name): name for name in list_devices()}
    found = known.get(canonical(text))
    if found is None:
        close = difflib.get_close_matches(canonical(text), known, n=1)
        hint = f', did you mean "{known[close[0]]}"?' if close else ""
        raise DeviceError(f'no device is called "{text}"{hint}; there are {", ".join(known.values())}, or give a .json')
    resource = files("dongfeng.devices") / "profiles" / f"{found}.json"
    return parse_profile(resource.read_text(encoding="utf-8"), filename=f"{found}.json")
