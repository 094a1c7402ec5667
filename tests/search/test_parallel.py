"""Candidates evaluated by processes and by Ray: nothing of the result depends on who evaluates, or dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dongfeng.errors import BackendUnavailable, SearchError
from dongfeng.search import Encoding
from dongfeng.search.evaluators import ProcessEvaluator, RayEvaluator, candidate_seed
from tests.conftest import CHECKOUT
from tests.search.accuracies import BUDGET, accuracy, dying, found, uneven


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "candidates.jsonl").read_text().splitlines()]


def refuse(encoding: Encoding) -> float:
    raise SearchError(f"{encoding} is not to be had")


def word(encoding: Encoding) -> str:
    return "good"


class Seeded:
    """An evaluator that has seeds."""

    def __call__(self, encoding: Encoding) -> float:
        return self.seed_of(encoding) / 2**31

    def seed_of(self, encoding: Encoding) -> int:
        return candidate_seed(7, encoding)

    def describe(self) -> dict[str, Any]:
        return {"kind": "seeded"}


@pytest.mark.slow
def test_processes_find_what_one_finds_whoever_is_done_first(tmp_path: Path) -> None:
    expected = found(accuracy, batch=4)
    with ProcessEvaluator(uneven, 3) as evaluate:
        assert found(evaluate, batch=4, run_dir=tmp_path) == expected
    rows = rows_of(tmp_path)
    assert len({row["worker"] for row in rows}) > 1
    assert f":{os.getpid()}" not in "".join(row["worker"] for row in rows)
    numbers = [row["number"] for row in rows]
    assert numbers != sorted(numbers)  # they were not done in order, and logged at once
    assert sorted(numbers) == list(range(1, BUDGET + 1))


@pytest.mark.slow
def test_what_a_killed_process_was_at_is_evaluated_again(tmp_path: Path) -> None:
    flag = tmp_path / "killed"
    with ProcessEvaluator(partial(dying, flag=flag, times=2), 2) as evaluate:
        assert found(evaluate, batch=4) == found(accuracy, batch=4)
    killed = [path.read_text() for path in tmp_path.glob("killed*")]
    assert len(set(killed)) == 2


@pytest.mark.slow
def test_processes_that_always_die_end_the_search(tmp_path: Path) -> None:
    with (
        ProcessEvaluator(partial(dying, flag=tmp_path / "killed", times=1000), 1, retries=1) as evaluate,
        pytest.raises(SearchError, match="worker processes died 2 times in a row"),
    ):
        found(evaluate, batch=2)


@pytest.mark.slow
def test_errors_of_an_evaluator_come_through_a_process(tmp_path: Path) -> None:
    with ProcessEvaluator(refuse, 1) as evaluate, pytest.raises(SearchError, match="is not to be had"):
        found(evaluate)
    with ProcessEvaluator(word, 1) as evaluate, pytest.raises(SearchError, match="expected a number.*'good'"):
        found(evaluate)


def test_what_cannot_be_pickled_is_refused_at_once() -> None:
    with pytest.raises(SearchError, match="cannot be sent to another process .*; define it at the top of a module"):
        ProcessEvaluator(lambda encoding: 0.5, 2)
    with pytest.raises(SearchError, match="workers: expected a whole number of at least 1, got 0"):
        ProcessEvaluator(accuracy, 0)


def test_what_evaluates_in_parallel_is_described_as_what_is_evaluated() -> None:
    inner = Seeded()
    for evaluate in (ProcessEvaluator(inner, 2), RayEvaluator(inner)):
        assert evaluate.describe() == inner.describe()
        assert evaluate.seed_of(((8,), (8,), (8,))) == inner.seed_of(((8,), (8,), (8,)))


def test_the_log_has_the_seed_of_each_candidate(tmp_path: Path) -> None:
    found(Seeded(), run_dir=tmp_path, budget=3)
    for row in rows_of(tmp_path):
        assert row["seed"] == candidate_seed(7, tuple(map(tuple, row["encoding"])))


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_processes_end_with_their_parent(how: signal.Signals, tmp_path: Path, subprocess_env: dict[str, str]) -> None:
    """A test that runs in the background passes on that it ignores Ctrl-C, hence the first line."""
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tests.search.accuracies import *; from dongfeng.search.evaluators import ProcessEvaluator\n"
        f"if __name__ == '__main__': found(ProcessEvaluator(partial(patient, seconds=1), 2), run_dir={str(tmp_path)!r},"
        " batch=4)"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    command = [sys.executable, str(script)]
    env = {**subprocess_env, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{subprocess_env['PYTHONPATH']}"}
    log, deadline = tmp_path / "candidates.jsonl", time.monotonic() + 30
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, start_new_session=True) as process:
        while (not log.exists() or log.read_bytes().count(b"\n") < 2) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(how)
        process.communicate(timeout=20)
    workers = {int(row["worker"].rpartition(":")[2]) for row in rows_of(tmp_path)}
    assert len(workers) == 2
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster of this machine with two workers."""
    ray = pytest.importorskip("ray")
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": str(CHECKOUT)}},
    )
    yield ray
    ray.shutdown()


@pytest.mark.slow
def test_two_ray_workers_one_of_them_killed_in_the_middle_of_a_candidate(ray: Any, tmp_path: Path) -> None:
    """The run ends as it would have."""
    flag = tmp_path / "killed"
    (tmp_path / "undisturbed").mkdir()
    expected = found(RayEvaluator(partial(dying, flag=flag, times=0)), batch=4, run_dir=tmp_path / "undisturbed")
    assert expected == found(accuracy, batch=4)
    assert (
        found(RayEvaluator(partial(dying, flag=flag, times=1, seconds=0.05)), batch=4, run_dir=tmp_path / "run")
        == expected
    )
    killed = int((tmp_path / "killed0").read_text())
    workers = {int(row["worker"].rpartition(":")[2]) for row in rows_of(tmp_path / "run")}
    assert len(workers) > 1
    assert not is_running(killed)
    assert killed not in workers  # it had finished nothing
    for name in ("front.csv", "progress.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


@pytest.mark.slow
def test_ray_tells_errors_and_lost_workers(ray: Any, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="is not to be had"):
        found(RayEvaluator(refuse))
    dies = RayEvaluator(partial(dying, flag=tmp_path / "killed", times=1000), retries=1)
    with pytest.raises(SearchError, match=r"[\d,/]+: its workers were lost again and again"):
        found(dies, budget=1)


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendUnavailable, match=r'pip install "dongfeng\[ray\]"'):
        found(RayEvaluator(accuracy))
