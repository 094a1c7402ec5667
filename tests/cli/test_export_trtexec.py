"""`export-trtexec`: what a board gets, run with a stand-in for its trtexec."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from dongfeng.backends.tensorrt.trtexec.boards import BOARDS, board_named, commands, write_bundle
from dongfeng.cli import export_trtexec
from dongfeng.cli.main import parser
from dongfeng.errors import ConversionError, WeightsUnavailable
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.random_weights import random_weights
from tests.nets import data, layer, read_text

NET = data(1, 3, 8, 8) + layer(
    "out", "Convolution", "data", "out", "convolution_param { num_output: 4 kernel_size: 1 }"
)


def export(*words: str) -> int:
    return export_trtexec.run(parser().parse_args(["export-trtexec", *words]))


@pytest.mark.parametrize("board", BOARDS)
def test_the_model_is_one_the_board_reads(board: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bundle"
    words = ["pl1a_seg", "--weights", "random:3", "--size", "64x128", "--for", board, "-o", str(out)]
    assert export(*words, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["outputs"] == [str(out / name) for name in ("pl1a_seg.onnx", "commands.sh", "README.md")]
    model = onnx.load(out / "pl1a_seg.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert 11 <= model.opset_import[0].version == said["opset"] <= (13 if board in ("tx2", "nano") else 17)
    assert model.ir_version <= (7 if board in ("tx2", "nano") else 8)
    assert {node.op_type for node in model.graph.node}.isdisjoint({"BatchNormalization", "Softmax", "ArgMax"})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"data": np.zeros((1, 3, 64, 128), np.float32)})
    assert scores.shape == (1, 19, 8, 16)


def test_a_zoo_name_has_its_published_size(tmp_path: Path) -> None:
    assert export("df1", "--weights", "random", "--for", "tx2", "-o", str(tmp_path)) == 0
    model = onnx.load(tmp_path / "df1.onnx")
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 224, 224]


@pytest.mark.parametrize(("board", "precisions"), [("tx2", ["fp32", "fp16"]), ("orin", ["fp32", "fp16", "int8"])])
def test_the_script_builds_times_and_profiles_each_precision(board: str, precisions: list[str], tmp_path: Path) -> None:
    """The stand-in makes the files its options name, and refuses to load one that is not there, as trtexec does."""
    model = to_onnx(random_weights(read_text(tmp_path, NET)), opset=13)
    write_bundle(model, tmp_path / "my bundle", "a b;c", BOARDS[board])
    trtexec = tmp_path / "trtexec"
    trtexec.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> "{tmp_path}/log"\n'
        'for word in "$@"; do case "$word" in\n'
        '--onnx=*|--loadEngine=*) test -f "${word#*=}" || exit 1;;\n'
        '--saveEngine=*|--exportProfile=*) : > "${word#*=}";;\n'
        "esac; done\n"
    )
    trtexec.chmod(0o755)
    script = tmp_path / "my bundle/commands.sh"
    done = subprocess.run(
        [str(script)],
        env={"TRTEXEC": str(trtexec), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    calls = (tmp_path / "log").read_text().splitlines()
    assert calls == [" ".join(call) for kind in precisions for call in commands(BOARDS[board].options, "a_b_c", kind)]
    made = {file.name for file in (tmp_path / "my bundle").iterdir()}
    assert made >= {f"a_b_c_{kind}{suffix}" for kind in precisions for suffix in (".engine", "_profile.json")}


def test_the_options_are_those_of_the_boards_generation() -> None:
    old, new = BOARDS["tx2"].options, BOARDS["orin"].options
    assert commands(old, "m", "fp16")[0] == [
        "--onnx=m.onnx",
        "--saveEngine=m_fp16.engine",
        "--workspace=1024",
        "--fp16",
    ]
    assert commands(new, "m", "fp32")[0] == [
        "--onnx=m.onnx",
        "--saveEngine=m_fp32.engine",
        "--memPoolSize=workspace:1024",
        "--noTF32",
    ]
    assert all("int8" not in BOARDS[name].precisions for name in ("tx2", "nano"))


def test_the_readme_says_what_int8_times_are_worth(tmp_path: Path) -> None:
    for board in BOARDS:
        write_bundle(to_onnx(random_weights(read_text(tmp_path, NET)), opset=13), tmp_path / board, "m", BOARDS[board])
        text = (tmp_path / board / "README.md").read_text()
        assert BOARDS[board].software in text
        assert ("its labels mean nothing" in text) == ("int8" in BOARDS[board].precisions)
        assert "input 1x3x8x8 float32" in text


def test_what_the_board_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="the model has opset 17; JetPack 4.6, TensorRT 8.2 reads 13 at most"):
        write_bundle(to_onnx(random_weights(read_text(tmp_path, NET)), opset=17), tmp_path / "b", "m", BOARDS["tx2"])
    with pytest.raises(ConversionError, match="there are: tx2, nano, xavier, orin"):
        board_named("tx3")
    with pytest.raises(WeightsUnavailable, match="--weights random"):
        export(str(tmp_path / "net.prototxt"), "--for", "tx2", "-o", str(tmp_path / "b"))
