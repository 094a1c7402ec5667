"""The network alone: a backend's own call on an input that is in place, its output left where it is.

What users call (`Backend.run`) hands an array over and copies the result out, which is what `with_copies` times. No one
but a benchmark wants the rest of it, so backends have no public way to it, and this file reaches into them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dongfeng.errors import BackendUnavailable

if TYPE_CHECKING:
    from dongfeng.backends.base import Backend, Float


def bare_run(backend: Backend, inputs: Float, output: str) -> Callable[[], object] | None:
    """A call that computes one output of an input, and returns what holds it; None for backends without such a call.

    Args:
        backend: The backend, open.
        inputs: In the network's shape.
        output: The output's name.

    Raises:
        BackendUnavailable: from the call: the backend fails.
    """
    makers: dict[str, Callable[[Any, Float, str], Callable[[], object]]] = {
        "onnxruntime": _onnxruntime,
        "openvino": _openvino,
        "ncnn": _ncnn,
    }
    make = makers.get(backend.name)
    return None if make is None else make(backend, inputs, output)


def _onnxruntime(backend: Any, inputs: Float, output: str) -> Callable[[], object]:
    import onnxruntime

    session = backend._session
    kind, _, number = backend.device.partition(":")
    place = (kind, int(number or 0))
    binding = session.io_binding()
    binding.bind_ortvalue_input(next(iter(backend.inputs)), onnxruntime.OrtValue.ortvalue_from_numpy(inputs, *place))
    shape = session.run([output], {next(iter(backend.inputs)): inputs})[0].shape
    binding.bind_ortvalue_output(output, onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, *place))

    def run() -> object:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()  # CUDA may still be at work
        return binding

    return run


def _openvino(backend: Any, inputs: Float, output: str) -> Callable[[], object]:
    from openvino import Tensor

    request = backend._compiled.create_infer_request()
    request.set_input_tensor(Tensor(inputs, shared_memory=True))
    request.get_tensor(output)  # an unknown name is an error here, not in the middle of measuring

    def run() -> object:
        request.infer()
        return request

    return run


def _ncnn(backend: Any, inputs: Float, output: str) -> Callable[[], object]:
    from ncnn import Mat

    net, given = backend._net, backend._input
    array = np.ascontiguousarray(inputs[0], np.float32)
    into, out_of = given.key(given.blob), given.key(output)

    def run() -> object:
        # A layer that works in place would spoil the array for the next run.
        image = Mat(array) if given.is_only_read else Mat(array).clone()
        extractor = net.create_extractor()
        status = extractor.input(into, image)
        if not status:
            status, blob = extractor.extract(out_of)
        if status:
            raise BackendUnavailable(f'ncnn failed to compute "{output}": status {status}')
        return extractor, blob

    return run
