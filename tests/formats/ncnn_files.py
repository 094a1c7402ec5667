"""Small ncnn networks for tests, and ncnn itself to run them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HALF = 0x01306B47


class Weights:
    """Bytes of a weight file, from a seeded stream."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(5)
        self.data = b""

    def matrix(self, count: int, tag: int = 0) -> Weights:
        """`count` values behind their tag."""
        values = self._rng.standard_normal(count, np.float32)
        body = values.astype(np.float16).tobytes() if tag == HALF else values.tobytes()
        self.data += struct.pack("<I", tag) + body + b"\0" * (-len(body) % 4)
        return self

    def vector(self, count: int) -> Weights:
        """`count` positive values without a tag."""
        self.data += (self._rng.random(count, np.float32) + np.float32(0.1)).tobytes()
        return self


def text(*lines: str, size_hwc: tuple[int, int, int] = (7, 9, 4)) -> str:
    """A text param with the Input `x` and the given layers."""
    height, width, channels = size_hwc
    layers = [f"Input in 0 1 x 0={width} 1={height} 2={channels}", *lines]
    tops = sum(int(line.split()[3]) for line in layers)
    return "\n".join(["7767517", f"{len(layers)} {tops}", *layers, ""])


def write(folder: Path, param: str, weights: bytes = b"") -> tuple[Path, Path]:
    """Write `net.param` and `net.bin`."""
    paths = folder / "net.param", folder / "net.bin"
    paths[0].write_text(param)
    paths[1].write_bytes(weights)
    return paths


def run_ncnn(
    ncnn: Any, param: Path, weights: Path, feeds: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> dict[str, np.ndarray]:
    """What ncnn computes in float32."""
    net = ncnn.Net()
    net.opt.num_threads = 2
    for name in dir(net.opt):
        if name.startswith("use_") and any(part in name for part in ("16", "int8", "winograd", "packing")):
            setattr(net.opt, name, False)
    if net.load_param(str(param)) or net.load_model(str(weights)):
        raise RuntimeError("ncnn does not load the network")
    extractor = net.create_extractor()
    extractor.set_light_mode(False)
    for name, value in feeds.items():
        extractor.input(name, ncnn.Mat(value).clone())  # a Mat of an array does not keep it alive
    results = {}
    for name in outputs:
        status, mat = extractor.extract(name)
        if status:
            raise RuntimeError(f"ncnn answers {status} for {name}")
        results[name] = np.array(mat)  # a copy: the Mat's memory is the net's
        del mat
    del extractor
    return results
