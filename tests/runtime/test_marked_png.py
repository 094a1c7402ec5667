"""PNGs that say what they were made with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dongfeng.runtime.images.marked_png import is_whole_with_mark, mark_of, write_marked_png

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0]], ids=["colour", "labels"])
def test_other_readers_see_the_pixels_and_the_text(pixels: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "new/x.png"
    write_marked_png(path, pixels, '{"kind": "color"}')
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), pixels)
    with pytest.importorskip("PIL.Image").open(path) as image:
        assert image.text == {"dongfeng": '{"kind": "color"}'}
        assert np.array_equal(np.asarray(image), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def test_every_wrong_byte_and_every_missing_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    write_marked_png(path, PIXELS[:5, :5], "mark")
    data = path.read_bytes()
    assert is_whole_with_mark(path, "mark")
    assert not is_whole_with_mark(path, "mar")
    for at in range(len(data)):
        wrong = bytearray(data)
        wrong[at] ^= 1
        path.write_bytes(wrong)
        assert not is_whole_with_mark(path, "mark"), at
        path.write_bytes(data[:at])
        assert not is_whole_with_mark(path, "mark"), at


def test_what_has_no_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    assert mark_of(path) is None
    assert mark_of(tmp_path) is None
    assert cv2.imwrite(str(path), PIXELS)
    assert mark_of(path) is None
    path.write_bytes(b"")
    assert mark_of(path) is None
