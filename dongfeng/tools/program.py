"""What the programs of this room share: their command line, and files that they write or check."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path


def parser(prog: str, about: str | None, examples: str) -> argparse.ArgumentParser:
    """Create a parser of command lines; the examples are lines without a margin."""
    return argparse.ArgumentParser(
        prog=prog, description=about, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_check(arguments: argparse.ArgumentParser) -> None:
    """Add the option of `write_or_check`."""
    arguments.add_argument("--check", action="store_true", help="write nothing; name stale files and exit 1 if any")


def write_or_check(texts: Mapping[Path, str | None], *, check: bool) -> int:
    """Write the files that are not current, or name them only.

    Args:
        texts: Texts of files; None for one that should not be there, which `check` names and nothing deletes.
        check: Write nothing.

    Returns:
        1 when `check` found stale files, else 0.
    """
    found = {path: path.read_text(encoding="utf-8") if path.is_file() else None for path in texts}
    stale = sorted(path for path, text in texts.items() if found[path] != text)
    for path in stale:
        text = texts[path]
        if check:
            sys.stdout.write(f"stale: {path}\n")
        elif text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
    return 1 if check and stale else 0
