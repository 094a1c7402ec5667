"""`dongfeng.load`: a name or a file as a model that runs on images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from dongfeng.backends.base import Execution
from dongfeng.backends.registry import backend_type
from dongfeng.backends.threads import streams_for
from dongfeng.errors import BackendUnavailable, ConversionError, DongfengWarning, ImageError, ShapeError, UnknownModel
from dongfeng.net.preprocessing import Preprocessing, for_size
from dongfeng.runtime.calibration import as_calibration
from dongfeng.runtime.class_names import classes_of
from dongfeng.runtime.images.read import ChannelOrder
from dongfeng.runtime.metadata import TASKS, ModelSpec, from_metadata
from dongfeng.runtime.model import Model
from dongfeng.runtime.onnx_file import check_input, choose_output, labels_output, takes_images, with_output
from dongfeng.runtime.prepare_model import (
    Form,
    Format,
    Prepared,
    prepare_ncnn,
    prepare_onnx,
    prepare_prototxt,
    prepare_zoo,
)

if TYPE_CHECKING:
    from dongfeng.backends.base import Backend, BackendType
    from dongfeng.backends.tensorrt.engine_file import Engine

_ENGINES = (".engine", ".plan")
# What a backend reads, where it is not any ONNX file.
_FORMATS: dict[str, Format] = {"ncnn": "ncnn", "tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt"}
_MOST_LABELS = 256  # a label is one byte


def load(  # noqa: PLR0913 - one keyword for each thing a user may want otherwise
    name: str | PathLike[str],
    *,
    weights: str | PathLike[str] | None = None,
    backend: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    size: tuple[int, int] | None = None,
    threads: int | None = None,
    channel_order: ChannelOrder = "bgr",
    calibration: object = None,
    trust: bool = False,
    task: Literal["segmentation", "classification"] | None = None,
    mean: float | Sequence[float] | None = None,
    scale: float | None = None,
) -> Model:
    """Load a model of the zoo, or a network file, ready to run on images.

    A network is converted once, to ONNX or for ncnn, and kept in the cache. Of a file's outputs the scores are used,
    before whatever only turns them into labels. 19 classes of a segmentation are taken for those of Cityscapes, 1000
    of a classification for those of ImageNet.

    Scores are interpolated to the size of the image, and the largest class of each pixel is its label; zoo names that
    end in `_d8` take the largest class of each score first and enlarge the labels by nearest neighbour.

    Args:
        name: A zoo name (`dongfeng.list_models`), or a path to a .prototxt, .onnx, .param, .param.bin or .engine
            file.
        weights: A .caffemodel (or ncnn .bin) file, with BatchNorm folded or not; or "random" or "random:SEED". Default:
            the released file of a zoo name, downloaded once; for ncnn the .bin beside the .param.
        backend: "auto", "onnxruntime", "openvino", "ncnn", "tensorrt" or "tensorrt_rtx". "auto" is ONNX Runtime,
            and where it is installed OpenVINO for int8 and bf16, else ncnn for bf16.
        precision: "auto", which is fp32 but for quantized files, "fp32", "int8" (ONNX Runtime and OpenVINO) or "bf16"
            (OpenVINO and ncnn).
        device: "auto", "cpu", "cuda" or "cuda:N". What cannot run is an error, never replaced by another device;
            "auto" is CUDA where it works, else the CPU.
        size: Height and width of the network's input; default: the published one, or that of the file.
        threads: Threads of the CPU for one image; default: the backend's own choice.
        channel_order: Order of the channels in arrays, "bgr" or "rgb"; files and PIL images know their own.
        calibration: For precision "int8": images such as the network will see, about ten, each as `Model` takes it.
            It is quantized with them once (a minute or two for a large network) and kept in the cache.
        trust: Whether to run an engine file that dongfeng did not build on this machine: an engine is a program.
        task: "segmentation" or "classification", for files that do not say; default: by the shape of the scores.
        mean: Subtracted from each pixel, one number or three in BGR order, 0..255, for files that do not say.
        scale: Factor after the mean, for files that do not say.

    Returns:
        The model; call it on images.

    Raises:
        UnknownModel: no such name, and no such file.
        WeightsUnavailable: the weights are not there and cannot be fetched.
        WeightsMismatch: the weights are another network's.
        ShapeError: the network does not fit `size`; the message names the nearest that does.
        ConversionError: the file lacks something that only the caller knows, such as `mean` and `scale`.
        ImageError: a calibration image cannot be read.
        BackendUnavailable: the backend, precision and device cannot run together here.
        EngineMismatch: an engine file is damaged, not trusted, or does not fit this machine.
        UnsupportedLayer: naming all layers of the network that the backend cannot compute.

    Example:
        >>> model = load("df1seg", weights="random", size=(64, 128))  # doctest: +SKIP
        >>> model("street.jpg").labels.shape  # doctest: +SKIP
        (1024, 2048)
    """
    return _load(
        name,
        _Options(
            weights, backend, precision, device, size, threads, channel_order, calibration, trust, task, mean, scale
        ),
    )


def load_stream(name: str | PathLike[str], *, count: int | None = None, **options: Any) -> Model:
    """As `load`, for a model that is only streamed: it is opened for several images at once from the start.

    Args:
        name: See `load`.
        count: Number of images, where it is known.
        options: The other arguments of `load`.
    """
    return _load(name, _Options(**options), streams=streams_for(options.get("threads"), count))


class _Options(NamedTuple):
    """The keywords of `load`."""

    weights: str | PathLike[str] | None = None
    backend: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    size: tuple[int, int] | None = None
    threads: int | None = None
    channel_order: ChannelOrder = "bgr"
    calibration: object = None
    trust: bool = False
    task: str | None = None
    mean: float | Sequence[float] | None = None
    scale: float | None = None


def _load(name: str | PathLike[str], options: _Options, *, streams: int = 1) -> Model:
    precision, threads = options.precision, options.threads
    size_hw = _checked(options.size, options.channel_order, threads)
    engine = _engine(fspath(name), options)
    if engine is not None:
        options = options._replace(backend=engine.target)
    kind = backend_type(options.backend, precision=precision)
    reason = kind.why_unavailable(precision, options.device)
    if reason is not None:
        raise BackendUnavailable(reason)
    form = _form(fspath(name), options, kind)
    if engine is None:
        prepared = _prepare(fspath(name), options.weights, size_hw, form)
    else:
        prepared = Prepared(engine, None, str(engine.path))
    if prepared.is_random:
        warnings.warn(f"{prepared.source}: random weights, so the results mean nothing", DongfengWarning, stacklevel=3)
    open_ = _opener(kind, precision if engine is not None else _precision(precision, prepared), options)
    ready, model, spec = _scored(open_, prepared, streams)
    output, shape = choose_output(ready.outputs, spec.score_blob, prepared.source)
    default_hw = spec.preprocessing.crop_hw if spec.preprocessing else None
    of_images = takes_images(ready.metadata)
    input_hw = check_input(ready.inputs, size_hw, default_hw, prepared.source, of_images=of_images)
    settled = _task(spec.task, options.task, shape, prepared.source)
    classes = classes_of(settled, spec.classes, shape[1])
    many = streams_for(threads, None)
    return Model(
        ready,
        name=spec.name or Path(prepared.source).stem,
        task=settled,
        preprocessing=for_size(form.preprocessing(spec.preprocessing, prepared.source), input_hw),
        head=(spec.head or "x8") if settled == "segmentation" else None,
        classes=classes,
        size_hw=input_hw,
        output=output,
        labels_output=labels_output(ready.metadata, ready.outputs),
        takes_images=of_images,
        file=model,
        channel_order=options.channel_order,
        net=prepared.net,
        for_stream=None if streams > 1 or many == 1 or ready.device != "cpu" else lambda: open_(model, many),
    )


def _checked(size: object, channel_order: str, threads: int | None) -> tuple[int, int] | None:
    """The input size asked for; what cannot be meant is refused before anything is downloaded or converted."""
    if channel_order not in ("bgr", "rgb"):
        raise ImageError(f'channel_order is "{channel_order}"; expected "bgr" or "rgb"')
    if threads is not None and threads < 1:
        raise BackendUnavailable(f"threads is {threads}; expected at least 1")
    if size is None:
        return None
    try:
        height, width = (int(side) for side in size)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ShapeError(f"size is {size!r}; expected (height, width)") from None
    if min(height, width) < 1:
        raise ShapeError(f"size is {height}x{width}; both have to be positive")
    return height, width


def _engine(name: str, options: _Options) -> Engine | None:
    """The engine file that a name stands for, checked; None where it stands for something else.

    What is wrong with the file is told first, whether or not there is a GPU.
    """
    if Path(name).suffix not in _ENGINES:
        return None
    from dongfeng.backends.tensorrt.engine_file import read_engine

    if options.weights is not None or options.calibration is not None:
        raise ConversionError(f"{name}: an engine holds its weights; leave out weights= and calibration=")
    return read_engine(name, trust=options.trust, backend=options.backend)


def _form(name: str, options: _Options, kind: BackendType) -> Form:
    """What the network has to be made into; images to quantize with are there exactly if int8 is to be made."""
    images, precision = options.calibration, options.precision
    if images is not None and precision != "int8":
        raise BackendUnavailable(f'calibration images are for precision="int8"; the precision is "{precision}"')
    made_already = name.endswith((".onnx", *_ENGINES))  # perhaps
    if images is None and precision == "int8" and not made_already:
        raise _needs_images(name)
    is_told = options.mean is not None or options.scale is not None  # what is in a graph cannot be told otherwise
    return Form(
        _FORMATS.get(kind.name, "onnx"),
        None if images is None else as_calibration(images, options.channel_order),
        kind.prefers_images and not is_told,
        lambda known, source: _preprocessing(known, options.mean, options.scale, source),
    )


def _precision(asked: str, prepared: Prepared) -> str:
    """What the model is to be computed in; a quantized file can only be computed in int8, and no other can."""
    if prepared.is_quantized and asked not in ("auto", "int8"):
        raise BackendUnavailable(f'{prepared.source}: is a quantized network; use precision="int8", not "{asked}"')
    if asked == "int8" and not prepared.is_quantized:
        raise _needs_images(prepared.source)
    return "int8" if prepared.is_quantized else "fp32" if asked == "auto" else asked


def _needs_images(source: str) -> BackendUnavailable:
    return BackendUnavailable(
        f'{source}: precision "int8" needs images to quantize with: give calibration=[image, ...], about ten such as '
        "it will see, or a file that `dongfeng quantize` has written"
    )


def _prepare(name: str, weights: object, size_hw: tuple[int, int] | None, form: Form) -> Prepared:
    """The model file that a name or path stands for, converted if need be."""
    path = Path(name)
    kinds = {".onnx": prepare_onnx, ".prototxt": prepare_prototxt, ".param": prepare_ncnn, ".bin": prepare_ncnn}
    prepare = kinds.get(path.suffix)
    if prepare is not None and (path.suffix != ".bin" or path.name.endswith(".param.bin")):
        if not path.is_file():
            raise UnknownModel(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
        return prepare(path, weights, size_hw, form)
    from dongfeng.zoo.models import model_info

    try:
        info = model_info(name)
    except UnknownModel:
        if not path.is_file():
            raise
        hint = f"; for its weights give weights={name!r} beside it" if path.suffix in (".caffemodel", ".bin") else ""
        raise UnknownModel(
            f"{path}: expected a zoo name, or a .prototxt, .onnx, .param or .param.bin file{hint}"
        ) from None
    return prepare_zoo(info, weights, size_hw, form)


def _opener(kind: BackendType, precision: str, options: _Options) -> Callable[[Path | bytes, int], Backend]:
    """Opens a model for a number of images at once."""
    execution = Execution(precision=precision, device=options.device, threads=options.threads)
    return lambda model, streams: kind(model, replace(execution, streams=streams))


def _scored(
    open_: Callable[[Path | bytes, int], Backend], prepared: Prepared, streams: int
) -> tuple[Backend, Path | bytes, ModelSpec]:
    """The model down to its scores, on its backend and as a file, and what its metadata says of it."""
    model = prepared.model
    ready = open_(model, streams)
    spec = from_metadata(ready.metadata, prepared.source).updated(prepared.spec)
    if spec.score_blob is None or spec.score_blob in ready.outputs or isinstance(model, bytes):
        return ready, model, spec
    # Its outputs are made from the scores: take those.
    ready.close()
    cut = with_output(model, spec.score_blob)
    return open_(cut, streams), cut, spec


def _task(known: str | None, told: str | None, shape: tuple[int, ...], source: str) -> str:
    """What the model is for: what its file says, else what the caller says, else what its scores look like."""
    if told is not None and told not in TASKS:
        raise ConversionError(f'{source}: task is "{told}"; expected {" or ".join(TASKS)}')
    if known is not None and told not in (None, known):
        raise ConversionError(f"{source}: this is a model for {known}, not for {told}")
    is_map = len(shape) == 4 and shape[2:] != (1, 1)
    task = known or told or ("segmentation" if is_map else "classification")
    if task == "segmentation" and (len(shape) != 4 or shape[1] > _MOST_LABELS):
        raise ShapeError(f"{source}: the scores are {shape}; segmentation has (1, C, h, w), C at most {_MOST_LABELS}")
    if task == "classification" and is_map:
        raise ShapeError(f"{source}: the scores are {shape}; classification has (1, C) or (1, C, 1, 1)")
    return task


def _preprocessing(
    known: Preprocessing | None, mean: float | Sequence[float] | None, scale: float | None, source: str
) -> Preprocessing:
    """The file's preprocessing with what the caller says of it."""
    if known is None and (mean is None or scale is None):
        raise ConversionError(
            f"{source}: the file does not say how an image becomes its input; give mean=(blue, green, red) and scale=, "
            "for input = (image - mean) * scale"
        )
    preprocessing = known or Preprocessing()
    if mean is not None:
        preprocessing = replace(preprocessing, mean_bgr=tuple(float(value) for value in np.ravel(mean)))
    if len(preprocessing.mean_bgr) not in (1, 3):
        raise ConversionError(f"{source}: mean has {len(preprocessing.mean_bgr)} values; expected 1 or 3")
    return preprocessing if scale is None else replace(preprocessing, scale=float(scale))
