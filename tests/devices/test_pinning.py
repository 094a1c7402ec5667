"""Which CPUs a process is confined to while something is measured."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dongfeng.devices.pinning import core_leaders, pinned


def test_one_cpu_of_each_core_comes_first(tmp_path: Path) -> None:
    for cpu in range(4):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    assert core_leaders(range(4), tmp_path) == [0, 1]
    assert core_leaders([2, 3], tmp_path) == [2, 3]
    assert core_leaders(range(4), tmp_path / "nowhere") == [0, 1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_a_block_is_kept_on_as_many_cpus_as_threads() -> None:
    before = os.sched_getaffinity(0)
    with pinned(1) as (threads, cpus):
        assert threads == 1
        assert cpus is not None
        assert os.sched_getaffinity(0) == set(cpus)
        assert len(cpus) == 1
    assert os.sched_getaffinity(0) == before
    with pinned(None) as (threads, cpus):
        assert cpus is not None
        assert len(cpus) == threads == len(core_leaders(before))
    with pinned(len(before) + 3) as (threads, cpus):
        assert (threads, cpus) == (len(before) + 3, tuple(sorted(before)))
