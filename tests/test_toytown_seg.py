"""The network that comes with the package, trained, with true labels: all that happens to a network happens to it here.

Scores are counted here in one line of NumPy, over scenes that training never learns from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

import dongfeng
from dongfeng.cli.cityscapes import main as df_cityscapes
from dongfeng.cli.main import main
from dongfeng.datasets.cityscapes import CLASSES, LABEL_IDS, to_label_ids
from dongfeng.datasets.synthetic import HELD_OUT_SEED
from dongfeng.datasets.toytown import Scene, draw_scene
from tests.cli.synthetic_cityscapes import write

MIN_MIOU = 0.80
MIN_CLASS_IOU = 0.40
MAX_INT8_DROP = 0.010  # of the mIoU, against fp32
MAX_BF16_DROP = 0.010
MIN_AGREEMENT = 0.9995  # share of pixels on which backends agree in fp32

SIZE_HW = (256, 512)
SCENES = 60
FIRST_INDEX = 5000  # neither those that training validates itself on, nor those of the demo
CALIBRATION_SEED, CALIBRATION_SCENES = 0, 10

Labels = np.ndarray


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(HELD_OUT_SEED, FIRST_INDEX + index, SIZE_HW) for index in range(SCENES)]


@pytest.fixture(scope="module")
def calibration() -> list[Labels]:
    return [draw_scene(CALIBRATION_SEED, index, SIZE_HW).image_bgr for index in range(CALIBRATION_SCENES)]


def segment(scenes: Iterable[Scene], **how: object) -> list[Labels]:
    with dongfeng.load("toytown_seg", threads=1, **how) as model:  # type: ignore[arg-type]
        return [model(scene.image_bgr).labels for scene in scenes]


def class_iou(predictions: Iterable[Labels], truths: Iterable[Labels]) -> np.ndarray:
    """(19,) IoU of each class over all pixels."""
    pairs = sum(
        np.bincount(19 * truth.astype(int).ravel() + labels.ravel(), minlength=361)
        for labels, truth in zip(predictions, truths, strict=True)
    )
    table = np.reshape(pairs, (19, 19))
    return np.asarray(table.diagonal() / (table.sum(0) + table.sum(1) - table.diagonal()))


def miou(predictions: Iterable[Labels], scenes: Iterable[Scene]) -> float:
    return float(class_iou(predictions, [scene.labels for scene in scenes]).mean())


def agreement(predictions: list[Labels], others: list[Labels]) -> float:
    return float(np.mean(np.stack(predictions) == np.stack(others)))


@pytest.fixture(scope="module")
def fp32(scenes: list[Scene], tmp_path_factory: pytest.TempPathFactory) -> list[Labels]:
    """Labels of the scenes, on ONNX Runtime."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DONGFENG_HOME", str(tmp_path_factory.mktemp("home")))
        return segment(scenes, backend="onnxruntime")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_labels(path: Path) -> Labels:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


# --- how good it is ---------------------------------------------------------------------------------------------


def test_every_class_is_recognised_in_scenes_it_has_never_seen(scenes: list[Scene], fp32: list[Labels]) -> None:
    iou = class_iou(fp32, [scene.labels for scene in scenes])
    assert not np.isnan(iou).any()
    mean, worst = float(iou.mean()), int(iou.argmin())
    assert mean >= MIN_MIOU
    assert iou[worst] >= MIN_CLASS_IOU, CLASSES[worst]


def test_the_demo_says_so_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "-o", "demo", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["miou"] >= MIN_MIOU
    assert min(said["iou"].values()) >= MIN_CLASS_IOU
    assert len(said["iou"]) == 19


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_eight_bits_cost_little(
    backend: str, scenes: list[Scene], fp32: list[Labels], calibration: list[Labels]
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    int8 = segment(scenes, backend=backend, precision="int8", calibration=calibration)
    same = agreement(int8, fp32)
    assert same < 1  # it did compute in eight bits
    drop = miou(fp32, scenes) - miou(int8, scenes)
    assert drop <= MAX_INT8_DROP


@pytest.mark.parametrize("backend", ["openvino", "ncnn"])
def test_backends_agree_in_fp32(backend: str, scenes: list[Scene], fp32: list[Labels]) -> None:
    pytest.importorskip(backend)
    some = slice(0, 12)
    same = agreement(segment(scenes[some], backend=backend), fp32[some])
    assert same >= MIN_AGREEMENT


@pytest.mark.parametrize("backend", ["openvino", "ncnn"])
def test_bf16_costs_little(backend: str, scenes: list[Scene], fp32: list[Labels]) -> None:
    pytest.importorskip(backend)
    bf16 = segment(scenes, backend=backend, precision="bf16")
    drop = miou(fp32, scenes) - miou(bf16, scenes)
    assert drop <= MAX_BF16_DROP


# --- converting -------------------------------------------------------------------------------------------------


def test_converted_to_onnx_it_is_verified_and_says_the_same(
    folder: Path, scenes: list[Scene], fp32: list[Labels], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "toytown_seg", "-o", "net.onnx", "--verify"]) == 0
    assert "blobs compared with numpy interpreter" in capsys.readouterr().err
    with dongfeng.load("net.onnx", threads=1) as model:
        labels = [model(scene.image_bgr).labels for scene in scenes[:6]]
    same = agreement(labels, fp32[:6])
    assert same >= MIN_AGREEMENT


