"""Write the device profiles that ship from the published tables, or check that they are current."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dongfeng.devices.profile_json import format_profile
from dongfeng.errors import DeviceError
from dongfeng.tools.program import add_check, parser, write_or_check
from dongfeng.tools.shipped_profiles import BUILDERS

_PROFILES = Path(__file__).parents[1] / "devices" / "profiles"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return 0 when the files are (now) current, 1 when `--check` found stale ones, or on an error."""
    arguments = parser("python -m dongfeng.devices", __doc__, "example:\n  python -m dongfeng.devices tables --check")
    arguments.add_argument("tables", type=Path, help="folder of the published tables (CSV)")
    arguments.add_argument(
        "-o", "--output", type=Path, default=_PROFILES, metavar="FOLDER", help="default: the package's"
    )
    add_check(arguments)
    args = arguments.parse_args(argv)
    try:
        texts = {args.output / f"{name}.json": format_profile(make(args.tables)) for name, make in BUILDERS.items()}
    except DeviceError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return write_or_check(texts, check=args.check)
