"""ncnn, on the CPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dongfeng.backends.base import Array, Backend, Execution, Float, Shape, Tensor, opened
from dongfeng.backends.registry import not_a_choice, on_cpu_only
from dongfeng.backends.self_check import OUTPUT, three_numbers, wrong_numbers
from dongfeng.backends.threads import share_of_threads
from dongfeng.errors import BackendUnavailable
from dongfeng.formats.ncnn.archive import NcnnFiles, pack, unpacked
from dongfeng.formats.ncnn.param import NcnnLayer, read_param
from dongfeng.support.exceptions import first_line

_BINARY_SUFFIX = ".param.bin"
# Layers that leave what they read as it is. Others may overwrite the input, and then ncnn has to own its memory.
_READ_ONLY = ("Convolution", "ConvolutionDepthWise")
_REDUCED = ("fp16", "bf16", "int8")  # in the names of the options that let ncnn compute in less than fp32


class Ncnn(Backend):
    """An ncnn network on ncnn, whose released builds have no profiler; see `Backend`.

    A model is what `dongfeng.formats.ncnn.archive` packs, or a `.param` or `.param.bin` with its `.bin` beside it.
    """

    name = "ncnn"
    prefers_images = False
    device = "cpu"

    def __init__(self, model: Path | bytes, execution: Execution) -> None:
        if (reason := self.why_unavailable(execution.precision, execution.device)) is not None:
            raise BackendUnavailable(reason)
        with unpacked(model) as files:
            net = _load(files, execution.precision, share_of_threads(execution.threads, execution.streams))
            layers = read_param(files.param)
        self.streams = execution.streams
        self.precision = "bf16" if net.opt.use_bf16_storage else "fp32"
        self.metadata: Mapping[str, str] = files.metadata
        self._input = _input_of(layers, str(files.param), is_binary=files.param.name.endswith(_BINARY_SUFFIX))
        self._output_shapes: dict[str, tuple[int, ...]] = dict(files.output_shapes)
        self._net: Any = net
        self.inputs: Mapping[str, Tensor] = {self._input.blob: Tensor(self._input.shape, True)}
        self.outputs: Mapping[str, Tensor] = {blob: Tensor(self._shape(blob), True) for blob in _outputs_of(layers)}

    def infer(self, inputs: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Compute several outputs for one input, each by itself; see `Backend.infer`."""
        return {output: self.run(inputs, output) for output in outputs}

    def run(self, inputs: Array, output: str) -> Float:
        """Compute one output for one input; see `Backend.run`."""
        _extractor, blob = self.bind(inputs, output)()
        result = np.array(blob, np.float32)  # the memory is the extractor's
        return result.reshape(self._output_shapes.get(output, (1, *result.shape)))

    def bind(self, inputs: Array, output: str) -> Callable[[], tuple[Any, Any]]:
        """Prepare a call with its input in place, which gives an extractor and its blob; see `Backend.bind`."""
        array = np.ascontiguousarray(inputs[0], np.float32)  # a Mat does not keep its array alive
        return partial(_extract, opened(self._net), self._input, array, output)

    def close(self) -> None:
        """Free the network; a call that is going on keeps it until it is done."""
        self._net = None

    def _shape(self, blob: str) -> Shape:
        """Return the shape of an output: as packed, else as a run on zeros has it."""
        if blob in self._output_shapes:
            return self._output_shapes[blob]
        return self.run(np.zeros([dim or 1 for dim in self._input.shape], np.float32), blob).shape

    @staticmethod
    def why_unavailable(precision: str, device: str) -> str | None:
        """Say why this precision and device cannot run here; see `BackendType`."""
        if (reason := not_a_choice(precision, device) or on_cpu_only("ncnn", device)) is not None:
            return reason
        try:
            _ncnn()
        except ImportError as error:
            return f'ncnn cannot be imported ({first_line(error)}); run: pip install "dongfeng[ncnn]"'
        if precision == "int8":
            return 'backend "ncnn" runs no int8 networks; use backend="onnxruntime" or "openvino"'
        if precision == "fp16":
            return 'ncnn computes in fp16 on ARM only; use precision="fp32" or "bf16"'
        return None

    @staticmethod
    def check() -> str | None:
        """Compute three numbers; see `BackendType`."""
        if (reason := Ncnn.why_unavailable("fp32", "cpu")) is not None:
            return reason
        from dongfeng.formats.ncnn.write import to_ncnn

        return wrong_numbers(Ncnn(pack(*to_ncnn(three_numbers()), {}, {OUTPUT: (1, 3, 1, 1)}), Execution()))


