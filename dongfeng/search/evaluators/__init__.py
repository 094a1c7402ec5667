"""Evaluators: tables, trainings; in this process, in others, or on a Ray cluster.

An evaluator is a callable of an encoding. It may have two methods: `describe()`, which returns all that decides its
accuracies, for the configuration of a run; and `seed_of(encoding)`, for its log.
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
