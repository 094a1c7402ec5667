"""The whole way with the one network whose trained weights are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from dongfeng.runtime.load import load
from dongfeng.runtime.model import Model

MEAN = (103.94, 116.78, 123.68)


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "pl1a"


@pytest.fixture
def model(folder: Path) -> Model:
    return load("pl1a_seg", weights=folder / "pl1a_new.bin")


def test_labels_of_the_real_frames_are_those_of_ncnn(model, folder):
    frames = sorted((folder / "frames").glob("*.png"))
    assert frames
    wrong = total = 0
    for frame, result in zip(frames, model.stream(frames), strict=True):
        expected = np.asarray(Pil.open(folder / "labels" / frame.name).convert("L"))
        wrong += np.count_nonzero(result.labels != expected)
        total += expected.size
    assert wrong <= 1e-4 * total
    assert wrong <= 10  # six near ties when this was written


def test_scores_of_the_real_frames_are_those_of_ncnn(model, folder):
    for path in folder.glob("*_score.npz"):
        expected = np.load(path)["score"]
        frame = folder / "frames" / path.name.replace("_score.npz", ".png")
        assert np.abs(model(frame).scores - expected).max() < 1e-5 * np.abs(expected).max()


def test_the_ncnn_files_themselves_give_the_same(model, folder):
    frame = folder / "frames" / "demo6.png"
    own = load(folder / "pl1a_new.param.bin", mean=MEAN, scale=0.008)
    assert (own.name, own.task, own.size_hw) == ("pl1a_new", "segmentation", (384, 640))
    np.testing.assert_array_equal(own(frame).labels, model(frame).labels)


def test_another_size_still_sees_the_same_street(folder):
    """Enlarged frames through the network at its own size, against the labels at the frame's size."""
    frame = folder / "frames" / "demo6.png"
    model = load("pl1a_seg", weights=folder / "pl1a_new.bin")
    wide = np.asarray(Pil.open(frame).convert("RGB").resize((1280, 768), Pil.Resampling.BILINEAR))[..., ::-1]
    result = model(np.ascontiguousarray(wide))
    assert result.labels.shape == (768, 1280)
    assert (result.labels[::2, ::2] == model(frame).labels).mean() > 0.97
