"""The options of `dongfeng search` as spaces, windows, devices and evaluators."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dongfeng.cli.output import note
from dongfeng.errors import DongfengError
from dongfeng.support.progress import show_progress

if TYPE_CHECKING:
    from dongfeng.architectures import Backbone
    from dongfeng.devices import DeviceProfile
    from dongfeng.search import Space
    from dongfeng.search.outcome import Evaluate

TRAININGS = ("toyshapes", "toytown", "imagenet", "cityscapes")
HERE, RAY = "here", "ray"


def window_ms(text: str) -> tuple[float, float]:
    """Read least and greatest latency from "2:7".

    Example:
        >>> window_ms("2:7")
        (2.0, 7.0)
    """
    number = r"([0-9]+\.?[0-9]*|\.[0-9]+)"
    match = re.fullmatch(f"{number}:{number}", text)
    least, most = map(float, match.groups()) if match else (1.0, 0.0)
    if not least <= most:
        raise argparse.ArgumentTypeError(f"expected LEAST:GREATEST in milliseconds, such as 2:7, got {text!r}")
    return least, most


def widths(text: str) -> tuple[int, ...]:
    """Read widths of blocks from "64,128,256"."""
    if not re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", text):
        raise argparse.ArgumentTypeError(f"expected widths such as 64,128,256, got {text!r}")
    return tuple(map(int, text.split(",")))


def depths(text: str) -> tuple[tuple[int, int], ...]:
    """Read the smallest and largest number of blocks of each stage from "1:4,1:12,1:8"."""
    if not re.fullmatch(r"[0-9]{1,3}:[0-9]{1,3}(,[0-9]{1,3}:[0-9]{1,3})*", text):
        raise argparse.ArgumentTypeError(f"expected LEAST:MOST blocks per stage, such as 1:4,1:12,1:8, got {text!r}")
    return tuple((int(least), int(most)) for least, most in (stage.split(":") for stage in text.split(",")))


def named(text: str, what: str) -> object:
    """Import an object of the user's own from "module:name", also from the working folder.

    Raises:
        DongfengError: it cannot be imported.
    """
    module, _, name = text.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: object = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DongfengError(f"{what} {text}: cannot be imported ({error}); expected module:name") from error
    return found


def space_of_arguments(args: argparse.Namespace) -> Space:
    """Build the space that `--space` and its companions describe.

    Raises:
        DongfengError: there is no such space, or an option is not for it.
    """
    from dongfeng.search import Space

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
        return Space.decoder(_backbone(args.backbone or "df1"), **given)
    if ":" not in args.space:
        raise DongfengError(f"--space {args.space}: expected backbone, decoder or module:name")
    found = named(args.space, "--space")
    space = found() if not isinstance(found, Space) and callable(found) else found
    if not isinstance(space, Space):
        raise DongfengError(f"--space {args.space}: expected a dongfeng.search.Space, or a function that returns one")
    return space


def _backbone(name: str) -> Backbone:
    from dongfeng import architectures

    known: dict[str, Backbone] = {**architectures.CLASSIFIERS, "dflite": architectures.DFLITE}
    if name not in known:
        raise DongfengError(f"--backbone {name}: expected {', '.join(known)}")
    return known[name]


def latency_of_arguments(args: argparse.Namespace, space: Space, folder: Path) -> str | DeviceProfile:
    """Return a device's name, a profile's path, or a profile of this machine, measured once for a run.

    Raises:
        DongfengError: this machine cannot be measured.
    """
    if args.device != HERE:
        return str(args.device)
    from dongfeng.search.here import PROFILE, measure_once

    if not (folder / PROFILE).exists():
        note(f"measuring the blocks of the space on this machine; they are kept in {folder / PROFILE}")
    with show_progress("measure", "share") as shown:
        return measure_once(
            space,
            folder,
            threads=args.threads or 1,
            rounds=args.rounds or 3,
            on_progress=shown.update,
        )


def evaluator_of_arguments(args: argparse.Namespace, space: Space) -> Evaluate:
    """Return the evaluator that `--evaluator` names.

    Raises:
        DongfengError: there is no such evaluator, or an option is not for it.
        BackendUnavailable: it trains, and PyTorch is missing.
        OSError: a table cannot be read.
    """
    from dongfeng.search.evaluators import TableEvaluator, training_evaluator
    from dongfeng.search.evaluators.training import DECODER
    from dongfeng.training.settings import check_installed

    name, colon, where = args.evaluator.partition(":")
    settings = _training_settings(args)
    if name in TRAININGS:
        if args.workers != RAY:  # its workers train, and are other machines
            check_installed()
        return training_evaluator(space, args.evaluator, seed=args.seed, decoder=args.decoder or DECODER, **settings)
    if settings or args.decoder is not None:
        raise DongfengError(f"--steps, --size, --decoder, --recipe, --set: are for training, not for {args.evaluator}")
    if name == "table" and where:
        return TableEvaluator(where)
    if not colon or not where:
        expected = "toyshapes, toytown, imagenet:ROOT, cityscapes:ROOT, table:FILE or module:function"
        raise DongfengError(f"--evaluator {args.evaluator}: expected {expected}")
    found = named(args.evaluator, "--evaluator")
    evaluate = found() if isinstance(found, type) else found
    if not callable(evaluate):
        raise DongfengError(f"--evaluator {args.evaluator}: expected a function of an encoding, got {evaluate!r}")
    return cast("Evaluate", evaluate)


def _training_settings(args: argparse.Namespace) -> dict[str, object]:
    """Collect the settings of the trainings; later ones replace those of the recipe."""
    found: dict[str, object] = {}
    if args.recipe is not None:
        from dongfeng.training import TrainConfig, read_recipe

        usual, recipe = TrainConfig().as_dict(), read_recipe(args.recipe).as_dict()
        found |= {name: value for name, value in recipe.items() if value != usual[name] and name not in ("net", "data")}
    found |= dict(args.set)
    if args.steps is not None:
        found["steps"] = args.steps
    if args.size is not None:
        found["size_hw"] = args.size
    return found
