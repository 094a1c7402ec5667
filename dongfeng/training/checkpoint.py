"""Checkpoints: one safetensors file with everything that a training needs to go on; nothing is pickled."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dongfeng.errors import DongfengError
from dongfeng.support.files import replacing
from dongfeng.support.json_dataclass import as_json, read_as
from dongfeng.support.strict_json import JsonFormat, Node
from dongfeng.training.metrics import Metrics

if TYPE_CHECKING:
    import torch

_STATE = JsonFormat(DongfengError, "the file is no checkpoint of dongfeng train; delete it to begin anew")


def _number(node: Node) -> float:
    """A number that stays an integer where it is one."""
    value = node.number()
    return int(value) if isinstance(node.value, int) else value


@dataclass(frozen=True)
class TrainingState:
    """State of a training beside its tensors.

    Attributes:
        step: Updates so far.
        losses: Losses since the last entry of the log.
        metrics: Result of the last evaluation; None before the first.
        scaler: State of the scaler of the loss; empty where it is not scaled.
    """

    step: Annotated[int, Node.count]
    losses: tuple[float, ...]
    metrics: Annotated[Metrics | None, Metrics.from_json]
    scaler: Mapping[str, Annotated[float, _number]]


def write_checkpoint(path: Path, parts: Mapping[str, Mapping[str, torch.Tensor]], state: TrainingState) -> None:
    """Write the tensors of each part of a training, and its state, to one file, complete or not at all."""
    from safetensors.torch import save_file

    tensors = {
        f"{part}/{name}": tensor.detach().cpu().contiguous().clone()
        for part, members in parts.items()
        for name, tensor in members.items()
    }
    values = as_json(state) | {"metrics": {} if state.metrics is None else state.metrics.to_json()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"state": json.dumps(values, allow_nan=False)})


def read_checkpoint(path: Path) -> tuple[Mapping[str, dict[str, torch.Tensor]], TrainingState]:
    """Read the tensors of each part of a training, and its state; a part that is not there has none.

    Raises:
        DongfengError: the file is none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = _STATE.parse((file.metadata() or {}).get("state", ""), source=str(path))
            parts: defaultdict[str, dict[str, torch.Tensor]] = defaultdict(dict)
            for key in file.keys():  # noqa: SIM118 - no mapping
                part, _, name = key.partition("/")
                parts[part][name] = file.get_tensor(key)
            return parts, read_as(TrainingState, state)
    except SafetensorError as error:
        _STATE.fail(str(path), str(error))


def restore_module(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copy parameters and buffers into a module, bit by bit.

    Raises:
        KeyError: they are those of another module.
        RuntimeError: they have other shapes.
    """
    own = module.state_dict()
    if own.keys() != tensors.keys():
        raise KeyError(*sorted(own.keys() ^ tensors.keys()))
    for name, value in own.items():
        value.copy_(tensors[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the state of an optimizer, named `PARAMETER/NAME`, parameters by number."""
    import torch

    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, parameter in enumerate(_parameters(optimizer))
        for name, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give an optimizer back the state that `optimizer_tensors` took."""
    import torch

    numbered = _parameters(optimizer)
    for key, value in tensors.items():
        index, _, name = key.partition("/")
        parameter = numbered[int(index)]
        if value.shape == parameter.shape and value.dim():
            optimizer.state[parameter][name] = torch.empty_like(parameter).copy_(value)  # in its layout
        else:
            optimizer.state[parameter][name] = value.to(parameter.device)


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
