"""`convert`: the files it writes compute what the network computes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import dongfeng
from dongfeng.cli.main import main
from dongfeng.net.fold import fold
from tests.conftest import CHECKOUT

SMALL = ["pl1a_seg", "--weights", "random:5", "--size", "64x128"]

# BatchNorm and Scale that fold, and a convolution without weights of its own in another file.
PROTOTXT = """\
name: "small"
input: "data"
input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a network file and its weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(PROTOTXT, encoding="utf-8")
    assert main(["convert", "net.prototxt", "random:1", "-o", "small.caffemodel"]) == 0
    return tmp_path


def on_onnxruntime(path: str, image: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: image}), strict=True))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def test_a_caffe_net_as_onnx_gives_what_caffe_gave(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = shared / "golden/cases/conv_dilation2"
    out = tmp_path / "new/net.onnx"
    assert main(["convert", str(case / "net.prototxt"), str(case / "weights.caffemodel"), "-o", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}\n"
    assert "opset 17" in captured.err
    tolerance = json.loads((case / "meta.json").read_text(encoding="utf-8"))["tolerance"]
    expected = np.load(case / "expected_out.npy")
    got = on_onnxruntime(str(out), np.load(case / "input_data.npy"))["out"]
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def test_a_zoo_net_as_onnx_is_loaded_as_the_zoo_model_it_came_from(folder: Path) -> None:
    assert main(["convert", *SMALL, "-o", "net.onnx"]) == 0
    image = (40 * noise(50, 90, 3) + 128).clip(0, 255).astype(np.uint8)
    with pytest.warns(dongfeng.errors.DongfengWarning, match="random weights"):
        model = dongfeng.load("pl1a_seg", weights="random:5", size=(64, 128))
    with model, dongfeng.load("net.onnx") as converted:
        assert (converted.name, converted.task, converted.preprocessing) == (
            model.name,
            model.task,
            model.preprocessing,
        )
        assert np.array_equal(converted(image).labels, model(image).labels)


def test_onnx_is_folded_unless_told_otherwise(folder: Path) -> None:
    assert main(["convert", "small.prototxt", "small.caffemodel", "-o", "folded.onnx"]) == 0
    assert main(["convert", "small.prototxt", "small.caffemodel", "--no-fold", "-o", "plain.onnx"]) == 0
    folded, plain = (onnx.load(f"{name}.onnx") for name in ("folded", "plain"))
    assert [node.op_type for node in folded.graph.node] == ["Conv"]
    assert len(plain.graph.node) > 1
    image = noise(1, 3, 8, 8)
    ((_, a),), ((_, b),) = (on_onnxruntime(f"{name}.onnx", image).items() for name in ("folded", "plain"))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_caffe_files_are_folded_only_when_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = dongfeng.read_caffe("small.prototxt", "small.caffemodel")
    capsys.readouterr()
    assert main(["convert", "small.prototxt", "small.caffemodel", "-o", "copy.prototxt"]) == 0
    assert capsys.readouterr().out == "copy.prototxt\ncopy.caffemodel\n"
    assert dongfeng.read_caffe("copy.prototxt", "copy.caffemodel") == net
    assert main(["convert", "small.prototxt", "small.caffemodel", "--fold", "-o", "merged.caffemodel"]) == 0
    assert dongfeng.read_caffe("merged.prototxt", "merged.caffemodel") == fold(net)


def test_opset_and_outputs_are_chosen(folder: Path) -> None:
    command = ["convert", "small.prototxt", "--weights", "small.caffemodel", "--opset", "11", "--no-fold"]
    assert main([*command, "--output", "conv", "--output", "data", "-o", "net.onnx"]) == 0
    model = onnx.load("net.onnx")
    assert [entry.version for entry in model.opset_import if not entry.domain] == [11]
    assert [value.name for value in model.graph.output] == ["conv", "data"]


def test_a_dynamic_model_takes_any_size(folder: Path) -> None:
    assert main(["convert", "small.prototxt", "small.caffemodel", "--dynamic", "-o", "net.onnx"]) == 0
    net = dongfeng.read_caffe("small.prototxt", "small.caffemodel")
    image = noise(2, 3, 9, 13)
    (got,) = on_onnxruntime("net.onnx", image).values()
    (expected,) = dongfeng.run(net, {"data": image}).values()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_ncnn_files_become_caffe_files(folder: Path, shared: Path) -> None:
    assert main(["convert", str(shared / "pl1a/pl1a_new.param.bin"), "-o", "pl1a.caffemodel"]) == 0
    ncnn = dongfeng.read_ncnn(shared / "pl1a/pl1a_new.param.bin", shared / "pl1a/pl1a_new.bin").resize(64, 128)
    caffe = dongfeng.read_caffe("pl1a.prototxt", "pl1a.caffemodel").resize(64, 128)
    feeds = {blob: noise(1, 3, 64, 128) for blob in ncnn.inputs}
    expected, got = dongfeng.run(ncnn, feeds), dongfeng.run(caffe, feeds)
    assert set(got) == set(expected)
    assert all(np.array_equal(got[blob], expected[blob]) for blob in got)


def test_structure_alone_is_written_as_a_prototxt(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["convert", "net.prototxt", "--fold", "-o", "folded.prototxt"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (
        "folded.prototxt\n",
        "no weights were given, so no caffemodel was written\n",
    )
    assert not Path("folded.caffemodel").exists()
    assert [layer.type for layer in dongfeng.read_caffe("folded.prototxt").layers] == ["Convolution"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["net.prototxt", "-o", "x.onnx"], "net.prototxt: no weights were given"),
        (["net.prototxt", "-o", "x.caffemodel"], "net.prototxt: no weights were given"),
        (["net.prototxt", "small.caffemodel", "-o", "x.tflite"], 'x.tflite: cannot write ".tflite" files'),
        (["net.prototxt", "small.caffemodel", "-o", "x.pb"], 'x.pb: cannot write ".pb" files'),
        (["net.prototxt", "small.caffemodel", "-o", "x"], "OUT has to end in"),
        (["net.prototxt", "small.caffemodel", "-o", "net.caffemodel"], "net.prototxt: this output would overwrite"),
        (["small.prototxt", "small.caffemodel", "-o", "small.prototxt"], "would overwrite an input"),
        (["net.prototxt", "missing.caffemodel", "-o", "x.onnx"], "missing.caffemodel: no such file"),
        (["net.prototxt", "net.prototxt", "-o", "x.onnx"], "net.prototxt"),
        (["small.caffemodel", "-o", "x.onnx"], "expected a zoo name, a .prototxt"),
        (["net.prototxt", "small.caffemodel", "--opset", "10", "-o", "x.onnx"], "opset 10"),
        (["net.prototxt", "small.caffemodel", "--output", "nothing", "-o", "x.onnx"], "nothing"),
        (["df1", "-o", "x.onnx"], "DONGFENG_OFFLINE is set"),
        (["net.prototxt", "small.caffemodel", "-o", "small.caffemodel/x.onnx"], "small.caffemodel: File exists"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line_and_write_nothing(
    argv: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    assert main(["convert", *argv]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "argv",
    [
        ["df1", "--opset", "13", "-o", "x.caffemodel"],
        ["df1", "--output", "fc", "-o", "x.prototxt"],
        ["df1", "--dynamic", "-o", "x.prototxt"],
        ["df1", "a.caffemodel", "--weights", "b.caffemodel", "-o", "x.onnx"],
        ["df1"],
    ],
    ids=" ".join,
)
def test_options_that_contradict_each_other_are_wrong_usage(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["convert", *argv])
    assert exit_.value.code == 2


@pytest.mark.parametrize("program", sorted((CHECKOUT / "converters").glob("*.py")), ids=lambda path: path.stem)
def test_programs_are_short_and_run_the_command(program: Path, folder: Path, subprocess_env: dict[str, str]) -> None:
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 25
    arguments = {
        "caffe_to_onnx": ["small.prototxt", "small.caffemodel", "-o", "out.onnx"],
        "merge_bn": ["small.prototxt", "small.caffemodel", "-o", "out.caffemodel"],
        "ncnn_to_caffe": ["net.param", "-o", "out.prototxt"],
        "onnx_to_tensorrt": ["small.onnx", "-o", "out.engine"],
    }[program.stem]
    if program.stem == "onnx_to_tensorrt":
        pytest.importorskip("tensorrt_rtx")
        assert main(["convert", "net.prototxt", "random:1", "-o", "small.onnx"]) == 0
    text = ["7767517", "2 2", "Input input 0 1 data 0=8 1=8 2=3", "ReLU relu 1 1 data out"]
    Path("net.param").write_text("\n".join(text) + "\n", encoding="utf-8")
    command = [sys.executable, program, *arguments]
    done = subprocess.run(command, env=subprocess_env, capture_output=True, text=True, check=False)
    assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr
    assert Path(arguments[-1]).is_file()
    if program.stem == "merge_bn":
        assert [layer.type for layer in dongfeng.read_caffe("out.prototxt").layers] == ["Convolution"]
