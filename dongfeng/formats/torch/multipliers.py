"""Caffe's multipliers of learning rate and weight decay, as parameter groups of a PyTorch optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def parameter_groups(module: nn.Module, weight_decay: float, lr: float | None = None) -> list[dict[str, Any]]:
    """Group parameters for an optimizer by Caffe's `lr_mult` and `decay_mult`.

    Args:
        module: A module of `to_torch`, or one that contains it.
        weight_decay: Weight decay at `decay_mult` 1.
        lr: Learning rate at `lr_mult` 1; None: the groups have no "lr", and a schedule has to apply their "lr_mult".

    Returns:
        Groups as an optimizer takes them, each with "params", "weight_decay" and "lr_mult". Parameters that are not
        trained (`lr_mult: 0`) are in none.
    """
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
