"""Checkpoints: one safetensors file with everything a training needs to go on; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dongfeng.errors import DongfengError
from dongfeng.support.files import replacing

if TYPE_CHECKING:
    import torch


def write_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and a JSON object to one file, which appears complete or not at all."""
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(plain, temporary, metadata={"state": json.dumps(state)})


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the object of a checkpoint.

    Raises:
        DongfengError: the file is none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118 - no mapping
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DongfengError(f"{path}: is no checkpoint of dongfeng train ({error}); delete it to begin anew") from error


def restore_module(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give a module its parameters and buffers back, bit by bit.

    Raises:
        KeyError: they are another module's.
        RuntimeError: likewise, of another shape.
    """
    own = module.state_dict()
    if own.keys() != tensors.keys():
        raise KeyError(*sorted(own.keys() ^ tensors.keys()))
    for name, value in own.items():
        value.copy_(tensors[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What an optimizer remembers, as `PARAMETER/NAME`, parameters by number."""
    import torch

    numbered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, parameter in enumerate(numbered)
        for name, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give an optimizer back what `optimizer_tensors` took."""
    import torch

    numbered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, value in tensors.items():
        index, _, name = key.partition("/")
        parameter = numbered[int(index)]
        if value.shape == parameter.shape and value.dim():
            optimizer.state[parameter][name] = torch.empty_like(parameter).copy_(value)  # in its layout
        else:
            optimizer.state[parameter][name] = value.to(parameter.device)
