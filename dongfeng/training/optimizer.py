"""The optimizer, its learning rate, and the moving average of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dongfeng.training.config import TrainConfig

if TYPE_CHECKING:
    import torch


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of an update: the poly schedule after a linear warm-up.

    Source: Liu et al., ParseNet (2015), as the release's solver (lr_policy: "poly").

    Example:
        >>> learning_rate(TrainConfig(lr=1.0, steps=4, power=1.0), 1)
        0.75
    """
    warm = min(1.0, (step + 1) / (config.warmup_steps + 1))
    return float(warm * config.lr * (1 - step / config.steps) ** config.power)


def build_optimizer(module: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Build the optimizer of a network's weights, with Caffe's decay_mult for each."""
    import torch

    from dongfeng.formats.torch import parameter_groups

    groups = parameter_groups(module, config.weight_decay)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=(config.momentum, 0.999), fused=True)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=True)


def update_average(average: torch.nn.Module, module: torch.nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights and statistics towards the network's; at first by more, so that the start is forgotten.

    Source: Polyak and Juditsky (1992); the ramp (1 + n) / (10 + n) is TensorFlow's ExponentialMovingAverage.
    """
    import torch

    keep = min(decay, (1 + step) / (10 + step))
    mine, theirs = (
        [tensor.detach() for tensor in (*one.parameters(), *one.buffers()) if tensor.is_floating_point()]
        for one in (average, module)
    )
    torch._foreach_lerp_(mine, theirs, 1 - keep)
