"""`TrainConfig`: every setting of a training, and its JSON file."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from dongfeng.errors import DongfengError
from dongfeng.support.json_dataclass import as_json
from dongfeng.support.strict_json import JsonFormat

CONFIG_FILE = "config.json"  # in the folder of a training

_RECIPES = Path(__file__).with_name("recipes")
_FILE = JsonFormat(DongfengError, "docs/training.md lists the settings")
_FREE = frozenset({"workers", "checkpoint_every"})  # they change no number: a training may be resumed with others

_AT_LEAST_1 = ("steps", "batch", "log_every", "eval_every", "checkpoint_every", "threads", "workers", "label_stride")
_AT_LEAST_0 = ("lr", "weight_decay", "power", "warmup_steps", "jitter", "seed", "clip_norm")
_FRACTIONS = ("momentum", "label_smoothing", "average")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training.

    Attributes:
        net: Architecture's name, path of a prototxt, or an encoding; see `build_net`. None where a `Net` is given.
        data: Data set; see `open_data`.
        weights: Zoo name or .caffemodel to start from; layers are found by name. None: random weights.
        size_hw: Height and width of the network's input; None: the network's own.
        mean_bgr: Mean of each channel, 0..255; None: that of the network's weights, else the usual one of the task.
        input_scale: Factor after the mean; None: likewise.
        steps: Number of updates.
        batch: Images of an update.
        optimizer: "sgd" (Nesterov momentum) or "adamw".
        lr: Learning rate after warm-up; falls as `(1 - step / steps) ** power`.
        momentum: Momentum of SGD; the first beta of AdamW.
        weight_decay: Factor of the L2 term, multiplied by each blob's decay_mult; AdamW's decoupled decay.
        power: Exponent of the schedule.
        warmup_steps: Updates during which the learning rate rises linearly.
        clip_norm: The gradient's norm is cut to this; 0: never.
        label_stride: Distance of the pixels that the loss looks at, each way; other ones at each step. For a slim
            network on the CPU the loss costs more than the network; 2 makes it ten times cheaper.
        label_smoothing: Probability that the loss spreads over all classes.
        average: Decay per step of the moving average of the weights, which is kept in their place; 0: no average.
        random_scale: Images are enlarged by a factor between these two, log-uniform, before they are cropped.
        flip: Whether half of the images are mirrored left to right.
        jitter: Largest relative change of brightness, contrast, saturation and of each channel.
        seed: Seed of the weights, the order and the augmentation, and of synthetic images to train on.
        validation_images: Number of images to evaluate on; None: all there are, or 100 synthetic ones.
        log_every: Updates between lines of the log.
        eval_every: Updates between evaluations; there is one at the end in any case.
        checkpoint_every: Updates between checkpoints; there is one at each evaluation too.
        precision: "fp32", "bf16", "fp16" or "auto": fp32 on the CPU, else bf16 where the GPU has it, else fp16.
        device: "cpu", "cuda", "cuda:N" or "auto": CUDA where there is one.
        threads: Threads of the CPU for the network; None: PyTorch's choice.
        workers: Threads that prepare images; None: by the number of cores.

    Raises:
        DongfengError: a value is out of its range.
    """

    net: str | None = None
    data: str = "toytown"
    weights: str | None = None
    size_hw: tuple[int, int] | None = None
    mean_bgr: tuple[float, float, float] | None = None
    input_scale: float | None = None
    steps: int = 4000
    batch: int = 8
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    power: float = 0.9
    warmup_steps: int = 0
    clip_norm: float = 0.0
    label_stride: int = 1
    label_smoothing: float = 0.0
    average: float = 0.0
    random_scale: tuple[float, float] = (0.75, 1.5)
    flip: bool = True
    jitter: float = 0.2
    seed: int = 0
    validation_images: int | None = None
    log_every: int = 20
    eval_every: int = 500
    checkpoint_every: int = 100
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    device: str = "auto"
    threads: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        for name in _AT_LEAST_1:
            self._check(name, lambda value: value >= 1, "at least 1")
        for name in _AT_LEAST_0:
            self._check(name, lambda value: value >= 0, "at least 0")
        for name in _FRACTIONS:
            self._check(name, lambda value: 0 <= value < 1, "at least 0 and below 1")
        self._check("validation_images", lambda value: value >= 1, "at least 1")
        self._check("size_hw", lambda value: min(value) >= 1, "two positive numbers, height and width")
        self._check("random_scale", lambda value: 0 < value[0] <= value[1], "two positive numbers, the smaller first")
        for name, type_ in get_type_hints(TrainConfig).items():
            if get_origin(type_) is Literal and getattr(self, name) not in get_args(type_):
                raise DongfengError(f'{name} is "{getattr(self, name)}"; expected {" or ".join(get_args(type_))}')

    def _check(self, name: str, holds: Callable[[Any], bool], expected: str) -> None:
        value = getattr(self, name)
        if value is not None and not holds(value):
            raise DongfengError(f"{name} is {value}; expected {expected}")

    def as_dict(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return dict(as_json(self))

    def updated(self, values: Mapping[str, Any], *, source: str) -> TrainConfig:
        """Return the same settings with other values.

        Args:
            values: Name -> value as JSON has them.
            source: Origin of the values, for messages.

        Raises:
            DongfengError: there is no such setting, or a value has another type or is out of range.
        """
        types_ = get_type_hints(TrainConfig)
        new = {}
        for name, value in values.items():
            if name not in types_:
                raise DongfengError(f'{source}: there is no setting "{name}"; there are {", ".join(types_)}')
            new[name] = _converted(value, types_[name], f"{source}: {name}")
        try:
            return replace(self, **new)
        except DongfengError as error:
            raise DongfengError(f"{source}: {error}") from None

    def difference(self, other: TrainConfig) -> str | None:
        """Name the first setting that would make it another training, with both values; None if there is none."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs and field.name not in _FREE:
                return f"{field.name} {json.dumps(mine)} there, {json.dumps(theirs)} here"
        return None


def read_config(path: Path) -> TrainConfig:
    """Read a configuration from a JSON file; settings that it leaves out have their defaults.

    Raises:
        DongfengError: there is no such file, or it does not hold a configuration.
    """
    try:
        members = _FILE.read(path).members()
    except FileNotFoundError:
        raise DongfengError(f"{path}: no such file") from None
    return TrainConfig().updated({name: node.value for name, node in members.items()}, source=str(path))


def read_recipe(name: str) -> TrainConfig:
    """Read a recipe of the package by its name, or one in a file.

    Raises:
        DongfengError: there is none of that name, or the file does not hold a configuration.
    """
    if Path(name).suffix == ".json":
        return read_config(Path(name))
    path = _RECIPES / f"{name}.json"
    if name not in recipe_names():
        raise DongfengError(f'no recipe is called "{name}"; there are {", ".join(recipe_names())}, or a .json file')
    return read_config(path)


def command_config(
    run_dir: Path, settings: Mapping[str, Any], *, recipe: str | None = None, resume: bool = False
) -> TrainConfig:
    """Put together the configuration of `dongfeng train`.

    Args:
        run_dir: Folder of the training.
        settings: Settings that differ from the recipe's, as JSON has them.
        recipe: Name or file of a recipe; None: the configuration of a training that is resumed, else the defaults.
        resume: Whether the training in the folder goes on.

    Raises:
        DongfengError: there is no training to resume, no such recipe or setting, or a value is out of range.
    """
    before = run_dir / CONFIG_FILE
    if resume and not before.is_file():
        raise DongfengError(f"{run_dir}: holds no training to resume; leave out --resume to begin one")
    config = TrainConfig()
    if recipe is not None:
        config = read_recipe(recipe)
    elif resume:
        config = read_config(before)
    return config.updated(settings, source="options")


def recipe_names() -> list[str]:
    """List the names of the package's recipes."""
    return sorted(path.stem for path in _RECIPES.glob("*.json"))


def _converted(value: Any, type_: Any, where: str) -> Any:
    """Convert a value from JSON's type to that of its setting."""
    choices = get_args(type_) if isinstance(type_, types.UnionType) else (type_,)
    if value is None and type(None) in choices:
        return None
    wanted = next(choice for choice in choices if choice is not type(None))
    if get_origin(wanted) is Literal:
        return value  # __post_init__ says what is allowed
    if get_origin(wanted) is tuple:
        parts = get_args(wanted)
        if not isinstance(value, list | tuple) or len(value) != len(parts):
            raise DongfengError(f"{where} is {value!r}; expected {len(parts)} numbers")
        return tuple(_converted(item, part, where) for item, part in zip(value, parts, strict=True))
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise DongfengError(f"{where} is {value!r}; expected {wanted.__name__}")
    return value
