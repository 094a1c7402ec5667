"""The actions of `dongfeng search`: its options as spaces, devices and evaluators."""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import cast

from dongfeng.architectures import CLASSIFIERS, DFLITE
from dongfeng.cli.output import note, print_json, print_table, progress
from dongfeng.cli.search_arguments import EVALUATORS, HERE, PICK, RAY
from dongfeng.devices import DeviceProfile
from dongfeng.errors import BackendUnavailable, DongfengError
from dongfeng.search import (
    EvaluationEvent,
    SearchConfig,
    SearchStatus,
    Space,
    export_front,
    run_search,
    search_status,
    write_report,
)
from dongfeng.search.encoding_text import encoding_text
from dongfeng.search.evaluators import ProcessEvaluator, RayEvaluator, TableEvaluator, training_evaluator
from dongfeng.search.evaluators.training import DECODER
from dongfeng.search.here import PROFILE, measure_once
from dongfeng.search.outcome import AnyEvaluator, Evaluate
from dongfeng.support.progress import show_progress
from dongfeng.training import DATA_SETS, TrainConfig, read_recipe
from dongfeng.training.settings import check_installed


def run_action(args: argparse.Namespace) -> int:
    """Run the action that is asked for."""
    actions = {"run": _run, "status": _status, "report": _report, "export": _export}
    return actions[args.action](args)


