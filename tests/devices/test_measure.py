from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from dongfeng.devices import BackboneKernels, conv_kernel, kernels_of, measure_profile, predict
from dongfeng.devices.journal import Journal, Sample
from dongfeng.devices.kernel import Kernel
from dongfeng.devices.probe_nets import can_probe, probe
from dongfeng.devices.stopwatch import Stopwatch
from dongfeng.errors import BackendUnavailable, DeviceError
from dongfeng.net.graph import Net

POOL = Kernel("average pool", (7, 7), (1, 1), 1, 64, 64, (7, 7), (1, 1))
FC = Kernel("fc", (1, 1), (1, 1), 1, 512, 1000, (1, 1), (1, 1))
KERNELS = [
    conv_kernel(3, 32, 3, (32, 32), stride=2),
    conv_kernel(32, 32, 3, (16, 16), groups=32),
    conv_kernel(64, 128, 1, (15, 15), stride=2, fused="+add+relu"),
    conv_kernel(256, 512, 3, (64, 64)),
    POOL,
    FC,
]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_probes_differ_by_copies_of_the_unit_and_nothing_else(kernel: Kernel) -> None:
    made = probe(kernel)
    counts = [
        sum(
            each._replace(operation=each.main_operation) == kernel._replace(operation=kernel.main_operation)
            for each in kernels_of(net)
        )
        for net in made[:2]
    ]
    assert counts[1] - counts[0] == made.copies
    if kernel.macs:
        assert sum(cost.macs for cost in made.more.cost()) - sum(cost.macs for cost in made.less.cost()) == (
            made.copies * kernel.macs
        )


def test_the_space_has_the_units_of_the_released_backbones() -> None:
    from dongfeng.devices import timed_net

    kernels = set(BackboneKernels().kernels())
    for name in ("df1", "df2", "df2a"):
        assert set(kernels_of(timed_net(name, (224, 224)))) <= kernels
    assert all(can_probe(kernel) for kernel in kernels)
    assert len(BackboneKernels(widths=(64, 128), bottlenecks=False).kernels()) < len(kernels) / 3


def test_calibration_nets_are_of_the_space_and_not_of_the_zoo() -> None:
    from dongfeng.devices import timed_net

    for space in (
        BackboneKernels(),
        BackboneKernels(widths=(64, 128)),
        BackboneKernels((256, 512), widths=(64,), bottlenecks=False),
    ):
        kernels = set(space.kernels())
        for net in space.calibration_nets():
            assert set(kernels_of(net)) <= kernels
    published = [kernels_of(timed_net(name, (224, 224))) for name in ("df1", "df2", "df2a")]
    assert all(kernels_of(net) not in published for net in BackboneKernels().calibration_nets())


class FakeStopwatch(Stopwatch):
    """A machine that takes 1 ms per million products and 0.5 ms more for each kernel of a net, and dies when told to."""

    calls = itertools.count()
    dies_at = 10**9
    slowdown = 1.0

    def kernel(self, kernel: Kernel, repeats: int) -> Sample:
        self._tick()
        return Sample(self.slowdown * (kernel.macs / 1e6 + 0.01), self.slowdown * 2.0)

    def nets(self, nets: list[Net], repeats: int) -> list[Sample]:  # type: ignore[override]
        self._tick()
        kernels = [kernels_of(net) for net in nets]
        return [Sample(self.slowdown * sum(u.macs / 1e6 + 0.51 for u in each), self.slowdown * 2.0) for each in kernels]

    def _tick(self) -> None:
        if next(FakeStopwatch.calls) >= FakeStopwatch.dies_at:
            raise KeyboardInterrupt


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeStopwatch]:
    monkeypatch.setattr("dongfeng.devices.measure.Stopwatch", FakeStopwatch)
    monkeypatch.setattr(FakeStopwatch, "calls", itertools.count())
    monkeypatch.setattr(FakeStopwatch, "dies_at", 10**9)
    monkeypatch.setattr(FakeStopwatch, "slowdown", 1.0)
    return FakeStopwatch


SPACE = BackboneKernels(widths=(64, 128), bottlenecks=False)


def measured(journal: Path, **options: object):
    return measure_profile(
        journal,
        kernels=SPACE.kernels(),
        calibration=SPACE.calibration_nets(),
        backend="onnxruntime",
        rounds=2,
        **options,
    )


