from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dongfeng.datasets.label_png import PngForm, png_form, read_instance_png, read_label_png, whole_png_form
from dongfeng.errors import ImageError

LABELS = np.random.default_rng(0).integers(0, 34, (6, 11), np.uint8)


def written(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def test_forms_are_those_that_were_written(tmp_path: Path) -> None:
    images = {
        PngForm((6, 11), 1, 8): LABELS,
        PngForm((6, 11), 1, 16): LABELS.astype(np.uint16) * 1000,
        PngForm((6, 11), 3, 8): np.dstack([LABELS] * 3),
        PngForm((6, 11), 4, 8): np.dstack([LABELS] * 4),
    }
    for form, image in images.items():
        path = written(tmp_path / "x.png", image)
        assert png_form(path) == whole_png_form(path) == form
    Image.fromarray(LABELS).convert("P").save(path)
    assert whole_png_form(path) == PngForm((6, 11), 0, 8)


def test_a_file_with_any_byte_missing_or_wrong_is_not_whole(tmp_path: Path) -> None:
    data = written(tmp_path / "x.png", LABELS).read_bytes()
    path = tmp_path / "broken.png"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert whole_png_form(path) is None, length
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        assert whole_png_form(path) is None, at
    path.write_bytes(data + b"\0")
    assert whole_png_form(path) is None


def test_what_is_no_file_has_no_form(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.png"):
        assert png_form(path) is None
        assert whole_png_form(path) is None


def test_numbers_are_read_as_they_were_written(tmp_path: Path) -> None:
    labels = read_label_png(written(tmp_path / "labels.png", LABELS))
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, LABELS)
    for image in (LABELS.astype(np.uint16) * 1000, LABELS):
        instances = read_instance_png(written(tmp_path / "instances.png", image))
        assert instances.dtype == np.uint16
        assert np.array_equal(instances, image)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.dstack([LABELS] * 3), "has 3 x 8 bits per pixel; expected one number of 8 bits"),
        (LABELS.astype(np.uint16), "has 1 x 16 bits per pixel; expected one number of 8 bits"),
        (b"\x89PNG\r\n\x1a\n", "is no PNG, or is damaged"),
        (b"", "is no PNG, or is damaged"),
        (None, "no such file"),
    ],
    ids=["colour", "16 bits", "damaged", "empty", "missing"],
)
def test_other_files_are_an_error(image: np.ndarray | bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.png"
    if isinstance(image, bytes):
        path.write_bytes(image)
    elif image is not None:
        written(path, image)
    with pytest.raises(ImageError, match=f"labels.png: {message}"):
        read_label_png(path)


def test_a_palette_is_an_error(tmp_path: Path) -> None:
    """Its numbers are places in a table of colours, which OpenCV would look up."""
    Image.fromarray(LABELS).convert("P").save(tmp_path / "labels.png")
    with pytest.raises(ImageError, match="has a palette; expected one number of 8 bits"):
        read_label_png(tmp_path / "labels.png")
