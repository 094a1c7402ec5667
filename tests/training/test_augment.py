"""Views of images: labels go where the image goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dongfeng.errors import ImageError
from dongfeng.net.preprocessing import Preprocessing
from dongfeng.training.augment import augment
from dongfeng.training.batches import Batches
from dongfeng.training.config import TrainConfig
from dongfeng.training.samples import IGNORE

from .tiny import SIZE_HW, Shades, Squares

PLAIN = TrainConfig(random_scale=(1.0, 1.0), flip=False, jitter=0.0, batch=4)


def grey_scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels of 8x8 blocks, and an image whose grey tells the label: 20 (1 + label)."""
    labels = np.kron(rng.integers(0, 10, (8, 16)), np.ones((8, 8))).astype(np.uint8)
    return np.repeat((20 * (labels + 1))[..., None], 3, 2).astype(np.uint8), labels


def test_without_any_change_a_view_is_the_image() -> None:
    image, labels = grey_scene(np.random.default_rng(0))
    view, view_labels = augment(image, labels, (64, 128), PLAIN, np.random.default_rng(0))
    assert np.array_equal(view, image)
    assert np.array_equal(view_labels, labels)


def test_a_flip_flips_the_labels_too() -> None:
    image, labels = grey_scene(np.random.default_rng(0))
    seen = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        view, view_labels = augment(image, labels, (64, 128), replace(PLAIN, flip=True), rng)
        is_flipped = not np.array_equal(view, image)
        assert np.array_equal(view, image[:, ::-1] if is_flipped else image)
        assert np.array_equal(view_labels, labels[:, ::-1] if is_flipped else labels)
        seen.add(is_flipped)
    assert seen == {False, True}


@pytest.mark.parametrize("scale", [(0.5, 0.9), (1.0, 1.0), (1.1, 2.5)], ids=["smaller", "same", "larger"])
def test_scaled_and_cropped_labels_lie_on_their_pixels(scale: tuple[float, float]) -> None:
    config = replace(PLAIN, random_scale=scale, flip=True)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        image, labels = grey_scene(rng)
        view, found = augment(image, labels, (48, 96), config, rng, fill_bgr=(5.0, 5.0, 5.0))
        assert view.shape == (48, 96, 3)
        assert found.shape == (48, 96)
        grey = view[..., 0].astype(int)
        inside = found != IGNORE
        off = np.abs(grey[inside] - 20 * (found[inside].astype(int) + 1))
        # Where a corner runs through a pixel, its label may have as little as a quarter of its grey.
        assert np.mean(off == 0) > 0.5
        assert off.max() <= 0.75 * 180 + 1
        assert inside.all() or scale[0] < 1
        assert np.all(grey[~inside] <= 5 + 0.75 * 200)


def test_colours_change_by_no_more_than_asked() -> None:
    image, labels = np.full((32, 64, 3), 128, np.uint8), np.zeros((32, 64), np.uint8)
    config = replace(PLAIN, jitter=0.2)
    means = []
    for seed in range(50):
        view, _ = augment(image, labels, (32, 64), config, np.random.default_rng(seed))
        assert np.ptp(view.reshape(-1, 3), axis=0).max() == 0
        means.append(view[0, 0])
    assert np.std(means) > 3
    assert np.abs(np.array(means, int) - 128).max() <= 128 * (0.2 + 0.1 * 1.2) + 1


def test_a_classified_image_is_brought_to_size() -> None:
    image, label = Shades(3).sample(2)
    view, found = augment(image, label, (16, 16), PLAIN, np.random.default_rng(0))
    assert view.shape == (16, 16, 3)
    assert found == 2


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    config = TrainConfig(batch=3, seed=5)
    first, again = (Batches(Squares(8), config, SIZE_HW, Preprocessing()) for _ in range(2))
    ahead = list(again.stream(0, 6, workers=3))
    for step in (4, 0, 5):
        mine = first.batch(step)
        assert mine.pixels == ahead[step].pixels
        assert np.array_equal(mine.images_bgr, ahead[step].images_bgr)
        assert np.array_equal(mine.targets, ahead[step].targets)
    other = Batches(Squares(8), replace(config, seed=6), SIZE_HW, Preprocessing()).batch(0)
    assert not np.array_equal(other.images_bgr, ahead[0].images_bgr)


def test_an_epoch_sees_every_image_once() -> None:
    squares = Squares(10)
    known = {squares.sample(index)[0].tobytes(): index for index in range(10)}
    batches = Batches(squares, replace(PLAIN, batch=4), SIZE_HW, Preprocessing())
    seen = [known[image.tobytes()] for step in range(5) for image in batches.batch(step).images_bgr]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_a_label_stride_takes_other_pixels_at_each_step() -> None:
    batches = Batches(Squares(4), replace(PLAIN, label_stride=2), SIZE_HW, Preprocessing())
    ordinary = Batches(Squares(4), PLAIN, SIZE_HW, Preprocessing())
    phases = set()
    for step in range(12):
        full, strided = ordinary.batch(step).targets, batches.batch(step).targets
        fits = [(y, x) for y in (0, 1) for x in (0, 1) if np.array_equal(full[:, y::2, x::2], strided)]
        assert fits
        phases.update(y for y, _ in fits if len({y for y, _ in fits}) == 1)  # the ignored row tells the odd ones
    assert phases == {0, 1}


def test_labels_outside_of_the_classes_are_refused() -> None:
    class Wrong(Squares):
        class_names = ("red", "green")

    with pytest.raises(ImageError, match="has the label 2; expected classes 0 to 1, or 255"):
        list(Batches(Wrong(4), PLAIN, SIZE_HW, Preprocessing()).stream(0, 3, workers=1))
