"""`dongfeng.quantize`: a network in eight bits, calibrated on images, and how far it is from the float one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dongfeng.errors import ConversionError
from dongfeng.runtime.calibration import Calibration
from dongfeng.runtime.export import export_onnx
from dongfeng.runtime.inputs import image_files
from dongfeng.runtime.load import load
from dongfeng.runtime.results import Segmentation
from dongfeng.runtime.source import Size
from dongfeng.support.files import write_whole
from dongfeng.support.json_dataclass import as_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    from dongfeng.passes.quantize import Quantized
    from dongfeng.runtime.model import Model

FilePath: TypeAlias = "str | PathLike[str]"
CALIBRATION_IMAGES = 10


@dataclass(frozen=True, kw_only=True)
class ClassAgreement:
    """How far the int8 network has the labels of the float one, for one class.

    Attributes:
        name: Name of the class.
        iou: Intersection over union of both label maps, 0..1.
        pixels: Pixels of the class in the float network's labels.
    """

    name: str
    iou: float
    pixels: int


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """What quantizing does to one layer.

    Attributes:
        layer: Its name.
        in_float: Whether it stays in float.
        alone_relative_error: Error of the scores where it alone is quantized; None where that was not measured.
        snr_db: Signal to noise ratio of its output on the held-out images; None where there are none.
    """

    layer: str
    in_float: bool
    alone_relative_error: float | None
    snr_db: float | None


@dataclass(frozen=True, kw_only=True)
class QuantizationReport:
    """What `quantize` has written, and how far it is from the float network.

    Attributes:
        output: The file.
        target: Hardware it is for, "cpu" or "tensorrt".
        calibration_method: How ranges were found.
        is_range_reduced: Whether weights have seven bits, for CPUs whose eight-bit sums saturate.
        in_float: Layers that stay in float.
        calibration_relative_error: Error of the scores on the calibration images.
        calibration_images: Number of images it was calibrated with.
        held_out_images: Number of images it was compared on.
        pixel_agreement: Fraction of pixels (or images) with the float network's label; None without such images.
        mean_iou: Mean over the classes with at least 2000 pixels; None without such images or classes.
        classes: One entry for each class; None without such images.
        layers: One entry for each layer that was looked at.
    """

    output: Path
    target: str
    calibration_method: str
    is_range_reduced: bool
    in_float: tuple[str, ...]
    calibration_relative_error: float
    calibration_images: int
    held_out_images: int
    pixel_agreement: float | None
    mean_iou: float | None
    classes: tuple[ClassAgreement, ...] | None
    layers: tuple[LayerReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        found: dict[str, Any] = as_json(self)
        layers, classes = found.pop("layers"), found.pop("classes")
        compared = {f"{key}_fraction": found.pop(key) for key in ("pixel_agreement", "mean_iou")}
        if classes is not None:
            found |= compared
            found["classes"] = [{"class": c["name"], "iou_fraction": c["iou"], "pixels": c["pixels"]} for c in classes]
        return found | {"rows": layers}


def quantize(
    name: FilePath,
    out: FilePath,
    images: Sequence[str],
    *,
    held_out: Sequence[str] = (),
    calibrate: int = CALIBRATION_IMAGES,
    target: Literal["cpu", "tensorrt"] = "cpu",
    weights: FilePath | None = None,
    size: Size | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> QuantizationReport:
    """Quantize a network to eight bits, and compare it with the float one.

    Args:
        name: A zoo name, or a .prototxt, .param or float .onnx file.
        out: .onnx file to write; `dongfeng.load` runs it.
        images: Files, folders and patterns of images such as the network will see. The first ones by name calibrate,
            the others are compared on.
        held_out: Images to compare on instead.
        calibrate: Number of images to calibrate with.
        target: Hardware that it is for.
        weights: See `dongfeng.load`.
        size: See `dongfeng.load`.
        progress: Called with what is being done.

    Raises:
        ConversionError: `out` is no .onnx file, or the input itself.
        ImageError: there are no images.
        DongfengError: see `dongfeng.load`.
    """
    from dongfeng.passes.quantize import quantize as quantize_onnx

    out = Path(out)
    if out.suffix != ".onnx":
        raise ConversionError(f'{out}: cannot write "{out.suffix}" files; OUT has to end in .onnx')
    given = image_files(images)
    compared = image_files(held_out) if held_out else given[calibrate:]
    if Path(name).resolve() == out.resolve():
        raise ConversionError(f"{out}: this output would overwrite the input; choose another name for -o")
    with load(name, weights=weights, size=size, backend="onnxruntime", device="cpu") as model:
        progress(f"calibrating with {len(given[:calibrate])} images")
        plain, inputs = _float_model(model, name), _inputs(model, given[:calibrate])
        quantized = quantize_onnx(plain, inputs, target=target, progress=progress)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, quantized.model.SerializeToString())
        if compared:
            progress(f"comparing on {len(compared)} images")
        return _report(model, quantized, out, len(given[:calibrate]), compared)


def _float_model(model: Model, name: FilePath) -> onnx.ModelProto:
    """Return the ONNX model that `load` runs: folded, down to the scores, with what says how to run it."""
    import onnx

    if model.net is None:
        return onnx.load(name)
    return export_onnx(model.net, model.spec.for_file(model.output))


def _inputs(model: Model, images: Sequence[Path]) -> Iterator[npt.NDArray[np.float32]]:
    return Calibration(tuple(images), "bgr").batches(model.preprocessing, model.size_hw)


def _report(
    model: Model, quantized: Quantized, out: Path, calibration_images: int, held_out: Sequence[Path]
) -> QuantizationReport:
    from dongfeng.passes.quantize import agreement, layer_snr_db

    found, snr = None, dict[str, float]()
    if held_out:
        known = model.preprocessing  # a file of another's making does not say it
        with load(
            out, backend="onnxruntime", device="cpu", task=model.task, mean=known.mean_bgr, scale=known.scale
        ) as other:
            found = agreement(_labels(model, held_out), _labels(other, held_out))
        snr = layer_snr_db(quantized, list(_inputs(model, held_out)))
    return QuantizationReport(
        output=out,
        target=quantized.target,
        calibration_method=quantized.method,
        is_range_reduced=quantized.reduced_range,
        in_float=tuple(quantized.in_float),
        calibration_relative_error=quantized.error,
        calibration_images=calibration_images,
        held_out_images=len(held_out),
        pixel_agreement=None if found is None else found.pixel_fraction,
        mean_iou=None if found is None else found.mean_iou,
        classes=None
        if found is None
        else tuple(
            ClassAgreement(name=model.class_names[index], iou=found.iou[index], pixels=found.pixels[index])
            for index in found.iou
        ),
        layers=tuple(
            LayerReport(
                layer=name,
                in_float=name in quantized.in_float,
                alone_relative_error=quantized.alone.get(name),
                snr_db=snr.get(name),
            )
            for name in dict.fromkeys([*quantized.alone, *snr])
        ),
    )


def _labels(model: Model, images: Sequence[Path]) -> Iterator[npt.NDArray[Any]]:
    """Return the label map of each image, or its class."""
    import numpy as np

    for result in model.stream(images):
        yield result.labels if isinstance(result, Segmentation) else np.asarray(np.argmax(result.logits))
