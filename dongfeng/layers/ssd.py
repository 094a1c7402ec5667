"""SSD's own layers: PriorBox, which is constant for an input size, and DetectionOutput, decoding and suppression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.layers.base import LayerType, register
from dongfeng.layers.layer import Layer, Shape, show
from dongfeng.layers.onnx_graph import FLOAT, INT64, OnnxGraph
from dongfeng.layers.shapes import product

ROW = 7  # image, label, score, xmin, ymin, xmax, ymax


@register("PriorBox")
class PriorBox(LayerType):
    """Source: SSD's Caffe, PriorBoxLayer: boxes around every cell of the first bottom, in fractions of the second."""

    params_field: ClassVar[str | None] = "prior_box_param"
    min_bottoms: ClassVar[int] = 2
    max_bottoms: ClassVar[int | None] = 2
    refused: ClassVar[str] = "dynamic sizes, for its boxes are constants"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        p = self.param
        if not p.min_size or min(p.min_size) <= 0:
            raise ShapeError("expected one or more min_size, all positive")
        if p.max_size and len(p.max_size) != len(p.min_size):
            raise ShapeError(f"has {len(p.min_size)} min_size and {len(p.max_size)} max_size, expected as many of each")
        if len(p.variance) not in (0, 1, 4):
            raise ShapeError(f"variance is given {len(p.variance)} times, expected 1 or 4")
        self.ratios = [1.0]
        for ratio in p.aspect_ratio:
            if all(abs(ratio - known) >= 1e-6 for known in self.ratios):
                self.ratios += [ratio, 1.0 / ratio] if p.flip else [ratio]

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if any(len(bottom) != 4 for bottom in bottoms):
            raise ShapeError(f"bottoms must have 4 axes (N, C, H, W), got {' and '.join(map(show, bottoms))}")
        per_cell = len(self.ratios) * len(self.param.min_size) + len(self.param.max_size)
        return [(1, 2, product([*bottoms[0][2:], per_cell, 4]))]

    def emit(self, graph: OnnxGraph) -> None:
        cells, image = (graph.static(bottom)[2:] for bottom in self.layer.bottoms)
        boxes = self._boxes(cells, image)
        variance = np.asarray(self.param.variance or (0.1,), np.float32)
        spread = np.broadcast_to(variance, (boxes.size // 4, 4)).reshape(-1)
        both = np.stack([boxes.reshape(-1), spread])[None].astype(np.float32)
        graph.node("Identity", [graph.weight(both, "boxes")], self.layer.tops)

    def _sizes(self) -> npt.NDArray[np.float32]:
        """Compute width and height in pixels of the boxes of one cell, in Caffe's order."""
        sizes = []
        for index, min_size in enumerate(self.param.min_size):
            small = int(min_size)  # SSD cuts both sizes to whole pixels
            sizes.append((float(small), float(small)))
            if self.param.max_size:
                middle = math.sqrt(small * int(self.param.max_size[index]))
                sizes.append((middle, middle))
            others = [ratio for ratio in self.ratios if abs(ratio - 1.0) >= 1e-6]
            sizes += [(small * math.sqrt(ratio), small / math.sqrt(ratio)) for ratio in others]
        return np.asarray(sizes, np.float32)

    def _boxes(self, cells: tuple[int, ...], image: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Compute the boxes (rows, columns, boxes, 4): xmin, ymin, xmax, ymax as fractions of the image."""
        p = self.param
        height, width = (p.img_h or p.img_size or image[0]), (p.img_w or p.img_size or image[1])
        step_h, step_w = (p.step_h or p.step or height / cells[0]), (p.step_w or p.step or width / cells[1])
        center_y, center_x = np.meshgrid(
            (np.arange(cells[0]) + p.offset) * step_h, (np.arange(cells[1]) + p.offset) * step_w, indexing="ij"
        )
        center = np.stack([center_x, center_y], axis=-1)[:, :, None].astype(np.float32)
        half = self._sizes() / 2
        scale = np.asarray([width, height], np.float32)
        boxes = np.concatenate([(center - half) / scale, (center + half) / scale], axis=-1).astype(np.float32)
        return np.clip(boxes, 0, 1) if p.clip else boxes


@register("DetectionOutput")
class DetectionOutput(LayerType):
    """Source: SSD's Caffe, DetectionOutputLayer: 1 x 1 x N rows (image, label, score, xmin, ymin, xmax, ymax).

    Rows are ordered by label, then by falling score; without a detection there is one row of 0 and -1. Batch 1.
    """

    params_field: ClassVar[str | None] = "detection_output_param"
    min_bottoms: ClassVar[int] = 3
    max_bottoms: ClassVar[int | None] = 3
    refused: ClassVar[str] = "batches above 1, `share_location: false`, `CORNER_SIZE`, `eta` below 1; dynamic sizes"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        p = self.param
        # save_output_param only says which files an evaluation writes; released deploy files carry it.
        refused = {
            "share_location: false": not p.share_location,
            "code_type: CORNER_SIZE": p.code_type == "CORNER_SIZE",
            "nms_param.eta below 1": p.nms_param.eta < 1,
        }
        problems = [f"{what} is not supported" for what, is_set in refused.items() if is_set]
        if problems:
            raise UnsupportedLayer(problems)
        if p.num_classes < 1:
            raise ShapeError("num_classes must be positive")
        self.labels = [label for label in range(p.num_classes) if label != p.background_label_id]

    def output_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        loc, conf, prior = bottoms
        if len(prior) != 3 or prior[1] != 2:
            raise ShapeError(f"the third bottom must be 1 x 2 x (4 boxes) from PriorBox, its shape is {show(prior)}")
        sizes = [math.prod(dim or 0 for dim in shape[1:]) for shape in (loc, conf)]
        n_classes = self.param.num_classes
        if prior[2] is not None and sizes != [prior[2], prior[2] // 4 * n_classes]:
            raise ShapeError(f"{prior[2] // 4} boxes of {n_classes} classes do not fit {show(loc)} and {show(conf)}")
        if loc[0] not in (1, None):
            raise ShapeError(f"batch 1 only, got {loc[0]}")
        return [(1, 1, None, ROW)]

    def emit(self, graph: OnnxGraph) -> None:
        loc, conf, prior = self.layer.bottoms
        n_boxes = graph.static(prior)[2] // 4
        boxes = self._decoded(graph, loc, prior, n_boxes)
        scores = graph.reshape(conf, (1, n_boxes, self.param.num_classes))
        scores = graph.node("Transpose", [scores], perm=[0, 2, 1])
        scores = graph.node("Gather", [scores, graph.ints(self.labels)], axis=1)
        if 0 <= self.param.nms_param.top_k < n_boxes and self.param.nms_param.has("top_k"):
            scores = self._only_best(graph, scores, self.param.nms_param.top_k)
        lowest = float(np.finfo(np.float32).min)
        threshold = self.param.confidence_threshold if self.param.has("confidence_threshold") else lowest
        limits = [graph.ints([n_boxes]), graph.floats([self.param.nms_param.nms_threshold]), graph.floats([threshold])]
        picked = graph.node("NonMaxSuppression", [boxes, scores, *limits])
        self._emit_rows(graph, boxes, scores, picked)

    def _decoded(self, graph: OnnxGraph, loc: str, prior: str, n_boxes: int) -> str:
        """Decode boxes (1, boxes, 4) from offsets to the priors."""
        p = self.param
        offsets = graph.reshape(loc, (1, n_boxes, 4))
        both = graph.reshape(prior, (2, n_boxes, 4))
        priors, variance = (graph.slice(both, [row], [row + 1], [0]) for row in (0, 1))
        if not p.variance_encoded_in_target:
            offsets = graph.node("Mul", [offsets, variance])
        if p.code_type == "CORNER":
            return graph.node("Add", [priors, offsets])
        low, high = graph.slice(priors, [0], [2], [2]), graph.slice(priors, [2], [4], [2])
        size = graph.node("Sub", [high, low])
        middle = graph.node("Mul", [graph.node("Add", [low, high]), graph.floats(0.5)])
        shift, growth = graph.slice(offsets, [0], [2], [2]), graph.slice(offsets, [2], [4], [2])
        center = graph.node("Add", [graph.node("Mul", [shift, size]), middle])
        half = graph.node("Mul", [graph.node("Mul", [graph.node("Exp", [growth]), size]), graph.floats(0.5)])
        corners = [graph.node("Sub", [center, half]), graph.node("Add", [center, half])]
        return graph.node("Concat", corners, axis=2)

    @staticmethod
    def _only_best(graph: OnnxGraph, scores: str, top_k: int) -> str:
        """Set all but the `top_k` best scores of each class below any threshold."""
        lowest = float(np.finfo(np.float32).min)
        best, places = graph.top_k(scores, graph.ints([top_k]), 2)
        floor = graph.node("Add", [graph.node("Mul", [scores, graph.floats(0.0)]), graph.floats(lowest)])
        return graph.node("ScatterElements", [floor, places, best], axis=2)

    def _emit_rows(self, graph: OnnxGraph, boxes: str, scores: str, picked: str) -> None:
        """Add the rows of the selected (image, class, box): the best keep_top_k of them, or one row of -1."""
        chosen_class = graph.slice(picked, [1], [2], [1])
        chosen_box = graph.slice(picked, [2], [3], [1])
        flat_boxes = graph.reshape(boxes, (-1, 4))
        score = graph.node("GatherND", [scores, picked])
        coordinates = graph.node("GatherND", [flat_boxes, chosen_box])
        label = graph.node("GatherND", [graph.ints(self.labels), chosen_class])
        columns = [
            graph.node("Mul", [graph.unsqueeze(score, [1]), graph.floats(0.0)]),
            graph.unsqueeze(graph.node("Cast", [label], to=FLOAT), [1]),
            graph.unsqueeze(score, [1]),
            coordinates,
        ]
        rows = graph.node("Concat", columns, axis=1)
        if self.param.keep_top_k > -1:
            rows = self._keep_best(graph, rows, score)
        # Without a detection the row of image 0 and -1 remains; otherwise it is cut off again.
        nothing = np.asarray([[0, *[-1] * (ROW - 1)]], np.float32)
        padded = graph.node("Concat", [rows, graph.weight(nothing, "nothing")], axis=0)
        count = graph.node("Gather", [graph.node("Shape", [rows]), graph.ints([0])], axis=0)
        kept = graph.node("Max", [count, graph.ints([1])]) if graph.opset >= 12 else self._at_least_one(graph, count)
        result = graph.node("Slice", [padded, graph.ints([0]), kept, graph.ints([0])])
        graph.node("Reshape", [result, graph.ints([1, 1, -1, ROW])], self.layer.tops)

    @staticmethod
    def _at_least_one(graph: OnnxGraph, count: str) -> str:
        """Compute the maximum of an integer and 1 for opsets whose Max takes floats only."""
        largest = graph.node("Max", [graph.node("Cast", [count], to=FLOAT), graph.floats([1.0])])
        return graph.node("Cast", [largest], to=INT64)

    def _keep_best(self, graph: OnnxGraph, rows: str, score: str) -> str:
        """Keep the `keep_top_k` rows of highest score, in their order."""
        count = graph.node("Gather", [graph.node("Shape", [rows]), graph.ints([0])], axis=0)
        limit = graph.ints([self.param.keep_top_k])
        as_float = [graph.node("Cast", [value], to=FLOAT) for value in (count, limit)]
        few = graph.node("Cast", [graph.node("Min", as_float)], to=INT64)
        _, kept = graph.top_k(score, few, 0)
        rising, _ = graph.top_k(graph.node("Neg", [graph.node("Cast", [kept], to=FLOAT)]), few, 0)
        in_order = graph.node("Cast", [graph.node("Neg", [rising])], to=INT64)
        return graph.node("Gather", [rows, in_order], axis=0)
