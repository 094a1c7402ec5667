"""`df-cityscapes`: what it writes, what it finds, and what it says where a folder is not as it should be."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import dongfeng
from dongfeng.cli.cityscapes import main, parser
from dongfeng.datasets.cityscapes import to_label_ids
from dongfeng.runtime.load import load_stream
from tests.cli.synthetic_cityscapes import draw, files, write

MODEL = ["--model", "pl1a_seg", "--weights", "random", "--size", "64x128"]
GIVEN = ["--root", "cs", *MODEL, "--out", "out"]


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The frames of a Cityscapes in the working folder."""
    monkeypatch.chdir(tmp_path)
    return draw(Path("cs"), 5)


def image(name: str) -> Path:
    return Path("cs/leftImg8bit/val", name.partition("_")[0], f"{name}_leftImg8bit.png")


def truth(name: str, kind: str = "labelIds") -> Path:
    return Path("cs/gtFine/val", name.partition("_")[0], f"{name}_gtFine_{kind}.png")


def output(name: str, kind: str = "label_ids") -> Path:
    return Path("out", kind, "val", name.partition("_")[0], f"{name}_leftImg8bit.png")


def errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


def test_every_kind_is_what_python_gives_in_a_folder_of_its_own(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*GIVEN, "--kind", "overlay", "--kind", "label_ids", "--kind", "color"]) == 0
    lines = capsys.readouterr().out.splitlines()
    kinds = ("label_ids", "color", "overlay")
    assert lines == [f"{image(name)} -> {', '.join(str(output(name, kind)) for kind in kinds)}" for name in names]
    assert set(files(Path("out"))) == {
        "run.json",
        *(output(name, kind).relative_to("out").as_posix() for name in names for kind in kinds),
    }
    with pytest.warns(dongfeng.errors.DongfengWarning, match="random weights"):
        model = dongfeng.load("pl1a_seg", weights="random", size=(64, 128))
    with model:
        result = model(image(names[1]))
    assert len(np.unique(result.labels)) > 2
    assert np.array_equal(cv2.imread(str(output(names[1])), cv2.IMREAD_UNCHANGED), to_label_ids(result.labels))
    for kind, expected in (("color", result.color()), ("overlay", result.overlay())):
        assert np.array_equal(cv2.imread(str(output(names[1], kind))), expected[..., ::-1])


