from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from dongfeng.errors import ImageError
from dongfeng.runtime.images.read import read_image

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 9, 3), np.uint8)  # BGR
ROTATED_BY_90 = 6  # EXIF: the stored image has to be turned clockwise


def write(path: Path, image: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif(orientation: int) -> bytes:
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + b"\0\0\0\0"


def with_png_exif(path: Path, orientation: int) -> Path:
    data = path.read_bytes()
    header = 8 + 25
    path.write_bytes(data[:header] + png_chunk(b"eXIf", exif(orientation)) + data[header:])
    return path


@pytest.mark.parametrize("name", ["photo.png", "Straße 街 снимок.png", "photo.bmp", "photo.tiff"])
@pytest.mark.parametrize("kind", [str, Path])
def test_files_are_read_as_bgr(tmp_path, name, kind):
    path = write(tmp_path / name, COLOUR)
    np.testing.assert_array_equal(read_image(kind(path)), COLOUR)


def test_a_jpeg_is_read_as_pil_reads_it(tmp_path):
    smooth = cv2.resize(COLOUR, (64, 48), interpolation=cv2.INTER_CUBIC)
    path = write(tmp_path / "photo.jpg", smooth)
    expected = np.asarray(Pil.open(path).convert("RGB"))[..., ::-1]
    assert np.abs(read_image(path).astype(int) - expected).max() <= 3


def test_grey_is_repeated(tmp_path):
    grey = COLOUR[..., 0].copy()
    expected = np.dstack([grey] * 3)
    np.testing.assert_array_equal(read_image(write(tmp_path / "grey.png", grey)), expected)
    np.testing.assert_array_equal(read_image(grey), expected)
    np.testing.assert_array_equal(read_image(grey[..., None]), expected)
    np.testing.assert_array_equal(read_image(Pil.fromarray(grey)), expected)


def test_alpha_is_dropped(tmp_path):
    bgra = np.dstack([COLOUR, RNG.integers(0, 256, COLOUR.shape[:2], np.uint8)])
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.png", bgra)), COLOUR)
    np.testing.assert_array_equal(read_image(bgra), COLOUR)
    rgba = np.ascontiguousarray(bgra[..., [2, 1, 0, 3]])
    np.testing.assert_array_equal(read_image(Pil.fromarray(rgba)), COLOUR)
    np.testing.assert_array_equal(read_image(rgba, channel_order="rgb"), COLOUR)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_of_16_bits_the_upper_8_are_kept(tmp_path, channels):
    deep = RNG.integers(0, 65536, (5, 7, channels), np.uint16)
    expected = np.broadcast_to((deep // 256).astype(np.uint8)[..., :3], (5, 7, 3))
    np.testing.assert_array_equal(read_image(write(tmp_path / "deep.png", deep)), expected)
    np.testing.assert_array_equal(read_image(deep), expected)


def test_a_16_bit_grey_pil_image():
    deep = RNG.integers(0, 65536, (5, 7), np.uint16)
    np.testing.assert_array_equal(read_image(Pil.fromarray(deep))[..., 1], deep // 256)


def test_palette_bilevel_and_cmyk_pil_images_become_colour():
    for mode in ("P", "1", "CMYK", "LA", "L"):
        image = Pil.fromarray(COLOUR[..., ::-1]).convert(mode)
        expected = np.asarray(image.convert("RGB"))[..., ::-1]
        np.testing.assert_array_equal(read_image(image), expected)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_exif_orientation_of_a_png_is_honoured(tmp_path, depth, channels):
    image = RNG.integers(0, 256, (4, 6, channels), np.uint8).astype(depth) * (257 if depth == np.uint16 else 1)
    path = with_png_exif(write(tmp_path / "turned.png", image), ROTATED_BY_90)
    upright = np.rot90(np.broadcast_to(image[..., :3], (4, 6, 3)), -1)
    np.testing.assert_array_equal(read_image(path), upright // (257 if depth == np.uint16 else 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_that_of_pil(tmp_path, orientation):
    smooth = cv2.resize(COLOUR, (48, 32), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    segment = b"Exif\0\0" + exif(orientation)
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    from_file, from_pil = read_image(path), read_image(Pil.open(io.BytesIO(data)))
    assert from_file.shape == ((48, 32, 3) if orientation > 4 else (32, 48, 3))
    assert np.abs(from_file.astype(int) - from_pil).max() <= 3


@pytest.mark.parametrize("image", [COLOUR[:1, :1], COLOUR[:1], COLOUR[:, :1]], ids=["1x1", "one row", "one column"])
def test_tiny_images(tmp_path, image):
    np.testing.assert_array_equal(read_image(write(tmp_path / "tiny.png", image)), image)
    np.testing.assert_array_equal(read_image(image), image)


def test_arrays_are_bgr_unless_told_otherwise_and_pil_images_are_rgb():
    np.testing.assert_array_equal(read_image(COLOUR), COLOUR)
    np.testing.assert_array_equal(read_image(COLOUR, channel_order="rgb"), COLOUR[..., ::-1])
    for order in ("bgr", "rgb"):
        np.testing.assert_array_equal(read_image(Pil.fromarray(COLOUR), channel_order=order), COLOUR[..., ::-1])


def test_channel_order_does_not_touch_files(tmp_path):
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.png", COLOUR), channel_order="rgb"), COLOUR)


@pytest.mark.parametrize("order", ["bgr", "rgb"])
def test_the_result_is_never_the_callers_memory(order):
    image = COLOUR.copy()
    result = read_image(image, channel_order=order)
    assert not np.shares_memory(result, image)
    assert result.flags.c_contiguous


def test_strided_and_flipped_arrays():
    np.testing.assert_array_equal(read_image(COLOUR[::-2, ::2]), COLOUR[::-2, ::2])


def png_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + data + png_chunk(b"IEND", b"")


BAD_FILES = {
    "empty": (b"", "is empty"),
    "a PNG that is not one": (b"\x89PNG\r\n\x1a\n this is not a picture", "is no image, is damaged"),
    "text": (b"hello", "is no image, is damaged"),
    "half a PNG": (cv2.imencode(".png", RNG.integers(0, 256, (99, 99, 3), np.uint8))[1].tobytes()[:5000], "damaged"),
    "too many pixels": (png_of(60_000, 60_000), "more pixels than OpenCV reads.*OPENCV_IO_MAX_IMAGE_PIXELS"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_files_that_are_no_images(tmp_path, content, message):
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"^{path}: .*{message}") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match=r"a\\x00b.*cannot be read"):
        read_image("a\0b")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\)"),
        (np.zeros((5, 5, 2), np.uint8), r"\(5, 5, 2\); expected \(H, W, 3\)"),
        (np.zeros((1, 5, 5, 3), np.uint8), r"\(1, 5, 5, 3\)"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
        (np.zeros((5, 5, 3), np.float32), "float32; expected uint8"),
        (np.zeros((5, 5, 3), np.int64), "int64; expected uint8"),
        (np.zeros((5, 5, 3), bool), "bool; expected uint8"),
    ],
)
def test_arrays_that_are_no_images(array, message):
    with pytest.raises(ImageError, match=message):
        read_image(array)


@pytest.mark.parametrize("thing", [None, 5, b"bytes", [1, 2]])
def test_things_that_are_no_images(thing):
    with pytest.raises(ImageError, match=f"got {type(thing).__name__}; expected a path"):
        read_image(thing)


def test_pil_images_of_unknown_range_are_refused():
    with pytest.raises(ImageError, match="mode F, whose range is unknown"):
        read_image(Pil.fromarray(np.zeros((4, 4), np.float32)))
