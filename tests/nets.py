"""Small networks for tests, written as prototxt text."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import dongfeng


def read_text(tmp_path: Path, text: str, weights: Path | None = None, **options: object) -> dongfeng.Net:
    """Read a prototxt given as text."""
    path = tmp_path / "net.prototxt"
    path.write_text(dedent(text))
    return dongfeng.read_caffe(path, weights, **options)


def layer(name: str, kind: str, bottoms: str, top: str, params: str = "") -> str:
    """One layer; `bottoms` are separated by blanks."""
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top}" {params} }}\n'


def data(*dims: int) -> str:
    """An Input layer called data."""
    shape = " ".join(f"dim: {dim}" for dim in dims)
    return f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}\n'


CONV_BN = (
    data(1, 3, 8, 8)
    + layer(
        "conv", "Convolution", "data", "conv", "convolution_param { num_output: 4 kernel_size: 3 bias_term: false }"
    )
    + layer("bn", "BatchNorm", "conv", "bn")
    + layer("scale", "Scale", "bn", "bn", "scale_param { bias_term: true }")
    + layer("relu", "ReLU", "bn", "bn")
    + layer("out", "Convolution", "bn", "out", "convolution_param { num_output: 2 kernel_size: 1 }")
)
