"""`dongfeng convert NET -o OUT.engine`: the options of engines, and writing one."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import positive
from dongfeng.cli.output import cell, note, print_json, print_table

if TYPE_CHECKING:
    from dongfeng.backends.tensorrt import EngineReport
    from dongfeng.runtime.convert import EngineOptions

SUFFIXES = (".engine", ".plan")
ONLY = ("precision", "target", "compute_capability", "workspace", "images", "tf32")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that are for engines alone; `ONLY` has their names."""
    group = parser.add_argument_group("engines (.engine)")
    group.add_argument("--precision", choices=("fp32", "fp16", "int8"), help="what it computes in (default: fp32)")
    group.add_argument(
        "--target", choices=("tensorrt_rtx", "tensorrt"), help="library that runs it (default: tensorrt_rtx)"
    )
    group.add_argument(
        "--compute-capability",
        action="append",
        type=_capability,
        metavar="X.Y",
        help="GPU to build for, repeatable (default: 8.0 and later)",
    )
    group.add_argument("--workspace", type=positive, metavar="MB", help="most scratch memory, in MiB")
    group.add_argument("--images", action="append", metavar="DIR", help="images to calibrate int8 with, the first ten")
    group.add_argument("--tf32", action="store_const", const=True, help="let fp32 be computed in TF32")


def batch_range(text: str) -> tuple[int, int, int]:
    """Least, best and largest batch from "MINxOPTxMAX".

    Example:
        >>> batch_range("1x4x8")
        (1, 4, 8)
    """
    match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected MINxOPTxMAX images, such as 1x4x8, got {text!r}")
    return int(match[1]), int(match[2]), int(match[3])


def engine_options(args: argparse.Namespace, out: Path) -> EngineOptions | None:
    """Return what an engine is built for; None where none is asked for."""
    if out.suffix not in SUFFIXES:
        return None
    from dongfeng.runtime.convert import EngineOptions

    return EngineOptions(
        precision=args.precision or "fp32",
        target=args.target or "tensorrt_rtx",
        compute_capability=tuple(args.compute_capability or ()),
        workspace_mb=args.workspace,
        images=tuple(args.images or ()),
        batches=args.dynamic or None,
        tf32=bool(args.tf32),
        rebuild=_rebuild(args, out),
    )


def _capability(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d?\.\d", text):
        raise argparse.ArgumentTypeError(f"expected a compute capability such as 8.6, got {text!r}")
    return text


def _rebuild(args: argparse.Namespace, out: Path) -> str:
    """This command line again."""
    words = ["dongfeng", "convert", args.net, "-o", str(out)]
    options = {
        "--weights": args.weights,
        "--size": args.size and "{}x{}".format(*args.size),
        "--opset": args.opset,
        "--precision": args.precision,
        "--target": args.target,
        "--workspace": args.workspace,
        "--dynamic": args.dynamic and "{}x{}x{}".format(*args.dynamic),
    }
    for option, value in options.items():
        words += [option, str(value)] if value else []
    repeated = {"--output": args.output, "--compute-capability": args.compute_capability, "--images": args.images}
    for option, values in repeated.items():
        for value in values or ():
            words += [option, value]
    return shlex.join([*words, *(["--tf32"] if args.tf32 else [])])


def show(args: argparse.Namespace, report: EngineReport) -> None:
    """Print what an engine computes in."""
    audit, sidecar = report.audit, report.sidecar
    if args.json:
        print_json(
            {
                "outputs": [str(report.path)],
                "target": sidecar.target,
                "library_version": sidecar.library_version,
                "precision": sidecar.precision,
                "size_bytes": sidecar.plan_bytes,
                "build_s": report.build_s,
                "audit_source": audit.source,
                "others_in_fp32": list(audit.others_in_fp32),
                "rows": [
                    {
                        "layer": layer.name,
                        "type": layer.op_type,
                        "precision": layer.precision,
                        "reason": layer.reason or None,
                    }
                    for layer in audit.layers
                ],
            }
        )
        return
    if audit.exceptions:
        rows = [(layer.name, layer.op_type, layer.precision, layer.reason) for layer in audit.exceptions]
        print_table(("layer", "type", "computes in", "why"), rows)
    done = len(audit.layers) - len(audit.exceptions)
    source = "the engine says" if audit.source == "inspector" else "the builder's plan says; no GPU was asked"
    note(f"{done} of {len(audit.layers)} layers with weights compute in {audit.asked} ({source})")
    if audit.others_in_fp32:
        note(f"in fp32 besides: {', '.join(audit.others_in_fp32)}")
    note(f"{cell(sidecar.plan_bytes / 1e6)} MB, {sidecar.target} {sidecar.library_version}, {cell(report.build_s)} s")
    print(report.path)
