"""The profiles that ship: what they are made from, what they say of it, and what they say of what they never saw."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from dongfeng.devices import kernel_latency_ms, list_devices, load_profile, predict, published_points, timed_net
from dongfeng.devices.fusion import kernels_of
from dongfeng.devices.resnet_baselines import resnet
from dongfeng.errors import DeviceError
from dongfeng.tools.device_profiles import main
from dongfeng.tools.published_logs import read_logs
from dongfeng.tools.shipped_profiles import BUILDERS, build_gtx1080ti, build_titanx, tx2_left_out
from dongfeng.zoo.models import list_models, model_info
from tests.nets import read_text
from tests.networks import classification

NAMES = {"tx2": "Jetson TX2", "gtx1080ti": "GTX 1080 Ti", "titanx": "Titan X", "snapdragon845": "Snapdragon 845"}


@pytest.fixture(scope="module")
def tables(shared: Path) -> Path:
    return shared / "research"


@pytest.mark.parametrize("name", BUILDERS)
def test_a_shipped_profile_is_what_the_program_makes(name: str, tables: Path) -> None:
    """To the last digit but for fitted numbers, which another CPU's arithmetic may round otherwise."""
    from dongfeng.devices.profile_json import format_profile

    made: dict[str, Any] = json.loads(format_profile(BUILDERS[name](tables)))
    shipped = json.loads(format_profile(load_profile(name)))
    roofline = shipped.pop("roofline")
    for key, value in made.pop("roofline").items():
        expected = roofline.pop(key)
        assert value == (pytest.approx(expected, rel=2e-3) if isinstance(expected, float) else expected), key
    assert not roofline
    assert made == shipped


def test_the_program_writes_and_checks(tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tables), "-o", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().out.count("stale: ") == len(list_devices())
    assert main([str(tables), "-o", str(tmp_path)]) == 0
    assert main([str(tables), "-o", str(tmp_path), "--check"]) == 0
    assert main([str(tmp_path / "none")]) == 1
    assert "give the folder of the published tables" in capsys.readouterr().err


@pytest.mark.parametrize("device", NAMES)
def test_published_points_are_those_of_the_zoo(device: str) -> None:
    """The manifest has them too; ResNets and the size that only others report are not in it."""
    in_zoo = {
        (name, result.size_hw, result.value)
        for name in list_models()
        for result in model_info(name).published
        if result.device == NAMES[device] and result.metric in ("fps", "latency")
    }
    points = [p for p in published_points(device) if not p.model.startswith("resnet") and p.size_hw != (720, 1280)]
    assert {(p.model, p.size_hw, p.fps or p.ms) for p in points} == in_zoo
    assert all(p.ms == pytest.approx(1000 / p.fps, rel=1e-4) for p in points if p.fps)


def test_tx2_reproduces_what_it_was_fitted_to() -> None:
    points = [point for point in published_points("tx2") if point.fitted]
    assert len(points) == 8
    for point in points:
        estimate = predict(timed_net(point.model, point.computed_hw or point.size_hw), "tx2")
        assert estimate.total_ms == pytest.approx(point.ms, rel=0.05), point
        assert {line.basis for line in estimate.kernels} == {"modelled"}


@pytest.mark.slow
def test_tx2_predicts_each_point_from_the_others() -> None:
    errors = [ms / point.ms - 1 for point, ms in tx2_left_out(load_profile("tx2"))]
    assert len(errors) == 8
    assert max(map(abs, errors)) < 0.12
    assert load_profile("tx2").roofline.error == pytest.approx(statistics.fmean(e * e for e in errors) ** 0.5, rel=0.05)


def test_tx2_and_networks_the_fit_never_saw() -> None:
    """Documented as they are: the fit flatters wide convolutions and poolings it has not met."""
    found = {p.model: p for p in published_points("tx2") if not p.fitted}
    assert found.keys() == {"resnet18", "resnet50"}
    for point in found.values():
        assert predict(timed_net(point.model, point.size_hw), "tx2").total_ms == pytest.approx(point.ms, rel=0.15)


