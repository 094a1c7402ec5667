"""`dongfeng backends`: lists the backends that work on this machine."""

from __future__ import annotations

import argparse

from dongfeng.cli.output import print_json, print_table

SUMMARY = "show what can run networks here, and why the rest cannot"
EPILOG = """\
PASS means that the backend has just computed three numbers, and they were right.

examples:
  dongfeng backends
  dongfeng backends --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.backends.registry import check_backends

    reasons = check_backends()
    if args.json:
        print_json({"rows": [{"backend": name, "works": not why, "reason": why} for name, why in reasons.items()]})
    else:
        print_table(("backend", "result"), [(name, why or "PASS") for name, why in reasons.items()])
    return 0
