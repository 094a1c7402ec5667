"""Measuring a device itself: a board that is reached over ssh."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dongfeng.backends.tensorrt.trtexec.boards import BOARDS
from dongfeng.benchmark.report import BenchRow, new_row
from dongfeng.devices import timed_net
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.fold import fold
from dongfeng.net.random_weights import random_weights

OnStep = Callable[[str], object]  # called with what is being done
_OPSET = 13  # what the oldest boards read


@dataclass(frozen=True)
class SshBoard:
    """How to reach a board over ssh.

    Attributes:
        target: "[user@]host".
        trtexec: Name of its trtexec, or the absolute path.
        port: Port of its sshd; None: as ssh is configured.
        identity: File of a private key; None: as ssh is configured.
        known_hosts: File of host keys to trust; None: as ssh is configured.
    """

    target: str
    trtexec: str = "trtexec"
    port: int | None = None
    identity: str | None = None
    known_hosts: str | None = None


def measure_on_board(
    rows: Sequence[BenchRow], board: SshBoard, *, precisions: Sequence[str] = (), on_step: OnStep | None = None
) -> list[BenchRow]:
    """Measure rows of a device's report on the device, with random weights, which do not change the speed.

    Args:
        rows: Rows of the device, in the precision of its profile.
        board: The device.
        precisions: Precisions to build engines for; none: that of the rows. In any other, a row is added that holds
            nothing but the measurement.
        on_step: Called with what is being done.

    Raises:
        DeviceError: the board cannot be reached, or its trtexec fails.
    """
    found = []
    for row in rows:
        wanted = list(dict.fromkeys(precisions)) or [row.precision]
        found += [] if row.precision in wanted else [row]
        found += [_measured(_in_precision(row, precision), board, on_step) for precision in wanted]
    return found


def _in_precision(row: BenchRow, precision: str) -> BenchRow:
    """Return the row itself, or one of the same network in another precision without any latency."""
    if precision == row.precision:
        return row
    alone = new_row(replace(row.key, precision=precision), row.device)
    return replace(alone, computed_height=row.computed_height, computed_width=row.computed_width)


def _measured(row: BenchRow, board: SshBoard, on_step: OnStep | None) -> BenchRow:
    from dongfeng.backends.tensorrt.trtexec.remote import measure_remote

    size = (row.computed_height or row.height, row.computed_width or row.width)
    net = random_weights(fold(timed_net(row.model, size)))
    known = row.device if row.device in BOARDS else None
    with tempfile.TemporaryDirectory(prefix="dongfeng-") as folder:
        path = Path(folder) / f"{row.model}.onnx"
        to_onnx(net, path, opset=_OPSET if known is None else BOARDS[known].opset)
        found = measure_remote(
            board.target,
            path,
            precision=row.precision,
            device=known,
            trtexec=board.trtexec,
            port=board.port,
            identity=board.identity,
            known_hosts=board.known_hosts,
            with_layers=False,
            on_step=on_step,
        )
    return replace(
        row,
        measured_ms=found.timing.latency_ms,
        measured_timer="trtexec",
        measured_source=f"{found.source}, TensorRT",
        model_sha256=found.onnx_sha256,
        weights="random:0",
    )
