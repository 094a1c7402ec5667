"""How hard toytown is for a classifier of single pixels, how often each class occurs, and how fast it is drawn.

    python benchmarks/toytown.py --pixel-classifier
    python benchmarks/toytown.py --classes
    python benchmarks/toytown.py --speed

A classifier of single pixels knows a pixel's colour and place and nothing around it. Two kinds are tried: the most
frequent class of the training pixels in the same cell of (blue, green, red, row, column), for several sizes of the
cells, with larger cells where a cell is empty; and, where scikit-learn is installed, gradient boosting.
"""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from dongfeng.datasets.cityscapes import CLASSES
from dongfeng.datasets.toytown import draw_scene

TRAIN_SEED, TEST_SEED = 100, 200
# Bits of colour, row and column, coarser from one to the next.
CELLS = (
    ((5, 5, 5), (4, 4, 4), (4, 3, 3), (3, 2, 2), (3, 0, 0)),
    ((4, 4, 4), (4, 3, 3), (3, 3, 2), (2, 2, 0)),
    ((4, 4, 2), (3, 4, 2), (3, 3, 0), (2, 2, 0)),
    ((3, 5, 5), (3, 4, 4), (2, 3, 3), (2, 2, 0)),
    ((3, 4, 3), (2, 4, 3), (2, 3, 0)),
)

Features = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]


def pixels(seed: int, count: int, every: int = 1) -> tuple[Features, Labels]:
    """Pixels of scenes: (N, 5) blue, green, red, row and column (each of 256 steps), and (N,) train ids."""
    features, labels = [], []
    for index in range(count):
        scene = draw_scene(seed, index)
        height, width = scene.labels.shape
        rows, columns = np.indices((height, width))
        place = np.stack([rows * 256 // height, columns * 256 // width], axis=-1).astype(np.uint8)
        both = np.concatenate([scene.image_bgr, place], axis=-1).reshape(-1, 5)
        features.append(both[index % every :: every])
        labels.append(scene.labels.reshape(-1)[index % every :: every])
    return np.concatenate(features), np.concatenate(labels)


def cells(features: Features, bits: tuple[int, int, int]) -> npt.NDArray[np.int64]:
    """The number of each pixel's cell."""
    number = np.zeros(len(features), np.int64)
    for column, size in enumerate((bits[0], bits[0], bits[0], bits[1], bits[2])):
        number = number << size | features[:, column].astype(np.int64) >> 8 - size
    return number


def classify(train: tuple[Features, Labels], test: Features, sizes: tuple[tuple[int, int, int], ...]) -> Labels:
    """The most frequent class of each pixel's cell, in the smallest cells that hold training pixels."""
    answer = np.zeros(len(test), np.uint8)
    open_ = np.ones(len(test), np.bool_)
    for bits in sizes:
        keys, counts = np.unique(cells(train[0], bits) * 32 + train[1], return_counts=True)
        order = np.lexsort((counts, keys // 32))
        best = order[np.append(np.diff(keys[order] // 32) != 0, True)]  # the last of each cell has most pixels
        found = np.searchsorted(keys[best] // 32, cells(test, bits)).clip(max=len(best) - 1)
        hit = open_ & (keys[best][found] // 32 == cells(test, bits))
        answer[hit] = (keys[best][found] % 32)[hit]
        open_ &= ~hit
    return answer


def class_ious(labels: Labels, answer: Labels) -> npt.NDArray[np.float64]:
    """(19,) intersection over union."""
    table = np.bincount(labels.astype(np.int64) * 19 + answer, minlength=361).reshape(19, 19)
    hits = np.diag(table)
    return np.asarray(hits / np.maximum(table.sum(0) + table.sum(1) - hits, 1))


def report(name: str, ious: npt.NDArray[np.float64]) -> None:
    """Print one classifier's result."""
    each = ", ".join(f"{label} {value:.2f}" for label, value in zip(CLASSES, ious, strict=True))
    print(f"{name}: mean IoU {ious.mean():.3f} ({each})", flush=True)


def pixel_classifier(train_count: int, test_count: int) -> None:
    """Train and test all classifiers of single pixels."""
    train, (test, truth) = pixels(TRAIN_SEED, train_count, every=2), pixels(TEST_SEED, test_count, every=3)
    for sizes in CELLS:
        report(f"cells of {sizes}", class_ious(truth, classify(train, test, sizes)))
    if find_spec("sklearn") is None:
        print("scikit-learn is not installed; gradient boosting is left out")
        return
    from sklearn.ensemble import HistGradientBoostingClassifier  # type: ignore[import-not-found, import-untyped, unused-ignore]

    few = np.random.default_rng(0).permutation(len(train[1]))[:400_000]
    for balance in (None, "balanced"):
        model = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=63, class_weight=balance)
        model.fit(train[0][few], train[1][few])
        name = "gradient boosting" + (", classes balanced" if balance else "")
        report(name, class_ious(truth[::4], model.predict(test[::4]).astype(np.uint8)))


def class_frequencies(count: int) -> None:
    """Print how often each class occurs."""
    counts = np.array([np.bincount(draw_scene(TRAIN_SEED, i).labels.reshape(-1), minlength=19) for i in range(count)])
    for label, of_class in zip(CLASSES, counts.T, strict=True):
        share = 100 * of_class.sum() / counts.sum()
        print(f"{label:14} in {100 * np.mean(of_class >= 64):5.1f} % of the scenes, {share:5.2f} % of the pixels")


def speed(count: int) -> None:
    """Print how many scenes a second are drawn by one core."""
    for size_hw in ((256, 512), (512, 1024), (1024, 2048)):
        draw_scene(TRAIN_SEED, 0, size_hw)
        start = time.process_time()
        for index in range(count):
            draw_scene(TRAIN_SEED, index, size_hw)
        print(f"{size_hw[0]}x{size_hw[1]}: {count / (time.process_time() - start):.1f} scenes/s")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pixel-classifier", action="store_true", help="300 scenes to train, 60 to test")
    parser.add_argument("--classes", action="store_true", help="how often each class occurs in 300 scenes")
    parser.add_argument("--speed", action="store_true", help="of 30 scenes")
    parser.add_argument("--scenes", type=int, default=300, metavar="N", help="scenes to train with (default: 300)")
    args = parser.parse_args()
    if args.pixel_classifier:
        pixel_classifier(args.scenes, max(args.scenes // 5, 1))
    if args.classes:
        class_frequencies(args.scenes)
    if args.speed:
        speed(30)


if __name__ == "__main__":
    main()
