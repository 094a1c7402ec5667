from __future__ import annotations

import hashlib

import numpy as np
import pytest

from dongfeng.datasets.toyshapes import CLASS_NAMES, draw_shape
from dongfeng.errors import DongfengError

SHA256 = "9b755e4ac4fa8e105a878b7114cb09b3356f71f29ff8c905df2b59a0973b5ea3"


def test_the_same_shapes_have_the_same_bytes_everywhere():
    digest = hashlib.sha256()
    for seed, size in ((0, 64), (5, 32)):
        for index in range(60):
            image, label = draw_shape(seed, index, size)
            digest.update(image.tobytes() + bytes([label]))
    assert digest.hexdigest() == SHA256


def test_classes_are_many_and_balanced():
    labels = [draw_shape(3, index, 16)[1] for index in range(4 * len(CLASS_NAMES))]
    assert len(CLASS_NAMES) >= 20
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES)
    assert np.bincount(labels).tolist() == [4] * len(CLASS_NAMES)


@pytest.mark.parametrize("size", [16, 64, 97])
def test_shapes_of_any_size(size):
    image, label = draw_shape(1, 2, size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert 0 <= label < len(CLASS_NAMES)
    assert isinstance(label, int)


def test_other_numbers_give_other_pictures():
    pictures = {draw_shape(seed, index)[0].tobytes() for seed in range(3) for index in range(60)}
    assert len(pictures) == 180


def test_mean_pictures_do_not_tell_the_class():
    """A linear classifier of the pixels is near chance, so that there is something left to learn."""
    count = 20 * len(CLASS_NAMES)
    train, test = ([draw_shape(seed, index, 32) for index in range(count)] for seed in (1, 2))

    def features(shapes):
        pixels = np.stack([image.astype(np.float64).mean(axis=2).ravel() for image, _ in shapes])
        pixels = (pixels - pixels.mean(axis=1, keepdims=True)) / pixels.std(axis=1, keepdims=True)
        return np.hstack([pixels, np.ones((len(pixels), 1))])

    targets = np.eye(len(CLASS_NAMES))[[label for _, label in train]]
    known = features(train)
    weights = np.linalg.solve(known.T @ known + 100 * np.eye(known.shape[1]), known.T @ targets)
    found = (features(test) @ weights).argmax(axis=1)
    assert np.mean(found == [label for _, label in test]) < 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0), "toyshapes: seed -1, index 0; expected 0 or more"),
        ((0, -2), "toyshapes: seed 0, index -2; expected 0 or more"),
        ((0, 0, 15), "toyshapes: size 15; expected at least 16"),
    ],
)
def test_wrong_arguments_are_errors_of_one_line(arguments, message):
    with pytest.raises(DongfengError) as caught:
        draw_shape(*arguments)
    assert str(caught.value) == message
