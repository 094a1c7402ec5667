"""A run is a folder that may be killed at any moment, and ends as it would have."""

from __future__ import annotations

import csv
import json
import math
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from dongfeng import read_caffe
from dongfeng.errors import SearchError
from dongfeng.search import (
    Candidate,
    Encoding,
    EvaluationEvent,
    Result,
    SearchConfig,
    Space,
    export_front,
    run_search,
)
from dongfeng.search.encoding_text import encoding_text, parse_encoding
from dongfeng.search.export import spread, write_nets
from dongfeng.search.folder import SearchFolder
from dongfeng.search.plots import hypervolumes
from dongfeng.search.report import write_report
from dongfeng.search.run import read_run, search_status
from dongfeng.search.saved_config import CONFIG_JSON, SavedConfig
from tests.conftest import CHECKOUT
from tests.search.accuracies import BUDGET, SPACE, accuracy, found, latency_ms, patient

LOG, FRONT, PROGRESS = "candidates.jsonl", "front.csv", "progress.csv"


class Counted:
    """An evaluator that says how often it was asked, and fails where it is told to."""

    def __init__(self, fails: Callable[[Encoding], bool] = lambda encoding: False, dies_after: int = -1) -> None:
        self.calls, self.fails, self.dies_after = 0, fails, dies_after

    def __call__(self, encoding: Encoding) -> float:
        if self.calls == self.dies_after:
            raise KeyboardInterrupt
        self.calls += 1
        return math.nan if self.fails(encoding) else accuracy(encoding)

    def describe(self) -> dict[str, Any]:
        return {"kind": "counted"}


def log_of(folder: Path) -> list[dict[str, Any]]:
    """What a log says of candidates, in the order drawn, without what differs from run to run."""
    rows = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    kept = ("number", "encoding", "latency_ms", "accuracy")
    return [{key: row[key] for key in kept} for row in sorted(rows, key=lambda row: row["number"])]


def assert_same_run(folder: Path, other: Path) -> None:
    assert log_of(folder) == log_of(other)
    for name in (FRONT, PROGRESS):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def same(one: Result, other: Result) -> bool:
    """Equal, failures included."""
    return repr(one) == repr(other)


def test_a_folder_changes_nothing_in_the_result(tmp_path: Path) -> None:
    assert found(run_dir=tmp_path / "run") == found()
    rows = log_of(tmp_path / "run")
    assert [row["number"] for row in rows] == list(range(1, BUDGET + 1))


def test_the_log_and_the_tables_say_what_was_found(tmp_path: Path) -> None:
    result = found(run_dir=tmp_path)
    logged = [(row["encoding"], row["accuracy"]) for row in log_of(tmp_path)]
    assert logged == [([list(widths) for widths in each.encoding], each.accuracy) for each in result.evaluated]
    front = rows_of(tmp_path / FRONT)
    told = [(parse_encoding(row["encoding"]), float(row["accuracy"])) for row in front]
    assert told == [(each.encoding, each.accuracy) for each in result.front]
    last = rows_of(tmp_path / PROGRESS)[-1]
    assert {key: int(value) for key, value in last.items()} == {
        "evaluated": BUDGET,
        "pruned": result.pruned,
        "remaining": result.remaining,
    }


@pytest.mark.parametrize("batch", [1, 5])
def test_a_log_cut_anywhere_is_resumed_to_the_same_run(batch: int, tmp_path: Path) -> None:
    """Also in the middle of a line, as a kill or a full disk leaves it; only what is missing is evaluated again."""
    expected = found(run_dir=tmp_path / "whole", batch=batch, evaluate=Counted())
    log = (tmp_path / "whole" / LOG).read_bytes()
    rng = random.Random(batch)
    for length in [0, 1, len(log) - 1, len(log), *(rng.randrange(len(log)) for _ in range(12))]:
        for name in ("config.json", FRONT, PROGRESS):
            (tmp_path / "cut").mkdir(exist_ok=True)
            (tmp_path / "cut" / name).write_bytes((tmp_path / "whole" / name).read_bytes())
        (tmp_path / "cut" / LOG).write_bytes(log[:length])
        evaluate = Counted()
        assert found(run_dir=tmp_path / "cut", batch=batch, evaluate=evaluate) == expected
        assert evaluate.calls == BUDGET - log[:length].count(b"\n")
        assert_same_run(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (4, 2)])
