"""Caffe's BatchNorm and the Scale behind it as one PyTorch module, with Caffe's running sums kept to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

SUMS = ("mean_sum", "var_sum", "factor")  # Caffe's three blobs
_FULL_PRECISION = torch.float32


def divided(total: Tensor, factor: Tensor) -> Tensor:
    """Return running statistics from their sums; zeros where the factor is 0."""
    return total * torch.where(factor == 0, torch.zeros_like(factor), 1.0 / factor)


class TorchBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with Caffe's arithmetic, for blobs of any number of axes.

    `weight`, `bias`, `running_mean` and `running_var` mean what they mean in PyTorch. Beside them are Caffe's own
    blobs: `mean_sum` and `var_sum`, which divided by `factor` are the running statistics. They stay in float32
    whatever the module is cast to, and go back into a caffemodel bit by bit.

    Args:
        num_features: Number of channels.
        eps: Added to the variance.
        fraction: Caffe's `moving_average_fraction`: the share of the sums that is kept at each step.
        has_weight: Whether there is a learned factor per channel.
        has_bias: Whether there is a learned shift per channel.
        use_global_stats: True: running statistics always; False: those of the batch always; None: by `training`.

    Source: Caffe, BatchNormLayer::Forward_cpu and ScaleLayer.
    """

    running_mean: Tensor
    running_var: Tensor
    mean_sum: Tensor
    var_sum: Tensor
    factor: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float,
        fraction: float,
        *,
        has_weight: bool,
        has_bias: bool,
        use_global_stats: bool | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, momentum=1.0 - fraction, affine=has_weight)
        self.fraction = fraction
        self.use_global_stats = use_global_stats
        if not has_bias:
            self.register_parameter("bias", None)
        elif not has_weight:
            self.bias = nn.Parameter(torch.zeros(num_features))
        self.num_batches_tracked = None  # the factor counts instead
        self.register_buffer("mean_sum", torch.zeros(num_features))
        self.register_buffer("var_sum", torch.zeros(num_features))
        self.register_buffer("factor", torch.zeros(1))

    def update_running_stats(self) -> None:
        """Compute the running statistics from the sums; a factor of 0 gives mean 0 and variance 0."""
        with torch.no_grad():
            self.running_mean.copy_(divided(self.mean_sum, self.factor))
            self.running_var.copy_(divided(self.var_sum, self.factor))

    def reset_running_stats(self) -> None:
        """Reset to mean 0 and variance 1, as in PyTorch."""
        with torch.no_grad():
            self.running_mean.zero_()
            self.running_var.fill_(1.0)
            for name in SUMS:
                if (total := self._buffers.get(name)) is not None:  # PyTorch calls this before there are sums
                    total.zero_()

    def forward(self, input: Tensor) -> Tensor:
        """Normalise channels (axis 1): by the running statistics, or in training by the batch's."""
        by_batch = self.training if self.use_global_stats is None else not self.use_global_stats
        if not by_batch:
            return torch.nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        if input.numel() == input.shape[1]:
            return self._single(input)
        # With momentum 1 these become the batch's mean and variance times m / (m - 1), as Caffe's sums want them.
        mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        result = torch.batch_norm(
            input, self.weight, self.bias, mean, variance, True, 1.0, self.eps, torch.backends.cudnn.enabled
        )
        if self.training:
            self._add(mean, variance)
        return result

    def _single(self, input: Tensor) -> Tensor:
        """Normalise by the batch where each channel has one value, which PyTorch refuses: its variance is 0."""
        if self.training:
            self._add(input.detach().reshape(-1), torch.zeros_like(self.running_var))
        result = input - input
        if self.weight is not None:
            result = result * self.weight.reshape(input.shape)
        return result if self.bias is None else result + self.bias.reshape(input.shape)

    def _add(self, mean: Tensor, variance: Tensor) -> None:
        """Add the statistics of a batch to the sums."""
        with torch.no_grad():
            self.mean_sum.mul_(self.fraction).add_(mean.to(_FULL_PRECISION))
            self.var_sum.mul_(self.fraction).add_(variance.to(_FULL_PRECISION))
            self.factor.mul_(self.fraction).add_(1.0)
            self.update_running_stats()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        # PyTorch's BatchNorm would want num_batches_tracked of a plain dict, such as safetensors gives.
        nn.Module._load_from_state_dict(self, *args, **kwargs)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        kept = {name: getattr(self, name) for name in SUMS}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, before in kept.items():
            after = getattr(self, name)
            if after.dtype != before.dtype:  # a sum may be beyond what half precision holds
                setattr(self, name, before.to(after.device))
        return self

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def _get_name(self) -> str:
        return "BatchNorm"  # in print: a model reads as if written by hand

    def extra_repr(self) -> str:
        """Describe the module for `print`."""
        return f"{self.num_features}, eps={self.eps:g}, momentum={self.momentum:g}"
