"""What is sent to a board, and what comes of its answer; the way there has tests of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from dongfeng.backends.tensorrt.trtexec import remote
from dongfeng.backends.tensorrt.trtexec.output import Latency, TrtexecTiming
from dongfeng.backends.tensorrt.trtexec.remote import RemoteResult
from dongfeng.benchmark.board import SshBoard
from dongfeng.benchmark.device_report import device_report
from dongfeng.benchmark.report_file import write_report


def answer(target: str, ms: float) -> RemoteResult:
    timing = TrtexecTiming(Latency(mean_ms=9.0, median_ms=ms), None, None, "8.2.1")
    return RemoteResult(target, "tx2", "any", timing, "0" * 64, "trtexec")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `measure_remote` was asked, with the model's opset and input."""
    found: list[dict[str, Any]] = []

    def measure(target: str, path: Path, **options: Any) -> RemoteResult:
        model = onnx.load(path)
        onnx.checker.check_model(model)
        (given,) = model.graph.input
        shape = [dim.dim_value for dim in given.type.tensor_type.shape.dim]
        found.append({"target": target, "opset": model.opset_import[0].version, "shape": shape, **options})
        return answer(target, 1.0 + len(found))

    monkeypatch.setattr(remote, "measure_remote", measure)
    return found


def test_each_row_is_measured_in_the_profiles_precision(asked: list[dict[str, Any]]) -> None:
    before = device_report("tx2", ["df1seg"])
    after = device_report("tx2", ["df1seg"], board=SshBoard("user@board", port=2222, identity="key"))
    assert [(each["precision"], each["opset"], each["shape"]) for each in asked] == [
        ("fp16", 13, [1, 3, 384, 640]),
        ("fp16", 13, [1, 3, 736, 1280]),
    ]
    assert {(each["target"], each["port"], each["identity"], each["device"]) for each in asked} == {
        ("user@board", 2222, "key", "tx2")
    }
    assert {(each["trtexec"], each["known_hosts"]) for each in asked} == {("trtexec", None)}
    assert [row.measured_ms for row in after.rows] == [2.0, 3.0]
    for row, known in zip(after.rows, before.rows, strict=True):
        assert row.measured_source == "user@board, TensorRT 8.2.1, median GPU time, TensorRT"
        assert (row.published_ms, row.predicted_ms, row.key) == (known.published_ms, known.predicted_ms, known.key)
    assert after.notes[-1] == "measured on user@board with random weights, which do not change the speed"
    assert {row.measured_ms for row in before.rows} == {None}


def test_another_precision_gets_a_row_of_its_own(asked: list[dict[str, Any]]) -> None:
    """What is published and predicted is of the profile's precision, and stands beside no other."""
    known, alone = device_report("tx2", ["df1"], board=SshBoard("b"), precisions=["fp32"]).rows
    assert (known.precision, known.measured_ms, known.published_ms) == ("fp16", None, 2.5)
    assert (alone.precision, alone.measured_ms) == ("fp32", 2.0)
    assert (alone.published_ms, alone.predicted_ms, alone.backend) == (None, None, "TensorRT")
    assert [each["precision"] for each in asked] == ["fp32"]


def test_what_was_measured_can_be_shown_later(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "board.json"
    write_report(device_report("tx2", ["df1"], board=SshBoard("b")), file)
    row = device_report("tx2", measured=file).rows[0]
    assert (row.model, row.measured_ms, row.measured_source) == ("df1", 2.0, str(file))
    assert len(asked) == 1
