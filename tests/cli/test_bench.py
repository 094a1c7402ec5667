"""`df-bench`: what it prints and writes, and what it says to mistakes."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from dongfeng import devices
from dongfeng.backends.tensorrt.trtexec import remote
from dongfeng.backends.tensorrt.trtexec.output import Latency, TrtexecTiming
from dongfeng.benchmark.report import BenchRow
from dongfeng.cli.bench import main
from dongfeng.devices import conv_kernel, load_profile, named_kernels
from dongfeng.net.fold import fold
from tests.backends.sshd import running
from tests.conftest import CHECKOUT
from tests.devices.test_trtexec import exported
from tests.test_docs import blocks, run_python

QUICK = ["pl1a_seg", "--size", "64x128", "--seconds", "0.03", "--repeats", "4", "--threads", "1"]
Run = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run it in an empty folder: exit status, stdout, lines of stderr without the progress."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, list[str]]:
        code = main(words)
        out, err = capsys.readouterr()
        return code, out, [line for line in err.splitlines() if not line.startswith("measure: ")]

    return run


def test_this_machine_is_measured_by_default(bench: Run) -> None:
    code, out, said = bench(*QUICK, "-o", "r.json", "--profile")
    assert code == 0
    heading, row = out.splitlines()[:2]
    assert heading.split()[:4] == ["model", "size", "backend", "precision"]
    assert row.split()[:4] == ["pl1a_seg", "64x128", "onnxruntime", "fp32"]
    assert row.split()[-1] == "random:0"
    facts = {line.split("  ")[0]: line for line in out.splitlines()}
    for title in ("CPU", "threads", "governor", "clocks", "power mode", "others", "noise"):
        assert title in facts
    report = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert report["kind"] == "run"
    assert list(report["rows"][0]) == [field.name for field in fields(BenchRow)]
    assert report["layers"][0]["layer"] in out
    assert sum("too noisy" in line for line in said) == len(report["noise"]["reasons"])
    assert ("too noisy" in facts["noise"]) is report["noise"]["is_noisy"]


def test_run_may_be_said_and_json_is_all_that_stdout_gets(bench: Run) -> None:
    code, out, _ = bench("run", *QUICK, "--json", "-o", "r.json", "--name", "desk")
    assert code == 0
    assert json.loads(out) == json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert json.loads(out)["rows"][0]["device"] == "desk"


def test_what_cannot_run_is_left_out_and_said(bench: Run) -> None:
    code, out, said = bench(*QUICK, "--precision", "fp32", "--precision", "fp16", "--precision", "fp32")
    assert code == 0
    assert out.count("pl1a_seg") == 1
    assert sum(line.startswith("warning: pl1a_seg 64x128 onnxruntime fp16: left out: ") for line in said) == 1


def test_a_device_is_shown_with_every_published_point(bench: Run) -> None:
    code, out, said = bench("--device", "tx2")
    assert (code, said) == (0, [])
    lines = out.splitlines()
    assert lines[0] == "Jetson TX2, TensorRT 3.0.4, fp16"
    rows = [line.split() for line in lines if " fp16  " in line]
    assert [(row[0], row[1]) for row in rows] == [
        (point.model, "{}x{}".format(*point.size_hw)) for point in load_profile("tx2").published
    ]
    assert rows[0][:4] == ["df1", "224x224", "fp16", "2.50"]
    assert all(row[5] == "±" for row in rows)
    assert all(row[-1] in ("yes", "no") for row in rows)  # fitted; no column of measurements holds anything
    assert "note: published latency is the sum of per-layer times at batch 1" in out
    code, out, _ = bench("--device", "tx2", "--json")
    assert "sum of per-layer times at batch 1" in json.loads(out)["notes"][0]


def test_an_unknown_error_bar_is_shown_as_unknown(bench: Run) -> None:
    _, out, _ = bench("--device", "snapdragon845")
    assert "± ?" in out
    assert "order of magnitude" in out


def test_layers_are_charted(bench: Run) -> None:
    code, out, _ = bench("--device", "gtx1080ti", "--layers", "df2seg1", "--size", "1024x2048")
    assert code == 0
    rows = [line for line in out.splitlines() if "looked up" in line or "interpolated" in line]
    bars = {line.split()[0]: line.count("#") for line in rows if line.endswith("#")}
    longest = max(bars, key=lambda name: bars[name])
    assert bars[longest] == 30
    _, text, _ = bench("--device", "gtx1080ti", "--layers", "df2seg1", "--size", "1024x2048", "--json")
    layers = json.loads(text)["layers"]
    assert max(layers, key=lambda layer: layer["ms"])["layer"].split()[0] == longest
    assert {layer["basis"] for layer in layers} == {"looked up", "interpolated"}


def test_bars_are_drawn_on_a_terminal(subprocess_env: dict[str, str]) -> None:
    pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "dongfeng.cli.bench", "--device", "gtx1080ti", "--layers", "df1seg"]
    env = {**subprocess_env, "COLUMNS": "140", "TERM": "xterm", "DONGFENG_OFFLINE": "1"}
    with subprocess.Popen(words, stdout=follower, stderr=subprocess.DEVNULL, env=env) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                block = os.read(leader, 1 << 16)
            except OSError:  # the program has ended
                break
            if not block:
                break
            shown += block
    os.close(leader)
    assert process.returncode == 0
    assert "█" in shown.decode()


def test_two_reports_are_compared(bench: Run) -> None:
    for name in ("a.json", "b.json"):
        bench(*QUICK, "-o", name)
    report = json.loads(Path("b.json").read_text(encoding="utf-8"))
    for timer in report["rows"][0]["timers"].values():
        timer["samples_ms"] = [3 * ms for ms in timer["samples_ms"]]
    Path("b.json").write_text(json.dumps(report), encoding="utf-8")
    code, out, said = bench("compare", "a.json", "b.json", "--timer", "with_copies", "--json")
    assert code == 0
    (row,) = json.loads(out)["rows"]
    assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert row["ratio"] == pytest.approx(row["b_ms"] / row["a_ms"])
    assert said[-1] == "1 compared, 0 not matched"
    report["rows"][0]["model"] = "df1"
    Path("b.json").write_text(json.dumps(report), encoding="utf-8")
    code, out, said = bench("compare", "a.json", "b.json")
    assert (code, out) == (0, "")
    assert "warning: df1 64x128 onnxruntime fp32: not compared: b.json: the other report has no such row" in said
    Path("b.json").write_text("{", encoding="utf-8")
    code, out, said = bench("compare", "a.json", "b.json")
    assert (code, out, len(said)) == (1, "", 1)
    assert said[0].startswith("error: b.json:1:2: not JSON")


def test_an_earlier_measurement_stands_in_the_table(bench: Run) -> None:
    kernels = tuple(kernel for _, kernel in named_kernels(devices.timed_net("pl1a_seg", (64, 128))))
    assert kernels
    profile = {"format": "dongfeng.device/1", "name": "desk", "device": "a desk", "runtime": "onnxruntime"}
    profile |= {"runtime_version": "1", "precision": "fp32", "fusion": "fused", "source": "test"}
    profile |= {"roofline": {"tflops": 1.0, "gb_per_s": 10.0}}
    Path("desk.json").write_text(json.dumps(profile), encoding="utf-8")
    bench(*QUICK, "--name", "desk", "-o", "r.json")
    words = ("--device", "desk.json", "pl1a_seg", "--size", "64x128", "--measured", "r.json")
    code, out, _ = bench(*words, "--json")
    (row,) = json.loads(out)["rows"]
    assert code == 0
    assert row["measured_ms"] == json.loads(Path("r.json").read_text(encoding="utf-8"))["rows"][0]["measured_ms"]
    assert (row["measured_source"], row["published_ms"], row["predicted_ms"] > 0) == ("r.json", None, True)
    code, _, said = bench("--device", "tx2", "--measured", "r.json")
    assert (code, said) == (1, ["error: r.json: measured on desk, not on tx2; a device's name is given by --name"])


def test_a_board_is_asked_over_ssh(bench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    timing = TrtexecTiming(Latency(mean_ms=2.7), None, None, "8.2")
    asked: list[dict[str, Any]] = []

    def measure(target: str, path: Path, **options: Any) -> remote.RemoteResult:
        asked.append({"target": target, **options})
        return remote.RemoteResult(target, "tx2", "fp16", timing, "0", "trtexec")

    monkeypatch.setattr(remote, "measure_remote", measure)
    code, out, _ = bench("--device", "tx2", "df1", "--ssh", "u@b", "--port", "22", "--known-hosts", "hosts")
    assert code == 0
    assert "2.70" in out
    assert "u@b, TensorRT 8.2" in out
    assert {key: asked[0][key] for key in ("target", "port", "known_hosts")} == {
        "target": "u@b",
        "port": 22,
        "known_hosts": "hosts",
    }


TRTEXEC = """\
#!/bin/sh
case "$1" in
  --help) echo "--onnx=<file> --workspace=N --fp16 --int8" ;;
  --onnx=*) for word; do case $word in --saveEngine=*) echo engine >"${{word#*=}}" ;; esac; done; echo built ;;
  *) cat {timing} ;;
