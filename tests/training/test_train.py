"""Whole trainings of tiny networks."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dongfeng
from dongfeng.architectures import backbone_net
from dongfeng.caffe import caffemodel
from dongfeng.errors import BackendUnavailable, DongfengError, ImageError, ShapeError, TrainingDiverged, WeightsMismatch
from dongfeng.formats.caffe import write_caffe
from dongfeng.net.graph import Net
from dongfeng.net.preprocessing import prepare
from dongfeng.net.random_weights import random_weights
from dongfeng.training import (
    Data,
    LogEntry,
    LossEntry,
    Metrics,
    TrainConfig,
    initialize_weights,
    open_data,
    train,
    train_run,
    with_classes,
)
from dongfeng.training.training_folder import TrainingFolder

from .tiny import SIZE_HW, SQUARES, Shades, Squares, classifier, segmenter, write_cityscapes, write_prototxt

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors")

CONFIG = TrainConfig(
    steps=60,
    batch=4,
    lr=0.1,
    random_scale=(0.9, 1.2),
    log_every=20,
    eval_every=1000,
    threads=1,
    workers=1,
    device="cpu",
)


def losses(log: Sequence[LogEntry]) -> list[float]:
    return [entry.loss for entry in log if isinstance(entry, LossEntry)]


def test_a_small_net_learns_four_images_by_heart() -> None:
    four = Squares(4)
    config = replace(CONFIG, random_scale=(1.0, 1.0), flip=False, jitter=0.0, log_every=5)
    result = train(segmenter(3), config, data=Data(four, four))
    first, *_, last = losses(result.log)
    assert first > 0.5
    assert last < 0.2
    assert result.metrics.miou > 0.9
    assert set(result.metrics.iou) == {"red", "green", "blue"}


def test_a_classifier_learns() -> None:
    result = train(
        classifier(3),
        replace(CONFIG, optimizer="adamw", lr=0.02, jitter=0.0, batch=12, steps=80),
        data=Data(Shades(24), Shades(9)),
    )
    assert result.metrics == Metrics(top1=1.0)


def test_the_net_that_comes_out_is_the_one_that_was_evaluated(tmp_path: Path) -> None:
    """Its files, run by ONNX Runtime, have the mIoU that the training has found."""
    result = train(segmenter(3), replace(CONFIG, average=0.9, steps=30), data=SQUARES)
    write_caffe(result.net, tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    hits = np.zeros((3, 3), int)
    with dongfeng.load(tmp_path / "net.prototxt", weights=tmp_path / "net.caffemodel") as model:
        assert model.size_hw == SIZE_HW
        assert model.preprocessing.mean_bgr == (72, 83, 73)
        for index in range(4):
            image, labels = SQUARES.validation.sample(index)
            inside = labels != 255
            np.add.at(hits, (labels[inside], model(image).labels[inside]), 1)
    iou = np.diag(hits) / (hits.sum(0) + hits.sum(1) - np.diag(hits))
    assert result.metrics.miou == pytest.approx(iou.mean(), abs=2e-3)
    assert result.metrics.miou > 0.5


def test_the_input_is_that_of_the_runtime() -> None:
    from dongfeng.training.batches import Batches
    from dongfeng.training.loop import _Trainer

    net = replace(
        initialize_weights(segmenter(3), (), seed=0).net,
        preprocessing=dongfeng.net.preprocessing.Preprocessing((72.0, 83.0, 73.0), 0.008),
    )
    config = replace(CONFIG, random_scale=(1.0, 1.0), flip=False, jitter=0.0, batch=2)
    trainer = _Trainer(net, config, SQUARES, None, "cpu", None)
    batch = Batches(SQUARES.train, config, SIZE_HW, net.preprocessing).batch(0)
    images, _ = trainer._inputs(batch)
    assert images.is_contiguous(memory_format=torch.channels_last)
    for image, got in zip(batch.images_bgr, images.numpy(), strict=True):
        assert np.array_equal(got, prepare(image, net.preprocessing, SIZE_HW)[0])


KILLED = TrainConfig(
    steps=120,
    batch=4,
    lr=0.05,
    average=0.9,
    label_stride=2,
    log_every=3,
    eval_every=50,
    checkpoint_every=7,
    threads=1,
    workers=2,
    device="cpu",
)
TIMES = re.compile(r', "(images_per_s|evaluation_s)": [\d.]+')


def test_a_killed_training_goes_on_to_the_very_same_end(tmp_path: Path, subprocess_env: dict[str, str]) -> None:
    config = replace(
        KILLED,
        net=str(write_prototxt(tmp_path / "tiny.prototxt", segmenter(width=48))),
        data=f"cityscapes:{write_cityscapes(tmp_path / 'data')}",
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_run(config, whole)
    code = (
        "import sys, json; from pathlib import Path; from dongfeng.training import TrainConfig, train_run;"
        "train_run(TrainConfig().updated(json.loads(sys.argv[1]), source='test'), Path(sys.argv[2]), resume=True)"
    )
    for lines in (6, 20):
        command = [sys.executable, "-c", code, json.dumps(config.as_dict()), str(killed)]
        with subprocess.Popen(command, env=subprocess_env) as process:
            while process.poll() is None and len(TrainingFolder(killed).entries()) < lines:
                time.sleep(0.002)
            process.kill()
        assert process.returncode in (-signal.SIGKILL, 1), "it was to be killed on the way"
        assert not (killed / "tiny.caffemodel").exists()
    train_run(config, killed, resume=True)
    assert (killed / "tiny.caffemodel").read_bytes() == (whole / "tiny.caffemodel").read_bytes()
    log, expected = (TIMES.sub("", (run / "log.jsonl").read_text()) for run in (killed, whole))
    assert log == expected
    assert len(log.splitlines()) == 120 // 3 + 3
    assert (killed / "checkpoint.safetensors").read_bytes() == (whole / "checkpoint.safetensors").read_bytes()


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    with (
        TrainingFolder(tmp_path).opened(CONFIG),
        pytest.raises(DongfengError, match="another process is training in this folder"),
    ):
        train(segmenter(3), CONFIG, tmp_path, data=SQUARES, resume=True)


def test_a_net_that_does_not_fit_the_data_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="the data is a segmentation of 3 classes"):
        train(segmenter(4), CONFIG, tmp_path / "run", data=SQUARES)
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten_and_not_resumed_as_another(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=2)
    train(segmenter(3), config, tmp_path / "run", data=SQUARES)
    with pytest.raises(DongfengError, match="holds a training already; resume it"):
        train(segmenter(3), config, tmp_path / "run", data=SQUARES)
    with pytest.raises(DongfengError, match=r"another training: lr 0\.1 there, 0\.2 here"):
        train(segmenter(3), replace(config, lr=0.2), tmp_path / "run", data=SQUARES, resume=True)
    with pytest.raises(DongfengError, match="is of another network"):
        train(segmenter(3, width=8), config, tmp_path / "run", data=SQUARES, resume=True)
    (tmp_path / "run/checkpoint.safetensors").write_bytes(b"{}")
    with pytest.raises(DongfengError, match="is no checkpoint"):
        train(segmenter(3), config, tmp_path / "run", data=SQUARES, resume=True)


def test_nothing_is_pickled(tmp_path: Path) -> None:
    train(segmenter(3), replace(CONFIG, steps=2), tmp_path, data=SQUARES)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "log.jsonl", "checkpoint.safetensors", ".lock"}
    with safetensors.safe_open(tmp_path / "checkpoint.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["state"])["step"] == 2
    sources = "".join(path.read_text() for path in Path(str(dongfeng.training.__file__)).parent.glob("*.py"))
    assert not re.search(r"import pickle|torch\.(save|load)\(", sources)


@pytest.mark.parametrize(("width", "layout"), [(8, "contiguous_format"), (16, "channels_last")])
def test_narrow_nets_keep_clear_of_a_layout_that_corrupts_memory(width: int, layout: str) -> None:
    from dongfeng.formats.torch import to_torch
    from dongfeng.training.settings import memory_layout

    module = to_torch(random_weights(backbone_net([[width], [width], [16]], size_hw=(32, 32), stem=(16, 16)), 0))
    assert memory_layout(module, "cpu") is getattr(torch, layout)
    assert memory_layout(module, "cuda") is torch.channels_last


def test_a_narrow_net_trains_on_large_images(tmp_path: Path, subprocess_env: dict[str, str]) -> None:
    """With its channels last this ends in a corrupted heap, so it has a process of its own."""
    code = (
        "from dongfeng.architectures import segmentation_net; from dongfeng.training import TrainConfig, train\n"
        "net = segmentation_net([[8], [8], [16]], (8, 8, 8), size_hw=(256, 512), stem=(6, 12), psp_kernels=(8, 4, 2, 1))\n"
        "train(net, TrainConfig(data='toytown:8', steps=2, batch=8, validation_images=2, threads=1, label_stride=2))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=subprocess_env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path: Path) -> None:
    config = replace(CONFIG, lr=1e30, momentum=0.0, checkpoint_every=1, log_every=50)
    with pytest.raises(
        TrainingDiverged, match=r"the loss is (nan|inf) at step \d+: use a lower lr than 1e\+30.*is from before"
    ):
        train(segmenter(3), config, tmp_path, data=SQUARES)
    with safetensors.safe_open(tmp_path / "checkpoint.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["state"])["step"] >= 1


def test_what_cannot_be_trained_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DongfengError, match="batch is 1, but the net has BatchNorm"):
        train(segmenter(3), replace(CONFIG, batch=1), data=SQUARES)
    with pytest.raises(ShapeError, match="its scores are .*segmentation of 3 classes"):
        train(segmenter(4), CONFIG, data=SQUARES)
    with pytest.raises(ShapeError, match="classification of 3 classes"):
        train(segmenter(3), CONFIG, data=Data(Shades(4), Shades(4)))
    with pytest.raises(BackendUnavailable, match="needs a GPU"):
        train(segmenter(3), replace(CONFIG, precision="fp16"), data=SQUARES)
    with pytest.raises(BackendUnavailable, match='device is "tpu"'):
        train(segmenter(3), replace(CONFIG, device="tpu"), data=SQUARES)
    monkeypatch.setattr("dongfeng.training.settings.find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r'torch and safetensors; run: pip install "dongfeng\[torch\]"'):
        train(segmenter(3), CONFIG, data=SQUARES)


def test_torch_is_left_as_it_was() -> None:
    torch.manual_seed(7)
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist())
    train(segmenter(3), replace(CONFIG, steps=1, threads=2), data=SQUARES)
    assert before == (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
    )


def test_bf16_learns_as_well() -> None:
    result = train(segmenter(3), replace(CONFIG, precision="bf16"), data=SQUARES)
    assert result.metrics.miou > 0.6


def records(net: Net, tmp_path: Path) -> list[caffemodel.LayerBlobs]:
    write_caffe(net, tmp_path / "w.prototxt", tmp_path / "w.caffemodel")
    return list(caffemodel.read(tmp_path / "w.caffemodel"))


def test_weights_are_found_by_name_and_the_rest_is_new(tmp_path: Path) -> None:
    trained = random_weights(segmenter(19), 3)
    file = [record for record in records(trained, tmp_path) if record.name != "conv2"]
    begun = initialize_weights(with_classes(segmenter(19), 5), file, seed=1)
    assert "conv1" in begun.loaded
    assert "conv1/bn_scale" in begun.loaded
    assert set(begun.random) == {"conv2", "score", "score/bn", "score/bn_scale", "score.up8"}
    assert np.array_equal(begun.net.layer("conv1").blobs[0], trained.layer("conv1").blobs[0])
    assert begun.net.layer("score").blobs[0].shape[0] == 5
    spread = begun.net.layer("conv2").blobs[0].std()
    assert spread == pytest.approx(np.sqrt(2 / (16 * 9)), rel=0.1)  # He et al.
    shapes = begun.net.shapes()
    assert shapes["score.up8"] == (1, 5, *SIZE_HW)
    assert train(begun.net, replace(CONFIG, steps=1), data=_with_names(5)).metrics.miou is not None


def _with_names(count: int) -> Data:
    squares = Squares(4)
    squares.class_names = tuple(f"class {index}" for index in range(count))
    return Data(squares, squares)


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsMismatch, match="no layer of this file is in the net"):
        initialize_weights(
            classifier(3),
            [replace(record, name="x" + record.name) for record in records(random_weights(classifier(3)), tmp_path)],
            seed=0,
        )
    with pytest.raises(WeightsMismatch, match='layer "conv1": its weights are'):
        initialize_weights(segmenter(19), records(random_weights(segmenter(19, width=8)), tmp_path), seed=0, source="w")


def test_a_segmentation_begins_with_a_classifiers_backbone(tmp_path: Path) -> None:
    from dongfeng.architectures import build

    begun = initialize_weights(build("df1seg"), records(random_weights(build("df1")), tmp_path), seed=0)
    assert {name[:3] for name in begun.random} == {"psp", "Dec"}
    assert {name[:3] for name in begun.loaded} == {"con", "res"}


def test_folders_in_imagenets_layout(tmp_path: Path) -> None:
    import cv2

    shades = Shades(9)
    for split in ("train", "val"):
        for index in range(9):
            image, label = shades.sample(index)
            path = tmp_path / split / shades.class_names[int(label)] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), image)
    data = open_data(f"imagenet:{tmp_path}", size_hw=(32, 32), seed=0, validation_images=5)
    assert data.train.class_names == ["bright", "dark", "grey"]
    assert (len(data.train), len(data.validation)) == (9, 5)
    assert {int(data.train.sample(index)[1]) for index in range(9)} == {0, 1, 2}
    (tmp_path / "val/odd").mkdir()
    with pytest.raises(DongfengError, match="odd: is a class that .*train does not have"):
        open_data(f"imagenet:{tmp_path}", size_hw=(32, 32), seed=0)
    for folder in ("n01440764", "n02412080"):
        (tmp_path / "known/train" / folder).mkdir(parents=True)
        (tmp_path / "known/val" / folder).mkdir(parents=True)
        for split in ("train", "val"):
            assert cv2.imwrite(str(tmp_path / "known" / split / folder / "a.png"), shades.sample(0)[0])
    known = open_data(f"imagenet:{tmp_path / 'known'}", size_hw=(32, 32), seed=0)
    assert [int(known.train.sample(index)[1]) for index in range(2)] == [0, 348]
    assert len(known.train.class_names) == 1000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nope", "expected cityscapes:ROOT, imagenet:ROOT"),
        ("cityscapes", "expected cityscapes:ROOT"),
        ("cityscapes:/nowhere", "/nowhere: no such folder"),
        ("imagenet:/nowhere", "/nowhere/train: no such folder"),
        ("toytown:many", "COUNT a number of images"),
    ],
)
def test_data_that_is_not_there(data: str, message: str) -> None:
    with pytest.raises(DongfengError, match=message):
        open_data(data, size_hw=(64, 64), seed=0)


def test_a_size_that_labels_do_not_have(tmp_path: Path) -> None:
    import cv2

    root = write_cityscapes(tmp_path, images=1)
    assert cv2.imwrite(
        str(root / "leftImg8bit/train/town/town_000000_000000_leftImg8bit.png"), np.zeros((8, 8, 3), np.uint8)
    )
    data = open_data(f"cityscapes:{root}", size_hw=SIZE_HW, seed=0)
    with pytest.raises(ImageError, match="is 8x8 pixels, its labels are 32x64"):
        data.train.sample(0)


def test_scenes_that_other_processes_draw_are_the_same() -> None:
    notes: list[str] = []
    alone, many = (
        open_data(f"toytown:{count}", size_hw=(64, 128), seed=3, validation_images=2, note=notes.append)
        for count in (2, 33)
    )
    assert [note.partition(" in ")[0] for note in notes] == ["drawing 33 scenes of 64x128"]
    for index in range(2):
        for mine, theirs in zip(alone.train.sample(index), many.train.sample(index), strict=True):
            assert np.array_equal(mine, theirs)
    assert not np.array_equal(alone.train.sample(0)[0], alone.validation.sample(0)[0])
    assert np.array_equal(alone.validation.sample(1)[0], many.validation.sample(1)[0])
    with pytest.raises(DongfengError, match="draws the held-out images; choose another"):
        open_data("toytown:2", size_hw=(64, 128), seed=2**31 - 1)
