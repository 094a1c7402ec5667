"""`dongfeng search`: the best architectures for a device, by Partial Order Pruning; `status`, `report`, `export`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.cli.arguments import Commands, add_command, add_json, positive, setting, size_hw
from dongfeng.cli.output import note, print_json, print_table, progress
from dongfeng.cli.search_arguments import (
    HERE,
    RAY,
    depths,
    evaluator_of_arguments,
    latency_of_arguments,
    space_of_arguments,
    widths,
    window_ms,
)
from dongfeng.errors import BackendUnavailable, DongfengError

if TYPE_CHECKING:
    from dongfeng.search import EvaluationEvent, SearchConfig, SearchStatus
    from dongfeng.search.outcome import AnyEvaluator, Evaluate

ACTIONS = ("run", "status", "report", "export")
PICK, BUDGET = 3, 200

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


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = add_command(commands, "search", "search the best architectures for a device", EPILOG)
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
    search.add_argument("--budget", type=positive, metavar="N", help=f"evaluations in all (default: {BUDGET})")
    search.add_argument("--sampler", default="uniform", metavar="S", help="uniform, as in the paper, or surrogate")
    search.add_argument("--margin", type=float, default=0.0, metavar="M", help="of accuracy, for noise (default: 0)")
    search.add_argument("--batch", type=positive, default=1, metavar="N", help="candidates drawn at once (default: 1)")
    search.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws and the trainings (default: 0)")
    search.add_argument("--resume", action="store_true", help="go on with the run, which may have been killed")
    evaluate = parser.add_argument_group("evaluation")
    evaluate.add_argument(
        "--evaluator",
        metavar="E",
        help="toyshapes, toytown, imagenet:ROOT, cityscapes:ROOT, table:FILE or module:function",
    )
    evaluate.add_argument("--workers", type=_workers, default=1, metavar="N", help="processes, or ray (default: 1)")
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
    add_json(parser)
    parser.set_defaults(usage=parser.error)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    actions = {"run": _run, "status": _status, "report": _report, "export": _export}
    if args.action != "run" and args.folder is None:
        args.usage(f"{args.action} needs the folder of a run")
    return actions[args.action](args)


def _run(args: argparse.Namespace) -> int:
    folder = _new_or_resumed(args)
    from dongfeng.search import SearchConfig, run_search, search_status

    space = space_of_arguments(args)
    with ExitStack() as stack:
        evaluate = stack.enter_context(_workers_of_arguments(args, evaluator_of_arguments(args, space)))
        config = SearchConfig(
            space=space,
            latency=latency_of_arguments(args, space, folder),
            evaluate=evaluate,
            window_ms=args.latency,
            budget=args.budget or BUDGET,
            seed=args.seed,
            batch=args.batch,
            margin=args.margin,
            sampler=args.sampler,
        )
        try:
            run_search(config, folder, _Display(config, stack, quiet_stdout=args.json))
        except KeyboardInterrupt:
            note(f"{folder} holds what was evaluated; the same command with --resume goes on")
            raise
    status = search_status(folder)
    if status.front:
        _try_report(folder)
    return _show(args, status)


class _Display:
    """Shows a search as it goes on: its size, then a line for each candidate."""

    def __init__(self, config: SearchConfig, stack: ExitStack, *, quiet_stdout: bool) -> None:
        self._config, self._stack, self._quiet_stdout = config, stack, quiet_stdout
        self._total = 0
        self._step: Callable[[str], None] = note

    def begun(self, candidates: int) -> None:
        """Show the number of candidates."""
        least, most = self._config.window_ms
        note(f"{candidates:,} of {len(self._config.space):,} architectures take {least:g} to {most:g} ms")
        self._total = min(self._config.budget or candidates, candidates)
        self._step = self._stack.enter_context(progress(self._total, "search", quiet_stdout=self._quiet_stdout))

    def evaluated(self, event: EvaluationEvent) -> None:
        """Show a candidate."""
        from dongfeng.search.encoding_text import encoding_text

        candidate, outcome, state, is_recalled = event
        accuracy = "failed" if math.isnan(candidate.accuracy) else f"{candidate.accuracy:.5g}"
        how = "already there" if is_recalled else f"{outcome.seconds:.1f} s"
        self._step(
            f"{state.evaluated}/{self._total} {encoding_text(candidate.encoding)}: {candidate.latency_ms:.3f} ms, "
            f"{accuracy} ({how}), {state.pruned:,} pruned, {state.remaining:,} left"
        )


def _new_or_resumed(args: argparse.Namespace) -> Path:
    """Return the folder of the run.

    Raises:
        DongfengError: it holds a search that is not to be resumed, or none that could be.
    """
    for option in ("out", "device", "latency", "evaluator"):
        if getattr(args, option) is None:
            args.usage(f"a search needs --{option}")
    if args.folder is not None:
        args.usage("the folder of a new run is given with --out")
    folder = Path(args.out)
    is_run = (folder / "config.json").is_file()
    if is_run and not args.resume:
        raise DongfengError(f"{folder}: holds a search already; go on with --resume, or choose another folder")
    if args.resume and not is_run and not folder.is_dir():
        raise DongfengError(f"{folder}: holds no search to resume; leave out --resume to begin one")
    return folder


@contextmanager
def _workers_of_arguments(args: argparse.Namespace, evaluate: Evaluate) -> Iterator[AnyEvaluator]:
    """Yield the evaluator, or one that shares it out among workers."""
    from dongfeng.search.evaluators import ProcessEvaluator, RayEvaluator

    if args.workers == RAY:
        yield RayEvaluator(evaluate, num_cpus=args.cpus, num_gpus=args.gpus)
    elif args.workers == 1:
        yield evaluate
    else:
        if args.batch < args.workers:
            note(f"warning: --batch {args.batch} keeps only so many of {args.workers} workers busy")
        with ProcessEvaluator(evaluate, args.workers) as workers:
            yield workers


def _status(args: argparse.Namespace) -> int:
    from dongfeng.search import search_status

    return _show(args, search_status(args.folder))


def _show(args: argparse.Namespace, status: SearchStatus) -> int:
    from dongfeng.search.encoding_text import encoding_text

    if args.json:
        print_json(status.to_json())
        return 0
    rows = [(encoding_text(each.encoding), each.latency_ms, f"{each.accuracy:.5g}") for each in status.front]
    print_table(("architecture", "ms", "accuracy"), rows)
    of_budget = "" if status.budget is None else f" of {status.budget:,}"
    pruned = "" if status.pruned is None else f", {status.pruned:,} pruned, {status.remaining:,} left"
    failed = f", {status.failed:,} failed" if status.failed else ""
    note(f"{status.run}: {status.evaluated:,}{of_budget} evaluated{pruned}{failed}")
    return 0


def _report(args: argparse.Namespace) -> int:
    from dongfeng.search import write_report

    for path in write_report(args.folder):
        print(path)
    return 0


def _try_report(folder: Path) -> None:
    """Write the report, or warn that matplotlib is missing."""
    from dongfeng.search import write_report

    try:
        write_report(folder)
    except BackendUnavailable as error:
        note(f"warning: {error}")


def _export(args: argparse.Namespace) -> int:
    from dongfeng.search import export_front

    if args.out is None:
        args.usage("export needs -o DIR")
    space = space_of_arguments(args) if ":" in args.space else None
    rows = [net.to_json() for net in export_front(args.folder, args.out, pick=args.pick or PICK, space=space)]
    if args.json:
        print_json({"run": args.folder, "rows": rows})
    else:
        print_table(("file", "architecture", "ms", "accuracy"), [tuple(row.values()) for row in rows])
    return 0


def _workers(text: str) -> int | str:
    return RAY if text == RAY else positive(text)
