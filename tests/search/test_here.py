"""Latencies of a space measured on this machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from dongfeng.architectures import backbone_net
from dongfeng.devices import kernels_of, predict, read_profile, write_profile
from dongfeng.search import Search, Space
from dongfeng.search.here import measure_space


@pytest.mark.slow
def test_every_block_of_the_space_is_measured_once(tmp_path: Path) -> None:
    builder = partial(backbone_net, size_hw=(32, 32), classes=5, stem=(4, 8))
    space = Space(((8,), (8,), (8,)), ((1, 1),) * 3, builder)
    steps: list[tuple[int, int]] = []
    profile = measure_space(
        space, tmp_path / "journal", rounds=1, repeats=1, on_progress=lambda done, total: steps.append((done, total))
    )
    assert steps[-1][0] == steps[-1][1] == len(steps)
    write_profile(profile, tmp_path / "device.json")
    kept = read_profile(tmp_path / "device.json")
    measured = {row.kernel for row in kept.kernels}
    convolutions = {kernel for kernel in kernels_of(space.build(space.example)) if kernel.main_operation == "conv"}
    assert convolutions
    assert convolutions <= measured
    search = Search(space, latency=kept, window_ms=(0, 1000))
    (encoding,) = search.ask(1)
    assert search.latency_ms(encoding) == pytest.approx(predict(space.build(encoding), kept).total_ms)
