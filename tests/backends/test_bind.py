"""What benchmarks ask of a backend: the network alone, and where its time goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dongfeng.architectures import build
from dongfeng.backends.base import Backend, Execution
from dongfeng.backends.registry import backend_type
from dongfeng.errors import BackendUnavailable
from dongfeng.formats.ncnn.archive import pack
from dongfeng.formats.ncnn.write import to_ncnn
from dongfeng.formats.onnx import to_onnx
from dongfeng.net.fold import fold
from dongfeng.net.random_weights import random_weights

SCORES = "Decoder_score"
SHAPE = (1, 3, 64, 128)
OUTPUT: dict[str, Callable[[Any], np.ndarray]] = {
    "onnxruntime": lambda held: held.copy_outputs_to_cpu()[0],
    "openvino": lambda held: held[0],
    "ncnn": lambda held: np.array(held[1]),
}
BACKENDS = list(OUTPUT)


def opened(name: str) -> Backend:
    if backend_type(name).why_unavailable("fp32", "cpu") is not None:
        pytest.skip(f"needs {name}")
    net = fold(random_weights(build("pl1a_seg").resize(*SHAPE[2:]), 0))
    model = pack(*to_ncnn(net, outputs=[SCORES]), {}, {}) if name == "ncnn" else to_onnx(net, outputs=[SCORES])
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return backend_type(name)(content, Execution(device="cpu", threads=1))


def random_input(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_bound_call_computes_what_users_get(name: str) -> None:
    ready = opened(name)
    inputs = random_input()
    expected = ready.run(inputs, SCORES)
    call = ready.bind(inputs, SCORES)
    ready.run(random_input(2), SCORES)
    for _ in range(2):  # nor is the input spoilt for the next run
        np.testing.assert_array_equal(OUTPUT[name](call()).reshape(expected.shape), expected)


@pytest.mark.parametrize("name", BACKENDS)
def test_an_input_that_is_not_contiguous_is_kept_as_long_as_it_is_read(name: str) -> None:
    ready = opened(name)
    expected = ready.run(random_input(), SCORES)
    strided = np.repeat(random_input(), 2, axis=3)[..., ::2]
    call = ready.bind(strided, SCORES)
    results = [ready.run(strided, SCORES), OUTPUT[name](call()).reshape(expected.shape)]
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_closed_backend_binds_nothing(name: str) -> None:
    ready = opened(name)
    ready.close()
    with pytest.raises(BackendUnavailable, match="this model is closed"):
        ready.bind(random_input(), SCORES)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_profile_names_the_layers(name: str) -> None:
    layers = opened(name).profile(random_input(), 2)
    if name == "ncnn":
        assert layers is None
        return
    assert layers is not None
    assert len(layers) > 20
    assert all(layer.ms >= 0 and layer.layer for layer in layers)
    assert sum("conv" in layer.operation.lower() or "brgconv" in layer.operation for layer in layers) > 10
