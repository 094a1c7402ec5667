"""Partial Order Pruning: the best trade-offs of accuracy and latency on a device, from few evaluations.

`Space` declares the architectures, `search` finds the boundary; `Search` does so step by step.
"""

from __future__ import annotations

from dongfeng.search.algorithm import Evaluator, Search, search
from dongfeng.search.latency import Step, step_latencies_ms
from dongfeng.search.order import precedes
from dongfeng.search.result import Candidate, Result
from dongfeng.search.space import Encoding, Space
from dongfeng.support.pareto import frontier, hypervolume

__all__ = [
    "Candidate",
    "Encoding",
    "Evaluator",
    "Result",
    "Search",
    "Space",
    "Step",
    "frontier",
    "hypervolume",
    "precedes",
    "search",
    "step_latencies_ms",
]
