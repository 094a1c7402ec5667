"""`df-bench [run]`: measure this machine, or show what is known of a device."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import add_json, positive, size_hw
from dongfeng.cli.bench_arguments import new_parser, seconds, share_progress
from dongfeng.cli.bench_show import show_device, show_run
from dongfeng.cli.output import note, print_json
from dongfeng.errors import DongfengError

if TYPE_CHECKING:
    from dongfeng.benchmark.contestant import Entry
    from dongfeng.benchmark.report import Report

EPILOG = """\
Without --device this machine is measured, on drawn images: the network alone, the same with copies of its input and
output, and from a decoded image to its labels. Models take turns. With --device nothing is measured: what was published
stands beside what the device's profile predicts, and what was measured there, if it is given.

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
_SSH_TOO = ("precision",)


def parser() -> argparse.ArgumentParser:
    """The parser of the command."""
    root = new_parser("", "Measure how long networks take here, or show what is known of a device.", EPILOG)
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
    for path in (args.output, args.html):
        if path is not None and not Path(path).parent.is_dir():  # not only after minutes of measuring
            raise DongfengError(f"{path}: there is no folder {Path(path).parent}; make it, or choose another")
    if args.html is not None and Path(args.html).suffix.lower() not in (".html", ".htm"):
        raise DongfengError(f"{args.html}: expected a name that ends in .html")
    report = _of_here(args) if args.device is None else _of_device(args)
    _give(args, report)
    return 0


def _refuse_strangers(args: argparse.Namespace) -> None:
    """Options that mean nothing in what was asked for."""
    here = args.device is None
    if not here and re.fullmatch(r"auto|cpu|cuda(:\d+)?", args.device):
        raise DongfengError(f"--device {args.device}: names a device profile; where to run here is --processor's")
    why = "is for a device; name it with --device" if here else "is for measuring this machine, not for a device"
    taken = _SSH_TOO if args.ssh else ()
    for name in _DEVICE_ONLY if here else _HERE_ONLY:
        if name not in taken and getattr(args, name) is not None:
            raise DongfengError(f"--{name.replace('_', '-')}: {why}")
    if args.ssh is None and any(getattr(args, name) for name in ("port", "identity", "known_hosts", "trtexec")):
        raise DongfengError("--port, --identity, --known-hosts, --trtexec: are for --ssh USER@BOARD")
    if args.ssh is not None and not args.models:
        raise DongfengError("--ssh: name the models to measure there; each takes minutes")


def _of_here(args: argparse.Namespace) -> Report:
    from dongfeng.benchmark import Settings, measure_here
    from dongfeng.benchmark.interleaved import Rules
    from dongfeng.benchmark.report import THIS_MACHINE

    usual = Rules()
    rules = Rules(seconds=args.seconds or usual.seconds, least_samples=args.repeats or usual.least_samples)
    settings = Settings(
        processor=args.processor or "auto",
        threads=args.threads,
        name=args.name or THIS_MACHINE,
        rules=rules,
        with_layers=bool(args.profile),
    )
    with share_progress("measure") as step:
        return measure_here(_entries(args), settings, on_progress=step)


def _entries(args: argparse.Namespace) -> list[Entry]:
    """Every combination that was asked for, once."""
    from dongfeng.backends.registry import auto_backend
    from dongfeng.benchmark.contestant import Entry
    from dongfeng.zoo.models import list_models, model_info

    found = []
    for info in map(model_info, args.models or list_models()):
        for size in args.size or [info.size_hw]:
            for precision in args.precision or ["fp32"]:
                for name in args.backend or ["auto"]:
                    found.append(Entry(info, size, auto_backend(precision) if name == "auto" else name, precision))
    return list({(entry.info.name, *entry[1:]): entry for entry in found}.values())


def _of_device(args: argparse.Namespace) -> Report:
    from dongfeng.benchmark import add_measured, device_report, read_report

    measured = None if args.measured is None else read_report(args.measured)
    report = device_report(args.device, args.models, sizes_hw=args.size or (), layers_of=args.layers or ())
    if measured is not None:
        report = add_measured(report, measured, args.measured)
    if args.ssh is None:
        return report
    from dongfeng.benchmark.board import Board, measure_on_board

    board = Board(args.ssh, args.trtexec, args.port, args.identity, args.known_hosts)
    return measure_on_board(report, board, precisions=args.precision or (), on_step=note)


def _give(args: argparse.Namespace, report: Report) -> None:
    """Write and print the report."""
    from dongfeng.benchmark.report import write_report

    if args.output is not None:
        write_report(report, args.output)
    if args.json:
        print_json(report)
    elif report["kind"] == "run":
        show_run(report)
    else:
        show_device(report)
    for row in report["left_out"]:
        what = f"{row['model']} {row['height']}x{row['width']} {row['backend']} {row['precision']}"
        note(f"warning: {what}: left out: {row['reason']}")
    for reason in (report["noise"] or {}).get("reasons", ()):
        note(f"warning: too noisy, another run may give other medians: {reason}")
    if args.html is not None:  # last: what can be wrong with a page must not cost the figures
        from dongfeng.benchmark.html_report import write_report as write_page

        note(f"wrote {', '.join(map(str, write_page(report, args.html)))}")
