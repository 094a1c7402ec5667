"""What real trtexecs have printed, whole, cut short and damaged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dongfeng.backends.tensorrt.trtexec.output import Latency, last_error, parse_timing, version_of
from dongfeng.backends.tensorrt.trtexec.profile import read_trtexec
from dongfeng.errors import DeviceError

TEXTS = ("trt7.txt", "trt8_2.txt", "trt8_4.txt", "trt10.txt")


@pytest.fixture
def logs(shared: Path) -> Path:
    return shared / "research/trtexec"


# in the form of TensorRT 5 and 6, and of a whole log of 7
TRT5 = """\
&&&& RUNNING TensorRT.trtexec # ./trtexec --deploy=net.prototxt --output=prob
[I] output: prob
[I] Average over 10 runs is 2.5 ms (host walltime is 2.75 ms, 99% percentile time is 2.625).
[I] Average over 10 runs is 3.5 ms (host walltime is 4.25 ms, 99% percentile time is 3.625).
&&&& PASSED TensorRT.trtexec # ./trtexec --deploy=net.prototxt --output=prob
"""
TRT7_WHOLE = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v7103] # trtexec --onnx=net.onnx
[06/12/2022-22:34:00] [I] Average on 10 runs - GPU latency: 99 ms - Host latency: 99 ms (end to end 3 ms, enqueue 1 ms)
[06/12/2022-22:34:00] [I] Host Latency
[06/12/2022-22:34:00] [I] min: 1.75 ms (end to end 1.75 ms)
[06/12/2022-22:34:00] [I] max: 3 ms (end to end 7 ms)
[06/12/2022-22:34:00] [I] mean: 2 ms (end to end 3 ms)
[06/12/2022-22:34:00] [I] median: 1.875 ms (end to end 3 ms)
[06/12/2022-22:34:00] [I] percentile: 2.5 ms at 99% (end to end 3 ms at 99%)
[06/12/2022-22:34:00] [I] throughput: 512.5 qps
[06/12/2022-22:34:00] [I] walltime: 3 s
[06/12/2022-22:34:00] [I] Enqueue Time
[06/12/2022-22:34:00] [I] min: 0.5 ms
[06/12/2022-22:34:00] [I] max: 0.75 ms
[06/12/2022-22:34:00] [I] median: 0.625 ms
[06/12/2022-22:34:00] [I] GPU Compute
[06/12/2022-22:34:00] [I] min: 1.25 ms
[06/12/2022-22:34:00] [I] max: 2.75 ms
[06/12/2022-22:34:00] [I] mean: 1.5 ms
[06/12/2022-22:34:00] [I] median: 1.375 ms
[06/12/2022-22:34:00] [I] percentile: 2.25 ms at 99%
[06/12/2022-22:34:00] [I] total compute time: 2.5 s
&&&& PASSED TensorRT.trtexec [TensorRT v7103] # trtexec --onnx=net.onnx
"""


@pytest.mark.parametrize(
    ("name", "gpu", "host_median_ms", "qps", "version"),
    [
        ("trt8_2.txt", Latency(0.564682, 0.564087, 0.554932, 0.58374, 0.578552), 0.572998, 27207, None),
        ("trt8_4.txt", Latency(0.388221, 0.388443, 0.375977, 0.403564, 0.393188), 0.401947, 41087.7, "8.4.0"),
        ("trt10.txt", Latency(7.58404, 7.14139, 5.34595, 13.3388, 12.9485), 7.16092, 130.298, None),
        ("trt7.txt", Latency(1.55896), 1.65601, None, None),  # its log ends before the GPU's block
    ],
)
def test_real_logs(
    logs: Path, name: str, gpu: Latency, host_median_ms: float, qps: float | None, version: str | None
) -> None:
    found = parse_timing((logs / name).read_text())
    assert found.gpu == gpu
    assert found.host is not None
    assert found.host.median_ms == host_median_ms
    assert (found.throughput_qps, found.version) == (qps, version)
    assert found.latency_ms == (gpu.mean_ms if gpu.median_ms is None else gpu.median_ms)


def test_tensorrt_5_and_6() -> None:
    found = parse_timing(TRT5)
    assert (found.gpu, found.host) == (Latency(3.0), Latency(3.5))
    assert (found.headline, found.latency_ms, found.throughput_qps, found.version) == ("mean", 3.0, None, None)


def test_tensorrt_7_whole() -> None:
    found = parse_timing(TRT7_WHOLE)
    assert found.gpu == Latency(1.5, 1.375, 1.25, 2.75, 2.25)
    assert found.host == Latency(2.0, 1.875, 1.75, 3.0, 2.5)
    assert (found.headline, found.throughput_qps, found.version) == ("median", 512.5, "7.1.3")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("&&&& PASSED TensorRT.trtexec [TensorRT v8400] # trtexec", "8.4.0"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8201] # trtexec", "8.2.1"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b26] # trtexec", "10.3.0"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v101401] [b12] # trtexec", "10.14.1"),
        ("[I] TensorRT version: 8.6.3", "8.6.3"),
        ("&&&& RUNNING TensorRT.trtexec # trtexec", None),
    ],
)
def test_versions(text: str, version: str | None) -> None:
    assert version_of(text) == version


