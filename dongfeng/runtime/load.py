"""`dongfeng.load`: a name or a file as a model that runs on images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict, overload

from dongfeng.backends.base import BackendType, Execution
from dongfeng.backends.registry import backend_type
from dongfeng.backends.threads import streams_for
from dongfeng.errors import BackendUnavailable, ConversionError, DongfengWarning, ImageError, ShapeError
from dongfeng.runtime.artifact import Artifact, Format, Target, convert_cached
from dongfeng.runtime.calibration import Calibration, as_calibration
from dongfeng.runtime.images.read import ChannelOrder
from dongfeng.runtime.model import Model, Result
from dongfeng.runtime.network import OpenNetwork
from dongfeng.runtime.results import Classification, Segmentation
from dongfeng.runtime.source import EngineSource, NetSource, OnnxSource, Source, find_source
from dongfeng.runtime.spec import CallerSpec, FileSpec, Task, complete, from_metadata

if TYPE_CHECKING:
    from typing_extensions import Unpack

# What a backend reads, where it is not any ONNX file.
_FORMATS: dict[str, Format] = {"ncnn": "ncnn", "tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt"}

Classifier: TypeAlias = Literal["df1", "df2", "df2a"]
Segmenter: TypeAlias = Literal[
    "dflite_seg",
    "dflite_seg_d8",
    "df1seg",
    "df1seg_d8",
    "df2seg1",
    "df2seg1_d8",
    "df2seg2",
    "df2seg2_d8",
    "pl1a_seg",
    "toytown_seg",
]


class LoadOptions(TypedDict, total=False):
    """The keywords of `load` but for `task`."""

    weights: str | PathLike[str] | None
    backend: str
    precision: str
    device: str
    size: tuple[int, int] | None
    threads: int | None
    channel_order: ChannelOrder
    calibration: object
    trust: bool
    mean: float | Sequence[float] | None
    scale: float | None


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """What is to be loaded, and how it shall run; see `load`."""

    name: str | PathLike[str]
    weights: str | PathLike[str] | None
    backend: str
    execution: Execution
    size_hw: tuple[int, int] | None
    channel_order: ChannelOrder
    calibration: Calibration | None
    trust: bool
    caller: CallerSpec

    @classmethod
    def of(cls, name: str | PathLike[str], *, task: Task | None = None, **options: Unpack[LoadOptions]) -> LoadRequest:
        """Check the arguments of `load`; what cannot be meant is refused before anything is downloaded or converted.

        Raises:
            DongfengError: an argument is not what `load` takes.
        """
        channel_order, threads = options.get("channel_order", "bgr"), options.get("threads")
        if channel_order not in ("bgr", "rgb"):
            raise ImageError(f'channel_order is "{channel_order}"; expected "bgr" or "rgb"')
        if threads is not None and threads < 1:
            raise BackendUnavailable(f"threads is {threads}; expected at least 1")
        images = options.get("calibration")
        return cls(
            name=name,
            weights=options.get("weights"),
            backend=options.get("backend", "auto"),
            execution=Execution(
                precision=options.get("precision", "auto"), device=options.get("device", "auto"), threads=threads
            ),
            size_hw=_checked_size(options.get("size")),
            channel_order=channel_order,
            calibration=None if images is None else as_calibration(images, channel_order),
            trust=options.get("trust", False),
            caller=CallerSpec.of(task, options.get("mean"), options.get("scale")),
        )


# The type of the results follows from the zoo's name, or from `task`.
@overload
def load(name: Classifier, *, task: None = None, **options: Unpack[LoadOptions]) -> Model[Classification]: ...
@overload
def load(name: Segmenter, *, task: None = None, **options: Unpack[LoadOptions]) -> Model[Segmentation]: ...
@overload
def load(
    name: str | PathLike[str], *, task: Literal["classification"], **options: Unpack[LoadOptions]
) -> Model[Classification]: ...
@overload
def load(
    name: str | PathLike[str], *, task: Literal["segmentation"], **options: Unpack[LoadOptions]
) -> Model[Segmentation]: ...
@overload
def load(
    name: str | PathLike[str], *, task: Task | None = None, **options: Unpack[LoadOptions]
) -> Model[Segmentation | Classification]: ...
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
    task: Task | None = None,
    mean: float | Sequence[float] | None = None,
    scale: float | None = None,
) -> Model[Result]:
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
    request = LoadRequest.of(
        name,
        weights=weights,
        backend=backend,
        precision=precision,
        device=device,
        size=size,
        threads=threads,
        channel_order=channel_order,
        calibration=calibration,
        trust=trust,
        task=task,
        mean=mean,
        scale=scale,
    )
    return open_model(request)


def load_stream(
    name: str | PathLike[str], *, count: int | None = None, task: Task | None = None, **options: Unpack[LoadOptions]
) -> Model[Result]:
    """Load a model that is only streamed: it is opened for several images at once from the start.

    Args:
        name: See `load`.
        count: Number of images, where it is known.
        task: See `load`.
        options: The other arguments of `load`.
    """
    request = LoadRequest.of(name, task=task, **options)
    streams = streams_for(request.execution.threads, count)
    return open_model(replace(request, execution=replace(request.execution, streams=streams)))


def open_model(request: LoadRequest) -> Model[Result]:
    """Find a network, convert it if need be, open it on its backend, and complete what is known of it.

    Raises:
        DongfengError: see `load`.
    """
    source = find_source(request.name, request.weights)
    artifact, runs_on = _artifact(source, request)
    if isinstance(source, NetSource) and source.given and source.given.path is None:
        warnings.warn(f"{source.label}: random weights, so the results mean nothing", DongfengWarning, stacklevel=3)
    precision = _precision(request.execution.precision, artifact, source)
    network = OpenNetwork(artifact.model, runs_on, replace(request.execution, precision=precision))
    in_file = from_metadata(network.backend.metadata, source.label)
    known = FileSpec(name=Path(source.label).stem).updated(in_file).updated(artifact.spec)
    network = network.cut_to(known.score_blob)
    default_hw = known.preprocessing.crop_hw if known.preprocessing else None
    ports = network.ports(known.score_blob, request.size_hw, default_hw, source.label)
    spec = complete(known, request.caller, source.label, scores_shape=ports.scores_shape, size_hw=ports.size_hw)
    return Model(network, ports, spec, source=artifact.source, channel_order=request.channel_order)


def _artifact(source: Source, request: LoadRequest) -> tuple[Artifact, BackendType]:
    """Return the network as its backend opens it, and the backend; an engine says itself what runs it.

    What is wrong with an engine file is told first, whether or not there is a GPU.
    """
    execution, calibration = request.execution, request.calibration
    if isinstance(source, EngineSource):
        from dongfeng.backends.tensorrt.engine_file import read_engine

        if calibration is not None:
            raise ConversionError(f"{source.label}: an engine holds its weights; leave out calibration=")
        engine = read_engine(source.path, trust=request.trust, backend=request.backend)
        return Artifact(model=engine, spec=FileSpec()), _available(engine.target, execution)
    runs_on = _available(request.backend, execution)
    if calibration is not None and execution.precision != "int8":
        raise BackendUnavailable(
            f'calibration images are for precision="int8"; the precision is "{execution.precision}"'
        )
    if calibration is None and execution.precision == "int8" and not isinstance(source, OnnxSource):
        raise _needs_images(source)
    target = Target(
        format=_FORMATS.get(runs_on.name, "onnx"),
        size_hw=request.size_hw,
        calibration=calibration,
        # What is in a graph cannot be said otherwise.
        takes_images=runs_on.prefers_images and not request.caller.has_preprocessing,
        caller=request.caller,
    )
    return convert_cached(source, target), runs_on


def _available(backend: str, execution: Execution) -> BackendType:
    """Return the backend of that name.

    Raises:
        BackendUnavailable: it cannot run so on this machine.
    """
    runs_on = backend_type(backend, precision=execution.precision)
    reason = runs_on.why_unavailable(execution.precision, execution.device)
    if reason is not None:
        raise BackendUnavailable(reason)
    return runs_on


def _precision(asked: str, artifact: Artifact, source: Source) -> str:
    """Return what the network is computed in: a quantized one in int8 only, and no other in int8."""
    if isinstance(source, EngineSource):
        return asked
    if artifact.is_quantized and asked not in ("auto", "int8"):
        raise BackendUnavailable(f'{source.label}: is a quantized network; use precision="int8", not "{asked}"')
    if asked == "int8" and not artifact.is_quantized:
        raise _needs_images(source)
    return "int8" if artifact.is_quantized else "fp32" if asked == "auto" else asked


def _needs_images(source: Source) -> BackendUnavailable:
    return BackendUnavailable(
        f'{source.label}: precision "int8" needs images to quantize with: give calibration=[image, ...], about ten '
        "such as it will see, or a file that `dongfeng quantize` has written"
    )


def _checked_size(size: tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError):
        raise ShapeError(f"size is {size!r}; expected (height, width)") from None
    if min(height, width) < 1:
        raise ShapeError(f"size is {height}x{width}; both have to be positive")
    return height, width
