"""Write the network files in `prototxt/` from the code, or check that they are current."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dongfeng.architectures import build
from dongfeng.caffe.prototxt import format_text
from dongfeng.formats.caffe import net_message

_HEADER = "# Written by `python -m dongfeng.architectures`; change the code there, not this file.\n"

# Released file name without its suffix -> architecture, and whether it is folded.
FILES: dict[str, tuple[str, bool]] = {
    "df1": ("df1", False),
    "df2": ("df2", False),
    "df2a": ("df2a", False),
    "df-lite_seg": ("dflite_seg", False),
    "df-lite_seg_mergebn": ("dflite_seg", True),
    "df1seg": ("df1seg", False),
    "df1seg_mergebn": ("df1seg", True),
    "df2seg1": ("df2seg1", False),
    "df2seg1_mergebn": ("df2seg1", True),
    "df2seg2": ("df2seg2", False),
    "df2seg2_mergebn": ("df2seg2", True),
    "pl1a_seg": ("pl1a_seg", True),
    "toytown_seg": ("toytown_seg", False),
    "toytown_seg_mergebn": ("toytown_seg", True),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return 0 when the files are (now) current, 1 when `--check` found stale ones."""
    parser = argparse.ArgumentParser(
        prog="python -m dongfeng.architectures",
        description=__doc__,
        epilog="examples:\n  python -m dongfeng.architectures\n  python -m dongfeng.architectures --check prototxt",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("prototxt"), help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="write nothing; name stale files and exit 1 if any")
    args = parser.parse_args(argv)
    texts = {
        f"{stem}.prototxt": _HEADER + format_text(net_message(build(name, folded=folded)))
        for stem, (name, folded) in FILES.items()
    }
    stale = _stale_files(args.folder, texts)
    if args.check:
        for name in stale:
            sys.stdout.write(f"stale: {args.folder / name}\n")
        return 1 if stale else 0
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in (name for name in stale if name in texts):
        (args.folder / name).write_text(texts[name], encoding="utf-8")
        sys.stdout.write(f"wrote {args.folder / name}\n")
    return 0


def _stale_files(folder: Path, texts: dict[str, str]) -> list[str]:
    """Name the files that are missing, differ from `texts`, or are none of them."""
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.prototxt")}
    return sorted(name for name in texts.keys() | found.keys() if found.get(name) != texts.get(name))
