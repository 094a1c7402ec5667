"""Checkpoints: one safetensors file with everything that a training needs to go on; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dongfeng.errors import DongfengError
from dongfeng.support.files import replacing
from dongfeng.support.strict_json import JsonFormat, Node
from dongfeng.training.metrics import Metrics

if TYPE_CHECKING:
    import torch

_STATE = JsonFormat(DongfengError, "the file is no checkpoint of dongfeng train; delete it to begin anew")


@dataclass(frozen=True)
class TrainingState:
    """State of a training beside its tensors.

    Attributes:
        step: Updates so far.
        losses: Losses since the last entry of the log.
        metrics: Result of the last evaluation; None before the first.
        scaler: State of the scaler of the loss; empty where it is not scaled.
    """

    step: int
    losses: Sequence[float]
    metrics: Metrics | None
    scaler: Mapping[str, float]

    def to_json(self) -> dict[str, object]:
        """The state as JSON has it."""
        metrics = {} if self.metrics is None else self.metrics.to_json()
        return {"step": self.step, "losses": list(self.losses), "metrics": metrics, "scaler": dict(self.scaler)}

    @classmethod
    def from_json(cls, node: Node) -> TrainingState:
        """Read the state.

        Raises:
            DongfengError: it is of another form.
        """
        fields = node.fields(("step", "losses", "metrics", "scaler"))
        return cls(
            fields["step"].count(),
            [loss.number() for loss in fields["losses"].items()],
            Metrics.from_json(fields["metrics"].members()),
            {name: _number(value) for name, value in fields["scaler"].members().items()},
        )


def _number(node: Node) -> float:
    """A number that stays an integer where it is one."""
    value = node.number()
    return int(value) if isinstance(node.value, int) else value


def write_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], state: TrainingState) -> None:
    """Write tensors and state to one file, which appears complete or not at all."""
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(plain, temporary, metadata={"state": json.dumps(state.to_json(), allow_nan=False)})


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], TrainingState]:
    """Read the tensors and the state of a checkpoint.

    Raises:
        DongfengError: the file is none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = TrainingState.from_json(_STATE.parse((file.metadata() or {}).get("state", ""), source=str(path)))
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118 - no mapping
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
