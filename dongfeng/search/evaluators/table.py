"""Accuracies from a table: of networks trained before, of benchmarks, for first tries."""

from __future__ import annotations

import csv
import hashlib
import math
from os import PathLike
from pathlib import Path

from dongfeng.errors import SearchError
from dongfeng.search.describe import Facts
from dongfeng.search.encoding_text import encoding_text, parse_encoding
from dongfeng.search.space import Encoding

_COLUMNS = ("encoding", "accuracy")


class TableEvaluator:
    """Looks accuracies up in a CSV file with the columns `encoding` and `accuracy`; other columns are ignored.

    An encoding is written as `64,64/128,128/256,512` (quoted, as CSV asks for) or `64 64/128 128/256 512`. An empty
    accuracy is an evaluation that failed.

    Raises:
        SearchError: the file is no such table, or has two accuracies for one encoding.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        content = self.path.read_bytes()
        self._sha256 = hashlib.sha256(content).hexdigest()
        try:
            self._accuracies = _read(content.decode("utf-8-sig"), self.path)
        except (UnicodeDecodeError, csv.Error) as error:
            raise SearchError(f"{self.path}: expected a CSV file with the columns encoding and accuracy") from error

    def __call__(self, encoding: Encoding) -> float:
        """Return the accuracy of an encoding.

        Raises:
            SearchError: the table does not have it.
        """
        if encoding not in self._accuracies:
            raise SearchError(f"{self.path}: has no accuracy for {encoding_text(encoding)}; add a row for it")
        return self._accuracies[encoding]

    def __len__(self) -> int:
        return len(self._accuracies)

    def describe(self) -> Facts:
        """Describe the table by its content."""
        return {"kind": "table", "rows": len(self), "sha256": self._sha256}


def _read(text: str, path: Path) -> dict[Encoding, float]:
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise SearchError(f"{path}: the first line has to name the columns encoding and accuracy; {missing[0]} is not")
    found: dict[Encoding, float] = {}
    for row in reader:
        where = f"{path}:{reader.line_num}"
        try:
            encoding = parse_encoding(row["encoding"] or "")
            accuracy = float(row["accuracy"] or "nan")
        except (SearchError, ValueError) as error:
            raise SearchError(f"{where}: {error}; mend the row") from None
        if encoding in found and not math.isclose(found[encoding], accuracy):
            raise SearchError(f"{where}: another row gives {encoding_text(encoding)} the accuracy {found[encoding]:g}")
        found[encoding] = accuracy
    return found
