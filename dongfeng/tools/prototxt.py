"""Write the network files in `prototxt/` from the code, or check that they are current."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dongfeng.architectures import build
from dongfeng.caffe.prototxt import format_text
from dongfeng.formats.caffe import net_message
from dongfeng.tools.program import add_check, parser, write_or_check

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
    examples = "examples:\n  python -m dongfeng.architectures\n  python -m dongfeng.architectures --check prototxt"
    arguments = parser("python -m dongfeng.architectures", __doc__, examples)
    arguments.add_argument("folder", nargs="?", type=Path, default=Path("prototxt"), help="default: %(default)s")
    add_check(arguments)
    args = arguments.parse_args(argv)
    texts: dict[Path, str | None] = dict.fromkeys(args.folder.glob("*.prototxt"))
    for stem, (name, folded) in FILES.items():
        texts[args.folder / f"{stem}.prototxt"] = _HEADER + format_text(net_message(build(name, folded=folded)))
    return write_or_check(texts, check=args.check)
