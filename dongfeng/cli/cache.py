"""`dongfeng cache`: lists or deletes downloaded and converted files."""

from __future__ import annotations

import argparse

from dongfeng.cli.output import note, print_json, print_table

SUMMARY = "list the files in the cache, or delete them"
EPILOG = """\
examples:
  dongfeng cache
  dongfeng cache clear
  dongfeng cache --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("action", nargs="?", choices=["clear"], help="delete what would be listed")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.zoo.cache import clear_cache, list_cache
    from dongfeng.zoo.paths import cache_root

    entries = clear_cache() if args.action else list_cache()
    total_bytes = sum(entry.size_bytes for entry in entries)
    rows = [{"kind": e.content, "size_bytes": e.size_bytes, "path": str(e.path)} for e in entries]
    if args.json:
        what = {"folder": str(cache_root()), "deleted": bool(args.action), "total_bytes": total_bytes}
        print_json(what | {"rows": rows})
        return 0
    if rows:
        print_table(("kind", "bytes", "file"), [tuple(row.values()) for row in rows])
    done = "deleted from" if args.action else "in"
    note(f"{len(rows)} {'file' if len(rows) == 1 else 'files'}, {total_bytes / 1e6:.1f} MB, {done} {cache_root()}")
    return 0
