"""SSD's detection layers: PriorBox, boxes on a grid, and DetectionOutput, those that survive suppression."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dongfeng.caffe.message import Message
from dongfeng.errors import ShapeError
from dongfeng.net.graph import Layer
from dongfeng.reference.axes import read_pair, require_axes, show
from dongfeng.reference.registry import AnyArray, Array, forward_of


@forward_of("PriorBox", bottoms=(2, 2))
def prior_box(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Boxes around the centre of every cell as fractions of the image, and their variances: (1, 2, 4 * boxes)."""
    param = layer.params.prior_box_param
    for bottom in bottoms:
        require_axes(bottom, 4)
    cells, image, step = bottoms[0].shape[2:], read_pair(param, "img", "img_size"), read_pair(param, "step", "step")
    if not all(image):
        image = bottoms[1].shape[2:]
    steps = np.array(step, np.float32) if all(step) else np.divide(image, cells, dtype=np.float32)
    centres = [((np.arange(n) + param.offset) * step).astype(np.float32) for n, step in zip(cells, steps, strict=True)]
    sizes = np.array(_box_sizes(param), np.float32).astype(np.float64)  # (boxes, height and width)
    boxes = np.empty((*cells, len(sizes), 4))
    for axis, values in enumerate(centres):  # rows are y, columns x
        centre = values.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1)).astype(np.float64)
        boxes[..., 1 - axis] = (centre - sizes[:, axis] / 2) / image[axis]
        boxes[..., 3 - axis] = (centre + sizes[:, axis] / 2) / image[axis]
    if param.clip:
        boxes = boxes.clip(0, 1)
    variance = param.variance or (0.1,)
    if len(variance) not in (1, 4):
        raise ShapeError(f"{len(variance)} variances, expected one or four")
    return [np.stack([boxes.ravel(), np.broadcast_to(variance, boxes.shape).ravel()])[None]]


def _box_sizes(param: Message) -> list[tuple[float, float]]:
    """Return height and width in pixels of the boxes of one cell."""
    if not param.min_size or (param.max_size and len(param.max_size) != len(param.min_size)):
        raise ShapeError(f"{len(param.min_size)} min_size and {len(param.max_size)} max_size: as many, at least one")
    ratios = [1.0]
    for ratio in param.aspect_ratio:
        if all(abs(ratio - known) >= 1e-6 for known in ratios):
            ratios += [ratio, float(np.float32(1 / ratio))] if param.flip else [ratio]
    sizes = []
    for index, min_size in enumerate(map(int, param.min_size)):  # SSD cuts sizes to whole pixels
        sizes.append((float(min_size), float(min_size)))
        if param.max_size:
            mean = math.sqrt(min_size * int(param.max_size[index]))
            sizes.append((mean, mean))
        for ratio in ratios:
            if abs(ratio - 1) >= 1e-6:
                sizes.append((min_size / math.sqrt(ratio), min_size * math.sqrt(ratio)))
    return sizes


@forward_of("DetectionOutput", bottoms=(3, 3))
def detection_output(layer: Layer, bottoms: Sequence[Array]) -> list[AnyArray]:
    """Boxes that survive non-maximum suppression: (1, 1, K, 7) of image, label, score, xmin, ymin, xmax, ymax.

    Without any detection there is a row of -1 for each image, after the image's index.
    """
    param = layer.params.detection_output_param
    n_classes = param.num_classes
    n_loc_classes = 1 if param.share_location else n_classes
    n_images, n_priors = bottoms[0].shape[0], bottoms[2].shape[2] // 4
    sizes = [n_images * n_priors * 4 * n_loc_classes, n_images * n_priors * n_classes, 2 * 4 * n_priors]
    if [bottom.size for bottom in bottoms[:3]] != sizes:
        listed = ", ".join(show(bottom.shape) for bottom in bottoms[:3])
        raise ShapeError(f"bottoms of {listed} do not fit {n_priors} priors and {n_classes} classes")
    offsets = bottoms[0].reshape(n_images, n_priors, n_loc_classes, 4)
    scores = bottoms[1].reshape(n_images, n_priors, n_classes)
    priors, variances = bottoms[2].reshape(2, n_priors, 4)
    rows: list[AnyArray] = []
    for index in range(n_images):
        boxes = [_decoded(offsets[index, :, label], priors, variances, param) for label in range(n_loc_classes)]
        rows += _detections(index, boxes * n_classes if param.share_location else boxes, scores[index], param)
    if not rows:
        return [np.array([[[[index, *[-1.0] * 6] for index in range(n_images)]]])]
    return [np.array(rows)[None, None]]


def _decoded(offsets: Array, priors: Array, variances: Array, param: Message) -> Array:
    """Decode corners (P, 4) from predicted offsets and prior corners, in single precision as in Caffe."""
    shifts = offsets if param.variance_encoded_in_target else variances * offsets
    low, high = priors[:, :2], priors[:, 2:]
    size = high - low
    if param.code_type == "CORNER":
        return priors + shifts
    if param.code_type == "CORNER_SIZE":
        return priors + shifts * np.tile(size, 2)
    centre = shifts[:, :2] * size + (low + high) / np.float32(2)
    half = np.exp(shifts[:, 2:].astype(np.float64)).astype(np.float32) * size / np.float32(2)
    return np.concatenate([centre - half, centre + half], 1)


def _detections(image: int, boxes: Sequence[Array], scores: Array, param: Message) -> list[AnyArray]:
    """Return the rows of one image, given each label's boxes: by label, and the best first within a label."""
    found: list[tuple[np.float32, int, int]] = []
    for label in range(param.num_classes):
        if label != param.background_label_id:
            kept = _suppressed(boxes[label], scores[:, label], param)
            found += [(scores[place, label], label, place) for place in kept]
    if -1 < param.keep_top_k < len(found):
        best = sorted(found, key=lambda entry: -entry[0])[: param.keep_top_k]
        found = sorted(best, key=lambda entry: entry[1])  # stable: the order within a label stays
    return [np.array([image, label, score, *boxes[label][place]]) for score, label, place in found]


def _suppressed(boxes: Array, scores: Array, param: Message) -> list[int]:
    """Return the places of the boxes that no better one overlaps too much, best first."""
    nms = param.nms_param
    above = np.arange(len(scores))
    if param.has("confidence_threshold"):
        above = np.flatnonzero(scores > np.float32(param.confidence_threshold))
    order = above[np.argsort(-scores[above], kind="stable")]
    if nms.has("top_k"):
        order = order[: nms.top_k] if nms.top_k > -1 else order
    threshold = np.float32(nms.nms_threshold)
    kept: list[int] = []
    for place in order:
        if not kept or (_overlaps(boxes[place], boxes[kept]) <= threshold).all():
            kept.append(int(place))
            if nms.eta < 1 and threshold > 0.5:
                threshold *= np.float32(nms.eta)
    return kept


def _overlaps(box: Array, others: Array) -> Array:
    """Compute the intersection over union of one box with each of several."""
    width, height = (
        np.minimum(box[2 + axis], others[:, 2 + axis]) - np.maximum(box[axis], others[:, axis]) for axis in (0, 1)
    )
    shared = width * height
    union = _area(box[None]) + _area(others) - shared
    return np.where((width > 0) & (height > 0), shared / union, np.float32(0))


def _area(boxes: Array) -> Array:
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    area: Array = size[:, 0] * size[:, 1]
    return area
