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

    def to_json(self) -> dict[str, object]:
        """The line of the log."""
        return dict(as_json(self))


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

    def to_json(self) -> dict[str, object]:
        """The line of the log."""
        return {"step": self.step, **self.metrics.to_json(), "evaluation_s": self.evaluation_s}


LogEntry: TypeAlias = LossEntry | EvaluationEntry


def read_entry(line: Node) -> LogEntry:
    """Read an entry from its line.

    Raises:
        DongfengError: it is none.
    """
    members = line.members()
    metrics = Metrics.from_json(members)
    if metrics is None:
        return read_as(LossEntry, line)
    fields = line.fields(("step", "evaluation_s"), metrics.to_json())
    return EvaluationEntry(fields["step"].count(), metrics, fields["evaluation_s"].number())
