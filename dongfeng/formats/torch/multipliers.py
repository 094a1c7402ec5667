"""Caffe's multipliers of learning rate and weight decay, as parameter groups of a PyTorch optimizer."""

from __future__ import annotations

from typing import Any

from torch import nn


def grouped(module: nn.Module, weight_decay: float, lr: float | None) -> list[dict[str, Any]]:
    """Group parameters; see `dongfeng.formats.torch.parameter_groups`."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[int] = set()
    for part in module.modules():
        multipliers: dict[str, tuple[float, float]] = getattr(part, "multipliers", {})
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                groups.setdefault(multipliers.get(name, (1.0, 1.0)), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay * decay,
            "lr_mult": rate,
            **({} if lr is None else {"lr": lr * rate}),
        }
        for (rate, decay), parameters in groups.items()
    ]
