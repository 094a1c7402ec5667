from __future__ import annotations

import json
import os
from dataclasses import asdict

import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from dongfeng.datasets import cityscapes
from dongfeng.errors import DongfengError, ImageError
from dongfeng.runtime.class_names import classes_of
from dongfeng.runtime.results import Classification, Segmentation, Timing

RNG = np.random.default_rng(0)
TIMING = Timing(1.0, 2.0, 3.0, 4.5)
LABELS = RNG.integers(0, 19, (7, 11), np.uint8)
IMAGE = RNG.integers(0, 256, (7, 11, 3), np.uint8)  # BGR


@pytest.fixture
def result() -> Segmentation:
    scores = np.zeros((19, 2, 3), np.float32)
    return Segmentation(LABELS, scores, TIMING, IMAGE, cityscapes.CLASSES, cityscapes.PALETTE)


def test_colours_are_those_of_the_classes(result):
    colour = result.color()
    assert colour.shape == (7, 11, 3)
    assert colour.dtype == np.uint8
    for y, x in np.ndindex(7, 11):
        assert colour[y, x].tolist() == cityscapes.PALETTE[LABELS[y, x]].tolist()


def test_label_ids_are_those_of_the_evaluation_server(result):
    ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    np.testing.assert_array_equal(result.label_ids, np.array(ids, np.uint8)[LABELS])


def test_label_ids_need_cityscapes():
    other = Segmentation(
        LABELS, np.zeros((3, 1, 1), np.float32), TIMING, IMAGE, ("a",), np.zeros((1, 3), np.uint8), None
    )
    with pytest.raises(DongfengError, match="only Cityscapes has label ids"):
        _ = other.label_ids


@pytest.mark.parametrize("alpha", [0, 0.25, 0.5, 1])
def test_overlay_mixes_colours_and_image_in_rgb(result, alpha):
    expected = alpha * result.color().astype(float) + (1 - alpha) * IMAGE[..., ::-1]
    overlay = result.overlay(alpha)
    assert overlay.dtype == np.uint8
    assert np.abs(overlay - expected).max() <= 0.5


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_overlay_refuses_other_shares(result, alpha):
    with pytest.raises(ImageError, match="alpha is .*; expected 0 to 1"):
        result.overlay(alpha)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".bmp"])
@pytest.mark.parametrize("kind", ["overlay", "color", "labels", "label_ids"])
def test_saved_pictures_are_read_back(result, tmp_path, suffix, kind):
    path = tmp_path / "new" / "folders" / f"straße{suffix}"
    result.save(path, kind=kind)
    expected = {
        "overlay": result.overlay(),
        "color": result.color(),
        "labels": LABELS,
        "label_ids": result.label_ids,
    }[kind]
    np.testing.assert_array_equal(np.asarray(Pil.open(path)), expected)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_overlay_can_be_a_jpeg(result, tmp_path):
    result.save(tmp_path / "a.jpg")
    with Pil.open(tmp_path / "a.jpg") as saved:
        assert saved.size == (11, 7)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("a.jpg", "labels", r'cannot write labels as "\.jpg".*\.png'),
        ("a.webp", "label_ids", r'cannot write label_ids as "\.webp"'),
        ("a.txt", "overlay", r'cannot write overlay as "\.txt".*\.jpg'),
        ("a", "overlay", r'as ""'),
        ("a.png", "colour", 'kind is "colour"; expected one of overlay, color'),
    ],
)
def test_what_cannot_be_written_is_refused(result, tmp_path, name, kind, message):
    with pytest.raises(ImageError, match=message):
        result.save(tmp_path / "sub" / name, kind=kind)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file(result, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    result.save(path)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        result.save(path, kind="color")
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_a_picture_too_large_for_its_format_is_an_image_error(tmp_path):
    wide = np.zeros((1, 70_000), np.uint8)
    image = np.zeros((1, 70_000, 3), np.uint8)
    result = Segmentation(wide, np.zeros((19, 1, 1), np.float32), TIMING, image, cityscapes.CLASSES, cityscapes.PALETTE)
    with pytest.raises(ImageError, match=r'cannot write 1x70000 pixels as "\.jpg"'):
        result.save(tmp_path / "wide.jpg")


def test_timing_is_a_mapping_and_a_dataclass():
    assert dict(TIMING) == asdict(TIMING) == {"decode": 1.0, "preprocess": 2.0, "infer": 3.0, "postprocess": 4.5}
    assert TIMING["infer"] == TIMING.infer == 3.0
    assert TIMING.total == 10.5
    assert json.dumps(dict(TIMING))
    with pytest.raises(KeyError):
        TIMING["total"]


def test_repr_does_not_print_arrays_at_length(result):
    assert len(repr(result)) < 500


def classification(logits: list[float]) -> Classification:
    return Classification(np.float32(logits), TIMING, tuple(f"name {i}" for i in range(len(logits))))


def test_top_gives_softmax_probabilities():
    logits = [0.0, 3.0, -1.0, 2.0]
    top = classification(logits).top(3)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert [(index, name) for index, name, _ in top] == [(1, "name 1"), (3, "name 3"), (0, "name 0")]
    np.testing.assert_allclose([p for *_, p in top], expected[[1, 3, 0]], rtol=1e-6)
    assert all(type(index) is int and type(p) is float for index, _, p in top)


def test_top_of_equal_classes_is_the_largest_index_as_in_caffe():
    assert [index for index, *_ in classification([1.0, 2.0, 2.0, 1.0]).top(4)] == [2, 1, 3, 0]


def test_top_of_more_than_there_are_is_all():
    assert len(classification([1.0, 2.0]).top(5)) == 2


def test_top_of_large_logits_does_not_overflow():
    ((index, _, p),) = classification([3e38, -3e38]).top(1)
    assert (index, p) == (0, 1.0)


def test_top_of_nothing_and_of_nan():
    with pytest.raises(DongfengError, match="k is 0"):
        classification([1.0]).top(0)
    with pytest.raises(DongfengError, match="NaN"):
        classification([1.0, float("nan")]).top(1)


def test_classes_are_known_by_task_and_number():
    assert classes_of("segmentation", None, 19)[:2] == ("cityscapes", cityscapes.CLASSES)
    assert classes_of("classification", None, 1000).names[285] == "Egyptian cat"
    assert classes_of("classification", None, 19).known is None
    assert classes_of("segmentation", "cityscapes", 20).known is None
    assert classes_of("segmentation", "other", 19).known is None


@pytest.mark.parametrize("count", [1, 2, 21, 150, 256])
def test_unknown_classes_get_numbers_and_different_colours(count):
    classes = classes_of("segmentation", None, count)
    assert classes.names == tuple(f"class {index}" for index in range(count))
    assert classes.palette.shape == (count, 3)
    assert classes.palette.dtype == np.uint8
    assert len(np.unique(classes.palette, axis=0)) == count


def test_saved_colour_is_rgb_for_opencv_too(result, tmp_path):
    result.save(tmp_path / "a.png", kind="color")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], result.color())
