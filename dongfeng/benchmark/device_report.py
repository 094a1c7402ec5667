"""What is published, predicted and measured of a device."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from dongfeng.benchmark.report import SUM_OF_LAYERS, Report, Row, key_of, new_report, new_row
from dongfeng.devices import DeviceProfile, LatencyEstimate, PublishedPoint, load_profile, predict, timed_net
from dongfeng.devices.published import RESNETS
from dongfeng.errors import DeviceError
from dongfeng.zoo.models import model_info

Size = tuple[int, int]


def device_report(
    device: str | PathLike[str] | DeviceProfile,
    models: Sequence[str] = (),
    *,
    sizes_hw: Sequence[Size] = (),
    layers_of: Sequence[str] = (),
) -> Report:
    """Published and predicted latencies of a device.

    Args:
        device: Name or path of a profile, or a profile.
        models: Zoo names, "resnet18" or "resnet50"; none: all that were published of the device.
        sizes_hw: Input heights and widths in pixels; none: those published of the device, else the model's own.
        layers_of: Models among those whose layers are wanted too.

    Returns:
        A report of kind "device"; docs/bench.md describes it.

    Raises:
        DeviceError: there is no such device, or its profile is damaged.
        UnknownModel: there is no such model.
        ShapeError: a model does not fit the size.
    """
    profile = device if isinstance(device, DeviceProfile) else load_profile(device)
    wanted = _points(profile, [*models, *layers_of], sizes_hw)
    rows, layers = [], []
    with_layers = set(map(_canonical, layers_of))
    for model, size, point in wanted:
        computed = (point.computed_hw if point else None) or size
        estimate = predict(timed_net(model, computed), profile)
        rows.append(_row(profile, model, size, point, estimate))
        if model in with_layers:
            layers += _layers(profile, model, size, estimate)
    return new_report(
        "device",
        rows,
        profile={
            **{key: getattr(profile, key) for key in ("name", "device", "runtime", "runtime_version", "precision")},
            "source": profile.source,
            "latency": "sum of per-layer times at batch 1",
        },
        layers=layers,
        notes=[SUM_OF_LAYERS, *_notes(rows)],
    )


def _canonical(model: str) -> str:
    """The zoo's spelling of a model, or a ResNet's."""
    return model.lower() if model.lower() in RESNETS else model_info(model).name


def _points(
    profile: DeviceProfile, models: Sequence[str], sizes_hw: Sequence[Size]
) -> list[tuple[str, Size, PublishedPoint | None]]:
    """Models and sizes, with what was published of them."""
    if not models and not sizes_hw:
        return [(point.model, point.size_hw, point) for point in profile.published]
    names = list(dict.fromkeys(map(_canonical, models)) or dict.fromkeys(point.model for point in profile.published))
    found: list[tuple[str, Size, PublishedPoint | None]] = []
    for name in names:
        published = {point.size_hw: point for point in profile.published if point.model == name}
        own = (224, 224) if name in RESNETS else model_info(name).size_hw
        sizes = list(dict.fromkeys(sizes_hw)) or list(published) or [own]
        found += [(name, size, published.get(size)) for size in sizes]
    return found


def _row(
    profile: DeviceProfile, model: str, size: Size, point: PublishedPoint | None, estimate: LatencyEstimate
) -> Row:
    computed = point.computed_hw if point is not None else None
    published: dict[str, Any] = {}
    if point is not None:
        published = {"published_ms": point.ms, "published_fps": point.fps, "published_source": point.source}
    return new_row(
        model=model,
        height=size[0],
        width=size[1],
        computed_height=computed and computed[0],
        computed_width=computed and computed[1],
        device=profile.name,
        precision=profile.precision,
        backend=profile.runtime,
        predicted_ms=estimate.total_ms,
        predicted_error_ms=estimate.error_ms,
        looked_up_ms=estimate.share_ms("looked up"),
        interpolated_ms=estimate.share_ms("interpolated"),
        modelled_ms=estimate.share_ms("modelled"),
        is_fitted=None if point is None else point.fitted,
        **published,
    )


def _layers(profile: DeviceProfile, model: str, size: Size, estimate: LatencyEstimate) -> list[Row]:
    about = {"model": model, "height": size[0], "width": size[1], "device": profile.name}
    about |= {"backend": profile.runtime, "precision": profile.precision}
    return [
        {
            **about,
            "layer": line.name,
            "operation": str(line.kernel),
            "ms": line.ms,
            "error_ms": line.error_ms,
            "share_fraction": line.ms / estimate.total_ms,
            "basis": line.basis,
        }
        for line in estimate.kernels
    ]


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = []
    if any(row["is_fitted"] for row in rows):
        notes.append("predictions marked fitted come from a model that was fitted to that very figure")
    if any(row["predicted_error_ms"] is None for row in rows):
        notes.append("no error is known of predictions without one: take them for an order of magnitude")
    for row in rows:
        if row["computed_height"] is not None:
            own, other = (f"{row[f'{c}height']}x{row[f'{c}width']}" for c in ("", "computed_"))
            notes.append(f"{row['model']} does not fit {own}; it is computed at {other}")
    return notes


def add_measured(report: Report, measured: Report, source: str) -> Report:
    """The same report with the measurements of another one beside its predictions.

    Args:
        report: Of kind "device".
        measured: A report that holds measurements of the same device, by its name.
        source: What to call that in errors and in the rows.

    Raises:
        DeviceError: it holds no measurement of this device, or none of these models at these sizes.
    """
    name = report["profile"]["name"]
    found = [row for row in measured["rows"] if row.get("measured_ms") is not None]
    if found and all(row["device"] != name for row in found):
        others = ", ".join(sorted({row["device"] for row in found}))
        raise DeviceError(f"{source}: measured on {others}, not on {name}; a device's name is given by --name")
    by_key = {key_of(row): row for row in found if row["device"] == name}
    rows = [_with_measured(row, by_key.get(key_of(row)), source) for row in report["rows"]]
    if not any(row["measured_source"] == source for row in rows):
        about = ", ".join(map(str, list(by_key)[:3])) or "nothing"
        raise DeviceError(f"{source}: holds no measurement of these models ({about} was measured); name those models")
    return report | {"rows": rows}


_TAKEN = ("measured_ms", "measured_timer", "processor", "weights", "weights_sha256", "model_sha256", "timers")


def _with_measured(row: Row, measured: Row | None, source: str) -> Row:
    if measured is None:
        return row
    return row | {key: measured.get(key) for key in _TAKEN} | {"measured_source": source}
