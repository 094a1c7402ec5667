"""How far a quantized model is from the float one on inputs that it was not calibrated with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.datasets.confusion import Confusion, Labels, average
from dongfeng.passes.graph import Float, Graph, in_portions, run

if TYPE_CHECKING:
    from dongfeng.passes.quantize.calibrate import Quantized

FEWEST_PIXELS = 2000  # that a class needs to count in the mean


@dataclass(frozen=True)
class Agreement:
    """Labels of two models on the same images.

    Attributes:
        pixel_fraction: Share of the pixels with the same label.
        iou: Intersection over union of each class that either has.
        pixels: Pixels of that class by the float model.
        mean_iou: Mean over the classes with at least 2000 pixels; None where there is none.
    """

    pixel_fraction: float
    iou: dict[int, float]
    pixels: dict[int, int]
    mean_iou: float | None


def agreement(expected: Iterable[Labels], got: Iterable[Labels]) -> Agreement:
    """Compare label maps, or single labels, with those of the float model.

    Args:
        expected: Labels of the float model, image by image.
        got: Those of the quantized one, of the same shapes.
    """
    confusion = Confusion()
    for truth, predicted in zip(expected, got, strict=True):
        confusion.add(predicted, truth)
    iou = {index: value for index, value in enumerate(confusion.iou()) if not math.isnan(value)}
    pixels = {index: int(confusion.counts[index].sum()) for index in iou}
    counted = [value for index, value in iou.items() if pixels[index] >= FEWEST_PIXELS]
    return Agreement(confusion.accuracy(), iou, pixels, average(counted) if counted else None)


def layer_snr_db(quantized: Quantized, batches: Sequence[Float]) -> dict[str, float]:
    """Signal-to-noise ratio of what each layer gives, in dB, all noise of the layers before it included.

    Args:
        quantized: The model.
        batches: Inputs, other than those it was calibrated with.

    Returns:
        By name of the layer's node; layers without any error are left out.
    """
    graph = Graph(quantized.float_model)
    layers = {graph.activation(node): node.name for node in graph.convolutions()}
    signal, noise = dict.fromkeys(layers, 0.0), dict.fromkeys(layers, 0.0)
    for names in in_portions(quantized.float_model, list(layers)):
        pairs = zip(
            run(quantized.float_model, names, batches),
            run(quantized.model, _made(quantized, names), batches),
            strict=True,
        )
        for expected, got in pairs:
            for name, value in zip(names, got.values(), strict=True):
                signal[name] += float(np.sum(np.square(expected[name], dtype=np.float64)))
                noise[name] += float(np.sum(np.square(np.subtract(expected[name], value, dtype=np.float64))))
    return {
        layers[name]: float(10 * np.log10(signal[name] / noise[name])) for name in layers if signal[name] * noise[name]
    }


def _made(quantized: Quantized, names: Sequence[str]) -> list[str]:
    """The tensors in the quantized model: outputs are quantized after them."""
    made = {name for node in quantized.model.graph.node for name in node.output}
    return [f"{name}@float" if f"{name}@float" in made else name for name in names]