def test_a_run_killed_at_random_moments_ends_as_an_undisturbed_one(
    batch: int, workers: int, tmp_path: Path, subprocess_env: dict[str, str]
) -> None:
    expected = found(patient, run_dir=tmp_path / "undisturbed", batch=batch)
    command = [sys.executable, "-m", "tests.search.accuracies", str(tmp_path / "run"), str(batch), str(workers)]
    rng, log = random.Random(workers), tmp_path / "run" / LOG
    left_at = []
    for _ in range(3):
        before, deadline = lines(log), time.monotonic() + 30
        with subprocess.Popen(command, env=subprocess_env, cwd=CHECKOUT) as process:
            while lines(log) == before and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(rng.random() * 0.15)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        left_at.append(lines(log))
    assert 0 < left_at[0] < left_at[1] < left_at[2] < BUDGET
    assert found(patient, run_dir=tmp_path / "run", batch=batch) == expected
    assert_same_run(tmp_path / "run", tmp_path / "undisturbed")


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.candidates, self.events = 0, list[EvaluationEvent]()

    def begun(self, candidates: int) -> None:
        self.candidates = candidates

    def evaluated(self, event: EvaluationEvent) -> None:
        self.events.append(event)


def test_a_configuration_is_the_same_search_and_a_listener_hears_of_every_candidate(tmp_path: Path) -> None:
    config = SearchConfig(
        space=SPACE, latency=latency_ms, evaluate=accuracy, window_ms=(25, 60), budget=BUDGET, seed=3, batch=4
    )
    found(run_dir=tmp_path, batch=4, budget=5)
    heard = Heard()
    result = run_search(config, tmp_path, heard)
    assert result == found(batch=4)
    assert [event.candidate for event in heard.events] == list(result.evaluated)
    assert [event.is_recalled for event in heard.events] == [True] * 5 + [False] * (BUDGET - 5)
    assert {sum(event.progress) for event in heard.events} == {heard.candidates}


def test_exported_nets_are_candidates_of_the_boundary(tmp_path: Path) -> None:
    result = found(run_dir=tmp_path, budget=20)
    nets = export_front(tmp_path, tmp_path / "nets", pick=2)
    assert [net.candidate for net in nets] == [result.front[0], result.front[-1]]
    assert read_caffe(nets[1].file).layers == SPACE.build(result.front[-1].encoding).layers


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_ctrl_c_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        found(Counted(dies_after=17), run_dir=tmp_path)
    assert lines(tmp_path / LOG) == 17
    assert len(rows_of(tmp_path / PROGRESS)) == 17
    evaluate = Counted()
    assert found(evaluate, run_dir=tmp_path) == found()
    assert evaluate.calls == BUDGET - 17


def test_a_larger_budget_goes_on_where_the_smaller_one_ended(tmp_path: Path) -> None:
    """Even where it ended within a batch."""
    assert len(found(Counted(), run_dir=tmp_path, budget=18, batch=4).evaluated) == 18
    evaluate = Counted()
    assert found(evaluate, run_dir=tmp_path, batch=4) == found(batch=4)
    assert evaluate.calls == BUDGET - 18


