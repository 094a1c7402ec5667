"""`dongfeng evaluate`: top-1 and top-5 on a synthetic ImageNet."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import dongfeng
from dongfeng.cli.main import main
from dongfeng.datasets.imagenet import wordnet_ids
from dongfeng.runtime.load import load_stream

COUNT = 8
MODEL = ["--model", "df1", "--weights", "random:5"]
PLACES = [1, 1, 1, 2, 5, 6, 40, 1000]  # where the class of each image comes in what the model says of it


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Images in `flat/`, the same in folders of their classes in `val/`, and the list of their classes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with pytest.warns(dongfeng.errors.DongfengWarning, match="random weights"):
        model = dongfeng.load("df1", weights="random:5")
    found = {}
    with model:
        for index, place in enumerate(PLACES):
            image = cv2.resize(rng.integers(0, 256, (3, 4, 3), np.uint8), (300, 260), interpolation=cv2.INTER_CUBIC)
            label = int(np.argsort(model(image).logits)[-place])
            for path in (Path("flat", f"{index}.png"), Path("val", wordnet_ids()[label], f"{index}.png")):
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), image)
            found[f"{index}.png"] = label
    Path("val.txt").write_text("".join(f"{name} {label}\n" for name, label in found.items()), encoding="utf-8")
    return found


def test_folders_of_classes_and_a_list_give_the_same(
    labels: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    for argv in (["val"], ["flat", "--labels", "val.txt"]):
        assert main(["evaluate", *MODEL, *argv, "--json"]) == 0
        value = json.loads(capsys.readouterr().out)
        assert value["rows"] == [
            {"metric": "top1", "value_fraction": 3 / COUNT, "published_fraction": 0.697761},
            {"metric": "top5", "value_fraction": 5 / COUNT, "published_fraction": 0.887801},
        ]
        assert (value["images"], value["images_evaluated"], value["errors"]) == (COUNT, COUNT, [])
        got = {Path(row["input"]).name: (row["label"], row["place"]) for row in value["files"]}
        assert got == {name: (label, place) for (name, label), place in zip(labels.items(), PLACES, strict=True)}


def test_a_table_and_a_line_per_image(labels: dict[str, int], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *MODEL, "flat", "--labels", "val.txt"]) == 0
    captured = capsys.readouterr()
    verdicts = [*["first"] * 3, *["among the first five"] * 2, "place 6", "place 40", "place 1000"]
    assert captured.out.splitlines()[:COUNT] == [f"flat/{at}.png: {said}" for at, said in enumerate(verdicts)]
    table = [line.split() for line in captured.out.splitlines()[COUNT:]]
    assert table == [["metric", "%", "published", "%"], ["top1", "37.5", "69.8"], ["top5", "62.5", "88.8"]]
    assert captured.err.endswith("8 evaluated, 0 failed\n")


def test_an_image_that_cannot_be_read_stops_no_other(
    labels: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("flat/0.png").write_text("no image", encoding="utf-8")
    Path("flat/7.png").unlink()
    assert main(["evaluate", *MODEL, "flat", "--labels", "val.txt", "--json"]) == 1
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    assert [row["value_fraction"] for row in value["rows"]] == [2 / 6, 4 / 6]
    assert (value["images"], value["images_evaluated"]) == (8, 6)
    assert value["errors"] == [
        "flat/0.png: is no image, is damaged, or has a format that OpenCV does not read",
        "flat/7.png: no such file",
    ]
    assert captured.err.endswith("6 evaluated, 2 failed\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["none"], "none: no such folder"),
        (["flat"], "flat: holds no folders named after classes, such as n01440764; "),
        (["flat", "--labels", "none.txt"], "none.txt: no such file"),
        (["val", "--labels", "val.txt"], "val: holds none of the 8 images of val.txt, such as 0.png"),
        (["val", "--model", "nothing"], 'no model is called "nothing"'),
        (
            ["val", "--model", "pl1a_seg", "--size", "64x128"],
            "pl1a_seg is a model for segmentation; use: df-cityscapes ",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_evaluated_is_one_line(
    argv: list[str], message: str, labels: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *MODEL, *argv]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (error,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: {message}")


def test_a_classifier_of_other_classes_is_an_error(
    labels: dict[str, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dongfeng.net.random_weights import random_weights

    Path("net.prototxt").write_text(
        """
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
        layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
            inner_product_param { num_output: 10 weight_filler { type: "msra" } } }
        """,
        encoding="utf-8",
    )
    dongfeng.to_onnx(random_weights(dongfeng.read_caffe("net.prototxt")), "net.onnx")
    load = load_stream
    monkeypatch.setattr(
        "dongfeng.runtime.load.load_stream", lambda name, **options: load(name, mean=0, scale=1, **options)
    )
    assert main(["evaluate", "--model", "net.onnx", "val"]) == 1
    assert capsys.readouterr().err == "error: net.onnx has 10 classes; expected ImageNet's 1000\n"
