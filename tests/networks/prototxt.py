"""Network files in a few lines of Python: every method adds a layer and returns the name of its top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Prototxt:
    """A network file under construction.

    Args:
        name: The network's name.
        inputs: Shape of each input blob; each becomes an `Input` layer.
    """

    def __init__(self, name: str, **inputs: Sequence[int]) -> None:
        self._parts = [f'name: "{name}"']
        for blob, shape in inputs.items():
            self.add("Input", blob, [], input_param={"shape": {"dim": list(shape)}})

    @property
    def text(self) -> str:
        return "\n".join(self._parts) + "\n"

    def add(self, kind: str, name: str, bottoms: str | Sequence[str], tops: Any = None, **fields: Any) -> str:
        """Add a layer; its top carries its name unless `tops` says otherwise."""
        bottoms = [bottoms] if isinstance(bottoms, str) else bottoms
        tops = [tops or name] if isinstance(tops, str | None) else tops
        self._parts.append("layer " + block({"name": name, "type": kind, "bottom": bottoms, "top": tops, **fields}))
        return tops[0] if tops else ""

    def in_place(self, kind: str, name: str, blob: str, **fields: Any) -> str:
        return self.add(kind, name, blob, blob, **fields)

    def conv(
        self, name: str, bottom: str, num_output: int, kernel: int = 1, *, kind: str = "Convolution", **param: Any
    ) -> str:
        """A convolution; `kernel_h` and `kernel_w` in `param` take the place of `kernel`."""
        size = {} if "kernel_h" in param else {"kernel_size": kernel}
        fields = {"num_output": num_output, **size, **param, "weight_filler": {"type": "xavier"}}
        return self.add(kind, name, bottom, convolution_param=fields)

    def conv_relu(self, name: str, bottom: str, num_output: int, kernel: int = 1, **param: Any) -> str:
        """A convolution and its ReLU in place, named as VGG and GoogLeNet do: `relu_NAME`."""
        return self.relu(self.conv(name, bottom, num_output, kernel, **param), f"relu_{name}")

    def bn_scale(self, blob: str, name: str, **param: Any) -> str:
        """BatchNorm and Scale in place."""
        self.in_place("BatchNorm", f"bn_{name}", blob, batch_norm_param={"use_global_stats": True, **param})
        return self.in_place("Scale", f"scale_{name}", blob, scale_param={"bias_term": True})

    def conv_bn(self, name: str, bottom: str, num_output: int, kernel: int = 1, **param: Any) -> str:
        """A convolution without bias, BatchNorm, Scale."""
        return self.bn_scale(self.conv(name, bottom, num_output, kernel, bias_term=False, **param), name)

    def conv_bn_relu(self, name: str, bottom: str, num_output: int, kernel: int = 1, **param: Any) -> str:
        return self.relu(self.conv_bn(name, bottom, num_output, kernel, **param), f"relu_{name}")

    def deconv(self, name: str, bottom: str, num_output: int, kernel: int, stride: int, **param: Any) -> str:
        return self.conv(name, bottom, num_output, kernel, kind="Deconvolution", stride=stride, **param)

    def relu(self, blob: str, name: str | None = None, **param: Any) -> str:
        """A ReLU in place."""
        return self.in_place("ReLU", name or f"{blob}_relu", blob, **({"relu_param": param} if param else {}))

    def pool(self, name: str, bottom: str, kernel: int, stride: int = 1, pool: str = "MAX", **param: Any) -> str:
        fields = {"pool": pool, "kernel_size": kernel, "stride": stride, **param}
        return self.add("Pooling", name, bottom, pooling_param=fields)

    def global_pool(self, name: str, bottom: str, pool: str = "AVE") -> str:
        return self.add("Pooling", name, bottom, pooling_param={"pool": pool, "global_pooling": True})

    def inner(self, name: str, bottom: str, num_output: int, **param: Any) -> str:
        return self.add("InnerProduct", name, bottom, inner_product_param={"num_output": num_output, **param})

    def dropout(self, blob: str, name: str, ratio: float = 0.5) -> str:
        """A Dropout in place."""
        return self.in_place("Dropout", name, blob, dropout_param={"dropout_ratio": ratio})

    def concat(self, name: str, *bottoms: str, **param: int) -> str:
        return self.add("Concat", name, bottoms, **({"concat_param": param} if param else {}))

    def sum(self, name: str, *bottoms: str) -> str:
        return self.add("Eltwise", name, bottoms, eltwise_param={"operation": "SUM"})

    def softmax(self, name: str, bottom: str, **param: int) -> str:
        return self.add("Softmax", name, bottom, **({"softmax_param": param} if param else {}))


def block(fields: dict[str, Any]) -> str:
    """A message in text form; a list is a repeated field."""
    parts = []
    for name, value in fields.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            parts.append(f"{name} {block(item)}" if isinstance(item, dict) else f"{name}: {_scalar(name, item)}")
    return "{ " + " ".join(parts) + " }"


def _scalar(field: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    is_enum = field == "phase" or (isinstance(value, str) and value.isupper() and field not in _STRINGS)
    return str(value) if is_enum or not isinstance(value, str) else f'"{value}"'


_STRINGS = frozenset({"name", "type", "bottom", "top", "source"})
