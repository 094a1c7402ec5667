"""A `Net` as a tree of PyTorch modules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import TopologicalSorter

import numpy as np
import torch
from torch import Tensor, nn

from dongfeng.errors import ConversionError, UnsupportedLayer
from dongfeng.formats.torch.batch_norm import SUMS, TorchBatchNorm
from dongfeng.formats.torch.blocks import RESERVED, Block, BlockPlan, BlockStep, ManyInputNetwork, Network
from dongfeng.formats.torch.functions import TorchFlatten
from dongfeng.formats.torch.layer_types import Operation, operation_of
from dongfeng.formats.torch.leaves import Leaf, blob_attributes, leaves_of
from dongfeng.formats.torch.outputs import feature_blobs, score_blobs
from dongfeng.layers.layer import Array, Layer
from dongfeng.net.cut import needed_layers, requested_outputs
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
        steps.append(BlockStep(TorchFlatten(1, -1), wanted, wanted))  # a classifier that ends in a convolution
    plan = BlockPlan(parts=parts, steps=steps, inputs=tuple(net.inputs), outputs=wanted)
    network = Network if len(net.inputs) == 1 else ManyInputNetwork
    return network(plan, features, net.name).eval()


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
    problems: list[str] = []
    operations: list[Operation] = []
    shared: dict[str, nn.Parameter] = {}
    makers = {top: leaf.layer.type for leaf in leaves for top in leaf.tops}
    for leaf in leaves:
        try:
            operation = operation_of(leaf)
        except UnsupportedLayer as exc:
            problems += exc.problems
            continue
        if isinstance(operation, nn.ReLU) and (
            makers.get(leaf.bottoms[0]) not in _OVERWRITABLE or leaf.bottoms[0] in seen
        ):
            operation.inplace = False
        if isinstance(operation, nn.Module):
            _load(operation, leaf, shared)
        operations.append(operation)
    if problems:
        raise UnsupportedLayer(problems)
    return operations


def _load(module: nn.Module, leaf: Leaf, shared: dict[str, nn.Parameter]) -> None:
    """Give a module its layers' blobs, and the multipliers of their learning rate."""
    multipliers: dict[str, tuple[float, float]] = {}
    for layer, attributes in weights_of(leaf):
        specs = layer.params.param
        for index, (blob, attribute) in enumerate(zip(layer.blobs, attributes, strict=False)):
            values = torch.from_numpy(np.array(_as_in_torch(layer, blob)))
            if attribute in SUMS:
                getattr(module, attribute).copy_(values)
                continue
            rate, decay = (specs[index].lr_mult, specs[index].decay_mult) if index < len(specs) else (1.0, 1.0)
            like: Tensor = getattr(module, attribute)
            parameter = nn.Parameter(values.reshape(like.shape), requires_grad=rate != 0)
            name = specs[index].name if index < len(specs) else ""
            if name:
                first = shared.setdefault(name, parameter)
                parameter = first if first.shape == parameter.shape else parameter
            setattr(module, attribute, parameter)
            if (rate, decay) != (1.0, 1.0):
                multipliers[attribute] = (rate, decay)
    if multipliers:
        module.multipliers = multipliers  # type: ignore[assignment]
    if isinstance(module, TorchBatchNorm):
        module.update_running_stats()


def weights_of(leaf: Leaf) -> list[tuple[Layer, tuple[str, ...]]]:
    """Return the layers of a leaf, each with the module's attribute for each of its blobs."""
    return [(layer, blob_attributes(layer)) for layer in leaf.layers]


def _as_in_torch(layer: Layer, blob: Array) -> Array:
    is_transposed = layer.type == "InnerProduct" and layer.params.inner_product_param.transpose and blob.ndim == 2
    return blob.T if is_transposed else blob


class _Builder:
    """Builds blocks of leaves, as their paths say."""

    def __init__(self, leaves: Sequence[Leaf], operations: Sequence[Operation], wanted: set[str]) -> None:
        self.leaves, self.operations, self.wanted = leaves, operations, wanted
        self.readers: dict[str, list[int]] = {}
        for index, leaf in enumerate(leaves):
            for bottom in leaf.bottoms:
                self.readers.setdefault(bottom, []).append(index)

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
            sequence = nn.Sequential()
            for member in steps:
                sequence.add_module(str(member.part), parts[str(member.part)])
            return sequence, step
        return Block(BlockPlan(parts=parts, steps=steps, inputs=inputs, outputs=outputs)), step


def _is_chain(steps: Sequence[BlockStep], inputs: Sequence[str], outputs: Sequence[str]) -> bool:
    """Tell whether the steps are different modules, each fed with nothing but the result of the one before."""
    blobs: Sequence[str] = inputs
    for step in steps:
        if len(blobs) != 1 or not isinstance(step.part, str) or tuple(blobs) != step.bottoms:
            return False
        blobs = step.tops
    return tuple(blobs) == tuple(outputs) and len({step.part for step in steps}) == len(steps)
