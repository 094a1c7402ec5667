"""Measuring models on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import product

from dongfeng.backends.registry import auto_backend
from dongfeng.benchmark.contestant import RANDOM, Contestant, open_contestant
from dongfeng.benchmark.host import BusyMeter
from dongfeng.benchmark.interleaved import OnProgress, Timed, TimingRules, time_interleaved
from dongfeng.benchmark.noise import noise_of
from dongfeng.benchmark.report import (
    THIS_MACHINE,
    BenchReport,
    BenchRow,
    Combination,
    LayerRow,
    LeftOut,
    RunSettings,
    TimerName,
    TimerResult,
    Timers,
    new_row,
)
from dongfeng.benchmark.statistics import summarize
from dongfeng.devices.pinning import pinned
from dongfeng.errors import BackendUnavailable, DongfengError
from dongfeng.support.files import sha256_of
from dongfeng.zoo.models import list_models, model_info

_PROFILED_RUNS = 10


def bench(
    models: str | Sequence[str] = (),
    *,
    sizes_hw: Sequence[tuple[int, int]] = (),
    backends: Sequence[str] = ("auto",),
    precisions: Sequence[str] = ("fp32",),
    processor: str = "auto",
    threads: int | None = None,
    rules: TimingRules | None = None,
    with_layers: bool = False,
    name: str = THIS_MACHINE,
    on_progress: OnProgress | None = None,
) -> BenchReport:
    """Measure how long models take on this machine, interleaved; `df-bench` in one call.

    Every combination of model, size, backend and precision is measured, with the released weights where they are in the
    cache, else random ones. What cannot run here is left out, and listed with the reason.

    Args:
        models: Zoo names; none: all of the zoo.
        sizes_hw: Input heights and widths in pixels; none: each model's own.
        backends: Names of backends; "auto" chooses one by the precision.
        precisions: "fp32", "fp16", "bf16", "int8".
        processor: Where to run: "auto", "cpu", "cuda" or "cuda:N".
        threads: Threads of the CPU, and number of CPUs to use; None: one for each physical core.
        rules: Durations; None: the usual ones.
        with_layers: Whether the backend's own profiler times the layers too, in a run of its own.
        name: What to call this machine in the report.
        on_progress: Called now and then with the share that is done, 0..1.

    Returns:
        A report of kind "run" (docs/bench.md).

    Raises:
        UnknownModel: there is no such model.
        DongfengError: nothing of it can run here; the first reason.

    Example:
        >>> bench("df1", backends=["openvino"], threads=4).rows[0].measured_ms  # doctest: +SKIP
        8.91
    """
    rules = rules or TimingRules()
    combinations = _combinations([models] if isinstance(models, str) else models, sizes_hw, backends, precisions)
    with pinned(threads) as (count, cpus), ExitStack() as stack:
        ready, left_out = _open(combinations, processor, count, stack)
        meter = BusyMeter(cpus or ())
        rows = _measure(ready, name, rules, on_progress)
        noise = noise_of(rows, meter.read())
        layers, notes = _layers(ready, rows) if with_layers else ([], [])
    return BenchReport(
        kind="run",
        rows=tuple(rows),
        settings=_settings(rules, count, cpus, is_alone=len(ready) == 1),
        noise=noise,
        layers=tuple(layers),
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def _settings(rules: TimingRules, threads: int, cpus: tuple[int, ...] | None, *, is_alone: bool) -> RunSettings:
    return RunSettings(
        threads=threads,
        pinned_cpus=cpus,
        seconds_per_timer=rules.seconds,
        least_samples=rules.least_samples,
        interleaved=not is_alone,
    )


def _combinations(
    models: Sequence[str], sizes_hw: Sequence[tuple[int, int]], backends: Sequence[str], precisions: Sequence[str]
) -> Iterator[Combination]:
    for info in map(model_info, models or list_models()):
        for (height, width), precision, name in product(sizes_hw or [info.size_hw], precisions, backends):
            backend = auto_backend(precision) if name == "auto" else name
            yield Combination(model=info.name, height=height, width=width, backend=backend, precision=precision)


def _open(
    combinations: Iterable[Combination], processor: str, threads: int, stack: ExitStack
) -> tuple[list[Contestant], list[LeftOut]]:
    """Open what can run here, each combination once, until the stack closes."""
    ready: list[Contestant] = []
    left_out: list[LeftOut] = []
    for key in dict.fromkeys(combinations):
        try:
            each = open_contestant(key, device=processor, threads=threads)
        except DongfengError as error:
            left_out.append(LeftOut(**vars(key), reason=str(error)))
            continue
        stack.callback(each.model.close)
        ready.append(each)
    if not ready:
        raise BackendUnavailable(left_out[0].reason)
    return ready, left_out


def _measure(
    ready: Sequence[Contestant], name: str, rules: TimingRules, on_progress: OnProgress | None
) -> list[BenchRow]:
    """Time all calls of all contestants, interleaved."""
    calls = [(each, timer, call) for each in ready for timer, call in each.calls().items()]
    timed = time_interleaved([call for _, _, call in calls], rules, on_progress=on_progress)
    found = list(zip(calls, timed, strict=True))
    return [_row(each, name, {timer: result for (of, timer, _), result in found if of is each}) for each in ready]


def _row(each: Contestant, name: str, timed: dict[TimerName, Timed]) -> BenchRow:
    results = {timer: _result(found) for timer, found in timed.items()}
    return replace(
        new_row(each.key, name),
        processor=each.model.device,
        measured_ms=results["network"].median_ms,
        measured_timer="network",
        measured_source="here",
        weights=RANDOM if each.released is None else each.released.name,
        weights_sha256=None if each.released is None else sha256_of(each.released),
        model_sha256=each.model_sha256,
        timers=Timers(**results),
    )


def _result(timed: Timed) -> TimerResult:
    return TimerResult(
        **vars(summarize(timed.samples_ms)),
        is_steady=timed.warm_up.is_steady,
        warm_up_runs=timed.warm_up.runs,
        warm_up_s=round(timed.warm_up.seconds, 6),
        samples_ms=tuple(round(ms, 6) for ms in timed.samples_ms),
    )


def _layers(ready: Sequence[Contestant], rows: Sequence[BenchRow]) -> tuple[list[LayerRow], list[str]]:
    """Return the layers of all contestants, and notes about backends that cannot time them."""
    layers, notes = [], []
    for each, row in zip(ready, rows, strict=True):
        found = each.model.runner.profile(each.blob, _PROFILED_RUNS)
        if found is None:
            notes.append(f"backend {row.backend} has no layer profile; use onnxruntime or openvino")
            continue
        total_ms = sum(line.ms for line in found) or 1.0
        layers += [
            row.layer(line.layer, line.operation, ms=line.ms, total_ms=total_ms, basis="measured") for line in found
        ]
    return layers, list(dict.fromkeys(notes))
