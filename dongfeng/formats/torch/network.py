"""A `Net` as a tree of PyTorch modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from graphlib import TopologicalSorter

import numpy as np
import torch
from torch import nn

from dongfeng.caffe.message import message
from dongfeng.errors import ConversionError, Problems
from dongfeng.formats.torch.batch_norm import SUMS, TorchBatchNorm
from dongfeng.formats.torch.blocks import RESERVED, Block, BlockStep, ManyInputNetwork, Network
from dongfeng.formats.torch.layer_types import Operation, operation_of
from dongfeng.formats.torch.leaves import Leaf, blob_attributes, is_transposed, leaves_of
from dongfeng.formats.torch.outputs import feature_blobs, score_blobs
from dongfeng.net.cut import needed_layers, readers_of, requested_outputs
from dongfeng.net.graph import Net
from dongfeng.net.weights import fill

# Layers whose gradient does not need their own result, which a ReLU may therefore overwrite.
_OVERWRITABLE = frozenset({"BatchNorm", "Convolution", "Deconvolution", "Eltwise", "InnerProduct"})


def network_of(net: Net, outputs: Sequence[str] | None) -> Network:
    """Build the network of `net` in evaluation mode; see `to_torch`."""
    wanted = score_blobs(net) if outputs is None else requested_outputs(net, outputs)
    features = feature_blobs(net)
    leaves = _needed(leaves_of(fill(net), RESERVED), wanted)
    computed = {*net.inputs, *(top for leaf in leaves for top in leaf.tops)}
    features = features if computed.issuperset(features) else ()
    operations = _operations(leaves, {*wanted, *features})
    builder = _Builder(leaves, operations, {*wanted, *features})
    parts, steps = builder.members((), range(len(leaves)))
    if outputs is None and len(wanted) == 1 and not net.is_dynamic and net.shapes()[wanted[0]][2:] == (1, 1):
        # a classifier that ends in a convolution
        steps.append(BlockStep(partial(torch.flatten, start_dim=1), wanted, wanted))
    network = Network if len(net.inputs) == 1 else ManyInputNetwork
    return network(parts, steps, tuple(net.inputs), wanted, features, net.name).eval()


def _needed(leaves: Sequence[Leaf], wanted: Collection[str]) -> list[Leaf]:
    """Return the leaves that the wanted blobs depend on.

    Raises:
        ConversionError: a wanted blob lies between a BatchNorm and its Scale, which are one module.
    """
    inner = {leaf.layer.tops[0]: leaf for leaf in leaves if len(leaf.layers) > 1}
    for blob in wanted:
        if blob in inner:
            raise ConversionError(
                f'blob "{blob}" lies between {" and ".join(layer.name for layer in inner[blob].layers)}, which are one '
                f'module; take "{inner[blob].tops[0]}"'
            )
    return needed_layers(leaves, wanted)


def _operations(leaves: Sequence[Leaf], seen: set[str]) -> list[Operation]:
    """Return the modules, with their weights, and functions of the leaves.

    Raises:
        UnsupportedLayer: naming all layers that PyTorch cannot compute.
    """
    problems = Problems()
    operations: list[Operation] = []
    shared: dict[str, nn.Parameter] = {}
    makers = {top: leaf.layer.type for leaf in leaves for top in leaf.tops}
    for leaf in leaves:
        with problems.collected(leaf.layer.where):
            operation = operation_of(leaf)
            if isinstance(operation, nn.ReLU) and (
                makers.get(leaf.bottoms[0]) not in _OVERWRITABLE or leaf.bottoms[0] in seen
            ):
                operation.inplace = False
            if isinstance(operation, nn.Module):
                _load(operation, leaf, shared)
            operations.append(operation)
    problems.refuse()
    return operations


def _load(module: nn.Module, leaf: Leaf, shared: dict[str, nn.Parameter]) -> None:
    """Give a module its layers' blobs, and the multipliers of their learning rate."""
    multipliers: dict[str, tuple[float, float]] = {}
    for layer in leaf.layers:
        specs = layer.params.param
        for index, (blob, attribute) in enumerate(zip(layer.blobs, blob_attributes(layer), strict=False)):
            values = torch.from_numpy(np.array(blob.T if is_transposed(layer) else blob))
            if attribute in SUMS:
                getattr(module, attribute).copy_(values)
                continue
            spec = specs[index] if index < len(specs) else message("ParamSpec")
            shape = getattr(module, attribute).shape
            parameter = nn.Parameter(values.reshape(shape), requires_grad=spec.lr_mult != 0)
            if spec.name and (first := shared.setdefault(spec.name, parameter)).shape == shape:
                parameter = first
            setattr(module, attribute, parameter)
            if (spec.lr_mult, spec.decay_mult) != (1.0, 1.0):
                multipliers[attribute] = (spec.lr_mult, spec.decay_mult)
    if multipliers:
        module.multipliers = multipliers  # type: ignore[assignment]
    if isinstance(module, TorchBatchNorm):
        module.update_running_stats()


