"""A report of `df-bench` as dataclasses: their fields are the keys of its JSON object; docs/bench.md describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from dongfeng.benchmark.host import HostFacts, host_facts, versions
from dongfeng.benchmark.statistics import Summary
from dongfeng.errors import UnknownModel
from dongfeng.support.json_dataclass import as_json
from dongfeng.support.strict_json import Node

FORMAT: Literal["dongfeng.bench/1"] = "dongfeng.bench/1"
THIS_MACHINE = "this-machine"

TimerName = Literal["network", "with_copies", "image_to_labels"]


def _milliseconds(node: Node) -> float:
    value = node.number()
    if value <= 0:
        node.fail(f"expected milliseconds above 0, got {value:g}")
    return value


def _samples(node: Node) -> tuple[float, ...]:
    values = tuple(item.number() for item in node.items())
    if not values or min(values) <= 0:
        node.fail("expected a list of positive times")
    return values


Milliseconds = Annotated[float, _milliseconds]


@dataclass(frozen=True, kw_only=True)
class Combination:
    """One model at one size on one backend in one precision: what rows of two reports are matched by.

    Attributes:
        backend: The backend, or the device's runtime.
    """

    model: str
    height: int
    width: int
    backend: str
    precision: str

    @property
    def key(self) -> Combination:
        """The combination alone, of whatever else is known of it."""
        return Combination(
            model=self.model, height=self.height, width=self.width, backend=self.backend, precision=self.precision
        )

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        return self.height, self.width

    def __str__(self) -> str:
        return f"{self.model} {self.height}x{self.width} {self.backend} {self.precision}"


@dataclass(frozen=True, kw_only=True)
class TimerResult(Summary):
    """Samples of one timer of one row, and their summary.

    Attributes:
        is_steady: Whether the warm-up ended because the times had become steady.
        warm_up_runs: Runs before the first sample.
        warm_up_s: Seconds that those took.
        samples_ms: The samples in the order in which they were taken.
    """

    is_steady: bool
    warm_up_runs: int
    warm_up_s: float
    samples_ms: Annotated[tuple[float, ...], _samples]


@dataclass(frozen=True, kw_only=True)
class Timers:
    """The timers of a row; None for one that was not measured."""

    network: TimerResult | None = None
    with_copies: TimerResult | None = None
    image_to_labels: TimerResult | None = None

    def measured(self) -> dict[str, TimerResult]:
        """Return the timers that were measured, by name."""
        return {name: timer for name, timer in vars(self).items() if timer is not None}


@dataclass(frozen=True, kw_only=True)
class BenchRow(Combination):
    """A combination on one device; None stands for what is not known of it.

    Attributes:
        computed_height: Height that stands in for `height` where the network does not fit that.
        device: Name of a device profile, or of this machine.
        processor: For measurements here "cpu" or "cuda:N".
        is_fitted: Whether the profile was fitted to the published latency of this row.
        measured_timer: Timer whose median is `measured_ms`: one of `timers`, or "trtexec".
        measured_source: "here", the file of an earlier report, or the board.
        weights: "random:0", or the name of the released file.
        model_sha256: Hash of the converted file that was run.
    """

    task: str | None = None
    computed_height: int | None = None
    computed_width: int | None = None
    device: str
    processor: str | None = None
    published_ms: Milliseconds | None = None
    published_fps: float | None = None
    published_source: str | None = None
    predicted_ms: Milliseconds | None = None
    predicted_error_ms: float | None = None
    looked_up_ms: float | None = None
    interpolated_ms: float | None = None
    modelled_ms: float | None = None
    is_fitted: bool | None = None
    measured_ms: Milliseconds | None = None
    measured_timer: str | None = None
    measured_source: str | None = None
    accuracy_fraction: float | None = None
    accuracy_metric: str | None = None
    accuracy_split: str | None = None
    weights: str | None = None
    weights_sha256: str | None = None
    model_sha256: str | None = None
    timers: Timers | None = None

    def timer(self, name: str | None) -> TimerResult | None:
        """Return what a timer measured; None where it did not."""
        return None if self.timers is None or name is None else self.timers.measured().get(name)

    def layer(
        self, name: str, operation: str, *, ms: float, total_ms: float, basis: str, error_ms: float | None = None
    ) -> LayerRow:
        """Return a layer of this row that takes `ms` of `total_ms`."""
        return LayerRow(
            **vars(self.key),
            device=self.device,
            layer=name,
            operation=operation,
            ms=ms,
            error_ms=error_ms,
            share_fraction=ms / total_ms,
            basis=basis,
        )


@dataclass(frozen=True, kw_only=True)
class LayerRow(Combination):
    """One layer of one row, and its share of the time.

    Attributes:
        operation: The layer's work, in the words of the backend or of the device profile.
        share_fraction: Share of the row's time, 0..1.
        basis: "looked up", "interpolated" or "modelled" for a device, "measured" here.
    """

    device: str
    layer: str
    operation: str
    ms: float
    error_ms: float | None = None
    share_fraction: float
    basis: str


@dataclass(frozen=True, kw_only=True)
class LeftOut(Combination):
    """A combination that cannot run here, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How this machine was measured.

    Attributes:
        threads: Threads of the CPU.
        pinned_cpus: Numbers of the CPUs that the program was confined to; None where it was not.
        seconds_per_timer: Time for the samples of each timer.
        least_samples: Number of samples that each timer took at least.
        interleaved: Whether more than one model was measured.
    """

    threads: int
    pinned_cpus: tuple[int, ...] | None
    seconds_per_timer: float
    least_samples: int
    interleaved: bool


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Whether another run may well give other medians, and the reasons.

    Attributes:
        is_noisy: Whether there is any reason.
        others_fraction: Share of the CPUs' time that other programs used; None where the system does not tell.
        stolen_fraction: Share that the host of a virtual machine gave to other machines.
        reasons: Lines for people.
    """

    is_noisy: bool
    others_fraction: float | None
    stolen_fraction: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ProfileFacts:
    """The device profile that a report is of; `latency` says what kind of latency its figures are."""

    name: str
    device: str
    runtime: str
    runtime_version: str | None
    precision: str
    source: str
    latency: str


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """A report: of kind "run" where this machine was measured, of kind "device" where a device profile was asked.

    Attributes:
        created: UTC, "2026-01-31T12:00:00Z".
        versions: Name to version of what may change a measurement.
        host: The machine that the report was made on; never a board.
        profile: The device profile; None for a run.
        settings: How the run was measured; None for a device.
        noise: How reliable the run is; None for a device.
        rows: One for each model, size, backend and precision.
        layers: Where the time goes, if that was asked for.
        left_out: Combinations that cannot run here.
        notes: Lines that a reader of the rows has to know.
    """

    format: Literal["dongfeng.bench/1"] = FORMAT
    kind: Literal["run", "device"]
    created: str = field(default_factory=_now)
    versions: Mapping[str, str] = field(default_factory=versions)
    host: HostFacts = field(default_factory=host_facts)
    profile: ProfileFacts | None = None
    settings: RunSettings | None = None
    noise: Noise | None = None
    rows: tuple[BenchRow, ...]
    layers: tuple[LayerRow, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that docs/bench.md describes, every key in it."""
        found: dict[str, Any] = as_json(self)
        return found


def new_row(key: Combination, device: str) -> BenchRow:
    """Return a row without latencies, with the zoo's task and accuracy on the validation split.

    Args:
        key: The combination; its model is a zoo name, "resnet18" or "resnet50".
        device: Name of a device profile, or of this machine.
    """
    from dongfeng.zoo.models import model_info

    try:
        info = model_info(key.model)
    except UnknownModel:  # a ResNet
        return BenchRow(**vars(key), device=device, task="classification")
    metric = "top1" if info.task == "classification" else "miou"
    row = BenchRow(**vars(key), device=device, task=info.task)
    accuracy = info.result(metric, split="val")
    if accuracy is None:
        return row
    return replace(row, accuracy_fraction=accuracy.value, accuracy_metric=metric, accuracy_split="val")
