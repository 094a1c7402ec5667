"""`df-bench lut`: a device profile of this machine, or of a board."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import new_parser, positive, size_hw
from dongfeng.cli.output import note
from dongfeng.errors import DongfengError
from dongfeng.support.progress import show_progress

if TYPE_CHECKING:
    from dongfeng.devices import DeviceProfile

EPILOG = """\
Measures the blocks that backbones are made of, at 224x224, on this machine and one backend; df-bench --device FILE and
dongfeng search predict with it. What was measured so far is kept in FILE.journal, and a killed run goes on with
--resume. With --from-trtexec nothing is measured: PROFILE is what a board's trtexec --exportProfile wrote of a zoo
model that dongfeng export-trtexec had made the ONNX of.

examples:
  df-bench lut -o my-device.json
  df-bench lut -o my-device.json --backend openvino --threads 4 --resume
  df-bench lut --from-trtexec df1seg_fp16_profile.json --model df1seg --size 384x640 --precision fp16 -o my-tx2.json
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    root = new_parser(
        "df-bench lut", "Measure a device profile of this machine, or take one from a board's trtexec.", EPILOG
    )
    root.add_argument("-o", "--output", required=True, metavar="FILE", help="the profile (.json)")
    root.add_argument("--name", metavar="NAME", help="name of the profile (default: that of FILE)")
    root.add_argument("--precision", metavar="P", help="fp32 (default) or bf16; of a board: fp32, fp16 (default), int8")
    here = root.add_argument_group("this machine")
    here.add_argument("--backend", metavar="B", help="onnxruntime, openvino, ncnn (default: auto, by precision)")
    here.add_argument("--threads", type=positive, metavar="N", help="threads and CPUs (default: the physical cores)")
    here.add_argument("--rounds", type=positive, metavar="N", help="measure each block so often (default: 3)")
    here.add_argument("--resume", action="store_true", default=None, help="go on where a killed run ended")
    board = root.add_argument_group("a board")
    board.add_argument("--from-trtexec", metavar="PROFILE", help="what trtexec --exportProfile wrote")
    board.add_argument("--model", metavar="MODEL", help="the zoo model that was profiled")
    board.add_argument("--size", type=size_hw, metavar="HxW", help="at this input size (default: as published)")
    root.set_defaults(run=run)
    return root


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    is_board = args.from_trtexec is not None
    others = ("backend", "threads", "rounds", "resume") if is_board else ("model", "size")
    for option in others:
        if getattr(args, option) is not None:
            raise DongfengError(f"--{option}: {'means nothing with' if is_board else 'is for'} --from-trtexec")
    if is_board and args.model is None:
        raise DongfengError("--from-trtexec: name the network that was profiled with --model MODEL [--size HxW]")
    profile = _of_board(args) if is_board else _of_this_machine(args)
    note(f"{args.output}: {profile.name}, {profile.runtime} {profile.precision}, {len(profile.kernels)} kernels")
    return 0


def _of_this_machine(args: argparse.Namespace) -> DeviceProfile:
    from dongfeng.benchmark.lut import measure_profile

    with show_progress("measure", "share") as shown:
        return measure_profile(
            args.output,
            name=args.name,
            backend=args.backend or "auto",
            precision=args.precision or "fp32",
            threads=args.threads,
            rounds=args.rounds or 3,
            resume=bool(args.resume),
            on_progress=shown.update,
        )


def _of_board(args: argparse.Namespace) -> DeviceProfile:
    from dongfeng.benchmark.lut import profile_of_board

    return profile_of_board(
        args.output,
        args.from_trtexec,
        args.model,
        size_hw=args.size,
        name=args.name,
        precision=args.precision or "fp16",
    )
