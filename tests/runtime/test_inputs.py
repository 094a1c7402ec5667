"""Which images an input stands for, and where their outputs go."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dongfeng.runtime.inputs import InputImage, find_images, find_video, output_names


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ["a/x.png", "a/b/x.png", "a/b/y.JPG", "a/notes.txt", "c/x.png", "c/x.jpg", "odd[1].png", "z.bmp"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([], []),
        (["z.bmp"], ["z.png"]),
        (["a"], ["b/x.png", "b/y.png", "x.png"]),
        (["a/"], ["b/x.png", "b/y.png", "x.png"]),
        (["a/b/x.png"], ["x.png"]),
        (["a/b/x.png", "a/./b/x.png"], ["x.png"]),
        (["a/*.png"], ["x.png"]),
        (["a/*/*"], ["b/x.png", "b/y.png"]),
        (["a/**/*.png"], ["b/x.png", "x.png"]),
        (["a/b*"], ["b/x.png", "b/y.png"]),
        (["odd[1].png"], ["odd[1].png"]),
        (["a/x.png", "c/x.png"], ["a/x.png.png", "c/x.png.png"]),
        (["c"], ["x.jpg.png", "x.png.png"]),
        (["a", "c/x.png"], ["a/x.png.png", "b/x.png", "b/y.png", "c/x.png.png"]),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_outputs_keep_the_structure_below_the_input(tree: Path, inputs: list[str], expected: list[str]) -> None:
    images, problems = find_images(inputs)
    assert problems == []
    assert sorted(name.as_posix() for name in output_names(images, ".png")) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("empty", "empty: no images in this folder"),
        ("missing.png", "missing.png: no such file or folder"),
        ("a/*.bmp", "a/*.bmp: no image matches this pattern"),
        ("a**b/[", "no image matches"),
    ],
)
def test_an_input_that_stands_for_no_image_is_reported(tree: Path, text: str, message: str) -> None:
    images, problems = find_images([text, "z.bmp"])
    assert [image.path.name for image in images] == ["z.bmp"]
    assert len(problems) == 1
    assert message in problems[0].reason
    assert problems[0].input == text


def test_outputs_of_an_earlier_run_inside_an_input_folder_are_no_inputs(tree: Path) -> None:
    images, _ = find_images(["a"], outside=Path("a/b"))
    assert [image.relative.as_posix() for image in images] == ["x.png"]


def test_an_input_folder_that_is_the_output_folder_is_read(tree: Path) -> None:
    images, _ = find_images(["c"], outside=Path("c"))
    assert len(images) == 2


def test_hidden_files_of_a_folder_are_no_inputs(tree: Path) -> None:
    for name in ("._x.png", ".x-abcdefgh.png"):  # what macOS leaves beside a file, and what a killed run leaves
        (tree / "a" / name).touch()
    images, _ = find_images(["a"])
    assert sorted(image.relative.as_posix() for image in images) == ["b/x.png", "b/y.JPG", "x.png"]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["drive.mp4"], Path("drive.mp4")),
        (["missing.MKV"], Path("missing.MKV")),
        (["0"], 0),
        (["12"], 12),
        (["7"], None),  # there is a folder of that name
        (["clip[1].avi"], Path("clip[1].avi")),
        (["*.mp4"], None),
        (["frames.mp4"], None),  # a folder
        (["a", "z.bmp"], None),
        ([], None),
    ],
    ids=str,
)
def test_what_stands_for_a_video(tree: Path, inputs: list[str], expected: Path | int | None) -> None:
    for name in ("drive.mp4", "clip[1].avi"):
        (tree / name).touch()
    for name in ("7", "frames.mp4"):
        (tree / name).mkdir()
    assert find_video(inputs) == expected


def test_a_link_to_an_image_counts_once(tree: Path) -> None:
    (tree / "link.png").symlink_to(tree / "z.bmp")
    images, _ = find_images(["z.bmp", "link.png"])
    assert [image.path.name for image in images] == ["z.bmp"]


parts = st.lists(st.sampled_from(["a", "A", "b", "x.png", "x"]), max_size=3)
files = st.lists(
    st.tuples(parts, st.sampled_from(["x.png", "x.jpg", "X.png", "x.png.png", "a.b.png"]), st.integers(0, 3))
)


@given(files)
def test_no_two_images_share_an_output(found: list[tuple[list[str], str, int]]) -> None:
    paths = {Path("/data", *folders, name): depth for folders, name, depth in found}
    images = [
        InputImage(path, Path(*path.parts[-1 - min(depth, len(path.parts) - 3) :])) for path, depth in paths.items()
    ]
    outputs = output_names(images, ".png")
    assert len(set(outputs)) == len(images)
    assert not any(output.is_absolute() or ".." in output.parts for output in outputs)