def test_gtx1080ti_from_df1_predicts_dflite_and_df2(tables: Path) -> None:
    profile = build_gtx1080ti(tables, lambda model: model.startswith("df1seg"))
    for log in read_logs(tables, "trt_1080ti", "fused"):
        if log.key.model.startswith("dflite"):
            ms = [kernel_latency_ms(profile, kernel) for kernel, _ in log.samples]
            assert sum(ms) == pytest.approx(log.total_ms, rel=0.03)
            errors = [abs(ours / theirs - 1) for ours, (_, theirs) in zip(ms, log.samples, strict=True)]
            assert statistics.median(errors) < 0.08
    for model, fps in (("df2seg1", 67.2), ("df2seg2", 56.3)):
        estimate = predict(timed_net(model, (1024, 2048)), profile)
        assert estimate.fps == pytest.approx(fps, rel=0.06)
        assert abs(estimate.total_ms - 1000 / fps) < (estimate.error_ms or 0)
        assert {line.basis for line in estimate.kernels} == {"looked up", "interpolated"}


def test_titanx_from_df1_and_dflite_predicts_df2(tables: Path) -> None:
    profile = build_titanx(tables, lambda model: not model.startswith("df2"))
    for model, fps in (("df2seg1", 20.5), ("df2seg2", 17.7)):
        assert predict(timed_net(model, (1024, 2048)), profile).fps == pytest.approx(fps, rel=0.06)


@pytest.mark.parametrize("device", ["gtx1080ti", "titanx"])
def test_what_was_measured_is_looked_up(device: str) -> None:
    for point in published_points(device):
        estimate = predict(timed_net(point.model, point.size_hw), device)
        if device == "titanx" or not point.model.startswith("df2"):
            assert estimate.share_ms("looked up") == pytest.approx(estimate.total_ms)
            assert estimate.total_ms == pytest.approx(point.ms, rel=0.01)


def test_snapdragon_meets_its_one_point_and_claims_no_error() -> None:
    (point,) = published_points("snapdragon845")
    estimate = predict(timed_net(point.model, point.size_hw), "snapdragon845")
    assert estimate.total_ms == pytest.approx(point.ms, rel=1e-3)
    assert estimate.error_ms is None


def test_a_log_of_another_net_is_refused(tables: Path, tmp_path: Path) -> None:
    for name in ("trt_1080ti_layers.csv", "trt_1080ti_totals.csv"):
        text = (tables / name).read_text()
        (tmp_path / name).write_text(text.replace("res3.2.conv1 + ", "res9.2.conv1 + "))
    with pytest.raises(DeviceError, match=r'expected layer "res3.2.conv1 .*got "res9.2.conv1'):
        read_logs(tmp_path, "trt_1080ti", "fused")


def test_resnet50_is_the_one_of_its_authors(tmp_path: Path) -> None:
    """The prototxt of the network tests was written independently."""
    theirs = read_text(tmp_path, classification.resnet50(64, 224, 1000))
    ours = kernels_of(resnet(50))
    assert sorted(ours) == sorted(kernel for kernel in kernels_of(theirs) if kernel.operation != "softmax")


def test_resnet18_does_the_published_work() -> None:
    assert sum(kernel.macs for kernel in kernels_of(resnet(18))) == pytest.approx(1.8e9, rel=0.02)


def test_tables_of_something_else_are_refused(tmp_path: Path) -> None:
    for name in ("trt_1080ti_layers.csv", "trt_1080ti_totals.csv"):
        (tmp_path / name).write_text("model,variant\ndf1seg,none\n")
    with pytest.raises(DeviceError, match="not the published tables"):
        read_logs(tmp_path, "trt_1080ti", "fused")
    (tmp_path / "trt_1080ti_totals.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DeviceError, match="not text"):
        read_logs(tmp_path, "trt_1080ti", "fused")
