from __future__ import annotations

import numpy as np
import pytest

from dongfeng.datasets import cityscapes


def test_tables_equal_the_official_scripts() -> None:
    official = pytest.importorskip(
        "cityscapesscripts.helpers.labels", reason="needs cityscapesScripts (pip install --no-deps cityscapesscripts)"
    )
    trained = sorted((label for label in official.labels if 0 <= label.trainId < 255), key=lambda label: label.trainId)
    assert tuple(label.name for label in trained) == cityscapes.CLASSES
    assert [label.id for label in trained] == cityscapes.LABEL_IDS.tolist()
    assert [label.color for label in trained] == [tuple(color) for color in cityscapes.PALETTE.tolist()]
    assert tuple(label.category for label in trained) == cityscapes.CLASS_CATEGORIES
    categories = {label.categoryId: label.category for label in official.labels}
    assert tuple(categories[index] for index in range(len(categories))) == cityscapes.CATEGORIES


def test_label_ids_equal_the_official_scripts() -> None:
    official = pytest.importorskip(
        "cityscapesscripts.helpers.labels", reason="needs cityscapesScripts (pip install --no-deps cityscapesscripts)"
    )
    label_ids = np.arange(34, dtype=np.uint8)
    expected = [official.id2label[int(index)].trainId for index in label_ids]
    assert cityscapes.to_train_ids(label_ids).tolist() == expected


def test_numberings_are_each_others_inverse() -> None:
    train_ids = np.arange(19, dtype=np.uint8)
    assert (cityscapes.to_train_ids(cityscapes.to_label_ids(train_ids)) == train_ids).all()


def test_what_is_no_class_is_unlabelled_and_ignored() -> None:
    assert set(cityscapes.to_label_ids(np.arange(19, 256, dtype=np.uint8)).tolist()) == {cityscapes.UNLABELED}
    assert set(cityscapes.to_train_ids(np.arange(34, 256, dtype=np.uint8)).tolist()) == {cityscapes.IGNORE}
    assert cityscapes.to_train_ids(np.zeros((2, 3), np.uint8)).tolist() == [[255] * 3] * 2


def test_conversion_keeps_shape_and_type() -> None:
    labels = np.zeros((3, 4), np.uint8)
    for convert in (cityscapes.to_label_ids, cityscapes.to_train_ids):
        assert convert(labels).shape == (3, 4)
        assert convert(labels).dtype == np.uint8


def test_tables_cannot_be_changed() -> None:
    assert cityscapes.PALETTE.shape == (19, 3)
    with pytest.raises(ValueError, match="read-only"):
        cityscapes.PALETTE[0, 0] = 1