@pytest.mark.parametrize("name", ["net.caffemodel", "net.param"])
def test_converted_to_caffe_or_ncnn_it_says_the_same(
    name: str, folder: Path, scenes: list[Scene], fp32: list[Labels]
) -> None:
    assert main(["convert", "toytown_seg", "-o", name]) == 0
    preprocessing = {"mean": (72, 83, 73), "scale": 0.008}  # which these files do not carry
    if name == "net.param":
        pytest.importorskip("ncnn")
        model = dongfeng.load(name, backend="ncnn", threads=1, **preprocessing)  # type: ignore[arg-type]
    else:
        model = dongfeng.load("net.prototxt", weights=name, threads=1, **preprocessing)  # type: ignore[arg-type]
    with model:
        labels = [model(scene.image_bgr).labels for scene in scenes[:6]]
    same = agreement(labels, fp32[:6])
    assert same >= MIN_AGREEMENT


def test_tensorrt_rtx_builds_it_in_half_precision(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx")
    from dongfeng.backends.tensorrt import read_sidecar

    assert main(["convert", "toytown_seg", "-o", "net.engine", "--precision", "fp16", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows
    assert {row["precision"] for row in rows} == {"fp16"}
    sidecar = read_sidecar("net.engine")
    assert sidecar is not None
    assert sidecar.precision == "fp16"


# --- many images ------------------------------------------------------------------------------------------------


def test_a_folder_of_scenes_is_segmented_and_resumed(
    folder: Path, scenes: list[Scene], fp32: list[Labels], capsys: pytest.CaptureFixture[str]
) -> None:
    for index, scene in enumerate(scenes):
        write(folder / f"drive/{index % 3}/{index:03}.png", scene.image_bgr)
    words = ["segment", "--model", "toytown_seg", "--backend", "onnxruntime", "--kind", "labels", "drive", "-o", "out"]
    assert main(words) == 0
    paths = [folder / f"out/{index % 3}/{index:03}.png" for index in range(SCENES)]
    first = [path.read_bytes() for path in paths]
    labels = [read_labels(path) for path in paths]
    same, score = agreement(labels, fp32), miou(labels, scenes)
    assert same >= MIN_AGREEMENT
    assert score >= MIN_MIOU
    for path in paths[::7]:
        path.unlink()
    paths[1].write_bytes(first[1][:-9])
    capsys.readouterr()
    assert main([*words, "--resume"]) == 0
    lines = capsys.readouterr().out.splitlines()
    again = [line.split()[0] for line in lines if " -> " in line and not line.endswith("(already there)")]
    expected = {f"drive/{index % 3}/{index:03}.png" for index in (1, *range(0, SCENES, 7))}
    assert {Path(name).as_posix() for name in again} == expected
    assert [path.read_bytes() for path in paths] == first


def test_df_cityscapes_evaluates_a_synthetic_cityscapes(
    folder: Path, scenes: list[Scene], capsys: pytest.CaptureFixture[str]
) -> None:
    draw_cityscapes(folder / "cs", scenes)
    words = ["--root", "cs", "--model", "toytown_seg", "--out", "out", "--evaluate", "--json"]
    assert df_cityscapes(words) == 0
    said = json.loads(capsys.readouterr().out)
    labels = [np.argmax(read_labels(path)[None] == LABEL_IDS[:, None, None], 0) for path in label_files(folder / "out")]
    iou = class_iou(labels, [scene.labels for scene in scenes])
    found = {row["name"]: row["iou_fraction"] for row in said["rows"] if row["group"] == "class"}
    assert [found[name] for name in CLASSES] == pytest.approx(list(iou))
    assert said["miou"] == pytest.approx(iou.mean())
    assert said["miou"] >= MIN_MIOU
    assert min(found.values()) >= MIN_CLASS_IOU


def draw_cityscapes(root: Path, scenes: Iterable[Scene]) -> None:
    """The scenes in the official layout, as one city's validation images."""
    for index, scene in enumerate(scenes):
        name = f"toytown_{index:06}_000019"
        write(root / f"leftImg8bit/val/toytown/{name}_leftImg8bit.png", scene.image_bgr)
        write(root / f"gtFine/val/toytown/{name}_gtFine_labelIds.png", to_label_ids(scene.labels))


def label_files(out: Path) -> list[Path]:
    return sorted((out / "label_ids/val/toytown").iterdir())


# --- other sizes ------------------------------------------------------------------------------------------------


def test_images_of_other_sizes_are_labelled_at_their_own(scenes: list[Scene]) -> None:
    """Enlarged twofold and labelled there, the labels are about those of the scene."""
    some = scenes[:12]
    with dongfeng.load("toytown_seg", threads=1) as model:
        large = [
            model(cv2.resize(scene.image_bgr, (1024, 512), interpolation=cv2.INTER_CUBIC)).labels for scene in some
        ]
    assert {labels.shape for labels in large} == {(512, 1024)}
    right = np.mean([np.mean(labels[::2, ::2] == scene.labels) for labels, scene in zip(large, some, strict=True)])
    exact = np.mean([np.mean(labels == scene.labels) for labels, scene in zip(segment(some), some, strict=True)])
    assert right >= exact - 0.05