class _Builder:
    """Builds blocks of leaves, as their paths say."""

    def __init__(self, leaves: Sequence[Leaf], operations: Sequence[Operation], wanted: set[str]) -> None:
        self.leaves, self.operations, self.wanted = leaves, operations, wanted
        self.readers = readers_of(leaves)

    def members(self, prefix: tuple[str, ...], indices: Iterable[int]) -> tuple[dict[str, nn.Module], list[BlockStep]]:
        """Return the modules directly in a group, and the steps that compute it."""
        groups: dict[tuple[str, int], list[int]] = {}
        depth = len(prefix)
        for index in indices:
            path = self.leaves[index].path
            is_leaf = len(path) == depth + 1
            groups.setdefault((path[depth], index if is_leaf else -1), []).append(index)
        parts: dict[str, nn.Module] = {}
        steps = []
        for (name, leaf), inside in self._in_order(groups):
            if leaf < 0:
                parts[name], step = self._group((*prefix, name), inside)
                steps.append(step)
            else:
                steps += self._leaf_steps(leaf, name, parts)
        return parts, steps

    def _in_order(self, groups: Mapping[tuple[str, int], list[int]]) -> list[tuple[tuple[str, int], list[int]]]:
        """Return the groups, each behind those it reads, else in the net's order."""
        home = {top: key for key, inside in groups.items() for index in inside for top in self.leaves[index].tops}
        sorter: TopologicalSorter[tuple[str, int]] = TopologicalSorter()
        for key, inside in groups.items():
            read = {home[blob] for index in inside for blob in self.leaves[index].bottoms if blob in home}
            sorter.add(key, *(read - {key}))
        sorter.prepare()
        result = []
        ready: list[tuple[str, int]] = []
        while sorter.is_active():
            ready = sorted([*ready, *sorter.get_ready()], key=lambda key: groups[key][0])
            key = ready.pop(0)
            result.append((key, groups[key]))
            sorter.done(key)
        return result

    def _leaf_steps(self, index: int, name: str, parts: dict[str, nn.Module]) -> list[BlockStep]:
        leaf, operation = self.leaves[index], self.operations[index]
        part: str | Operation = operation
        if isinstance(operation, nn.Module):
            parts[name] = operation
            part = name
        if len(leaf.tops) == len(leaf.bottoms) > 1:  # one set of weights for several bottoms
            return [BlockStep(part, (b,), (t,)) for b, t in zip(leaf.bottoms, leaf.tops, strict=True)]
        return [BlockStep(part, leaf.bottoms, leaf.tops)]

    def _group(self, prefix: tuple[str, ...], inside: Sequence[int]) -> tuple[nn.Module, BlockStep]:
        parts, steps = self.members(prefix, inside)
        members = set(inside)
        tops = [top for step in steps for top in step.tops]
        read = dict.fromkeys(blob for step in steps for blob in step.bottoms)
        inputs = tuple(blob for blob in read if blob not in set(tops))
        outputs = tuple(
            blob for blob in tops if blob in self.wanted or not members.issuperset(self.readers.get(blob, ()))
        )
        step = BlockStep(prefix[-1], inputs, outputs)
        if _is_chain(steps, inputs, outputs):
            return nn.Sequential(OrderedDict(parts)), step
        return Block(parts, steps, inputs, outputs), step


def _is_chain(steps: Sequence[BlockStep], inputs: Sequence[str], outputs: Sequence[str]) -> bool:
    """Tell whether the steps are different modules, each fed with nothing but the result of the one before."""
    blobs: Sequence[str] = inputs
    for step in steps:
        if len(blobs) != 1 or not isinstance(step.part, str) or tuple(blobs) != step.bottoms:
            return False
        blobs = step.tops
    return tuple(blobs) == tuple(outputs) and len({step.part for step in steps}) == len(steps)