class _Input(NamedTuple):
    """The only input of a network.

    Attributes:
        blob: Its name.
        shape: Its shape, (1, C, H, W).
        is_binary: Whether the file is binary, where blobs have numbers instead of names.
        is_only_read: Whether no layer may overwrite it.
    """

    blob: str
    shape: tuple[int, ...]
    is_binary: bool
    is_only_read: bool

    def key(self, blob: str) -> str | int:
        """Return what ncnn calls a blob."""
        return int(blob) if self.is_binary else blob


def _extract(net: Any, input_: _Input, array: Float, output: str) -> tuple[Any, Any]:
    """Compute an output; the blob's memory is the extractor's, which is returned with it."""
    from ncnn import Mat  # loaded by _ncnn before

    image = Mat(array) if input_.is_only_read else Mat(array).clone()
    extractor = net.create_extractor()  # frees each blob once it has been read
    status = extractor.input(input_.key(input_.blob), image)
    if not status:
        status, blob = extractor.extract(input_.key(output))
    if status:
        why = "out of memory" if status == -100 else f"status {status}"
        raise BackendUnavailable(f'ncnn failed to compute "{output}": {why}')
    return extractor, blob


def _ncnn() -> Any:
    """Import the package, with its OpenMP set to sleep where it waits.

    It would spin, and where another program has one of the cores, the other threads then wait for it at every layer:
    two threads beside two busy processes on two cores took 16 times as long (docs/backends.md).
    """
    variable, wait = "OMP_WAIT_POLICY", "passive"
    is_set = "ncnn" in sys.modules or variable in os.environ
    if not is_set:
        os.environ[variable] = wait  # read once, when the library is loaded
    try:
        import ncnn
    finally:
        if not is_set:
            del os.environ[variable]
    return ncnn


def _load(files: NcnnFiles, precision: str, threads: int | None) -> Any:
    """Load a network into ncnn."""
    ncnn = _ncnn()
    if not files.weights.is_file():
        raise BackendUnavailable(f"{files.param}: its weights are missing; put them at {files.weights}")
    net = ncnn.Net()
    for option in dir(net.opt):
        if option.startswith("use_") and any(part in option for part in _REDUCED):
            setattr(net.opt, option, precision == "bf16" and "bf16" in option)
    net.opt.use_winograd_convolution = True
    net.opt.use_vulkan_compute = False
    if threads is not None:
        net.opt.num_threads = threads
    is_binary = files.param.name.endswith(_BINARY_SUFFIX)
    status = (net.load_param_bin if is_binary else net.load_param)(str(files.param))
    if status or net.load_model(str(files.weights)):
        what = files.param if status else files.weights
        raise BackendUnavailable(
            f"{what}: ncnn {ncnn.__version__} cannot load it: a layer that this build leaves out, or a damaged file"
        )
    return net


def _input_of(layers: Sequence[NcnnLayer], source: str, *, is_binary: bool) -> _Input:
    inputs = [layer for layer in layers if layer.type == "Input"]
    if len(inputs) != 1:
        raise BackendUnavailable(f"{source}: has {len(inputs)} inputs; expected one image")
    sides = [inputs[0].params.integer(number, 0) for number in (2, 1, 0)]  # channels, height, width
    if min(sides) < 1:
        raise BackendUnavailable(f"{source}: its Input has a dynamic size; give it w, h and c (0=, 1=, 2=)")
    (blob,) = inputs[0].tops
    is_only_read = all(layer.type in _READ_ONLY for layer in layers if blob in layer.bottoms)
    return _Input(blob, (1, *sides), is_binary, is_only_read)


def _outputs_of(layers: Sequence[NcnnLayer]) -> list[str]:
    """Return the blobs that no layer reads."""
    read = {blob for layer in layers for blob in layer.bottoms}
    return [blob for layer in layers for blob in layer.tops if blob not in read]
