"""The entries of a training's log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dongfeng.support.json_dataclass import as_json, read_as
from dongfeng.support.strict_json import Node
from dongfeng.training.metrics import Metrics


@dataclass(frozen=True)
class LossEntry:
    """Progress of the training.

    Attributes:
        step: Updates so far.
        loss: Mean loss since the entry before.
        lr: Learning rate of the last update.
        images_per_s: Images trained on per second since then.
    """

    step: int
    loss: float
    lr: float
    images_per_s: float


@dataclass(frozen=True)
class EvaluationEntry:
    """An evaluation on the held-out images.

    Attributes:
        step: Updates so far.
        metrics: Quality of the network.
        evaluation_s: Time that the evaluation took.
    """

    step: int
    metrics: Metrics
    evaluation_s: float


LogEntry: TypeAlias = LossEntry | EvaluationEntry


def entry_line(entry: LogEntry) -> dict[str, object]:
    """Return the line of an entry, as JSON has it."""
    if isinstance(entry, LossEntry):
        return dict(as_json(entry))
    return {"step": entry.step, **entry.metrics.to_json(), "evaluation_s": entry.evaluation_s}


def read_entry(line: Node) -> LogEntry:
    """Read an entry from its line.

    Raises:
        DongfengError: it is none.
    """
    metrics = Metrics.from_json(line)
    if metrics is None:
        return read_as(LossEntry, line)
    fields = line.fields(("step", "evaluation_s"), metrics.to_json())
    return EvaluationEntry(fields["step"].count(), metrics, fields["evaluation_s"].number())
