"""`Kernel`: what a runtime executes in one go, known by its shape alone; the key of every latency table."""

from __future__ import annotations

from typing import NamedTuple


class Kernel(NamedTuple):
    """A layer, or a convolution with what runtimes fuse into it, at batch 1.

    The word is that of nn-Meter: what a convolution slides over its input is called window here. Equal kernels take
    equal time on a device, whatever net they stand in.

    Attributes:
        operation: "conv", "deconv", "fc", "max pool", "average pool", "interp", "copy", ... or Caffe's type in lower
            case; "+relu", "+add" and "+add+relu" name what is fused, "dilated " stands in front of dilated windows.
        window_hw: Window in pixels; 1x1 for operations that have none.
        stride_hw: Stride in pixels; for a deconvolution the factor it enlarges by.
        groups: Groups of the convolution.
        c_in: Channels read: those of all bottoms together.
        c_out: Channels written.
        in_hw: Height and width of the input.
        out_hw: Height and width of the output.
    """

    operation: str
    window_hw: tuple[int, int]
    stride_hw: tuple[int, int]
    groups: int
    c_in: int
    c_out: int
    in_hw: tuple[int, int]
    out_hw: tuple[int, int]

    @property
    def main_operation(self) -> str:
        """The operation without what is fused into it: "conv" of "conv+add+relu"."""
        return self.operation.partition("+")[0]

    @property
    def macs(self) -> int:
        """Multiply-accumulates; element-wise work counts as none."""
        height, width = self.in_hw if self.main_operation.endswith("deconv") else self.out_hw
        return height * width * self.parameters

    @property
    def parameters(self) -> int:
        """Weights, without biases."""
        if self.main_operation.removeprefix("dilated ") not in ("conv", "deconv", "fc"):
            return 0
        return self.c_in * self.c_out * self.window_hw[0] * self.window_hw[1] // self.groups

    @property
    def values_written(self) -> int:
        """Elements of the output."""
        return self.c_out * self.out_hw[0] * self.out_hw[1]

    @property
    def values_read(self) -> int:
        """Elements of the inputs and weights; a fused sum reads its other summand."""
        summand = self.values_written if "+add" in self.operation else 0
        return self.c_in * self.in_hw[0] * self.in_hw[1] + self.parameters + summand

    def __str__(self) -> str:
        groups = f" g{self.groups}" if self.groups > 1 else ""
        window, stride = ("x".join(map(str, pair)) for pair in (self.window_hw, self.stride_hw))
        return (
            f"{self.operation} {window} s{stride}{groups} {self.c_in}->{self.c_out} @{'x'.join(map(str, self.in_hw))}"
        )


def conv_kernel(
    c_in: int,
    c_out: int,
    window: int,
    in_hw: tuple[int, int],
    *,
    stride: int = 1,
    groups: int = 1,
    fused: str = "+relu",
) -> Kernel:
    """Build the kernel of a convolution padded by half its window, as the search spaces here use it.

    Args:
        c_in: Input channels.
        c_out: Output channels.
        window: Side of the window in pixels, odd.
        in_hw: Height and width of the input.
        stride: Stride in pixels.
        groups: Groups.
        fused: "", "+relu", "+add" or "+add+relu".

    Example:
        >>> conv_kernel(64, 128, 3, (56, 56), stride=2).out_hw
        (28, 28)
    """
    out_hw = (-(-in_hw[0] // stride), -(-in_hw[1] // stride))
    return Kernel(f"conv{fused}", (window, window), (stride, stride), groups, c_in, c_out, in_hw, out_hw)
