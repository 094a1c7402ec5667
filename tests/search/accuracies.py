"""Accuracies and latencies that workers can import, and a search that is killed."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from dongfeng.architectures import backbone_net
from dongfeng.search import Encoding, Result, Space, search

SPACE = Space(((8, 16, 32),) * 3, ((1, 2), (1, 3), (1, 2)), partial(backbone_net, size_hw=(32, 32), classes=5))
BUDGET = 40


def latency_ms(encoding: Encoding) -> float:
    """Deeper stages are slower, as long as they are not wider."""
    return sum((3 - stage) * math.sqrt(width) for stage, widths in enumerate(encoding) for width in widths)


def accuracy(encoding: Encoding) -> float:
    """Obeys the order, and saturates."""
    blocks = sum(math.sqrt(width) * (1 + stage) for stage, widths in enumerate(encoding) for width in widths)
    return 1 - math.exp(-blocks / 40)


def patient(encoding: Encoding, seconds: float = 0.02) -> float:
    time.sleep(seconds)
    return accuracy(encoding)


def uneven(encoding: Encoding) -> float:
    """Wide ones take longest: a batch is never done in the order in which it was drawn."""
    time.sleep(0.002 * encoding[-1][-1])
    return accuracy(encoding)


def dying(encoding: Encoding, flag: Path, times: int, seconds: float = 0.0) -> float:
    """As `accuracy`, but the process is killed in the middle of candidates, this often in all."""
    marks = [flag.with_name(f"{flag.name}{mark}") for mark in range(times)]
    for mark in marks:
        if not mark.exists():
            mark.write_text(str(os.getpid()))
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(seconds)
    return accuracy(encoding)


def found(evaluate: Any = accuracy, **changed: Any) -> Result:
    """The search of these tests."""
    given: dict[str, Any] = {"latency": latency_ms, "window_ms": (25, 60), "budget": BUDGET, "seed": 3}
    return search(SPACE, evaluate=evaluate, **(given | changed))


if __name__ == "__main__":  # RUN BATCH WORKERS
    from dongfeng.search.evaluators import ProcessEvaluator
    from tests.search import accuracies  # under the name that others import it by

    folder, batch, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    given = accuracies.patient if workers == 1 else ProcessEvaluator(accuracies.patient, workers)
    accuracies.found(given, run_dir=folder, batch=batch)
