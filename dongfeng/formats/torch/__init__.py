"""Between a `Net` and PyTorch's modules."""

from dongfeng.formats.torch.convert import from_torch, to_torch
from dongfeng.formats.torch.multipliers import parameter_groups

__all__ = ["from_torch", "parameter_groups", "to_torch"]
