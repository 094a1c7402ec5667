from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from dongfeng.cli.main import main
from dongfeng.datasets.cityscapes import CLASSES, IGNORE, to_train_ids
from dongfeng.datasets.cityscapes_folder import find_frames, find_truth
from dongfeng.datasets.cityscapes_metrics import CityscapesMetrics
from dongfeng.datasets.label_png import read_instance_png, read_label_png
from dongfeng.datasets.toytown import Toytown, draw_scene, write_cityscapes_folder
from dongfeng.datasets.toytown.canvas import SceneCanvas, fill, ink
from dongfeng.datasets.toytown.dice import Dice
from dongfeng.errors import DongfengError

SHA256 = "22a2abb7863994f1ec5ac6bebdc0b7756d311d5bf524b0e3d5770650b8223017"


@pytest.fixture(scope="module")
def scenes():
    return Toytown(40, (256, 512), seed=9)[:]


def test_the_same_scenes_have_the_same_bytes_everywhere():
    digest = hashlib.sha256()
    for seed, size_hw in ((0, (256, 512)), (7, (128, 320))):
        for index in range(12):
            scene = draw_scene(seed, index, size_hw)
            for part in (scene.image_bgr, scene.labels, scene.instances.astype("<u2")):
                digest.update(part.tobytes())
    assert digest.hexdigest() == SHA256


def test_draws_are_those_of_numpys_own_generator():
    dice, generator = Dice(3, 4), np.random.Generator(np.random.PCG64(np.random.SeedSequence([3, 4])))
    assert [dice.unit() for _ in range(600)] == generator.random(600).tolist()


def test_every_pixel_has_one_of_the_19_classes(scenes):
    for scene in scenes:
        assert scene.image_bgr.shape == (256, 512, 3)
        assert scene.image_bgr.dtype == scene.labels.dtype == np.uint8
        assert scene.labels.shape == scene.instances.shape == (256, 512)
        assert scene.labels.max() < len(CLASSES)


def test_every_class_is_in_a_quarter_of_the_scenes(scenes):
    counts = np.array([np.bincount(scene.labels.ravel(), minlength=19) for scene in scenes])
    share = dict(zip(CLASSES, (counts >= 64).mean(axis=0), strict=True))
    assert min(share.values()) >= 0.25, share


def test_an_object_has_one_class(scenes):
    for scene in scenes[:20]:
        for thing in np.unique(scene.instances)[1:]:
            assert len(np.unique(scene.labels[scene.instances == thing])) == 1


def test_other_numbers_give_other_scenes():
    images = {draw_scene(seed, index, (64, 128)).image_bgr.tobytes() for seed in range(4) for index in range(10)}
    assert len(images) == 40


@pytest.mark.parametrize("size_hw", [(64, 128), (65, 131), (64, 512), (400, 130), (512, 1024)])
def test_scenes_of_any_size(size_hw):
    for index in range(4):
        scene = draw_scene(2, index, size_hw)
        assert scene.image_bgr.shape == (*size_hw, 3)
        assert scene.labels.shape == size_hw
        assert scene.labels.max() < len(CLASSES)


def test_a_series_is_its_scenes():
    series = Toytown(3, (64, 128), seed=5)
    assert len(series) == 3
    assert len(list(series)) == 3
    np.testing.assert_array_equal(series[-1].image_bgr, draw_scene(5, 2, (64, 128)).image_bgr)
    with pytest.raises(IndexError):
        series[3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: draw_scene(-1, 0), "toytown: seed -1, index 0; expected 0 or more"),
        (lambda: draw_scene(0, -1), "toytown: seed 0, index -1; expected 0 or more"),
        (lambda: draw_scene(0, 0, (63, 128)), "toytown: size 63x128; expected at least 64x128"),
        (lambda: Toytown(-1), "toytown: count -1; expected 0 or more"),
    ],
)
def test_wrong_arguments_are_errors_of_one_line(make, message):
    with pytest.raises(DongfengError) as caught:
        make()
    assert str(caught.value) == message


def _is_inside(outline, x, y):
    """Whether a point is inside: edges to its left, counted one at a time, without a division."""
    inside = False
    for (x0, y0), (x1, y1) in zip(outline, [*outline[1:], outline[0]], strict=True):
        if (y0 <= y) != (y1 <= y):
            left = (y - y0) * (x1 - x0) - (x - x0) * (y1 - y0)
            inside ^= left <= 0 if y1 > y0 else left >= 0
    return inside


def test_polygons_are_filled_by_the_even_odd_rule():
    rng = np.random.default_rng(0)
    for _ in range(40):
        outline = [(int(x) + 0.25, int(y) + 0.25) for x, y in rng.integers(-6, 26, (rng.integers(3, 9), 2))]
        expected = np.array([[_is_inside(outline, x + 0.5, y + 0.5) for x in range(20)] for y in range(16)])
        actual = np.zeros((16, 20), bool)
        found = fill(outline, (16, 20))
        if found is not None:
            actual[found[0]] = found[1]
        np.testing.assert_array_equal(actual, expected)


