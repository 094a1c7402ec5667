"""`df-bench compare`: ratios of two reports, with their noise."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import add_json, new_parser
from dongfeng.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from dongfeng.benchmark.compare import ComparedRow

EPILOG = """\
Rows are matched by model, size, backend and precision. A ratio is the median of B by that of A, below 1 where B is the
faster; the interval beside it holds the true ratio with 95 % confidence, as far as the samples of both tell. Where it
holds 1, the two do not differ beyond their noise.

examples:
  df-bench compare before.json after.json
  df-bench compare before.json after.json --timer image_to_labels --json
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    root = new_parser("df-bench compare", "Compare two reports of df-bench.", EPILOG)
    root.add_argument("a", metavar="A.json", help="the report to compare with")
    root.add_argument("b", metavar="B.json", help="the other")
    timers = ("network", "with_copies", "image_to_labels")
    root.add_argument("--timer", choices=timers, default=timers[0], help=f"what to compare (default: {timers[0]})")
    add_json(root)
    root.set_defaults(run=run)
    return root


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.benchmark.compare import compare_reports

    found = compare_reports(args.a, args.b, timer=args.timer)
    if args.json:
        print_json({"a": args.a, "b": args.b, **found.to_json()})
    elif found.rows:
        columns = ("model", "size", "backend", "precision", "A ms", "B ms", "B / A", "95 % interval", "differ")
        print_table(columns, [_cells(row) for row in found.rows])
    for row in found.unmatched:
        where = args.a if row.report == "a" else args.b
        note(f"warning: {row}: not compared: {where}: {row.reason}")
    for line in found.notes:
        note(f"note: {line}")
    note(f"{len(found.rows)} compared, {len(found.unmatched)} not matched")
    return 0


def _cells(row: ComparedRow) -> tuple[object, ...]:
    interval = f"{row.ratio_low:.3f} to {row.ratio_high:.3f}"
    verdict = "yes" if row.is_clear else "not beyond noise"
    what = (row.model, f"{row.height}x{row.width}", row.backend, row.precision)
    return (*what, row.a_ms, row.b_ms, f"{row.ratio:.3f}", interval, verdict)
