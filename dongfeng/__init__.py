"""Caffe-compatible inference, conversion and model zoo for the Dongfeng networks.

    >>> import dongfeng
    >>> model = dongfeng.load("df1seg")  # doctest: +SKIP
    >>> model("street.jpg").save("overlay.png")  # doctest: +SKIP

Everything here is imported on first use, so that `import dongfeng` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dongfeng._version import __version__

if TYPE_CHECKING:
    from dongfeng import errors
    from dongfeng.benchmark.this_machine import bench
    from dongfeng.formats.caffe import read_caffe, write_caffe
    from dongfeng.formats.ncnn import read_ncnn, write_ncnn
    from dongfeng.formats.onnx import to_onnx
    from dongfeng.net.fold import fold
    from dongfeng.net.graph import Layer, LayerCost, Net
    from dongfeng.runtime.batch import batch
    from dongfeng.runtime.convert import convert
    from dongfeng.runtime.evaluate import evaluate
    from dongfeng.runtime.load import load
    from dongfeng.runtime.model import Model
    from dongfeng.runtime.quantize import quantize
    from dongfeng.runtime.results import Classification, Segmentation
    from dongfeng.runtime.run import run
    from dongfeng.runtime.torch_net import from_torch, to_torch
    from dongfeng.verification.verify import verify
    from dongfeng.zoo.models import list_models

_HOMES = {
    "Classification": "dongfeng.runtime.results",
    "Layer": "dongfeng.net.graph",
    "LayerCost": "dongfeng.net.graph",
    "Model": "dongfeng.runtime.model",
    "Net": "dongfeng.net.graph",
    "Segmentation": "dongfeng.runtime.results",
    "batch": "dongfeng.runtime.batch",
    "bench": "dongfeng.benchmark.this_machine",
    "convert": "dongfeng.runtime.convert",
    "evaluate": "dongfeng.runtime.evaluate",
    "fold": "dongfeng.net.fold",
    "from_torch": "dongfeng.runtime.torch_net",
    "list_models": "dongfeng.zoo.models",
    "load": "dongfeng.runtime.load",
    "quantize": "dongfeng.runtime.quantize",
    "read_caffe": "dongfeng.formats.caffe",
    "read_ncnn": "dongfeng.formats.ncnn",
    "run": "dongfeng.runtime.run",
    "to_onnx": "dongfeng.formats.onnx",
    "to_torch": "dongfeng.runtime.torch_net",
    "verify": "dongfeng.verification.verify",
    "write_caffe": "dongfeng.formats.caffe",
    "write_ncnn": "dongfeng.formats.ncnn",
}

__all__ = [
    "Classification",
    "Layer",
    "LayerCost",
    "Model",
    "Net",
    "Segmentation",
    "__version__",
    "batch",
    "bench",
    "convert",
    "errors",
    "evaluate",
    "fold",
    "from_torch",
    "list_models",
    "load",
    "quantize",
    "read_caffe",
    "read_ncnn",
    "run",
    "to_onnx",
    "to_torch",
    "verify",
    "write_caffe",
    "write_ncnn",
]

if not TYPE_CHECKING:  # a type checker would take any name for an attribute

    def __getattr__(name: str) -> object:
        if name == "errors":
            return import_module("dongfeng.errors")
        if name not in _HOMES:
            raise AttributeError(f"module 'dongfeng' has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
