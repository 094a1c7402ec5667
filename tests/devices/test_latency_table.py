from __future__ import annotations

import numpy as np
import pytest

from dongfeng.devices import MeasuredKernel, Roofline, conv_kernel
from dongfeng.devices.kernel import Kernel
from dongfeng.devices.latency_table import LatencyTable
from dongfeng.devices.profile import averaged
from dongfeng.devices.roofline_fit import fit_to_kernels, fit_to_networks

SIZES = ((112, 112), (56, 56), (28, 28), (14, 14), (7, 7))
WIDTHS = (16, 64, 256, 512)
CONVS = [
    conv_kernel(c_in, c_out, kernel, size, stride=stride)
    for c_in in WIDTHS
    for c_out in WIDTHS
    for size in SIZES
    for kernel, stride in ((1, 1), (3, 1), (3, 2))
]
DECONVS = [Kernel("deconv", (4, 4), (2, 2), c, c, c, (n, n), (2 * n, 2 * n)) for c in (19, 64, 256) for n in (16, 64)]
TRUE = Roofline(2.0, 40.0, kernel_us=12.0, deconv_traffic=6.0)


def test_a_roofline_counts_as_written() -> None:
    """One kernel that computes, one that moves data: by hand."""
    roofline = Roofline(tflops=1.0, gb_per_s=10.0, kernel_us=5.0, bytes_per_value=2)
    busy = conv_kernel(512, 512, 3, (32, 32))
    assert roofline.ms([busy])[0] == pytest.approx(2 * 512 * 512 * 9 * 1024 / 1e12 * 1e3 + 0.005)
    copy = Kernel("copy", (1, 1), (1, 1), 1, 64, 64, (100, 100), (100, 100))
    assert roofline.ms([copy])[0] == pytest.approx(2 * 2 * 64 * 1e4 / 10e9 * 1e3 + 0.005)


def test_a_fit_finds_the_roofline_its_units_came_from() -> None:
    kernels = [*CONVS, *DECONVS]
    found = fit_to_kernels(kernels, TRUE.ms(kernels))
    for name in ("tflops", "gb_per_s", "kernel_us", "deconv_traffic"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=2e-3)
    assert found.error == pytest.approx(0, abs=2e-3)


def test_a_few_odd_units_do_not_bend_a_fit() -> None:
    kernels = [*CONVS, *DECONVS]
    ms = TRUE.ms(kernels)
    ms[::12] *= 5
    found = fit_to_kernels(kernels, ms)
    assert found.tflops == pytest.approx(TRUE.tflops, rel=0.1)
    assert found.gb_per_s == pytest.approx(TRUE.gb_per_s, rel=0.1)


def test_a_fit_to_networks_finds_the_roofline_and_keeps_within_bounds() -> None:
    rng = np.random.default_rng(0)
    kernels = [*CONVS, *DECONVS]
    networks = [[kernels[i] for i in rng.integers(0, len(kernels), 40)] for _ in range(24)]
    ms = [float(TRUE.ms(network).sum()) for network in networks]
    found = fit_to_networks(networks, ms)
    assert found.tflops == pytest.approx(TRUE.tflops, rel=0.02)
    assert found.gb_per_s == pytest.approx(TRUE.gb_per_s, rel=0.02)
    assert fit_to_networks(networks, ms, at_most={"tflops": 1.5}).tflops <= 1.5


def odd_device(kernel: Kernel) -> float:
    """Not a roofline: kernels have efficiencies of their own, as real ones do."""
    efficiency = 0.5 if kernel.window_hw == (1, 1) else 1.3 if kernel.stride_hw == (1, 1) else 0.8
    return float(TRUE.ms([kernel])[0]) / efficiency


def test_neighbours_know_more_than_the_roofline() -> None:
    known, hidden = CONVS[::2], CONVS[1::2]
    roofline = fit_to_kernels(known, [odd_device(kernel) for kernel in known])
    table = LatencyTable({kernel: (odd_device(kernel), 0.01) for kernel in known}, roofline)
    truth = np.array([odd_device(kernel) for kernel in hidden])
    interpolated = np.array([table(kernel).ms for kernel in hidden])
    assert np.median(np.abs(interpolated / truth - 1)) < 0.5 * np.median(np.abs(roofline.ms(hidden) / truth - 1))
    assert {table(kernel).basis for kernel in hidden} == {"interpolated"}


def test_where_each_estimate_comes_from() -> None:
    known = CONVS[::2]
    table = LatencyTable(
        {kernel: (2 * float(TRUE.ms([kernel])[0]), 0.01) for kernel in known}, Roofline(2, 40, 12, error=0.3)
    )
    assert table(known[3]) == (2 * TRUE.ms([known[3]])[0], 0.01, "looked up")
    between = table(CONVS[1])
    assert between.basis == "interpolated"
    assert between.ms == pytest.approx(2 * TRUE.ms([CONVS[1]])[0])  # twice the roofline everywhere: so here too
    assert table(conv_kernel(64, 64, 3, (56, 56), groups=64)).basis == "modelled"
    softmax = Kernel("softmax", (1, 1), (1, 1), 1, 19, 19, (64, 64), (64, 64))
    assert table(softmax) == (Roofline(2, 40, 12).ms([softmax])[0], 0.3, "modelled")


def test_the_error_of_an_interpolation_grows_with_distance() -> None:
    rng = np.random.default_rng(1)
    known = [kernel for kernel in CONVS if kernel.in_hw != (112, 112)]
    noisy = {kernel: (float(TRUE.ms([kernel])[0]) * rng.lognormal(0, 0.2), 0.01) for kernel in known}
    table = LatencyTable(noisy, Roofline(2, 40, 12, error=5.0))
    near, far = conv_kernel(96, 64, 3, (28, 28)), conv_kernel(96, 64, 3, (896, 896))
    assert 0.05 < (table(near).error or 0) < (table(far).error or 0)


def test_a_table_of_one_unit_still_answers() -> None:
    kernel = CONVS[0]
    table = LatencyTable({kernel: (1.0, 0.0)}, Roofline(2, 40, 12))
    assert table(kernel).ms == 1.0
    assert table(CONVS[1]).ms > 0


def test_samples_of_one_unit_are_averaged() -> None:
    first, second = CONVS[:2]
    rows = averaged([(first, 1.0), (second, 5.0), (first, 3.0)])
    assert rows == (MeasuredKernel(first, 2.0, 2, round(2**0.5 / 2, 4)), MeasuredKernel(second, 5.0, 1, 0.0))
