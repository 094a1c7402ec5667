"""Read paths, arrays and PIL images as (H, W, 3) uint8 in BGR order."""

from __future__ import annotations

import sys
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ImageError

ChannelOrder = Literal["bgr", "rgb"]
Image = npt.NDArray[np.uint8]

_ACCEPTED = "expected a path, an (H, W, 3) uint8 array or a PIL image"


def read_image(image: object, *, channel_order: ChannelOrder = "bgr") -> Image:
    """Read an image in any of the accepted forms.

    Files are turned upright as their EXIF orientation says. Grey is repeated, alpha dropped, and of 16 bits the upper
    8 are kept, for files, arrays and PIL images alike.

    Args:
        image: A path; an (H, W, 3), (H, W, 4), (H, W, 1) or (H, W) array, uint8 or uint16; or a PIL image.
        channel_order: Order of an array's channels; files and PIL images know their own.

    Returns:
        (H, W, 3) uint8, BGR, 0..255; never the memory of an array that was given.

    Raises:
        ImageError: there is no such file, it is no image, or the array has another shape or type.
    """
    if isinstance(image, (str, PathLike)):
        return _read_file(Path(fspath(image)))
    if isinstance(image, np.ndarray):
        return _from_array(image, channel_order)
    if _is_pil(image):
        return _from_pil(image)
    raise ImageError(f"image: got {type(image).__name__}; {_ACCEPTED}")


def _read_file(path: Path) -> Image:
    import cv2

    if path.is_dir():
        raise ImageError(f"{path}: is a folder; expected an image file")
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every name on every platform
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise ImageError(f"{str(path)!r}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if data.size == 0:
        raise ImageError(f"{path}: is empty; expected an image file")
    try:
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            raise ImageError(
                f"{path}: has more pixels than OpenCV reads; make it smaller, or set OPENCV_IO_MAX_IMAGE_PIXELS"
            ) from error
        raise ImageError(f"{path}: cannot be decoded ({error.err})") from error
    if decoded is None:
        raise ImageError(f"{path}: is no image, is damaged, or has a format that OpenCV does not read")
    return np.asarray(decoded, np.uint8)


def _from_array(array: npt.NDArray[Any], channel_order: ChannelOrder) -> Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise ImageError(f"image: got an array of shape {array.shape}; expected (H, W, 3), neither H nor W 0")
    if array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"image: got an array of {array.dtype}; expected uint8, 0..255")
    if array.dtype == np.uint16:
        array = array >> 8
    if channels == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2).astype(np.uint8)
    colour = array[:, :, 2::-1] if channel_order == "rgb" else array[:, :, :3]
    return np.array(colour, np.uint8, order="C")


def _is_pil(image: object) -> bool:
    # Whoever has a PIL image has imported PIL; others need not have it.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def _from_pil(image: Any) -> Image:
    upright = import_module("PIL.ImageOps").exif_transpose(image)
    if 0 in upright.size:
        raise ImageError(f"image: got a PIL image of size {upright.size}; neither side may be 0")
    if upright.mode.startswith("I;16"):
        return _from_array(np.asarray(upright).astype(np.uint16), "rgb")
    if upright.mode in ("I", "F"):
        raise ImageError(f"image: got a PIL image of mode {upright.mode}, whose range is unknown; convert it to RGB")
    return _from_array(np.asarray(upright.convert("RGB")), "rgb")