def test_scores_of_the_files_equal_the_official_scripts(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The script finds the files by their names, as the test server does."""
    official = pytest.importorskip(
        "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling",
        reason="needs cityscapesScripts (pip install --no-deps cityscapesscripts pyquaternion)",
    )
    monkeypatch.setattr(np, "in1d", lambda a, b: np.isin(a, b).ravel(), raising=False)
    assert main([*GIVEN, "--kind", "color", "--evaluate"]) == 0
    args = copy.copy(official.args)
    args.quiet, args.JSONOutput, args.predictionPath, args.predictionWalk = True, False, "out/label_ids", None
    labels = [str(truth(name)) for name in names]
    expected = official.evaluateImgLists([official.getPrediction(args, label) for label in labels], labels, args)
    found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    assert found["confusion_pixels"] == expected["confMatrix"]
    for group, of, mean in (("class", "class", "Classes"), ("category", "category", "Categories")):
        rows = {row["name"]: row for row in found["rows"] if row["group"] == group}
        for key, infix in (("iou_fraction", ""), ("instance_iou_fraction", "Inst")):
            theirs = expected[f"{of}{infix}Scores"] | {"average": expected[f"averageScore{infix}{mean}"]}
            ours = {name: float("nan") if row[key] is None else row[key] for name, row in rows.items()}
            assert ours == pytest.approx({name: theirs[name] for name in ours}, rel=1e-9, nan_ok=True)
    assert found["miou"] == pytest.approx(expected["averageScoreClasses"], rel=1e-9)


def test_real_frames_labelled_as_their_release_score_one(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("demo33", "demo6")):
        frame = f"lindau_{index:06d}_000019"
        write(image(frame), cv2.imread(str(shared / f"pl1a/frames/{name}.png")))
        labels = cv2.imread(str(shared / f"pl1a/labels/{name}.png"), cv2.IMREAD_UNCHANGED)
        write(truth(frame), to_label_ids(labels))
    weights = str(shared / "pl1a/pl1a_new.bin")
    assert main(["--root", "cs", "--model", "pl1a_seg", "--weights", weights, "--out", "out", "--evaluate"]) == 0
    found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    assert found["miou"] > 0.999
    assert {row["instance_iou_fraction"] for row in found["rows"]} == {None}  # there are no instance files
    assert found["rows"][19]["published_iou_fraction"] == 0.687


def test_scores_stand_beside_the_published_ones(
    names: list[str], capsys: pytest.CaptureFixture[str], shared: Path
) -> None:
    assert (
        main(
            [
                "--root",
                "cs",
                "--model",
                "df1seg",
                "--weights",
                "random:3",
                "--size",
                "64x128",
                "--out",
                "out",
                "--evaluate",
            ]
        )
        == 0
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if " -> " not in line]
    table = {" ".join(words[:-4] or words[:1]): words for words in lines}
    published = {}
    for line in (shared / "research/cityscapes_val_iou.csv").read_text(encoding="utf-8").splitlines():
        model, variant, name, iou, niou, kind = line.split(",")
        if (model, variant) == ("df1seg", "scoreup8"):
            published[f"{kind.partition('_')[0]} {name}"] = iou, niou
    found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    assert len(found["rows"]) == 19 + 1 + 7 + 1 == len(published)
    for row in found["rows"]:
        iou, niou = published[f"{row['group']} {row['name']}"]
        assert row["published_iou_fraction"] == float(iou)
        assert row["published_instance_iou_fraction"] == (None if niou == "nan" else float(niou))
    person = next(row for row in found["rows"] if row["name"] == "person")
    values = [100 * person[key] for key in ("iou_fraction", "instance_iou_fraction")]
    assert table["person"][2] == "78.8"
    assert table["person"][4] == "58.6"
    assert [float(table["person"][at]) for at in (1, 3)] == pytest.approx(values, abs=0.051)


def test_json_has_scores_files_and_errors(names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    image(names[2]).write_text("no image", encoding="utf-8")
    assert main([*GIVEN, "--evaluate", "--json"]) == 1
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    stored = json.loads(Path("out/results.json").read_text(encoding="utf-8"))
    assert value["rows"] == stored["rows"]
    assert (value["images"], value["images_evaluated"], value["miou"]) == (5, 4, stored["miou"])
    done = [name for name in names if name != names[2]]
    assert value["files"] == [
        {"input": str(image(name)), "outputs": [str(output(name))], "resumed": False} for name in done
    ]
    (error,) = value["errors"]
    assert error == f"{image(names[2])}: is no image, is damaged, or has a format that OpenCV does not read"
    assert captured.err.endswith(f"error: {error}\n4 done, 1 failed, 4 evaluated\n")
    assert f"{image(names[2])}: skipped\n" in captured.err


def damage_size(name: str) -> None:
    write(truth(name), np.zeros((32, 64), np.uint8))


def damage_ids(name: str) -> None:
    write(truth(name), np.full((64, 128), 255, np.uint8))


def damage_colour(name: str) -> None:
    write(truth(name), np.zeros((64, 128, 3), np.uint8))


def damage_file(name: str) -> None:
    truth(name).write_bytes(truth(name).read_bytes()[:-5])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_size, "labelIds.png: the labels are 32x64 pixels, the prediction is 64x128"),
        (damage_ids, "labelIds.png: the labels hold 255; expected Cityscapes' label ids, 0 to 33"),
        (damage_colour, "labelIds.png: has 3 x 8 bits per pixel; expected one number of 8 bits per pixel"),
        (damage_file, "labelIds.png: is no PNG, or is damaged"),
        (lambda name: truth(name).unlink(), "labelIds.png: no such file"),
        (lambda name: truth(name, "instanceIds").unlink(), "instanceIds.png: no such file"),
    ],
    ids=["size", "ids", "colour", "damaged", "missing", "instances missing"],
)
def test_one_frame_with_wrong_labels_is_one_line_and_the_others_are_evaluated(
    damage: Callable[[str], None], message: str, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(names[1])
    assert main([*GIVEN, "--evaluate"]) == 1
    (error,) = errors(capsys)
    assert error.startswith(f"error: cs/gtFine/val/frankfurt/{names[1]}_gtFine_")
    assert error.endswith(message)
    assert output(names[1]).is_file()
    assert json.loads(Path("out/results.json").read_text(encoding="utf-8"))["images_evaluated"] == 4


def remove(*folders: str) -> None:
    for folder in folders:
        Path(folder).rename(f"{folder}.away")


def no_images() -> None:
    for path in Path("cs/leftImg8bit/val").rglob("*.png"):
        path.unlink()


def no_labels() -> None:
    for path in Path("cs/gtFine/val").rglob("*labelIds.png"):
        path.unlink()


ROOT_ADVICE = "the root is the folder that holds leftImg8bit and gtFine"


@pytest.mark.parametrize(
    ("change", "argv", "message"),
    [
        (None, ["--root", "none"], "none: no such folder; expected the one that holds leftImg8bit and gtFine"),
        (None, ["--root", "."], ".: holds no folder leftImg8bit; the root is cs"),
        (None, ["--root", "cs/leftImg8bit"], "cs/leftImg8bit: holds no folder leftImg8bit; the root is {here}/cs"),
        (None, ["--root", "cs/gtFine/val"], "cs/gtFine/val: holds no folder leftImg8bit; the root is {here}/cs"),
        (lambda: Path("empty").mkdir(), ["--root", "empty"], f"empty: holds no folder leftImg8bit; {ROOT_ADVICE}"),
        (None, ["--split", "foo"], 'cs/leftImg8bit: holds no split "foo"; it has val'),
        (no_images, [], "cs/leftImg8bit/val: holds no images; expected CITY/*_leftImg8bit.png below it"),
        (lambda: remove("cs/gtFine"), [], "cs: holds no folder gtFine; evaluation needs the labels of the package "
            "gtFine_trainvaltest"),
        (lambda: remove("cs/gtFine/val"), [], 'cs/gtFine: holds no split "val"; it has val.away'),
        (no_labels, [], "cs/gtFine/val: holds labels of none of the 5 images; expected "
            "frankfurt/frankfurt_000000_000019_gtFine_labelIds.png, ..."),
        (None, ["--model", "df1", "--size", "224x224"], "df1 is a model for classification; use: dongfeng evaluate --model df1"),
        (None, ["--model", "nothing"], 'no model is called "nothing"'),
        (lambda: Path("out").write_bytes(b""), [], "out: File exists"),
    ],
    ids=["no root", "above", "below", "far below", "empty", "split", "no images", "no gtFine", "no gtFine/val",
         "no labels", "classifier", "unknown model", "out is a file"],
)  # fmt: skip
def test_what_concerns_all_frames_is_one_line_and_nothing_is_written(
    change: Callable[[], object] | None,
    argv: list[str],
    message: str,
    names: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    if change is not None:
        change()
    assert main([*GIVEN, "--evaluate", *argv]) == 1
    (error,) = errors(capsys)
    assert error.startswith(f"error: {message.format(here=Path.cwd())}")
    assert not list(Path().rglob("out/label_ids/**/*.png"))


def test_labels_without_any_class_are_said_to_be_those_of_test(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Cityscapes' own label images of test hold nothing but void."""
    for name in names:
        write(truth(name), np.full((64, 128), 3, np.uint8))
        truth(name, "instanceIds").unlink()
    Path("cs/leftImg8bit/val").rename("cs/leftImg8bit/test")
    Path("cs/gtFine/val").rename("cs/gtFine/test")
    assert main([*GIVEN, "--split", "test", "--evaluate"]) == 1
    (error,) = errors(capsys)
    assert error == (
        "error: gtFine/test: labels no pixel of the 19 classes, as is so for test; evaluate val, or send "
        "out/label_ids/test to the test server"
    )
    assert len(list(Path("out/label_ids/test").rglob("*.png"))) == 5
    assert not Path("out/results.json").exists()


def test_a_model_of_other_classes_is_an_error(
    names: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = """
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 64 dim: 128 } } }
        layer { name: "score" type: "Convolution" bottom: "data" top: "score"
            convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "msra" } } }
    """
    Path("net.prototxt").write_text(layers, encoding="utf-8")
    net = dongfeng.read_caffe("net.prototxt")
    dongfeng.to_onnx(_with_weights(net), "net.onnx")
    load = load_stream
    monkeypatch.setattr(
        "dongfeng.runtime.load.load_stream", lambda name, **options: load(name, mean=0, scale=1, **options)
    )
    argv = ["--root", "cs", "--model", "net.onnx", "--out", "out"]
    assert main(argv) == 1
    assert errors(capsys) == ["error: net.onnx has 5 classes; expected Cityscapes' 19"]


def _with_weights(net: dongfeng.Net) -> dongfeng.Net:
    from dongfeng.net.random_weights import random_weights

    return random_weights(net)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3"])
def test_a_shard_is_one_of_several_parts(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*GIVEN, "--shard", text])
    assert exit_.value.code == 2
    assert "expected I/N with I from 1 to N, such as 2/4" in capsys.readouterr().err


def test_examples_in_help_are_accepted_by_the_parser() -> None:
    _, _, after = parser().format_help().partition("examples:\n")
    lines = [shlex.split(line) for line in after.splitlines()]
    assert len(lines) >= 3
    for program, *words in lines:
        assert program == "df-cityscapes"
        parser().parse_args(words)


def test_help_needs_no_heavy_library(subprocess_env: dict[str, str]) -> None:
    script = "import sys; from dongfeng.cli.cityscapes import parser; parser().format_help(); print(*sys.modules)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=subprocess_env, capture_output=True, text=True, check=True)
    assert {"numpy", "onnx", "onnxruntime", "cv2", "rich"}.isdisjoint(done.stdout.split())


def test_backend_and_precision_are_in_what_is_recorded(names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*GIVEN, "--evaluate", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    for found in (shown, *(json.loads(Path("out", name).read_text()) for name in ("run.json", "results.json"))):
        assert (found["backend"], found["precision"]) == ("onnxruntime", "fp32")
    assert main([*GIVEN, "--backend", "ncnn", "--precision", "bf16", "--resume"]) == 1
    assert errors(capsys) == [
        'error: out: was made with backend "onnxruntime", precision "fp32", this run has backend "ncnn", precision '
        '"bf16"; choose another folder, or leave out --resume to start over'
    ]
