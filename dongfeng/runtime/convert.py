"""`dongfeng.convert`: a network into another format, verified first where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from dongfeng.errors import ConversionError, ShapeError, WeightsUnavailable
from dongfeng.formats.versions import OPSET
from dongfeng.runtime.calibration import Calibration
from dongfeng.runtime.export import export_onnx
from dongfeng.runtime.inputs import image_files
from dongfeng.runtime.source import ENGINES, Size, find_net, find_onnx
from dongfeng.support.files import write_whole

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    from dongfeng.backends.tensorrt.build import EngineReport
    from dongfeng.net.graph import Net
    from dongfeng.verification.verdict import BlobError, Verdict

CAFFE = (".prototxt", ".caffemodel")
NCNN = (".param", ".bin")
SUFFIXES = (".onnx", ".param", *CAFFE, *ENGINES)
CALIBRATION_IMAGES = 10  # enough to calibrate with

Batches: TypeAlias = tuple[int, int, int]  # least, best and largest
FilePath: TypeAlias = "str | PathLike[str]"


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What an engine is built for.

    Attributes:
        precision: "fp32", "fp16" or "int8".
        target: "tensorrt_rtx", which builds without a GPU, or "tensorrt", which builds for the GPU it runs on.
        compute_capability: GPUs to build for, such as "8.6"; default: TensorRT-RTX's own, 8.0 and later.
        workspace_mb: Most scratch memory, in MiB.
        images: Files and folders of images to calibrate int8 with; the first ten by name are taken.
        batches: Least, best and largest batch; None: one image.
        tf32: Whether fp32 may be computed in TF32.
        rebuild: Command that builds the engine again, for whoever cannot load it; None: one for the command line.
    """

    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    target: Literal["tensorrt_rtx", "tensorrt"] = "tensorrt_rtx"
    compute_capability: tuple[str, ...] = ()
    workspace_mb: int | None = None
    images: tuple[str, ...] = ()
    batches: Batches | None = None
    tf32: bool = False
    rebuild: str | None = None


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What `convert` has written.

    Attributes:
        files: The files.
        opset: Opset of an ONNX model; None for other formats.
        nodes: Number of nodes of an ONNX model.
        outputs: Outputs of an ONNX model.
        verdict: The comparison with the reference; None where none was asked for.
        engine: What an engine computes in; None for other formats.
    """

    files: tuple[Path, ...]
    opset: int | None = None
    nodes: int | None = None
    outputs: tuple[str, ...] = ()
    verdict: Verdict | None = None
    engine: EngineReport | None = None


def convert(  # noqa: PLR0913 - one keyword for each thing a user may want otherwise
    name: FilePath,
    out: FilePath,
    *,
    weights: FilePath | None = None,
    size: Size | None = None,
    opset: int = OPSET,
    outputs: Sequence[str] | None = None,
    dynamic: bool = False,
    folded: bool | None = None,
    verify: bool | FilePath = False,
    engine: EngineOptions | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Conversion:
    """Convert a network; the suffix of `out` decides the format.

    Args:
        name: A zoo name, or a .prototxt, .param or .param.bin file; for engines an ONNX file too.
        out: File to write: .onnx; .engine for TensorRT; .caffemodel or .prototxt, which both write both files of the
            pair; .param, which writes ncnn's .param and .bin.
        weights: A weight file, "random" or "random:SEED"; default: those that belong to the network.
        size: Height and width of the input; default: as published, or that of the file.
        opset: ONNX opset, 11 or later.
        outputs: Blobs to compute; default: the net's outputs, for engines its scores.
        dynamic: Make batch, height and width of an ONNX file dynamic.
        folded: Fold BatchNorm and Scale into the layers before them; default: for Caffe files no, else yes.
        verify: Compare every blob of an ONNX model with NumPy's computation of Caffe's arithmetic, or with the saved
            blobs of this file, and write the model only where it is right.
        engine: What an engine is built for.
        progress: Called with what is being done, for what takes long.

    Returns:
        What was written. Files appear complete or not at all.

    Raises:
        UnknownModel: no such name, and no such file.
        ConversionError: the format cannot hold the net, or an output would overwrite an input.
        VerificationFailed: a layer of the model differs from the reference; nothing is written.
        WeightsUnavailable: the format needs weights, and there are none.
        ShapeError: the net does not fit the size, or has a dynamic one where the format needs a fixed one.

    Example:
        >>> convert("df1", "df1.onnx", weights="random").outputs  # doctest: +SKIP
        ('prob',)
    """
    out = Path(out)
    if out.suffix not in SUFFIXES:
        raise ConversionError(
            f'{out}: cannot write "{out.suffix}" files; OUT has to end in .onnx, .engine, .caffemodel, .prototxt or '
            ".param"
        )
    if out.suffix in ENGINES and Path(name).suffix == ".onnx":
        return _build_engine(find_onnx(name, weights).path, out, engine or EngineOptions(), progress)
    source = find_net(name, weights)
    net = source.net(size)
    if out.suffix not in (".param", *CAFFE) and net.is_dynamic and not dynamic:
        raise ShapeError(f"{source.label}: the file has a dynamic input size; give --size HxW, or --dynamic")
    files = _outputs(out)
    _refuse_overwriting(source.files(), files)
    has_weights = _has_weights(net)
    if not has_weights and out.suffix != ".prototxt":
        raise WeightsUnavailable(
            f"{source.label}: no weights were given; name the weight file behind it, or --weights random"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    is_folded = out.suffix not in CAFFE if folded is None else folded
    if out.suffix not in (".onnx", *ENGINES):
        return _write_pair(net, files if has_weights else files[:1], outputs, is_folded)
    is_onnx, options = out.suffix == ".onnx", engine or EngineOptions()
    model = export_onnx(
        net,
        source.spec(_image_size(net)),
        opset=opset,
        outputs=outputs or ("all" if is_onnx else "scores"),
        dynamic=dynamic if is_onnx else "batch" if options.batches else False,
        folded=is_folded,
    )
    if not is_onnx:
        return _build_engine(model, out, options, progress)
    names = tuple(value.name for value in model.graph.output)
    progress(f"opset {opset}, {len(model.graph.node)} nodes, outputs {', '.join(names)}")
    verdict = None if verify is False else _verified(net, model, None if verify is True else verify, is_folded, out)
    write_whole(out, model.SerializeToString())
    return Conversion(files=(out,), opset=opset, nodes=len(model.graph.node), outputs=names, verdict=verdict)


def _image_size(net: Net) -> Size | None:
    """Return the input size of a net that takes images; None where it is dynamic."""
    shapes = list(net.inputs.values())
    height, width = shapes[0][2:] if shapes and all(len(shape) == 4 for shape in shapes) else (None, None)
    return (height, width) if height and width else None


def _verified(net: Net, model: onnx.ModelProto, reference: FilePath | None, is_folded: bool, out: Path) -> Verdict:
    """Compare an ONNX model with its net, and store the verdict in it.

    Raises:
        VerificationFailed: a layer differs.
    """
    from dongfeng.verification.verdict import VerificationFailed, store_verdict
    from dongfeng.verification.verify import verify

    verdict = verify(net, model, reference, folded=is_folded)
    difference = verdict.first_difference
    if difference is not None:
        place = ":".join(str(part) for part in (net.source, difference.line) if part is not None)
        raise VerificationFailed(
            f'{place or "the net"}: layer "{difference.layer}" ({difference.type}) is the first that differs from '
            f"{verdict.reference}: {_error(difference)}; {out} is not written",
            verdict,
        )
    store_verdict(model, verdict)
    return verdict


def _error(difference: BlobError) -> str:
    if difference.problem or difference.max_rel_error is None:
        return f'blob "{difference.blob}" {difference.result}'
    return f'blob "{difference.blob}" is off by {difference.max_rel_error:#.3g} of its largest value'


def _write_pair(net: Net, files: Sequence[Path], outputs: Sequence[str] | None, is_folded: bool) -> Conversion:
    """Write the two files of a Caffe or ncnn network, or the prototxt alone of a net without weights."""
    from dongfeng.net.fold import fold

    net = fold(net) if is_folded else net
    if files[0].suffix == ".param":
        from dongfeng.formats.ncnn import write_ncnn

        write_ncnn(net, *files, outputs=outputs)
    else:
        from dongfeng.formats.caffe import write_caffe

        write_caffe(net, *files)
    return Conversion(files=tuple(files))


def _build_engine(
    model: onnx.ModelProto | Path, out: Path, options: EngineOptions, progress: Callable[[str], None]
) -> Conversion:
    from dongfeng.backends.tensorrt.build import build_engine

    out.parent.mkdir(parents=True, exist_ok=True)
    report = build_engine(
        model,
        out,
        precision=options.precision,
        target=options.target,
        compute_capability=options.compute_capability,
        workspace_mb=options.workspace_mb,
        dynamic=options.batches,
        batches=_calibration_batches(model, options.images, progress) if options.images else (),
        tf32=options.tf32,
        rebuild=options.rebuild,
        progress=progress,
    )
    return Conversion(files=(report.path,), engine=report)


def _calibration_batches(
    model: onnx.ModelProto | Path, images: Sequence[str], progress: Callable[[str], None]
) -> Iterator[npt.NDArray[np.float32]]:
    """Return images as the network's inputs."""
    import onnx

    from dongfeng.runtime.onnx_file import check_input, inputs_of, spec_of

    label = str(model) if isinstance(model, Path) else "the model"
    loaded = onnx.load(model) if isinstance(model, Path) else model
    preprocessing = spec_of(loaded, label).preprocessing
    if preprocessing is None:
        raise ConversionError(f"{label}: does not say how an image becomes its input, so it cannot be calibrated")
    chosen = tuple(image_files(images)[:CALIBRATION_IMAGES])
    progress(f"calibrating with {len(chosen)} images")
    size_hw = check_input(inputs_of(loaded), None, preprocessing.crop_hw, label)
    return Calibration(chosen, "bgr").batches(preprocessing, size_hw)


def _outputs(out: Path) -> list[Path]:
    pairs = {".param": NCNN, **dict.fromkeys(CAFFE, CAFFE)}
    return [out.with_suffix(suffix) for suffix in pairs[out.suffix]] if out.suffix in pairs else [out]


def _has_weights(net: Net) -> bool:
    """Whether there are weights, or nothing to learn."""
    from dongfeng.layers.infer import weight_shapes

    return any(layer.blobs for layer in net.layers) or not any(
        one.shapes for one in weight_shapes(net.inputs, net.layers)
    )


def _refuse_overwriting(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    read = {path.resolve() for path in inputs}
    for output in outputs:
        if output.resolve() in read:
            raise ConversionError(f"{output}: this output would overwrite an input; choose another name for -o")
