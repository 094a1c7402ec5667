"""Progress: plain lines in each unit, and a bar on a terminal that hides nothing."""

from __future__ import annotations

import sys

import pytest
from rich.progress import Progress as RichProgress

from dongfeng.support import progress
from dongfeng.support.progress import Bar, Progress, show_progress

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def _every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_PER_LINE", 0)


def test_a_share_has_a_line_for_each_tenth(capsys: Captured) -> None:
    with show_progress("measure", "share") as shown:
        for share in (0.0, 0.05, 0.1, 0.19, 0.2, 0.7, 0.3, 1.0):
            shown.update(share)
    assert capsys.readouterr().err.splitlines() == [f"measure: {tenths}0 %" for tenths in (1, 2, 7, 10)]


def test_a_share_may_be_a_count_of_a_total(capsys: Captured) -> None:
    with show_progress("measure", "share") as shown:
        for done in range(41):
            shown.update(done, 40)
    assert capsys.readouterr().err.splitlines() == [f"measure: {tenths}0 %" for tenths in range(1, 11)]


@pytest.mark.usefixtures("_every_line")
def test_frames_are_counted_with_and_without_a_total(capsys: Captured) -> None:
    for total in (2, None):
        with show_progress("drive.mp4", "frames", total) as shown:
            shown.advance()
            shown.advance()
    assert capsys.readouterr().err.splitlines() == [
        *("drive.mp4: 1 of 2 frames", "drive.mp4: 2 of 2 frames"),
        *("drive.mp4: 1 frames", "drive.mp4: 2 frames"),
    ]


def test_lines_come_now_and_then_and_a_download_ends_with_one(capsys: Captured) -> None:
    with show_progress("net.caffemodel", "bytes") as shown:
        shown.note("fetching from example.org")
        for done in (1_000_000, 2_000_000, 2_500_000):
            shown.update(done, 2_500_000)
    assert capsys.readouterr().err == "net.caffemodel: fetching from example.org\nnet.caffemodel: 2.5 MB of 2.5 MB\n"


def test_steps_begin_with_a_line(capsys: Captured) -> None:
    with show_progress("", "steps", 100) as shown:
        shown.update(10, text="loss 0.5")
        shown.update(20, text="loss 0.4")
        shown.note("step 20: mIoU 3 %")
    assert capsys.readouterr().err == "step 10: loss 0.5\nstep 20: mIoU 3 %\n"


def test_nothing_is_shown_where_it_is_not_wanted(capsys: Captured) -> None:
    with show_progress("net", "bytes", enabled=False) as shown:
        shown.update(1, 1)
        shown.advance()
        shown.note("never")
    assert type(shown) is Progress
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("unit", ["steps", "frames", "bytes", "share"])
def test_a_bar_takes_names_literally_and_leaves_stdout_alone(
    unit: progress.Unit, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with show_progress("a[b]", unit, 1) as shown:
        assert isinstance(shown, Bar)
        shown.update(0.5 if unit == "share" else 1, text="[loss]")
        shown.advance()
        shown.note("[half]")
        sys.stdout.write("result\n")
    out, err = capsys.readouterr()
    assert out == "result\n"
    assert "a[b]: [half]\n" in err


def test_a_second_bar_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older versions of rich allow one live display only."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with RichProgress(disable=False), show_progress("net", "bytes") as shown:
        shown.update(1, 2)
        shown.advance()
        shown.note("text")