esac
"""


def test_a_real_ssh_server_with_a_stand_in_for_trtexec(shared: Path, bench: Run, tmp_path: Path) -> None:
    """The figure in the table is the median GPU time that TensorRT 8.4 has printed once."""
    folder = tmp_path / "sshd"
    folder.mkdir()
    timing = shutil.copy(shared / "research/trtexec/trt8_4.txt", tmp_path)
    with running(folder) as server:
        program = server.programs / "trtexec"
        program.write_text(TRTEXEC.format(timing=shlex.quote(str(timing))), encoding="utf-8")
        program.chmod(0o755)
        account = [f"--{key.replace('_', '-')}={value}" for key, value in server.account.items()]
        words = ["--device", "tx2", "df1", "--ssh", server.target, *account]
        code, out, said = bench(*words, "-o", "board.json")
        assert code == 0, said
        (row,) = [line for line in out.splitlines() if line.startswith("df1 ")]
        assert "0.388" in row
        program.unlink()
        code, out, said = bench(*words)
        assert (code, out) == (1, "")
        assert sum(line.startswith("error: ") for line in said) == 1
    code, out, _ = bench("--device", "tx2", "--measured", "board.json", "--json")
    measured = {row["model"]: row["measured_ms"] for row in json.loads(out)["rows"] if row["measured_ms"]}
    assert measured == {"df1": 0.388443}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "tx3"], 'no device is called "tx3", did you mean "tx2"'),
        (["--device", "cuda:0"], "--processor"),
        (["--device", "no.json"], "no.json: "),
        (["nosuch"], 'no model is called "nosuch"'),
        (["pl1a_seg", "--backend", "nosuch"], 'no backend is called "nosuch"'),
        (["--device", "tx2", "df1seg", "--size", "500x1000"], "512x992"),
        (["--layers", "df1"], "--layers: is for a device"),
        (["--ssh", "u@b"], "--ssh: is for a device"),
        (["--device", "tx2", "--threads", "2"], "--threads: is for measuring this machine"),
        (["--device", "tx2", "--precision", "fp32"], "--precision: is for measuring this machine"),
        (["--device", "tx2", "--port", "22", "df1"], "are for --ssh"),
        (["--device", "tx2", "--ssh", "u@b"], "name the models"),
        (["--device", "tx2", "-o", "nowhere/r.json"], "there is no folder nowhere"),
        (["pl1a_seg", "--html", "nowhere/r.html"], "there is no folder nowhere"),
        (["pl1a_seg", "--html", "r.txt"], "expected a name that ends in .html"),
        (["compare", "missing.json", "missing.json"], "missing.json: No such file"),
        (["lut", "-o", "profile.txt"], "expected a .json file"),
        (["lut", "-o", "p.json", "--model", "df1"], "--model: is for --from-trtexec"),
        (["lut", "-o", "p.json", "--from-trtexec", "x.json"], "--model MODEL"),
        (["lut", "-o", "p.json", "--from-trtexec", "x.json", "--model", "df1", "--threads", "1"], "--threads: means"),
        (["lut", "-o", "p.json", "--from-trtexec", "x.json", "--model", "df1"], "x.json: "),
        (["lut", "-o", "p.json", "--backend", "nosuch"], "nosuch"),
    ],
)
def test_mistakes_cost_one_line(bench: Run, words: list[str], message: str) -> None:
    code, out, said = bench(*words)
    assert (code, out) == (1, "")
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert message in said[0]
    assert list(Path().glob("*")) == []


@pytest.mark.parametrize("words", [["--seconds", "0"], ["--repeats", "x"], ["--size", "64"], ["compare", "a"], ["lut"]])
def test_wrong_usage_is_status_two(bench: Run, words: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        bench(*words)
    assert error.value.code == 2


def test_a_profile_of_this_machine_is_measured_and_resumed(bench: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Large enough that noise does not make both of them free, which is refused.
    kernels = [conv_kernel(128, 128, 3, (28, 28)), conv_kernel(128, 256, 3, (28, 28))]
    few = functools.partial(devices.measure_profile, kernels=kernels, calibration=[], repeats=3)
    done: list[int] = []

    def killed(*args: Any, on_progress: Callable[[int, int], object], **options: Any) -> Any:
        def stop(so_far: int, total: int) -> None:
            done.append(so_far)
            on_progress(so_far, total)
            if len(done) == 1:
                raise KeyboardInterrupt

        return few(*args, on_progress=stop, **options)

    monkeypatch.setattr(devices, "measure_profile", killed)
    words = ("lut", "-o", "desk.json", "--rounds", "1", "--threads", "1", "--backend", "onnxruntime")
    code, _, said = bench(*words)
    assert (code, said) == (130, ["error: interrupted"])
    assert Path("desk.json.journal").is_file()
    assert not Path("desk.json").exists()
    kept = Path("desk.json.journal").read_bytes()
    code, _, said = bench(*words, "--resume")
    assert code == 0
    assert "2 kernels" in said[-1]
    assert [path.name for path in Path().glob("*")] == ["desk.json"]
    profile = load_profile("desk.json")
    assert (profile.name, profile.runtime, profile.threads, len(profile.kernels)) == ("desk", "onnxruntime", 1, 2)
    assert kept.count(b"\n") == 2  # what it is of, and one measurement
    code, out, _ = bench("--device", "desk.json", "df1")
    assert code == 0
    assert "df1" in out


def test_a_profile_is_taken_from_a_boards_trtexec(bench: Run) -> None:
    lines = draw_trtexec_profile(Path("profile.json"))
    code, _, said = bench("lut", "--from-trtexec", "profile.json", "--model", "df1", "-o", "board.json")
    assert code == 0
    assert said[-1].startswith("board.json: board, TensorRT fp16, ")
    code, out, _ = bench("--device", "board.json", "df1", "--json")
    assert json.loads(out)["rows"][0]["predicted_ms"] == pytest.approx(0.01 * lines)


def draw_trtexec_profile(path: Path) -> int:
    """DF1 as a board's trtexec might export it, each kernel a line of 0.01 ms; the number of lines."""
    net = fold(devices.timed_net("df1", (224, 224)))
    types = {layer.name: layer.type for layer in net.layers}
    rows = [{"name": exported(placed.name, types), "averageMs": 0.01} for placed in named_kernels(net)]
    path.write_text(json.dumps([{"count": 10}, *rows]), encoding="utf-8")
    return len(rows)


def test_what_the_page_shows_is_what_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of blanks count as one: columns are as wide as what this machine measures."""
    monkeypatch.chdir(tmp_path)
    draw_trtexec_profile(Path("profile.json"))
    text = "\n".join(block for _, block in blocks(CHECKOUT / "docs/bench.md", "console"))
    shown = re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n?)*)", text, re.MULTILINE)
    assert len(shown) == 7
    for _, python in blocks(CHECKOUT / "docs/bench.md", "pycon"):
        run_python(python, {}, "bench.md")
    for command, expected in shown:
        program, *words = shlex.split(command)
        assert program == "df-bench"
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            assert main(words) == 0
        want, got = (re.sub(r"\s+", " ", part).strip() for part in (expected, said.getvalue()))
        pattern = ".*".join(re.escape(part.strip()) for part in want.split("..."))
        assert re.match(pattern, got), f"$ {command}\nexpected:\n{expected}\ngot:\n{said.getvalue()}"
