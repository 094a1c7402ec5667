"""The file beside an engine: where the engine is from, what it is for, and what it must be like to be whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from dongfeng.backends.tensorrt.audit import Audit
from dongfeng.errors import EngineMismatch
from dongfeng.support.json_dataclass import read_as
from dongfeng.support.strict_json import JsonFormat

SCHEMA = 1
_FORMAT = JsonFormat(EngineMismatch, "build the engine again")


@dataclass(frozen=True)
class Port:
    """An input or output of an engine.

    Attributes:
        shape: Its shape, -1 where dynamic.
        dtype: NumPy's name of its type.
    """

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """The origin, purpose and hash of an engine file.

    Attributes:
        schema: Version of this form.
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
        audit: What the engine computes in.
    """

    schema: int = SCHEMA
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
    metadata: Mapping[str, str]
    audit: Audit


def sidecar_path(engine: str | PathLike[str]) -> Path:
    """Return the path of an engine file's sidecar."""
    return Path(f"{Path(engine)}.json")


def read_sidecar(engine: str | PathLike[str]) -> Sidecar | None:
    """Read the sidecar of an engine file; None where there is none.

    Raises:
        EngineMismatch: it is damaged, or of another version of dongfeng.
    """
    try:
        document = _FORMAT.read(sidecar_path(engine))
    except FileNotFoundError:
        return None
    schema = document.member("schema").integer()
    if schema != SCHEMA:
        document.fail(f"has schema {schema}, expected {SCHEMA}")
    return read_as(Sidecar, document)
