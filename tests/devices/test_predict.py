from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dongfeng.architectures import backbone_net, build
from dongfeng.devices import (
    DeviceProfile,
    MeasuredKernel,
    Roofline,
    kernel_latency_ms,
    kernels_latency_ms,
    kernels_of,
    load_profile,
    named_kernels,
    predict,
)


def profile(kernels: tuple[MeasuredKernel, ...] = (), **fields: object) -> DeviceProfile:
    base = DeviceProfile("board", "A board", "x", None, "fp32", "fused", "a test", Roofline(1.0, 10.0, error=0.1))
    return replace(base, kernels=kernels, **fields)


def test_an_estimate_is_the_sum_of_its_units() -> None:
    net = build("df1")
    kernels = kernels_of(net)
    measured = tuple(
        MeasuredKernel(kernel, 1.0 + index, 3, 0.02) for index, kernel in enumerate(dict.fromkeys(kernels))
    )
    board = profile(measured, gap_us=500.0)
    estimate = predict(net, board)
    times = {row.kernel: row.ms for row in measured}
    assert estimate.total_ms == pytest.approx(sum(times[kernel] + 0.5 for kernel in kernels))
    assert estimate.total_ms == pytest.approx(kernels_latency_ms(board, kernels))
    assert estimate.error_ms == pytest.approx(0.02 * math.sqrt(sum(times[kernel] ** 2 for kernel in kernels)))
    assert estimate.fps == pytest.approx(1000 / estimate.total_ms)
    assert [line.name for line in estimate.kernels] == [placed.name for placed in named_kernels(net)]
    assert estimate.share_ms("looked up") == pytest.approx(estimate.total_ms)


def test_modelled_errors_do_not_average_out() -> None:
    estimate = predict(build("df1"), profile())
    assert estimate.error_ms == pytest.approx(0.1 * estimate.total_ms)
    assert estimate.share_ms("modelled") == pytest.approx(estimate.total_ms)


def test_what_sums_are_off_by_is_added() -> None:
    plain, off = (predict(build("df1"), profile(sum_error=error)) for error in (0.0, 0.05))
    assert (off.error_ms or 0) - (plain.error_ms or 0) == pytest.approx(0.05 * plain.total_ms)


def test_an_unknown_error_is_said_to_be_unknown() -> None:
    assert predict(build("df1"), profile(roofline=Roofline(1.0, 10.0))).error_ms is None


def test_batch_normalisation_costs_nothing() -> None:
    assert predict(build("df1"), "tx2").total_ms == predict(build("df1", folded=True), "tx2").total_ms


def test_a_search_costs_blocks_as_nets() -> None:
    tx2 = load_profile("tx2")
    net = backbone_net([[64, 64], [128], [256, 512]])
    assert predict(net, tx2).total_ms == pytest.approx(
        sum(kernel_latency_ms(tx2, kernel) for kernel in kernels_of(net))
    )


@pytest.mark.parametrize("device", ["tx2", "gtx1080ti"])
def test_a_kernel_seen_before_is_looked_up(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    board = load_profile(device)
    kernels = list(dict.fromkeys(kernels_of(build("df2a"))))
    first = kernels_latency_ms(board, kernels)
    monkeypatch.setattr(Roofline, "ms", None)  # calling it fails
    assert kernels_latency_ms(board, kernels) == first
    with pytest.raises(TypeError, match="not callable"):
        kernels_latency_ms(replace(board), kernels)


def test_wider_nets_take_longer_on_every_device() -> None:
    for device in ("tx2", "gtx1080ti", "titanx", "snapdragon845"):
        narrow, wide = ([[64, 64], [128, 128], [256, 256]], [[128, 128], [256, 256], [512, 512]])
        assert predict(backbone_net(narrow), device).total_ms < predict(backbone_net(wide), device).total_ms
