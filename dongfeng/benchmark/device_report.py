"""Published, predicted and measured latencies of a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike

from dongfeng.benchmark.board import OnStep, SshBoard, measure_on_board
from dongfeng.benchmark.report import BenchReport, BenchRow, Combination, LayerRow, ProfileFacts, new_row
from dongfeng.benchmark.report_file import read_report
from dongfeng.devices import DeviceProfile, LatencyEstimate, PublishedPoint, load_profile, predict, timed_net
from dongfeng.devices.published import RESNETS
from dongfeng.errors import DeviceError
from dongfeng.zoo.models import model_info

Size = tuple[int, int]

_SUM_OF_LAYERS = "sum of per-layer times at batch 1"


def device_report(
    device: str | PathLike[str] | DeviceProfile,
    models: Sequence[str] = (),
    *,
    sizes_hw: Sequence[Size] = (),
    layers_of: Sequence[str] = (),
    measured: str | PathLike[str] | None = None,
    board: SshBoard | None = None,
    precisions: Sequence[str] = (),
    on_step: OnStep | None = None,
) -> BenchReport:
    """Show what is published, predicted and measured of a device; `df-bench --device` in one call.

    Args:
        device: Name or path of a profile, or a profile.
        models: Zoo names, "resnet18" or "resnet50"; none: all that were published of the device.
        sizes_hw: Input heights and widths in pixels; none: those published of the device, else the model's own.
        layers_of: Models among those whose layers are wanted too.
        measured: File of a report with measurements of this device, by its name.
        board: The device itself, to be measured over ssh.
        precisions: Precisions to measure on the board; none: that of the profile.
        on_step: Called with what is being done on the board.

    Returns:
        A report of kind "device" (docs/bench.md).

    Raises:
        DeviceError: there is no such device, its profile or the report is damaged, or the board fails.
        UnknownModel: there is no such model.
        ShapeError: a model does not fit the size.
    """
    earlier = None if measured is None else read_report(measured)
    profile = device if isinstance(device, DeviceProfile) else load_profile(device)
    rows: list[BenchRow] = []
    layers: list[LayerRow] = []
    with_layers = set(map(_canonical, layers_of))
    for key, point in _points(profile, [*models, *layers_of], sizes_hw):
        estimate = predict(timed_net(key.model, (point and point.computed_hw) or key.size_hw), profile)
        rows.append(_row(profile, key, point, estimate))
        if key.model in with_layers:
            layers += _layers(rows[-1], estimate)
    notes = [f"published latency is the {_SUM_OF_LAYERS}, without copies to and from the device", *_notes(rows)]
    if earlier is not None:
        rows = with_measured(rows, profile.name, earlier, str(measured))
    if board is not None:
        rows = measure_on_board(rows, board, precisions=precisions, on_step=on_step)
        notes.append(f"measured on {board.target} with random weights, which do not change the speed")
    return BenchReport(
        kind="device",
        rows=tuple(rows),
        profile=_facts(profile),
        layers=tuple(layers),
        notes=tuple(notes),
    )


def _facts(profile: DeviceProfile) -> ProfileFacts:
    return ProfileFacts(
        name=profile.name,
        device=profile.device,
        runtime=profile.runtime,
        runtime_version=profile.runtime_version,
        precision=profile.precision,
        source=profile.source,
        latency=_SUM_OF_LAYERS,
    )


def _canonical(model: str) -> str:
    """Return the zoo's spelling of a model, or a ResNet's."""
    return model.lower() if model.lower() in RESNETS else model_info(model).name


def _points(
    profile: DeviceProfile, models: Sequence[str], sizes_hw: Sequence[Size]
) -> Iterator[tuple[Combination, PublishedPoint | None]]:
    """Yield what was asked for, with what was published of it."""
    if not models and not sizes_hw:
        for point in profile.published:
            yield _combination(profile, point.model, point.size_hw), point
        return
    for name in dict.fromkeys(map(_canonical, models)) or dict.fromkeys(point.model for point in profile.published):
        published = {point.size_hw: point for point in profile.published if point.model == name}
        own = (224, 224) if name in RESNETS else model_info(name).size_hw
        for size in dict.fromkeys(sizes_hw) or published or [own]:
            yield _combination(profile, name, size), published.get(size)


def _combination(profile: DeviceProfile, model: str, size: Size) -> Combination:
    height, width = size
    return Combination(model=model, height=height, width=width, backend=profile.runtime, precision=profile.precision)


def _row(profile: DeviceProfile, key: Combination, point: PublishedPoint | None, estimate: LatencyEstimate) -> BenchRow:
    row = replace(
        new_row(key, profile.name),
        predicted_ms=estimate.total_ms,
        predicted_error_ms=estimate.error_ms,
        looked_up_ms=estimate.share_ms("looked up"),
        interpolated_ms=estimate.share_ms("interpolated"),
        modelled_ms=estimate.share_ms("modelled"),
    )
    if point is None:
        return row
    height, width = point.computed_hw or (None, None)
    return replace(
        row,
        computed_height=height,
        computed_width=width,
        published_ms=point.ms,
        published_fps=point.fps,
        published_source=point.source,
        is_fitted=point.fitted,
    )


def _layers(row: BenchRow, estimate: LatencyEstimate) -> list[LayerRow]:
    return [
        row.layer(
            line.name,
            str(line.kernel),
            ms=line.ms,
            total_ms=estimate.total_ms,
            basis=line.basis,
            error_ms=line.error_ms,
        )
        for line in estimate.kernels
    ]


def _notes(rows: Sequence[BenchRow]) -> Iterator[str]:
    if any(row.is_fitted for row in rows):
        yield "predictions marked fitted come from a model that was fitted to that very figure"
    if any(row.predicted_error_ms is None for row in rows):
        yield "no error is known of predictions without one: take them for an order of magnitude"
    for row in rows:
        if row.computed_height is not None:
            computed = f"{row.computed_height}x{row.computed_width}"
            yield f"{row.model} does not fit {row.height}x{row.width}; it is computed at {computed}"


def with_measured(rows: Sequence[BenchRow], device: str, measured: BenchReport, source: str) -> list[BenchRow]:
    """Return a device's rows with the measurements of another report in them.

    Args:
        rows: Rows of the device.
        device: Name of the device.
        measured: A report that holds measurements of that device, by its name.
        source: What to call the report in errors and in the rows.

    Raises:
        DeviceError: it holds no measurement of this device, or none of these models at these sizes.
    """
    found = [row for row in measured.rows if row.measured_ms is not None]
    if found and all(row.device != device for row in found):
        others = ", ".join(sorted({row.device for row in found}))
        raise DeviceError(f"{source}: measured on {others}, not on {device}; a device's name is given by --name")
    by_key = {row.key: row for row in found if row.device == device}
    if not any(row.key in by_key for row in rows):
        about = ", ".join(map(str, list(by_key)[:3])) or "nothing"
        raise DeviceError(f"{source}: holds no measurement of these models ({about} was measured); name those models")
    return [_with_measured(row, by_key[row.key], source) if row.key in by_key else row for row in rows]


def _with_measured(row: BenchRow, measured: BenchRow, source: str) -> BenchRow:
    return replace(
        row,
        processor=measured.processor,
        measured_ms=measured.measured_ms,
        measured_timer=measured.measured_timer,
        measured_source=source,
        weights=measured.weights,
        weights_sha256=measured.weights_sha256,
        model_sha256=measured.model_sha256,
        timers=measured.timers,
    )
