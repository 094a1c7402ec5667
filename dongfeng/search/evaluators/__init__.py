"""What tells the accuracy of a candidate: a callable, a table, a training; here, in processes, or on a Ray cluster.

An evaluator is a callable of an encoding. Two things more may be said of it: `describe()`, a dict of all that decides
its accuracies, which a run's configuration holds; and `seed_of(encoding)`, which its log holds.
"""

from __future__ import annotations

from dongfeng.search.evaluators.processes import ProcessEvaluator
from dongfeng.search.evaluators.ray_tasks import RayEvaluator
from dongfeng.search.evaluators.table import TableEvaluator
from dongfeng.search.evaluators.training import TrainingEvaluator, training_evaluator
from dongfeng.search.outcome import Outcome, OutcomeEvaluator, candidate_seed, outcomes

__all__ = [
    "Outcome",
    "OutcomeEvaluator",
    "ProcessEvaluator",
    "RayEvaluator",
    "TableEvaluator",
    "TrainingEvaluator",
    "candidate_seed",
    "outcomes",
    "training_evaluator",
]
