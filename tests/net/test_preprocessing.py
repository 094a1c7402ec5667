from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pil
from scipy.ndimage import map_coordinates

from dongfeng.net.preprocessing import Preprocessing, for_size, prepare

RNG = np.random.default_rng(0)
CITYSCAPES = Preprocessing((72.0, 83.0, 73.0), 0.008)
IMAGENET = Preprocessing((104.0, 117.0, 123.0), 0.008, shorter_side=256, crop_hw=(224, 224))
PLAIN = Preprocessing()


def bilinear(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Half-pixel bilinear interpolation by SciPy."""
    axes = [(np.arange(out) + 0.5) * (n / out) - 0.5 for n, out in zip(image.shape, size_hw, strict=False)]
    grid = np.meshgrid(*axes, indexing="ij")
    planes = [map_coordinates(image[..., c].astype(float), grid, order=1, mode="nearest") for c in range(3)]
    return np.stack(planes, axis=-1)


def test_arithmetic_is_caffes_in_single_precision():
    image = RNG.integers(0, 256, (64, 96, 3), np.uint8)
    blob = prepare(image, CITYSCAPES, (64, 96))
    expected = (image.astype(np.float32) - np.float32([72, 83, 73])) * np.float32(0.008)
    assert blob.shape == (1, 3, 64, 96)
    assert blob.dtype == np.float32
    assert blob.flags.c_contiguous
    np.testing.assert_array_equal(blob[0], expected.transpose(2, 0, 1))


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 200_000), (1025, 301), (700, 512)])
@pytest.mark.parametrize("preprocessing", [CITYSCAPES, Preprocessing((103.94, 116.78, 123.68), 0.017), PLAIN])
def test_arithmetic_is_the_same_at_every_size_and_layout(size_hw, preprocessing):
    """However the image is cut into pieces that fit a cache."""
    image = RNG.integers(0, 256, (*size_hw, 6), np.uint8)[:, :, ::2]
    expected = (image.astype(np.float32) - np.float32(preprocessing.mean_bgr)) * np.float32(preprocessing.scale)
    np.testing.assert_array_equal(prepare(image, preprocessing, size_hw)[0], expected.transpose(2, 0, 1))


def test_one_mean_serves_all_channels():
    image = RNG.integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(
        prepare(image, Preprocessing((100.5,), 0.5), (8, 8)), prepare(image, Preprocessing((100.5,) * 3, 0.5), (8, 8))
    )


@pytest.mark.parametrize("size_hw", [(64, 128), (31, 45), (200, 300), (40, 200)])
def test_the_whole_image_is_resized_bilinearly(size_hw):
    image = RNG.integers(0, 256, (60, 90, 3), np.uint8)
    blob = prepare(image, PLAIN, size_hw)
    assert np.abs(blob[0].transpose(1, 2, 0) - bilinear(image, size_hw)).max() <= 1


@pytest.mark.parametrize("shape_hw", [(300, 400), (400, 300), (256, 256), (100, 80), (224, 1000), (97, 700)])
def test_imagenet_images_are_resized_by_the_shorter_side_and_cropped(shape_hw):
    low = RNG.integers(0, 256, (6, 9, 3), np.uint8)
    image = np.asarray(Pil.fromarray(low).resize(shape_hw[::-1], Pil.Resampling.BICUBIC))
    blob = prepare(image, Preprocessing(shorter_side=256, crop_hw=(224, 224)), (224, 224))
    short = min(shape_hw)
    height, width = (round(side * 256 / short) for side in shape_hw)
    top, left = (height - 224) // 2, (width - 224) // 2
    expected = bilinear(image, (height, width))[top : top + 224, left : left + 224]
    assert blob.shape == (1, 3, 224, 224)
    assert np.abs(blob[0].transpose(1, 2, 0) - expected).max() <= 1


@pytest.mark.parametrize("shape_hw", [(1, 1), (1, 50_000), (50_000, 1), (2, 17)])
def test_extreme_images_need_no_extreme_memory(shape_hw):
    image = np.full((*shape_hw, 3), 7, np.uint8)
    assert np.unique(prepare(image, Preprocessing(shorter_side=256), (224, 224))).tolist() == [7]


def test_the_centre_of_a_very_wide_image_is_what_is_seen():
    image = np.zeros((10, 1000, 3), np.uint8)
    image[:, 495:505] = 200
    row = prepare(image, Preprocessing(shorter_side=256), (224, 224))[0, 0, 112]
    assert (row > 100).all()  # ten pixels fill 256
    image[:, 500:] = 0
    row = prepare(image, Preprocessing(shorter_side=256), (224, 224))[0, 0, 112]
    assert (row[:100] > 100).all()
    assert (row[124:] < 100).all()


def test_another_crop_size_keeps_its_share_of_the_image():
    assert for_size(IMAGENET, (224, 224)) is IMAGENET
    assert for_size(CITYSCAPES, (512, 1024)) is CITYSCAPES
    grown = for_size(IMAGENET, (448, 448))
    assert (grown.shorter_side, grown.crop_hw) == (512, (448, 448))
    assert for_size(IMAGENET, (112, 336)).shorter_side == 384


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 500), (225, 224)])
def test_every_crop_fits(size_hw):
    preprocessing = for_size(IMAGENET, size_hw)
    assert preprocessing.shorter_side >= max(size_hw)
    assert prepare(RNG.integers(0, 256, (9, 9, 3), np.uint8), preprocessing, size_hw).shape == (1, 3, *size_hw)
