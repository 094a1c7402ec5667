"""Fixtures: small ONNX and ncnn files as other programs write them, and an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

MakeOnnx = Callable[..., Path]


@pytest.fixture
def onnx_file(tmp_path: Path) -> MakeOnnx:
    """Writes a network of one 1x1 convolution, and says where."""

    def make(
        name: str = "net.onnx",
        *,
        shape: Sequence[int | str | None] = (1, 3, 8, 16),
        classes: int = 4,
        head: Sequence[str] = (),
        outputs: Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        weight: np.ndarray | None = None,
    ) -> Path:
        """`head` appends nodes, each reading the one before: GlobalAveragePool, ArgMax, Flatten."""
        if weight is None:
            weight = np.random.default_rng(0).standard_normal((classes, shape[1], 1, 1)).astype(np.float32)
        nodes = [helper.make_node("Conv", ["image", "w"], ["scores"])]
        kinds = {"scores": (TensorProto.FLOAT, 4)}
        for op in head:
            last = nodes[-1].output[0]
            nodes.append(helper.make_node(op, [last], [op.lower()], **({"axis": 1} if op == "ArgMax" else {})))
            kinds[op.lower()] = (
                TensorProto.INT64 if op == "ArgMax" else TensorProto.FLOAT,
                2 if op == "Flatten" else 4,
            )
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [
                helper.make_tensor_value_info(blob, kinds[blob][0], [None] * kinds[blob][1])
                for blob in outputs or [nodes[-1].output[0]]
            ],
            [numpy_helper.from_array(weight, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        helper.set_model_props(model, dict(metadata or {}))
        path = tmp_path / name
        save_model(model, path)
        return path

    return make


@pytest.fixture
def ncnn_file(tmp_path: Path) -> Callable[[np.ndarray], Path]:
    """Writes an ncnn network of one 1x1 convolution, `image` (1, 3, 8, 16) to `scores`, and says where."""

    def make(weight: np.ndarray) -> Path:
        lines = [
            "Input image 0 1 image 0=16 1=8 2=3",
            f"Convolution c 1 1 image scores 0={len(weight)} 1=1 6={weight.size}",
        ]
        (tmp_path / "net.param").write_text("\n".join(["7767517", "2 2", *lines, ""]))
        (tmp_path / "net.bin").write_bytes(bytes(4) + weight.astype("<f4").tobytes())
        return tmp_path / "net.param"

    return make


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """An image file of 90x160, smooth, so that no resizing depends on single pixels."""
    low = np.random.default_rng(1).integers(0, 256, (6, 10, 3), np.uint8)
    path = tmp_path / "street.png"
    path.write_bytes(cv2.imencode(".png", cv2.resize(low, (160, 90), interpolation=cv2.INTER_CUBIC))[1].tobytes())
    return path
