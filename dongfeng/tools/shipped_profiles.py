"""The device profiles that ship, built from the published tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from dongfeng.devices.fusion import kernels_of
from dongfeng.devices.predict import predict
from dongfeng.devices.profile import DeviceProfile, MeasuredKernel, averaged, fitted_roofline
from dongfeng.devices.published import PublishedPoint, timed_net
from dongfeng.devices.roofline import Roofline
from dongfeng.devices.roofline_fit import fit_to_networks, rounded
from dongfeng.errors import DeviceError
from dongfeng.tools.published_logs import PublishedLog, read_csv, read_logs

# Upper bounds of a fit, from NVIDIA's data sheet. The TX2's GPU computes fp16 at twice the rate of fp32, and no int8.
TX2_PEAK: Mapping[str, float] = MappingProxyType({"tflops": 1.33, "gb_per_s": 59.7})
_SNAPDRAGON_GB_PER_S = 29.9  # its maker's data sheet: four 16-bit channels of LPDDR4X at 1866 MHz

_README = "repository README"
_TABLE3 = "repository README; paper, Table 3"
_SEGMENTATION = {"DFlite-Seg": "dflite_seg", "DF1-Seg": "df1seg", "DF2-Seg1": "df2seg1", "DF2-Seg2": "df2seg2"}
_BACKBONES = {"DF1": "df1", "DF2": "df2", "DF2A": "df2a", "ResNet-18": "resnet18", "ResNet-50": "resnet50"}
_WHOLE = (1024, 2048)


def build_gtx1080ti(folder: Path, models: Callable[[str], bool] = lambda model: True) -> DeviceProfile:
    """Build the profile from the logs of those models (zoo names); all published points are in it either way."""
    logs = [log for log in read_logs(folder, "trt_1080ti", "fused") if models(log.key.model)]
    kernels = _kernels(logs, "gtx1080ti")
    points = [
        *_segmentation_points(folder, "fps_1080ti_trt304_1024x2048", _WHOLE, _TABLE3),
        *_segmentation_points(folder, "fps_1080ti_trt304_1024x1024", (1024, 1024), _README),
    ]
    return DeviceProfile(
        name="gtx1080ti",
        device="GTX 1080 Ti",
        runtime="TensorRT",
        runtime_version="3.0.4",
        precision="fp32",  # half2 was asked for, which this GPU does not have
        fusion="fused",
        source=_source(logs, "TensorRT's per-layer profiler"),
        roofline=fitted_roofline(kernels, "fp32", profile="gtx1080ti"),
        gap_us=_gap_us(logs),
        kernels=kernels,
        published=tuple(points),
    )


def build_titanx(folder: Path, models: Callable[[str], bool] = lambda model: True) -> DeviceProfile:
    """Build the profile from the logs of those models (zoo names); all published points are in it either way."""
    logs = [log for log in read_logs(folder, "caffe_titanx", "layers") if models(log.key.model)]
    kernels = _kernels(logs, "titanx")
    return DeviceProfile(
        name="titanx",
        device="Titan X",
        runtime="Caffe",
        runtime_version=None,
        precision="fp32",
        fusion="layers",
        source=_source(logs, "caffe time, averages of 100 iterations"),
        roofline=fitted_roofline(kernels, "fp32", profile="titanx"),
        gap_us=_gap_us(logs),
        kernels=kernels,
        published=tuple(_segmentation_points(folder, "fps_titanx_caffe_1024x2048", _WHOLE, _TABLE3)),
    )


def build_tx2(folder: Path) -> DeviceProfile:
    """Build the profile fitted to the eight published latencies of our networks; ResNets are listed, not fitted to."""
    points = tx2_points(folder)
    base = DeviceProfile(
        name="tx2",
        device="Jetson TX2",
        runtime="TensorRT",
        runtime_version="3.0.4",
        precision="fp16",
        fusion="fused",
        source="a roofline of four parameters fitted to the eight published latencies marked as fitted, no parameter "
        "above the peak rates (1.33 TFLOP/s fp16, 59.7 GB/s); no layer was measured",
        roofline=fit_tx2(points),
        published=tuple(points),
    )
    left_out = [math.log(each_ms / point.ms) for point, each_ms in tx2_left_out(base)]
    error = math.sqrt(statistics.fmean(each**2 for each in left_out))
    return replace(base, roofline=replace(base.roofline, error=rounded(error)))


def tx2_points(folder: Path) -> list[PublishedPoint]:
    """List every published latency of the TX2."""
    backbones = [
        PublishedPoint(model, (224, 224), float(row["tx2_latency_ms_224_bs1"]), _README, fitted="ResNet" not in name)
        for row in read_csv(folder / "readme_backbones_tx2.csv")
        if row["tx2_latency_ms_224_bs1"] and (model := _BACKBONES.get(name := row["model"]))
    ]
    segmentation = _segmentation_points(folder, "fps_tx2_trt304_640x384", (384, 640), _README)
    large = PublishedPoint(
        "df1seg",
        (720, 1280),
        _ms(21.8),
        "paper, contributions (as others report them)",
        fps=21.8,
        computed_hw=(736, 1280),
    )
    ours = [replace(point, fitted=True) for point in (*segmentation, large)]
    return [*backbones, *ours]


def fit_tx2(points: Iterable[PublishedPoint]) -> Roofline:
    """Fit a roofline to the points that are marked as fitted."""
    fitted = [point for point in points if point.fitted]
    networks = [kernels_of(timed_net(point.model, point.computed_hw or point.size_hw)) for point in fitted]
    return fit_to_networks(networks, [point.ms for point in fitted], bytes_per_value=2, at_most=dict(TX2_PEAK))


def tx2_left_out(profile: DeviceProfile) -> list[tuple[PublishedPoint, float]]:
    """Return each fitted point, and the milliseconds that a fit without it predicts."""
    fitted = [point for point in profile.published if point.fitted]
    found = []
    for point in fitted:
        roofline = fit_tx2(other for other in fitted if other is not point)
        net = timed_net(point.model, point.computed_hw or point.size_hw)
        found.append((point, predict(net, replace(profile, roofline=roofline)).total_ms))
    return found


def build_snapdragon845(folder: Path) -> DeviceProfile:
    """Build a profile from one published point: one rate meets it, and gives other nets an order of magnitude."""
    point = PublishedPoint("pl1a_seg", (384, 640), _ms(52.0), _README, fps=52.0, fitted=True)
    kernels = kernels_of(timed_net(point.model, point.size_hw))
    low, high = 1e-4, 1e2
    for _ in range(60):  # the sum falls as the rate rises
        middle = math.sqrt(low * high)
        is_slow = Roofline(middle, _SNAPDRAGON_GB_PER_S).ms(kernels).sum() > point.ms
        low, high = (middle, high) if is_slow else (low, middle)
    return DeviceProfile(
        name="snapdragon845",
        device="Snapdragon 845",
        runtime="ncnn",
        runtime_version=None,
        precision="fp32",
        fusion="fused",
        source="one published latency, which the arithmetic rate is chosen to meet (bandwidth: the maker's peak); "
        "what it says of other nets is an order of magnitude, and no error is known",
        roofline=Roofline(rounded(high), _SNAPDRAGON_GB_PER_S, fitted_to="networks"),
        published=(point,),
    )


BUILDERS: Mapping[str, Callable[[Path], DeviceProfile]] = MappingProxyType(
    {"gtx1080ti": build_gtx1080ti, "titanx": build_titanx, "tx2": build_tx2, "snapdragon845": build_snapdragon845}
)


def _kernels(logs: Sequence[PublishedLog], profile: str) -> tuple[MeasuredKernel, ...]:
    if not logs:
        raise DeviceError(f"{profile}: no log is of the models asked for; ask for others")
    return averaged(sample for log in logs for sample in log.samples)


def _gap_us(logs: Sequence[PublishedLog]) -> float:
    """Return what the runtime's total exceeds its layers by, per kernel, in microseconds."""
    gap_ms = statistics.median((log.total_ms - log.layers_ms) / len(log.samples) for log in logs)
    return round(max(1e3 * gap_ms, 0.0), 3)


def _source(logs: Sequence[PublishedLog], how: str) -> str:
    runs = ", ".join(f"{log.key.model} {log.key.size_hw[0]}x{log.key.size_hw[1]}" for log in logs)
    return f"logs in the repository of Partial Order Pruning ({how}): {runs}"


def _segmentation_points(folder: Path, column: str, size_hw: tuple[int, int], source: str) -> list[PublishedPoint]:
    points = []
    for row in read_csv(folder / "readme_segmentation.csv"):
        plain = row["model"].removesuffix("-d8")
        model = _SEGMENTATION[plain] + ("_d8" if plain != row["model"] else "")
        if row[column]:
            fps = float(row[column])
            points.append(PublishedPoint(model, size_hw, _ms(fps), source, fps=fps))
    return points


def _ms(fps: float) -> float:
    return round(1000 / fps, 4)
