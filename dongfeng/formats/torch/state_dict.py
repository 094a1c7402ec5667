"""State dicts under other names: wrapped modules, and the community's ports of DFNet v1 and v2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

State = Mapping[str, Tensor]

_NOT_WEIGHTS = ("num_batches_tracked", "n_averaged")
_STEM = re.compile(r"stage1\.(\d+)\.(.+)")
_BLOCK = re.compile(r"stage([2-9])(?:_(\d+))?\.(\d+)\.(.+)")
_OUR_BLOCK = re.compile(r"(stage\d+)\.(\d+)\.")
_OUR_STEM = ("conv1", "bn1", "conv2", "bn2")


def plain_state(state: State, ours: Iterable[str]) -> dict[str, Tensor]:
    """Return the state without counters and without the prefix of a wrapper (`module.`, `backbone.`).

    Args:
        state: A state dict.
        ours: Names of our modules' weights.
    """
    plain = {name: value for name, value in state.items() if name.rpartition(".")[2] not in _NOT_WEIGHTS}
    roots = {name.partition(".")[0] for name in ours}
    while len(firsts := {name.partition(".")[0] for name in plain}) == 1 and not firsts & roots:
        if any("." not in name for name in plain):
            break
        plain = {name.partition(".")[2]: value for name, value in plain.items()}
    return plain


def is_community(names: Iterable[str]) -> bool:
    """Tell whether names are those of the community's DFNet: a sequence `stage1` of two convolutions, then blocks."""
    return any(_STEM.fullmatch(name) for name in names)


def community_names(names: Iterable[str], ours: Sequence[str]) -> dict[str, str]:
    """Map community names to ours, by structure; names without a counterpart are left out.

    The modules of `stage1` that have weights are convolution, BatchNorm, convolution, BatchNorm. All residual blocks
    of `stage2`, `stage3`, ... (`stage2_1`, `stage2_2`, ... in v2) in order are our blocks in order, however they are
    divided into stages. Within a block, and for `fc`, names are the same.
    """
    listed = list(names)
    stem = sorted({int(found[1]) for name in listed if (found := _STEM.fullmatch(name))})
    blocks = sorted({_place(found) for name in listed if (found := _BLOCK.fullmatch(name))})
    our_blocks = list(dict.fromkeys(found.group() for name in ours if (found := _OUR_BLOCK.match(name))))
    renamed: dict[str, str] = {}
    for name in listed:
        if found := _STEM.fullmatch(name):
            index = stem.index(int(found[1]))
            if index < len(_OUR_STEM):
                renamed[name] = f"stem.{_OUR_STEM[index]}.{found[2]}"
        elif found := _BLOCK.fullmatch(name):
            index = blocks.index(_place(found))
            if index < len(our_blocks):
                renamed[name] = f"{our_blocks[index]}{found[4]}"
        elif name.startswith("fc."):
            renamed[name] = name
    return renamed


def _place(found: re.Match[str]) -> tuple[int, int, int]:
    return int(found[1]), int(found[2] or 0), int(found[3])
