from __future__ import annotations

from pathlib import Path

import pytest

from dongfeng.datasets.imagenet_folder import read_class_folders, read_list
from dongfeng.errors import DongfengError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_of_classes(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "n15075141/b.JPEG",
        "n01440764/2.png",
        "n01440764/1.JPEG",
        "n01440764/readme.txt",
        "n01440764/._1.JPEG",
        ".cache/x.png",
    )
    images = read_class_folders(tmp_path)
    expected = {"n01440764/1.JPEG": 0, "n01440764/2.png": 0, "n15075141/b.JPEG": 999}
    assert {path.relative_to(tmp_path).as_posix(): label for path, label in images.items()} == expected
    assert list(images) == [tmp_path / name for name in expected]


def test_a_list_decides_names_order_and_classes(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPEG", "sub/a b.JPEG", "unlisted.JPEG")
    labels = tmp_path / "val.txt"
    labels.write_text("sub/a b.JPEG 999\n\nb.JPEG\t0\nmissing.JPEG 7\n", encoding="utf-8")
    expected = {tmp_path / "sub/a b.JPEG": 999, tmp_path / "b.JPEG": 0, tmp_path / "missing.JPEG": 7}
    images = read_list(tmp_path, labels)
    assert images == expected
    assert list(images) == list(expected)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "val: holds no folders named after classes, such as n01440764; .*list of their classes [(]--labels[)]"),
        (["1.JPEG"], "val: holds no folders named after classes"),
        (["n01440764/1.JPEG", "n00000001/1.JPEG"], "val/n00000001: is none of the 1000 classes"),
        (["n01440764/readme.txt", "n15075141/x"], "val: the folders of its 2 classes hold no images"),
        (None, "val: no such folder"),
    ],
    ids=["empty", "flat", "foreign class", "no images", "missing"],
)
def test_folders_without_labelled_images_are_an_error(names: list[str] | None, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "val"
    if names is not None:
        folder.mkdir()
        touch(folder, *names)
    with pytest.raises(DongfengError, match=message):
        read_class_folders(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.JPEG 1\nb.JPEG\n", 'val.txt:2: expected "NAME INDEX", got "b.JPEG"'),
        ("490\n361\n", 'val.txt:1: expected "NAME INDEX", got "490"'),
        ("a.JPEG n01440764\n", 'val.txt:1: expected "NAME INDEX"'),
        ("a.JPEG -1\n", 'val.txt:1: expected "NAME INDEX"'),
        ("a.JPEG 1000\n", "val.txt:1: class 1000; expected 0 to 999"),
        ("a.JPEG 1\na.JPEG 1\n", "val.txt:2: a.JPEG is listed before"),
        ("c.JPEG 1\nd.JPEG 1\n", "holds none of the 2 images of .*val.txt, such as c.JPEG"),
        (" \n", 'val.txt: is empty; expected lines "NAME INDEX"'),
        (None, "val.txt: no such file"),
    ],
    ids=["no index", "index only", "wnid", "negative", "too large", "twice", "another folder", "empty", "missing"],
)
def test_a_list_that_cannot_be_meant_is_an_error(text: str | None, message: str, tmp_path: Path) -> None:
    touch(tmp_path, "a.JPEG", "b.JPEG")
    labels = tmp_path / "val.txt"
    if text is not None:
        labels.write_text(text, encoding="utf-8")
    with pytest.raises(DongfengError, match=message):
        read_list(tmp_path, labels)


def test_a_list_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DongfengError, match=r"val.txt: cannot be read as text"):
        read_list(tmp_path, tmp_path / "val.txt")
