"""`TrainConfig`: everything that decides how a training goes, in one JSON file."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from dongfeng.errors import DongfengError

_RECIPES = Path(__file__).with_name("recipes")
_FREE = frozenset({"workers", "checkpoint_every"})  # they change no number, so a resumed run may have others

_AT_LEAST_1 = ("steps", "batch", "log_every", "eval_every", "checkpoint_every", "threads", "workers", "label_stride")
_AT_LEAST_0 = ("lr", "weight_decay", "power", "warmup_steps", "jitter", "seed", "clip_norm")
_FRACTIONS = ("momentum", "label_smoothing", "average")


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        net: Architecture's name, path of a prototxt, or an encoding; see `build_net`. None where a `Net` is given.
        data: What to train on; see `open_data`.
        weights: Zoo name or .caffemodel to start from; layers are found by name. None: random weights.
        size_hw: Height and width of the network's input; None: the network's own.
        mean_bgr: Subtracted per channel, 0..255; None: what the network was trained with, else the task's usual one.
        input_scale: Factor after the mean; None: likewise.
        steps: Number of updates.
        batch: Images of an update.
        optimizer: "sgd" (Nesterov momentum) or "adamw".
        lr: Learning rate after warm-up; falls as `(1 - step / steps) ** power`.
        momentum: Of SGD.
        weight_decay: Factor of the L2 term, multiplied by each blob's decay_mult; AdamW's decoupled decay.
        power: Of the schedule.
        warmup_steps: Updates during which the learning rate rises linearly.
        clip_norm: The gradient's norm is cut to this; 0: never.
        label_stride: The loss looks at every so-many-th pixel each way, other ones at each step. For a slim network
            on the CPU the loss costs more than the network; 2 makes it ten times cheaper.
        label_smoothing: Probability that the loss spreads over all classes.
        average: Decay per step of the moving average of the weights, which is what is kept; 0: no average.
        random_scale: Images are enlarged by a factor between these two, log-uniform, before they are cropped.
        flip: Whether half of the images are mirrored left to right.
        jitter: Largest relative change of brightness, contrast, saturation and of each channel.
        seed: Of the weights, the order and the augmentation; for drawn data of the drawings too.
        validation_images: How many to evaluate on; None: all there are, 100 where they are drawn.
        log_every: Updates per line of the log.
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
        for name, kind in _types().items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise DongfengError(f'{name} is "{getattr(self, name)}"; expected {" or ".join(get_args(kind))}')

    def _check(self, name: str, holds: Any, expected: str) -> None:
        value = getattr(self, name)
        if value is not None and not holds(value):
            raise DongfengError(f"{name} is {value}; expected {expected}")

    def as_dict(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def updated(self, values: Mapping[str, Any], *, source: str) -> TrainConfig:
        """The same with other values.

        Args:
            values: Name -> value as JSON has them.
            source: Where they come from, for messages.

        Raises:
            DongfengError: no such name, or a value of another kind or out of range.
        """
        kinds = _types()
        new = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in values.items():
            if name not in kinds:
                raise DongfengError(f'{source}: there is no setting "{name}"; there are {", ".join(kinds)}')
            new[name] = _converted(value, kinds[name], f"{source}: {name}")
        try:
            return TrainConfig(**new)
        except DongfengError as error:
            raise DongfengError(f"{source}: {error}") from None

    def difference(self, other: TrainConfig) -> str | None:
        """The first setting that would make another training of it, as "name: mine, theirs"; None if there is none."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs and field.name not in _FREE:
                return f"{field.name} {_shown(mine)} there, {_shown(theirs)} here"
        return None


def read_config(path: Path) -> TrainConfig:
    """A configuration from a JSON file; what the file does not say has its default.

    Raises:
        DongfengError: there is no such file, or it does not hold a configuration.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DongfengError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise DongfengError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(values, dict):
        raise DongfengError(f"{path}: expected a JSON object of settings")
    return TrainConfig().updated(values, source=str(path))


def read_recipe(name: str) -> TrainConfig:
    """A recipe of the package by its name, or one in a file.

    Raises:
        DongfengError: there is none of that name, or the file does not hold a configuration.
    """
    if Path(name).suffix == ".json":
        return read_config(Path(name))
    path = _RECIPES / f"{name}.json"
    if name not in recipe_names():
        raise DongfengError(f'no recipe is called "{name}"; there are {", ".join(recipe_names())}, or a .json file')
    return read_config(path)


def recipe_names() -> list[str]:
    """Names of the package's recipes."""
    return sorted(path.stem for path in _RECIPES.glob("*.json"))


def _types() -> dict[str, Any]:
    return typing.get_type_hints(TrainConfig)


def _converted(value: Any, kind: Any, where: str) -> Any:
    """A value as JSON has it, as the setting keeps it."""
    kinds = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and type(None) in kinds:
        return None
    wanted = next(one for one in kinds if one is not type(None))
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


def _shown(value: object) -> str:
    return json.dumps(value)
