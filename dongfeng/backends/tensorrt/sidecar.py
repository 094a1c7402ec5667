"""What stands beside an engine file: where it is from, what it is for, and how to tell that it is whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any

from dongfeng.errors import EngineMismatch

SCHEMA = 1


@dataclass(frozen=True)
class Port:
    """An input or output of an engine.

    Attributes:
        shape: Its shape, -1 where open.
        dtype: NumPy's name of its type.
    """

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Sidecar:
    """What is known of an engine file.

    Attributes:
        target: "tensorrt_rtx" or "tensorrt".
        library_version: Version of the library that built it, which alone can run it.
        dongfeng_version: Version of dongfeng that had it built.
        precision: What was asked for; the audit has found it in the engine.
        tf32: Whether what is fp32 may be computed in TF32.
        compute_capabilities: GPUs it was built for, such as "8.6"; empty: the library's default, see `built_on`.
        built_on: Compute capability of the GPU it was built on; None where there was none.
        onnx_sha256: Of the ONNX model that was given.
        plan_sha256: Of the engine file.
        plan_bytes: Its size.
        inputs: By name.
        outputs: By name.
        dynamic: Least, best and largest batch; None where the batch is fixed.
        rebuild: The command that builds it again.
        metadata: The ONNX file's, which says how images become its input and what its scores mean.
        audit: What the engine computes in; see `dongfeng.backends.tensorrt.audit.Audit`.
    """

    target: str
    library_version: str
    dongfeng_version: str
    precision: str
    tf32: bool
    compute_capabilities: tuple[str, ...]
    built_on: str | None
    onnx_sha256: str
    plan_sha256: str
    plan_bytes: int
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    dynamic: tuple[int, int, int] | None
    rebuild: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n"


def sidecar_path(engine: str | PathLike[str]) -> Path:
    """Where the sidecar of an engine file is."""
    return Path(f"{Path(engine)}.json")


def read_sidecar(engine: str | PathLike[str]) -> Sidecar | None:
    """The sidecar of an engine file; None where there is none.

    Raises:
        EngineMismatch: it is damaged, or of another version of dongfeng.
    """
    path = sidecar_path(engine)
    try:
        values = json.loads(path.read_bytes())
        if values["schema"] != SCHEMA:
            raise EngineMismatch(f"{path}: has schema {values['schema']}, expected {SCHEMA}; build the engine again")
        values |= {key: _ports(values[key]) for key in ("inputs", "outputs")}
        values["compute_capabilities"] = tuple(map(str, values["compute_capabilities"]))
        if values["dynamic"] is not None:
            least, best, most = map(int, values["dynamic"])
            values["dynamic"] = (least, best, most)
        return Sidecar(**{key.name: values[key.name] for key in fields(Sidecar)})
    except FileNotFoundError:
        return None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EngineMismatch(f"{path}: is damaged ({type(error).__name__}: {error}); build the engine again") from error


def _ports(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Port]:
    return {name: Port(tuple(map(int, port["shape"])), str(port["dtype"])) for name, port in values.items()}