def test_what_is_painted_is_what_is_labelled():
    canvas = SceneCanvas(np.zeros((8, 8), np.uint8))
    canvas.polygon([(0, 0), (8, 0), (8, 8), (0, 8)], ink((10, 20, 30), 10))
    canvas.polygon([(2, 2), (6, 2), (6, 6), (2, 6)], ink((200, 100, 50), 13, instance=2))
    canvas.relabel([(0, 0), (8, 0), (8, 2), (0, 2)], 4)
    canvas.darken([(2, 2), (6, 2), (6, 4), (2, 4)], 0.5, (13,))
    assert canvas.image_bgr()[4, 4].tolist() == [50, 100, 200]
    assert canvas.image_bgr()[2, 2].tolist() == [25, 50, 100]
    assert canvas.image_bgr()[1, 4].tolist() == [30, 20, 10]
    assert [canvas.labels()[place] for place in ((1, 4), (3, 3), (7, 7))] == [4, 13, 10]
    assert (canvas.instances() == 2).sum() == (canvas.labels() == 13).sum() == 16


def test_a_folder_is_read_and_evaluated_as_cityscapes(tmp_path):
    paths = write_cityscapes_folder(tmp_path, "val", 6, (128, 256), seed=4)
    frames = find_frames(tmp_path, "val")
    truth = find_truth(tmp_path, "val", frames)
    assert [frame.path for frame in frames] == paths
    assert truth.has_instances
    metrics = CityscapesMetrics()
    for index, frame in enumerate(frames):
        scene = draw_scene(4, index, (128, 256))
        label_ids = read_label_png(truth.label_ids(frame))
        np.testing.assert_array_equal(cv2.imread(str(frame.path)), scene.image_bgr)
        np.testing.assert_array_equal(to_train_ids(label_ids), scene.labels)
        assert not (scene.labels == IGNORE).any()
        instance_ids = read_instance_png(truth.instance_ids(frame))
        counted = scene.labels >= CLASSES.index("person")
        np.testing.assert_array_equal(np.where(counted, instance_ids // 1000, instance_ids), label_ids)
        np.testing.assert_array_equal((instance_ids % 1000)[counted], scene.instances[counted])
        metrics.add(label_ids, label_ids, instance_ids)
    assert list(metrics.scores().iou.values()) == [1.0] * len(CLASSES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gtFine", "leftImg8bit"]


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    write_cityscapes_folder(tmp_path, "val", 1, (64, 128))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    with pytest.raises(DongfengError, match="toytown: is there already; delete it, or choose another folder or split"):
        write_cityscapes_folder(tmp_path, "val", 2, (64, 128), seed=1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before
    write_cityscapes_folder(tmp_path, "train", 2, (64, 128), seed=1)
    assert len(find_frames(tmp_path, "train")) == 2


@pytest.mark.parametrize("split", ["", "a/b", "../val", ".val"])
def test_a_split_is_a_plain_name(tmp_path, split):
    with pytest.raises(DongfengError, match="expected the name of a folder, such as val"):
        write_cityscapes_folder(tmp_path, split, 1, (64, 128))
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def interrupt(name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cityscapes_folder(tmp_path, "val", 3, (64, 128), written=interrupt)
    assert not list(tmp_path.iterdir())


def test_a_killed_run_leaves_nothing_that_looks_whole(tmp_path):
    program = (
        "from pathlib import Path; from dongfeng.datasets.toytown import write_cityscapes_folder as write\n"
        f"write(Path({str(tmp_path)!r}), 'val', 100000, (64, 128))"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".toytown-*/leftImg8bit/*_000003_*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [path.name[:9] for path in tmp_path.iterdir()] == [".toytown-"]
    write_cityscapes_folder(tmp_path, "val", 1, (64, 128))
    assert len(find_frames(tmp_path, "val")) == 1


def test_labels_without_their_images_are_replaced(tmp_path):
    write_cityscapes_folder(tmp_path, "val", 2, (64, 128), seed=3)
    for path in (tmp_path / "leftImg8bit/val/toytown").iterdir():
        path.unlink()
    (tmp_path / "leftImg8bit/val/toytown").rmdir()  # as if killed between the two
    write_cityscapes_folder(tmp_path, "val", 1, (64, 128), seed=4)
    labels = read_label_png(tmp_path / "gtFine/val/toytown/toytown_000000_000000_gtFine_labelIds.png")
    np.testing.assert_array_equal(to_train_ids(labels), draw_scene(4, 0, (64, 128)).labels)
    assert len(list((tmp_path / "gtFine/val/toytown").iterdir())) == 2


def test_the_command_writes_and_lists_the_images(tmp_path, capsys):
    out = tmp_path / "new" / "town"
    assert main(["toytown", "-o", str(out), "--count", "2", "--size", "64x128", "--seed", "3", "--split", "train"]) == 0
    assert capsys.readouterr().out.split() == ["toytown_000000_000000", "toytown_000001_000000"]
    frame = find_frames(out, "train")[1]
    np.testing.assert_array_equal(cv2.imread(str(frame.path)), draw_scene(3, 1, (64, 128)).image_bgr)


@pytest.mark.parametrize(
    ("argv", "code"), [(("--size", "10x10"), 1), (("--split", "a/b"), 1), (("--seed", "-1"), 2), (("--count", "0"), 2)]
)
def test_wrong_use_of_the_command_is_one_line(tmp_path, capsys, argv, code):
    try:
        status = main(["toytown", "-o", str(tmp_path), f"{argv[0]}={argv[1]}"])
    except SystemExit as exit_:
        status = exit_.code
    assert status == code
    assert capsys.readouterr().err.strip().splitlines()[-1].count("error: ") == 1
    assert not Path(tmp_path, "leftImg8bit").exists()