def test_a_killed_measurement_goes_on_where_it_ended(fake: type[FakeStopwatch], tmp_path: Path) -> None:
    """Killed after every so many measurements, and in the middle of a line, it still measures each thing once."""
    seen: list[tuple[int, int]] = []
    whole = measured(tmp_path / "whole.jsonl", on_progress=lambda done, total: seen.append((done, total)))
    in_all = next(fake.calls)
    assert seen[-1] == (in_all, in_all)
    journal = tmp_path / "pieces.jsonl"
    for _ in range(in_all):
        fake.calls, fake.dies_at = itertools.count(), 7
        try:
            pieces = measured(journal)
        except KeyboardInterrupt:
            with journal.open("ab") as file:
                file.write(b'{"key": "half a li')
        else:
            break
    assert pieces.kernels == whole.kernels
    assert (pieces.gap_us, pieces.roofline) == (whole.gap_us, whole.roofline)
    assert len(journal.read_bytes().splitlines()) == 1 + in_all
    assert whole.gap_us == pytest.approx(500, rel=1e-3)
    assert whole.sum_error == pytest.approx(0, abs=1e-3)


def test_a_machine_that_is_slow_for_a_while_still_adds_up(fake: type[FakeStopwatch], tmp_path: Path) -> None:
    quiet = measured(tmp_path / "quiet.jsonl")
    fake.calls, fake.dies_at = itertools.count(), 60
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path / "busy.jsonl")
    fake.dies_at, fake.slowdown = 10**9, 1.7
    busy = measured(tmp_path / "busy.jsonl")
    net = SPACE.backbone(((64,), (64, 128), (128,)))
    assert predict(net, busy).total_ms == pytest.approx(predict(net, quiet).total_ms, rel=0.02)


def test_a_journal_of_something_else_is_refused(fake: type[FakeStopwatch], tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    measured(journal)
    with pytest.raises(DeviceError, match=r"measured with threads null, not 2; give another file"):
        measured(journal, threads=2)
    journal.write_text("hello\n")
    with pytest.raises(DeviceError, match=r"journal.jsonl:1: not JSON"):
        measured(journal)
    journal.write_text("[1]\n")
    with pytest.raises(DeviceError, match=r"journal.jsonl:1: expected an object"):
        measured(journal)
    journal.write_text("{}\n")
    with pytest.raises(DeviceError, match="not a journal"):
        measured(journal)


@pytest.mark.parametrize(
    "row",
    [
        {"key": 1, "round": 0, "ms": 1, "yardstick_ms": 1},
        {"key": "a", "round": 0, "ms": -1, "yardstick_ms": 1},
        {"key": "a", "round": 0, "ms": 1, "yardstick_ms": 0},
        {"key": "a", "round": 0, "ms": 1},
        {"key": "a", "round": "x", "ms": 1, "yardstick_ms": 1},
    ],
)
def test_a_damaged_line_is_named(row: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path, {"machine": "m"}).add("a", 0, Sample(1.0, 1.0))
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(DeviceError, match=r"journal.jsonl:3: not a measurement; delete the line"):
        Journal(path, {"machine": "m"})


def test_a_backend_that_is_not_there_and_units_that_cannot_be_probed(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="no backend is called"):
        measure_profile(tmp_path / "j.jsonl", backend="abacus")
    softmax = Kernel("softmax", (1, 1), (1, 1), 1, 19, 19, (64, 64), (64, 64))
    with pytest.raises(DeviceError, match="none of these kernels can be probed"):
        measure_profile(tmp_path / "j.jsonl", kernels=[softmax])


@pytest.mark.slow
def test_on_this_machine_more_work_takes_longer(tmp_path: Path) -> None:
    """Real runs; how near the predictions come is measured by benchmarks/devices.py, on a quiet machine."""
    small, large = conv_kernel(64, 64, 3, (28, 28)), conv_kernel(256, 256, 3, (28, 28))
    space = BackboneKernels(widths=(64,), bottlenecks=False)
    profile = measure_profile(
        tmp_path / "j.jsonl",
        kernels=[small, large, POOL, FC],
        calibration=[],
        backend="onnxruntime",
        threads=1,
        rounds=1,
    )
    times = {row.kernel: row.ms for row in profile.kernels}
    assert 4 * times[small] < times[large] < 100 * times[small]
    assert times[POOL] < times[large]
    assert profile.threads == 1
    assert predict(space.backbone(((64,), (64,), (64,))), profile).total_ms > 0