def _run(args: argparse.Namespace) -> int:
    folder = _new_or_resumed(args)
    space = space_of_arguments(args)
    with ExitStack() as stack:
        evaluate = stack.enter_context(_workers_of_arguments(args, evaluator_of_arguments(args, space)))
        config = SearchConfig(
            space=space,
            latency=latency_of_arguments(args, space, folder),
            evaluate=evaluate,
            window_ms=args.latency,
            budget=args.budget,
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
        try:
            write_report(folder)
        except BackendUnavailable as error:
            note(f"warning: {error}")
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
            args.usage_error(f"a search needs --{option}")
    if args.folder is not None:
        args.usage_error("the folder of a new run is given with --out")
    folder = Path(args.out)
    is_run = (folder / "config.json").is_file()
    if is_run and not args.resume:
        raise DongfengError(f"{folder}: holds a search already; go on with --resume, or choose another folder")
    if args.resume and not is_run and not folder.is_dir():
        raise DongfengError(f"{folder}: holds no search to resume; leave out --resume to begin one")
    return folder


def _workers_of_arguments(args: argparse.Namespace, evaluate: Evaluate) -> AbstractContextManager[AnyEvaluator]:
    """Return the evaluator, or one that shares it out among workers."""
    if args.workers == RAY:
        return nullcontext(RayEvaluator(evaluate, num_cpus=args.cpus, num_gpus=args.gpus))
    if args.workers == 1:
        return nullcontext(evaluate)
    if args.batch < args.workers:
        note(f"warning: --batch {args.batch} keeps only so many of {args.workers} workers busy")
    return ProcessEvaluator(evaluate, args.workers)


def _status(args: argparse.Namespace) -> int:
    return _show(args, search_status(args.folder))


def _show(args: argparse.Namespace, status: SearchStatus) -> int:
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
    for path in write_report(args.folder):
        print(path)
    return 0


def _export(args: argparse.Namespace) -> int:
    if args.out is None:
        args.usage_error("export needs -o DIR")
    space = space_of_arguments(args) if ":" in args.space else None
    rows = [net.to_json() for net in export_front(args.folder, args.out, pick=args.pick or PICK, space=space)]
    if args.json:
        print_json({"run": args.folder, "rows": rows})
    else:
        print_table(("file", "architecture", "ms", "accuracy"), [tuple(row.values()) for row in rows])
    return 0


def named(text: str, what: str) -> object:
    """Import an object of the user's own from "module:name", also from the working folder.

    Raises:
        DongfengError: it cannot be imported.
    """
    module, _, name = text.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DongfengError(f"{what} {text}: cannot be imported ({error}); expected module:name") from error


def space_of_arguments(args: argparse.Namespace) -> Space:
    """Build the space that `--space` and its companions describe.

    Raises:
        DongfengError: there is no such space, or an option is not for it.
    """
    given = {name: getattr(args, name) for name in ("widths", "depths", "block") if getattr(args, name) is not None}
    if args.space == "backbone":
        if "block" in given:
            blocks = given["block"].split(",")
            given["block"] = blocks[0] if len(blocks) == 1 else tuple(blocks)
        return Space.backbone(**given)
    foreign = [name for name in given if args.space != "decoder" or name != "widths"]
    if foreign:
        raise DongfengError(f"--{foreign[0]}: is not for --space {args.space}")
    if args.space == "decoder":
        backbones = {**CLASSIFIERS, "dflite": DFLITE}
        name = args.backbone or "df1"
        if name not in backbones:
            raise DongfengError(f"--backbone {name}: expected {', '.join(backbones)}")
        return Space.decoder(backbones[name], **given)
    if ":" not in args.space:
        raise DongfengError(f"--space {args.space}: expected backbone, decoder or module:name")
    found = named(args.space, "--space")
    space = found() if not isinstance(found, Space) and callable(found) else found
    if not isinstance(space, Space):
        raise DongfengError(f"--space {args.space}: expected a dongfeng.search.Space, or a function that returns one")
    return space


def latency_of_arguments(args: argparse.Namespace, space: Space, folder: Path) -> str | DeviceProfile:
    """Return a device's name, a profile's path, or a profile of this machine, measured once for a run.

    Raises:
        DongfengError: this machine cannot be measured.
    """
    if args.device != HERE:
        return str(args.device)
    if not (folder / PROFILE).exists():
        note(f"measuring the blocks of the space on this machine; they are kept in {folder / PROFILE}")
    with show_progress("measure", "share") as shown:
        return measure_once(space, folder, threads=args.threads or 1, rounds=args.rounds or 3, on_progress=shown.update)


def evaluator_of_arguments(args: argparse.Namespace, space: Space) -> Evaluate:
    """Return the evaluator that `--evaluator` names.

    Raises:
        DongfengError: there is no such evaluator, or an option is not for it.
        BackendUnavailable: it trains, and PyTorch is missing.
        OSError: a table cannot be read.
    """
    name, colon, where = args.evaluator.partition(":")
    settings = _training_settings(args)
    if name in DATA_SETS:
        if args.workers != RAY:  # its workers train, and are other machines
            check_installed()
        return training_evaluator(space, args.evaluator, seed=args.seed, decoder=args.decoder or DECODER, **settings)
    if settings or args.decoder is not None:
        raise DongfengError(f"--steps, --size, --decoder, --recipe, --set: are for training, not for {args.evaluator}")
    if name == "table" and where:
        return TableEvaluator(where)
    if not colon or not where:
        raise DongfengError(f"--evaluator {args.evaluator}: expected {EVALUATORS}")
    found = named(args.evaluator, "--evaluator")
    evaluate = found() if isinstance(found, type) else found
    if not callable(evaluate):
        raise DongfengError(f"--evaluator {args.evaluator}: expected a function of an encoding, got {evaluate!r}")
    return cast("Evaluate", evaluate)


def _training_settings(args: argparse.Namespace) -> dict[str, object]:
    """Collect the settings of the trainings; later ones replace those of the recipe."""
    found: dict[str, object] = {}
    if args.recipe is not None:
        usual, recipe = TrainConfig().as_dict(), read_recipe(args.recipe).as_dict()
        found |= {name: value for name, value in recipe.items() if value != usual[name] and name not in ("net", "data")}
    given = {"steps": args.steps, "size_hw": args.size}
    return found | dict(args.set) | {name: value for name, value in given.items() if value is not None}
