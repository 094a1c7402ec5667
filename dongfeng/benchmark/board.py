"""Measuring a device itself: a board that is reached over ssh."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dongfeng.backends.tensorrt.trtexec.boards import BOARDS
from dongfeng.benchmark.report import Report, Row, new_row
from dongfeng.devices import timed_net
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.fold import fold
from dongfeng.net.random_weights import random_weights

_OPSET = 13  # what the oldest boards read


@dataclass(frozen=True)
class Board:
    """How to reach a board.

    Attributes:
        target: "[user@]host".
        trtexec: Its trtexec; None: the usual one.
        port: Port of its sshd.
        identity: File of a private key.
        known_hosts: File of host keys to trust.
    """

    target: str
    trtexec: str | None = None
    port: int | None = None
    identity: str | None = None
    known_hosts: str | None = None

    def options(self) -> dict[str, Any]:
        """Those that are given, as `measure_remote` takes them."""
        given = {"trtexec": self.trtexec, "port": self.port, "identity": self.identity, "known_hosts": self.known_hosts}
        return {key: value for key, value in given.items() if value is not None}


def measure_on_board(
    report: Report,
    board: Board,
    *,
    precisions: Sequence[str] = (),
    on_step: Callable[[str], object] | None = None,
) -> Report:
    """Measure every row of a device's report on the device, with random weights, which do not change the speed.

    Args:
        report: Of kind "device"; its rows tell what to measure.
        board: The device.
        precisions: What to build engines for; none: the precision of the profile. In any other, a row is added that
            holds nothing but the measurement.
        on_step: Is told what is being done.

    Returns:
        The report with what was measured.

    Raises:
        DeviceError: the board cannot be reached, or its trtexec fails.
    """
    own = report["profile"]["precision"]
    rows: list[Row] = []
    for row in report["rows"]:
        wanted = list(dict.fromkeys(precisions)) or [own]
        rows += [] if own in wanted else [row]
        for precision in wanted:
            rows.append(_of(row, precision) | _measure(row, precision, board, report["profile"]["name"], on_step))
    note = f"measured on {board.target} with random weights, which do not change the speed"
    return report | {"rows": rows, "notes": [*report["notes"], note]}


def _of(row: Row, precision: str) -> Row:
    """The row, or one of the same network in another precision, of which nothing is known."""
    if precision == row["precision"]:
        return row
    kept = ("model", "height", "width", "computed_height", "computed_width", "device", "backend")
    return new_row(**{key: row[key] for key in kept}, precision=precision)


def _measure(row: Row, precision: str, board: Board, device: str, on_step: Callable[[str], object] | None) -> Row:
    from dongfeng.backends.tensorrt.trtexec.remote import measure_remote

    height, width = (row[f"computed_{side}"] or row[side] for side in ("height", "width"))
    net = random_weights(fold(timed_net(row["model"], (height, width))))
    with tempfile.TemporaryDirectory(prefix="dongfeng-") as folder:
        path = Path(folder) / f"{row['model']}.onnx"
        to_onnx(net, path, opset=BOARDS[device].opset if device in BOARDS else _OPSET)
        found = measure_remote(
            board.target,
            path,
            precision=precision,
            device=device if device in BOARDS else None,
            with_layers=False,
            on_step=on_step,
            **board.options(),
        ).row()
    source = f"{found['measured_source']}, {found['backend']}"
    taken = {key: found[key] for key in ("measured_ms", "measured_timer", "model_sha256")}
    return {**taken, "measured_source": source, "weights": "random:0"}
