"""Comparison of a quantized model with the float one on inputs that it was not calibrated with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dongfeng.datasets.confusion import Confusion, Labels, average
from dongfeng.passes.graph import Float, Graph
from dongfeng.passes.quantize.execution import in_portions, run

if TYPE_CHECKING:
    from dongfeng.passes.quantize.calibrate import Quantized

FEWEST_PIXELS = 2000  # from which on a class counts in the mean


@dataclass(frozen=True)
class Agreement:
    """Agreement of the labels of two models on the same images.

    Attributes:
        pixel_fraction: Share of the pixels with the same label.
        iou: IoU of each class that one of the models finds.
        pixels: Pixels of each of these classes by the float model.
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
    """Measure the signal-to-noise ratio behind each layer, in dB; the noise is that of all layers up to it.

    Args:
        quantized: The model.
        batches: Inputs, other than those it was calibrated with.

    Returns:
        Ratio by the name of the layer's node; layers without any error are left out.
    """
    graph = Graph(quantized.float_model)
    layers = {graph.activation(node): node.name for node in graph.convolutions()}
    signal, noise = dict.fromkeys(layers, 0.0), dict.fromkeys(layers, 0.0)
    for names in in_portions(quantized.float_model, list(layers)):
        pairs = zip(
            run(quantized.float_model, names, batches),
            run(quantized.model, _output_names(quantized, names), batches),
            strict=True,
        )
        for expected, got in pairs:
            for name, value in zip(names, got.values(), strict=True):
                signal[name] += float(np.sum(np.square(expected[name], dtype=np.float64)))
                noise[name] += float(np.sum(np.square(np.subtract(expected[name], value, dtype=np.float64))))
    return {
        layers[name]: float(10 * np.log10(signal[name] / noise[name])) for name in layers if signal[name] * noise[name]
    }


def _output_names(quantized: Quantized, names: Sequence[str]) -> list[str]:
    """Name float tensors as in the quantized model, whose outputs are quantized copies of them."""
    outputs = {name for node in quantized.model.graph.node for name in node.output}
    return [f"{name}@float" if f"{name}@float" in outputs else name for name in names]