def test_failed_evaluations_are_remembered_as_such(tmp_path: Path) -> None:
    def fails(encoding: Encoding) -> bool:
        return encoding[0][0] == 16

    expected = found(Counted(fails))
    assert 0 < sum(math.isnan(each.accuracy) for each in expected.evaluated) < BUDGET
    assert same(found(Counted(fails), run_dir=tmp_path), expected)
    evaluate = Counted(fails)
    assert same(found(evaluate, run_dir=tmp_path), expected)
    assert evaluate.calls == 0
    assert {row["accuracy"] is None for row in log_of(tmp_path)} == {True, False}


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"seed": 4}, "seed is 3 there and 4 here"),
        ({"margin": 0.01}, "margin is 0.0 there and 0.01 here"),
        ({"batch": 2}, "batch is 1 there and 2 here"),
        ({"window_ms": (25, 50)}, "window_ms is"),
        ({"sampler": "surrogate"}, "sampler is uniform there and surrogate here"),
        ({"latency": len}, "latency.function is"),
        ({"evaluate": Counted()}, "evaluate.function is"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_folder_of_another_search_is_refused(changed: dict[str, Any], key: str, tmp_path: Path) -> None:
    found(run_dir=tmp_path, budget=3)
    before = (tmp_path / LOG).read_bytes()
    if "latency" in changed:
        changed = {"latency": lambda encoding: float(sum(map(sum, encoding))), "window_ms": (25, 60)}
    with pytest.raises(SearchError, match=re.escape(f"{tmp_path}: holds another search: {key}")):
        found(run_dir=tmp_path, **changed)
    assert (tmp_path / LOG).read_bytes() == before


def test_a_log_that_this_search_cannot_have_written_is_refused(tmp_path: Path) -> None:
    found(run_dir=tmp_path, budget=5)
    rows = (tmp_path / LOG).read_text().splitlines(keepends=True)
    (tmp_path / LOG).write_text("".join([rows[0].replace('"number": 1', '"number": 2'), *rows[2:]]))
    with pytest.raises(SearchError, match=r"candidate 2 is [\d,/]+, but this search draws [\d,/]+"):
        found(run_dir=tmp_path, budget=5)
    (tmp_path / LOG).write_text(rows[0] + '{"number": 2}\n')
    with pytest.raises(SearchError, match=rf"{re.escape(LOG)}:2: is no candidate of a search"):
        found(run_dir=tmp_path, budget=5)


def test_two_processes_cannot_be_at_one_run(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def wait(encoding: Encoding) -> float:
        inside.set()
        assert leave.wait(10)
        return accuracy(encoding)

    thread = threading.Thread(target=lambda: found(wait, run_dir=tmp_path, budget=1))
    thread.start()
    try:
        assert inside.wait(10)
        command = [sys.executable, "-m", "tests.search.accuracies", str(tmp_path), "1", "1"]
        other = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert "another process is at this search" in other.stderr
    finally:
        leave.set()
        thread.join()
    assert lines(tmp_path / LOG) == 1


def test_a_folder_without_a_run_is_none(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="holds no search"):
        read_run(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SearchError, match="is not the configuration of a search"):
        read_run(tmp_path)


def test_the_space_is_read_back_from_the_configuration(tmp_path: Path) -> None:
    found(run_dir=tmp_path, budget=1)
    space = SearchFolder(tmp_path).config().space()
    assert (space.widths, space.depths) == (SPACE.widths, SPACE.depths)
    assert space.build(SPACE.example) == SPACE.build(SPACE.example)


def test_a_space_with_a_builder_of_ones_own_is_not_imported_from_a_file() -> None:
    told = {"widths": [[8]], "depths": [[1, 1]], "timed_blob": None, "builder": {"function": "os.system"}}
    with pytest.raises(SearchError, match=r"built by os\.system, not by dongfeng"):
        SavedConfig(CONFIG_JSON.parse(json.dumps({"space": told}), source="config.json")).space()


def test_status_counts_and_lists_the_boundary(tmp_path: Path) -> None:
    result = found(run_dir=tmp_path)
    state = search_status(tmp_path).to_json()
    assert (state["evaluated"], state["pruned"], state["remaining"]) == (BUDGET, result.pruned, result.remaining)
    assert state["is_done"]
    assert [row["encoding"] for row in state["rows"]] == [encoding_text(each.encoding) for each in result.front]


def test_the_report_is_one_page_that_fetches_nothing_and_three_pictures(tmp_path: Path) -> None:
    result = found(run_dir=tmp_path)
    paths = write_report(tmp_path)
    assert sorted(path.name for path in paths) == sorted(
        [
            "report.html",
            *(f"{name}.{kind}" for name in ("scatter", "pruning", "hypervolume") for kind in ("svg", "png")),
        ]
    )
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg ") == 3
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert all(encoding_text(each.encoding) in page for each in result.front)
    for path in paths:
        if path.suffix == ".png":
            assert cv2.imread(str(path)).std() > 5
    before = {path: path.read_bytes() for path in paths}
    assert {path: path.read_bytes() for path in write_report(tmp_path)} == before


def test_a_run_without_any_accuracy_has_no_report(tmp_path: Path) -> None:
    found(Counted(lambda encoding: True), run_dir=tmp_path, budget=3)
    with pytest.raises(SearchError, match="no candidate has an accuracy yet"):
        write_report(tmp_path)


def test_hypervolumes_are_areas_below_the_boundary_so_far(tmp_path: Path) -> None:
    found(Counted(lambda encoding: encoding[0][0] == 16), run_dir=tmp_path, budget=25)
    records = read_run(tmp_path).records
    known = [each for each in records if not math.isnan(each.accuracy)]
    least, width = min(each.accuracy for each in known), (60 - 25) / 20_000
    for count, volume in enumerate(hypervolumes(records, (25, 60)), 1):
        area = 0.0
        for step in range(0, 20_000, 10):
            ms = 25 + (step + 5) * width
            best = [each.accuracy for each in known if each.number <= count and each.latency_ms <= ms]
            area += 10 * width * (max(best) - least if best else 0)
        assert volume == pytest.approx(area, abs=0.02)


def test_spread_takes_both_ends_and_evenly_between() -> None:
    front = [Candidate(((number,),), ms, 0.1 * number) for number, ms in enumerate((1, 2, 2.1, 2.2, 4, 9, 10), 1)]
    assert [each.latency_ms for each in spread(front, 3)] == [1, 4, 10]
    assert [each.latency_ms for each in spread(front, 4)] == [1, 4, 9, 10]
    assert [each.latency_ms for each in spread(front, 1)] == [10]
    for count in range(2, 9):
        chosen = spread(front, count)
        assert len(set(chosen)) == min(count, len(front))
        assert chosen[0] == front[0]
        assert chosen[-1] == front[-1]


def test_exported_nets_are_those_of_the_space(tmp_path: Path) -> None:
    space = Space.backbone()
    chosen = [
        Candidate(encoding, 1.0, 0.5) for encoding in (((64,), (128,), (256,)), ((64, 64), (128, 128), (256, 512)))
    ]
    paths = write_nets(space, chosen, tmp_path / "nets")
    assert [path.name for path in paths] == ["net1.prototxt", "net2.prototxt"]
    for path, candidate in zip(paths, chosen, strict=True):
        assert read_caffe(path).layers == space.build(candidate.encoding).layers
