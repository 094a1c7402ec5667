"""Partial Order Pruning: the best trade-offs of accuracy and latency on a device, from few evaluations.

`Space` declares the architectures, `search` finds the boundary; `Search` does so step by step. Each command of
`dongfeng search` is one call: `run_search`, `search_status`, `write_report`, `export_front`.
"""

from __future__ import annotations

from dongfeng.search.algorithm import Search
from dongfeng.search.config import SearchConfig
from dongfeng.search.export import ExportedNet, export_front
from dongfeng.search.latency import Step, step_latencies_ms
from dongfeng.search.loop import EvaluationEvent, SearchListener, run_search, search
from dongfeng.search.order import precedes
from dongfeng.search.outcome import Evaluator
from dongfeng.search.report import write_report
from dongfeng.search.result import Candidate, Result
from dongfeng.search.run import SearchStatus, search_status
from dongfeng.search.space import Encoding, Space
from dongfeng.support.pareto import frontier, hypervolume

__all__ = [
    "Candidate",
    "Encoding",
    "EvaluationEvent",
    "Evaluator",
    "ExportedNet",
    "Result",
    "Search",
    "SearchConfig",
    "SearchListener",
    "SearchStatus",
    "Space",
    "Step",
    "export_front",
    "frontier",
    "hypervolume",
    "precedes",
    "run_search",
    "search",
    "search_status",
    "step_latencies_ms",
    "write_report",
]
