"""Bundles for boards whose TensorRT is too old, or too far away, for anything of ours: ONNX, commands, a readme."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from dongfeng.errors import ConversionError
from dongfeng.support.files import write_whole

if TYPE_CHECKING:
    import onnx

TRTEXEC = "/usr/src/tensorrt/bin/trtexec"
_TIMING = ("--warmUp=1000", "--duration=10", "--useSpinWait")


@dataclass(frozen=True)
class TrtexecOptions:
    """The options that differ between versions of trtexec.

    Attributes:
        workspace: For 1 GiB of scratch memory.
        has_tf32: Whether fp32 is computed in TF32 unless an option forbids it.
    """

    workspace: str
    has_tf32: bool = False


@dataclass(frozen=True)
class Board:
    """A board with the software at the end of its maker's support, or at present.

    Attributes:
        title: Its name.
        software: Its last system and TensorRT.
        opset: The newest ONNX opset that is safe there.
        precisions: fp32, and each that its GPU computes faster than the one before it in this list.
        options: Of its trtexec.

    Source: NVIDIA, release notes of JetPack and of onnx-tensorrt, support matrix of TensorRT.
    """

    title: str
    software: str
    opset: int
    precisions: tuple[str, ...]
    options: TrtexecOptions


PRECISIONS = ("fp32", "fp16", "int8")
OLD_WORKSPACE, NEW_WORKSPACE = "--workspace=1024", "--memPoolSize=workspace:1024"
_OLD, _NEW = TrtexecOptions(OLD_WORKSPACE), TrtexecOptions(NEW_WORKSPACE)
BOARDS = {
    "tx2": Board("Jetson TX2", "JetPack 4.6, TensorRT 8.2", 13, ("fp32", "fp16"), _OLD),
    "nano": Board("Jetson Nano", "JetPack 4.6, TensorRT 8.2", 13, ("fp32", "fp16"), _OLD),
    "xavier": Board("Jetson Xavier", "JetPack 5.1, TensorRT 8.5", 17, PRECISIONS, _NEW),
    "orin": Board(
        "Jetson Orin", "JetPack 6, TensorRT 8.6 or 10.3", 17, PRECISIONS, TrtexecOptions(NEW_WORKSPACE, has_tf32=True)
    ),
}


def board_named(name: str) -> Board:
    """Return the board of that name.

    Raises:
        ConversionError: there is none.
    """
    if name not in BOARDS:
        raise ConversionError(f'no board is called "{name}"; there are: {", ".join(BOARDS)}')
    return BOARDS[name]


def commands(options: TrtexecOptions, name: str, precision: str) -> list[list[str]]:
    """Return the arguments of three runs of trtexec: build an engine; time it; time its layers, which slows the whole.

    Args:
        options: Those of the board's trtexec.
        name: Of the ONNX file, without its suffix.
        precision: One of the board's.
    """
    engine = f"{name}_{precision}.engine"
    types = {"fp32": ["--noTF32"] if options.has_tf32 else [], "fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}
    return [
        [f"--onnx={name}.onnx", f"--saveEngine={engine}", options.workspace, *types[precision]],
        [f"--loadEngine={engine}", *_TIMING],
        [f"--loadEngine={engine}", "--dumpProfile", f"--exportProfile={name}_{precision}_profile.json"],
    ]


def write_bundle(model: onnx.ModelProto, folder: Path, name: str, board: Board) -> list[Path]:
    """Write the model, the commands that build and time it, and a readme.

    Args:
        model: The model, of the board's opset at most, its size fixed.
        folder: Where to write; it is created.
        name: Name of the model there.
        board: The board that it is for.

    Returns:
        The files.

    Raises:
        ConversionError: the model's opset is too new.
        OSError: the folder cannot be written.
    """
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset > board.opset:
        raise ConversionError(f"the model has opset {opset}; {board.software} reads {board.opset} at most")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        f"{name}.onnx": model.SerializeToString(),
        "commands.sh": _script(board, name).encode(),
        "README.md": _readme(board, name, _shape(model), opset).encode(),
    }
    for file, content in contents.items():
        write_whole(folder / file, content)
    (folder / "commands.sh").chmod(0o755)
    return [folder / file for file in contents]


def _script(board: Board, name: str) -> str:
    lines = [
        "#!/bin/sh",
        f"# {name} on {board.title} ({board.software}): builds and times an engine for each precision.",
        "set -eu",
        'cd "$(dirname "$0")"',
        f': "${{TRTEXEC:={TRTEXEC}}}"',
    ]
    for precision in board.precisions:
        lines += ["", f'echo "== {precision}"']
        lines += [f'"$TRTEXEC" {shlex.join(words)}' for words in commands(board.options, name, precision)]
    return "\n".join(lines) + "\n"


def _shape(model: onnx.ModelProto) -> str:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    return "x".join(str(dim.dim_value or "?") for dim in dims)


_INT8_NOTE = """\

`--int8` alone invents the ranges: its times are right, its labels mean nothing. For labels that count, quantize on a
desktop (`dongfeng quantize NET --images DIR --target tensorrt -o {name}.onnx`) and put that file in place of
{name}.onnx; the int8 commands are the same.
"""


def _readme(board: Board, name: str, shape: str, opset: int) -> str:
    text = f"""\
        # {name} on {board.title}

        `{name}.onnx` (opset {opset}, input {shape} float32) for {board.software}. Nothing but trtexec is needed on the board.

        ```sh
        sudo nvpmodel -m 0    # all of its power (on some boards another mode is the fastest)
        sudo jetson_clocks    # and clocks that stay
        ./commands.sh 2>&1 | tee log.txt
        ```

        For each of {", ".join(board.precisions)} it builds an engine, times it, and times its layers
        (`{name}_PRECISION_profile.json`). Take `GPU Compute Time: median` for the network alone; the layers' times are from a
        run of their own, which is slower as a whole. trtexec in another place: `TRTEXEC=/path/to/trtexec ./commands.sh`.

        An engine runs on the kind of board and the version of TensorRT that built it, nowhere else.
        """  # noqa: E501 - the indent goes
    return dedent(text) + (_INT8_NOTE.format(name=name) if "int8" in board.precisions else "")
