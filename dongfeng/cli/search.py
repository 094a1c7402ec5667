"""`dongfeng search`: the best architectures for a device, by Partial Order Pruning; `status`, `report`, `export`."""

from __future__ import annotations

import argparse

from dongfeng.cli.arguments import positive, setting, size_hw
from dongfeng.cli.search_arguments import EVALUATORS, HERE, PICK, depths, widths, window_ms, workers

ACTIONS = ("run", "status", "report", "export")

SUMMARY = "search the best architectures for a device"
EPILOG = """\
Candidates are drawn from the architectures whose latency on the device is inside the window, and evaluated; those that
can no longer lift the boundary are pruned. RUN holds everything: it may be killed at any moment, and goes on with
--resume. docs/search.md tells the rest.

  dongfeng search [run] OPTIONS      search
  dongfeng search status RUN         where a search stands, and its boundary
  dongfeng search report RUN         write RUN/report.html and its plots
  dongfeng search export RUN -o DIR  write architectures of the boundary as prototxt, ready to be trained

examples:
  dongfeng search --space backbone --device tx2 --latency 2:7 --evaluator toyshapes --out run
  dongfeng search --device here --widths 16,32,64 --latency 0:1 --evaluator my_module:accuracy --out run --resume
  dongfeng search --device my-device.json --latency 2:7 --evaluator imagenet:imagenet --batch 8 --workers ray --out run
  dongfeng search status run --json
  dongfeng search export run --pick 3 -o prototxt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="run", help="what to do (default: run)")
    parser.add_argument("folder", nargs="?", metavar="RUN", help="folder of the run")
    parser.add_argument("-o", "--out", metavar="RUN", help="folder of the run; for export, of the network files")
    space = parser.add_argument_group("the space")
    space.add_argument("--space", default="backbone", metavar="S", help="backbone (default), decoder or module:name")
    space.add_argument("--widths", type=widths, metavar="W,W", help="of blocks (default: 64,128,256,512,1024)")
    space.add_argument("--depths", type=depths, metavar="A:B,A:B,A:B", help="blocks per stage (default: 1:4,1:12,1:8)")
    space.add_argument("--block", metavar="B", help="basic (default) or bottleneck, or one for each stage with commas")
    space.add_argument("--backbone", metavar="NAME", help="of --space decoder: dflite, df1 (default), df2, df2a")
    search = parser.add_argument_group("the search")
    search.add_argument("--device", metavar="D", help=f"a known device, a profile (.json), or {HERE}: measure this one")
    search.add_argument("--latency", type=window_ms, metavar="A:B", help="window of latencies in ms")
    search.add_argument("--budget", type=positive, default=200, metavar="N", help="evaluations in all (default: 200)")
    search.add_argument("--sampler", default="uniform", metavar="S", help="uniform, as in the paper, or surrogate")
    search.add_argument("--margin", type=float, default=0.0, metavar="M", help="of accuracy, for noise (default: 0)")
    search.add_argument("--batch", type=positive, default=1, metavar="N", help="candidates drawn at once (default: 1)")
    search.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws and the trainings (default: 0)")
    search.add_argument("--resume", action="store_true", help="go on with the run, which may have been killed")
    evaluate = parser.add_argument_group("evaluation")
    evaluate.add_argument("--evaluator", metavar="E", help=EVALUATORS)
    evaluate.add_argument("--workers", type=workers, default=1, metavar="N", help="processes, or ray (default: 1)")
    evaluate.add_argument("--gpus", type=float, default=0.0, metavar="X", help="of a candidate, with --workers ray")
    evaluate.add_argument("--cpus", type=float, default=1.0, metavar="X", help="of a candidate, with --workers ray")
    search.add_argument("--threads", type=positive, metavar="N", help=f"of --device {HERE} (default: 1)")
    search.add_argument("--rounds", type=positive, metavar="N", help=f"measurements of --device {HERE} (default: 3)")
    evaluate.add_argument("--steps", type=positive, metavar="N", help="updates of each training")
    evaluate.add_argument("--size", type=size_hw, metavar="HxW", help="input size of the trainings")
    evaluate.add_argument("--decoder", type=widths, metavar="W,W,W", help="for segmentation (default: 32,32,64)")
    evaluate.add_argument("--recipe", metavar="R", help="settings of the trainings, as dongfeng train takes them")
    evaluate.add_argument("--set", action="append", default=[], type=setting, metavar="K=V", help="a setting of them")
    export = parser.add_argument_group("export")
    export.add_argument("--pick", type=positive, metavar="N", help=f"how many, spread over latency (default: {PICK})")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from dongfeng.cli.search_actions import run_action

    if args.action != "run" and args.folder is None:
        args.usage_error(f"{args.action} needs the folder of a run")
    return run_action(args)
