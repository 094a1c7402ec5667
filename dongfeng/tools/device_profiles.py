"""Write the device profiles that ship from the published tables, or check that they are current."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dongfeng.devices.profile_json import format_profile
from dongfeng.errors import DeviceError
from dongfeng.tools.shipped_profiles import BUILDERS

_PROFILES = Path(__file__).parents[1] / "devices" / "profiles"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return 0 when the files are (now) current, 1 when `--check` found stale ones, or on an error."""
    parser = argparse.ArgumentParser(
        prog="python -m dongfeng.devices",
        description=__doc__,
        epilog="example:\n  python -m dongfeng.devices tables --check",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tables", type=Path, help="folder of the published tables (CSV)")
    parser.add_argument("-o", "--output", type=Path, default=_PROFILES, metavar="FOLDER", help="default: the package's")
    parser.add_argument("--check", action="store_true", help="write nothing; name stale files and exit 1 if any")
    args = parser.parse_args(argv)
    try:
        texts = {f"{name}.json": format_profile(make(args.tables)) for name, make in BUILDERS.items()}
    except DeviceError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    stale = [name for name, text in texts.items() if _read(args.output / name) != text]
    for name in stale:
        if args.check:
            sys.stdout.write(f"stale: {args.output / name}\n")
        else:
            args.output.mkdir(parents=True, exist_ok=True)
            (args.output / name).write_text(texts[name], encoding="utf-8")
            sys.stdout.write(f"wrote {args.output / name}\n")
    return 1 if args.check and stale else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