@pytest.mark.parametrize("name", TEXTS)
def test_the_same_log_in_other_clothes(logs: Path, name: str) -> None:
    text = (logs / name).read_text()
    expected = parse_timing(text)
    assert parse_timing(text.replace("\n", "\r\n")) == expected
    assert parse_timing(re.sub(r"^\[\d\d/.*?\] \[I\] ", "", text, flags=re.MULTILINE)) == expected
    assert parse_timing(re.sub(r"^\[\d\d/.*?\] ", "", text, flags=re.MULTILINE)) == expected
    assert parse_timing(f"Welcome to the board: have fun\n{text}[W] * GPU compute time is unstable: 5 %\n") == expected


@pytest.mark.parametrize("name", TEXTS)
def test_a_log_that_is_cut_anywhere_gives_its_figures_or_an_error(logs: Path, name: str) -> None:
    """Never other figures: half a number is none."""
    text = (logs / name).read_text()
    whole = parse_timing(text)
    read = 0
    for end in range(len(text)):
        try:
            found = parse_timing(text[:end])
        except DeviceError:
            continue
        read += 1
        assert found.latency_ms == whole.latency_ms
        assert found.gpu.p99_ms in (whole.gpu.p99_ms, None)
        assert found.throughput_qps == whole.throughput_qps
    assert 0 < read < len(text) / 2


@pytest.mark.parametrize("name", ["trt8_2.txt", "trt8_4.txt", "trt10.txt"])
@pytest.mark.parametrize("figure", ["min", "max", "mean", "median"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "1e999", "", "0,5", "1e9", "0x1p3"])
def test_a_damaged_figure_is_refused(logs: Path, name: str, figure: str, value: str) -> None:
    text = (logs / name).read_text()
    broken, times = re.subn(rf"(GPU Compute Time: .*{figure} = )\S+ ms", rf"\g<1>{value} ms", text)
    assert times == 1
    if (figure, value) == ("max", "1e9"):  # a single run may well be that slow
        assert parse_timing(broken).gpu.max_ms == 1e9
        return
    with pytest.raises(DeviceError, match=r'trtexec\'s (line )?"GPU Compute Time" is damaged|no time'):
        parse_timing(broken)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "it is empty"),
        ("potato\n\x1b[31mred\n", 'it ends with "[31mred"'),
        ("=== Performance summary ===\nThroughput: 5 qps\n", 'cut off: no line "GPU Compute Time"'),
        ("=== Performance summary ===\nGPU Compute Time: min = 1 ms, max = 2 ms, mean = 1.5 ms", "median is missing"),
        ("Host Latency\nmin: 1 ms\nmax: 2 ms\nmean: 1 ms\nmedian: 1 ms\n", 'no block "GPU Compute"'),
        ("Average on 10 runs - GPU latency: 1 ms - Host latency: 2 ms (enqueue 1 ms)", "not the output of a whole run"),
        ("[E] Engine set up failed\n&&&& FAILED TensorRT.trtexec", "trtexec failed: Engine set up failed"),
        (TRT7_WHOLE.replace("median: 1.375 ms\n", "\n"), '"GPU Compute" is cut off: median is missing'),
        ("x" * 5000, "x..."),
    ],
)
def test_what_cannot_be_read(text: str, part: str) -> None:
    with pytest.raises(DeviceError) as caught:
        parse_timing(text)
    assert part in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_two_runs_in_one_log_are_refused(logs: Path) -> None:
    text = (logs / "trt8_4.txt").read_text()
    with pytest.raises(DeviceError, match="output of 2 runs"):
        parse_timing(text + text)


def test_the_error_that_is_a_cause() -> None:
    text = "[I] hello\n[01/01/2022-10:00:00] [E] [TRT] no such op\n[E] Failed to parse onnx file\n[E] Engine set up failed\n"
    assert last_error(text) == "[TRT] no such op"
    assert last_error("[E] Engine set up failed\n[I] bye\n") == "Engine set up failed"
    assert last_error("sh: no such thing\n\n") == "sh: no such thing"
    assert last_error("") == "it printed nothing"


@pytest.mark.parametrize(("name", "count"), [("profile8.json", 5), ("profile10.json", 1)])
def test_real_profiles(logs: Path, name: str, count: int) -> None:
    """Newer ones have a median; a copy that reformats is a layer of its own."""
    printed = [row for row in json.loads((logs / name).read_text()) if "name" in row]
    found = read_trtexec(logs / name)
    assert [line.name for line in found] == [row["name"] for row in printed]
    assert [line.ms for line in found] == [row.get("medianMs", row["averageMs"]) for row in printed]
    assert len(found) == count


@pytest.mark.parametrize("name", ["profile8.json", "profile10.json"])
def test_a_profile_that_is_cut_anywhere_is_refused(logs: Path, tmp_path: Path, name: str) -> None:
    text = (logs / name).read_text().rstrip()
    path = tmp_path / "profile.json"
    for end in range(len(text)):
        path.write_text(text[:end])
        with pytest.raises(DeviceError, match="--exportProfile"):
            read_trtexec(path)


@pytest.mark.parametrize("value", ["NaN", "-1", '"0.5"', "true", "null", "Infinity"])
def test_a_damaged_time_in_a_profile_is_refused(logs: Path, tmp_path: Path, value: str) -> None:
    text, times = re.subn(r'"averageMs" : 0\.0662771', f'"averageMs" : {value}', (logs / "profile8.json").read_text())
    assert times == 1
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(DeviceError, match=r"\[2\]"):
        read_trtexec(path)
