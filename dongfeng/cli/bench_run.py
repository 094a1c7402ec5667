"""`df-bench [run]`: measure this machine, or show what is known of a device."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import add_json, new_parser, positive, seconds, size_hw
from dongfeng.cli.bench_show import show_device, show_run
from dongfeng.cli.output import note, print_json
from dongfeng.errors import DongfengError
from dongfeng.support.progress import show_progress

if TYPE_CHECKING:
    from dongfeng.benchmark.report import BenchReport

EPILOG = """\
Without --device this machine is measured, on synthetic images: the network alone, the same with copies of its input
and output, and from a decoded image to its labels. Models are interleaved. With --device nothing is measured: what was
published stands beside what the device's profile predicts, and what was measured there, if it is given.

other commands: df-bench compare A.json B.json; df-bench lut -o my-device.json

examples:
  df-bench pl1a_seg df1seg --size 512x1024 --backend onnxruntime --backend openvino
  df-bench df1seg --json -o today.json
  df-bench --device tx2
  df-bench --device tx2 df1seg --size 736x1280 --layers df1seg
  df-bench --device tx2 df1 --ssh user@board -o board.json
  df-bench --device tx2 --measured board.json --html report.html
"""
_HERE_ONLY = ("backend", "precision", "threads", "seconds", "repeats", "processor", "name", "profile")
_DEVICE_ONLY = ("layers", "measured", "ssh", "port", "identity", "known_hosts", "trtexec")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    root = new_parser("df-bench", "Measure how long networks take here, or show what is known of a device.", EPILOG)
    root.add_argument("models", nargs="*", metavar="MODEL", help="zoo name (default: all; with --device all published)")
    root.add_argument("--size", type=size_hw, action="append", metavar="HxW", help="input size (default: as published)")
    root.add_argument("-o", "--output", metavar="FILE", help="write the report as JSON")
    root.add_argument("--html", metavar="FILE", help="write the report as one HTML page")
    add_json(root)
    here = root.add_argument_group("this machine")
    here.add_argument("--backend", action="append", metavar="B", help="repeatable (default: auto, by precision)")
    here.add_argument("--precision", action="append", metavar="P", help="fp32 (default), fp16, bf16, int8; repeatable")
    here.add_argument("--threads", type=positive, metavar="N", help="threads and CPUs (default: the physical cores)")
    here.add_argument("--processor", metavar="D", help="auto (default), cpu, cuda or cuda:N")
    here.add_argument("--seconds", type=seconds, metavar="S", help="time for each timer of each model (default: 3)")
    here.add_argument("--repeats", type=positive, metavar="N", help="samples of each at least (default: 20)")
    here.add_argument("--profile", action="store_true", default=None, help="time the layers too, in a run of its own")
    here.add_argument("--name", metavar="NAME", help="what to call this machine (default: this-machine)")
    device = root.add_argument_group("a device")
    device.add_argument("--device", metavar="NAME", help="a known device, or a profile (.json)")
    device.add_argument("--layers", action="append", metavar="MODEL", help="where a model's time goes, layer by layer")
    device.add_argument("--measured", metavar="FILE", help="a report with measurements of that device")
    device.add_argument("--ssh", metavar="USER@BOARD", help="measure there, with the board's own trtexec")
    device.add_argument("--trtexec", metavar="PATH", help="on the board (default: trtexec)")
    device.add_argument("--port", type=positive, metavar="N", help="of the board's ssh")
    device.add_argument("--identity", metavar="FILE", help="private key for the board")
    device.add_argument("--known-hosts", metavar="FILE", help="host keys to trust")
    root.set_defaults(run=run)
    return root


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    _refuse_strangers(args)
    _check_outputs(args)
    report = _of_this_machine(args) if args.device is None else _of_device(args)
    _give(args, report)
    return 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse what cannot be written, before minutes of measuring.

    Raises:
        DongfengError: a folder is missing, or the page has another suffix.
    """
    for path in (args.output, args.html):
        if path is not None and not Path(path).parent.is_dir():
            raise DongfengError(f"{path}: there is no folder {Path(path).parent}; make it, or choose another")
    if args.html is not None:
        from dongfeng.benchmark.html_report import check_page

        check_page(args.html)


def _refuse_strangers(args: argparse.Namespace) -> None:
    """Refuse options that mean nothing in what was asked for.

    Raises:
        DongfengError: there is such an option.
    """
    here = args.device is None
    if not here and re.fullmatch(r"auto|cpu|cuda(:\d+)?", args.device):
        raise DongfengError(f"--device {args.device}: names a device profile; where to run here is --processor's")
    why = "is for a device; name it with --device" if here else "is for measuring this machine, not for a device"
    taken = ("precision",) if args.ssh else ()
    for name in _DEVICE_ONLY if here else _HERE_ONLY:
        if name not in taken and getattr(args, name) is not None:
            raise DongfengError(f"--{name.replace('_', '-')}: {why}")
    if args.ssh is None and any(getattr(args, name) for name in ("port", "identity", "known_hosts", "trtexec")):
        raise DongfengError("--port, --identity, --known-hosts, --trtexec: are for --ssh USER@BOARD")
    if args.ssh is not None and not args.models:
        raise DongfengError("--ssh: name the models to measure there; each takes minutes")


def _of_this_machine(args: argparse.Namespace) -> BenchReport:
    from dongfeng.benchmark.interleaved import TimingRules
    from dongfeng.benchmark.report import THIS_MACHINE
    from dongfeng.benchmark.this_machine import bench

    rules = TimingRules(
        seconds=args.seconds or TimingRules.seconds, least_samples=args.repeats or TimingRules.least_samples
    )
    with show_progress("measure", "share") as shown:
        return bench(
            args.models,
            sizes_hw=args.size or (),
            backends=args.backend or ("auto",),
            precisions=args.precision or ("fp32",),
            processor=args.processor or "auto",
            threads=args.threads,
            rules=rules,
            with_layers=bool(args.profile),
            name=args.name or THIS_MACHINE,
            on_progress=shown.update,
        )


def _of_device(args: argparse.Namespace) -> BenchReport:
    from dongfeng.benchmark.board import SshBoard
    from dongfeng.benchmark.device_report import device_report

    board = None
    if args.ssh is not None:
        board = SshBoard(args.ssh, args.trtexec or SshBoard.trtexec, args.port, args.identity, args.known_hosts)
    return device_report(
        args.device,
        args.models,
        sizes_hw=args.size or (),
        layers_of=args.layers or (),
        measured=args.measured,
        board=board,
        precisions=args.precision or (),
        on_step=note,
    )


def _give(args: argparse.Namespace, report: BenchReport) -> None:
    """Write and print the report."""
    from dongfeng.benchmark.report_file import write_report

    if args.output is not None:
        write_report(report, args.output)
    if args.json:
        print_json(report.to_json())
    elif report.profile is None:
        show_run(report)
    else:
        show_device(report, report.profile)
    for row in report.left_out:
        note(f"warning: {row}: left out: {row.reason}")
    for reason in report.noise.reasons if report.noise else ():
        note(f"warning: too noisy, another run may give other medians: {reason}")
    if args.html is not None:  # last, so that a failure here does not cost the measurements
        from dongfeng.benchmark.html_report import write_page

        note(f"wrote {', '.join(map(str, write_page(report, args.html)))}")
