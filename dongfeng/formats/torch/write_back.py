"""From trained PyTorch weights back to a `Net`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from dongfeng.errors import DongfengWarning, WeightsMismatch
from dongfeng.formats.torch.batch_norm import SUMS, divided
from dongfeng.formats.torch.blocks import RESERVED, Block
from dongfeng.formats.torch.leaves import Leaf, blob_attributes, leaves_of
from dongfeng.formats.torch.state_dict import State, community_names, is_community, plain_state
from dongfeng.layers.base import layer_type
from dongfeng.layers.layer import Array, Layer, Shape, frozen, show
from dongfeng.net.fold import fold
from dongfeng.net.graph import Net
from dongfeng.net.weights import bilinear
from dongfeng.support.wording import listed

_LISTED = 6  # names an error spells out before it counts the rest
_RUNNING = {"mean_sum": "running_mean", "var_sum": "running_var"}


@dataclass(frozen=True)
class _Slot:
    """The place of a layer's blob in a state dict."""

    leaf: Leaf
    layer: Layer
    attribute: str
    shape: Shape
    is_transposed: bool

    @property
    def key(self) -> str:
        return self.leaf.key(self.attribute)


def net_with_weights(source: nn.Module | State, template: Net) -> Net:
    """Return the template, folded if the weights are, with the weights of a module or state dict; see `from_torch`."""
    module = _unwrapped(source) if isinstance(source, nn.Module) else None
    state: State = module.state_dict() if module is not None else source  # type: ignore[assignment]
    fit = _Fit(template, state)
    if not any(name.endswith(("running_mean", "mean_sum")) for name in state):
        bare = template.with_layers(replace(layer, blobs=()) for layer in template.layers)
        fit = min(fit, _Fit(fold(bare), state), key=lambda fit: len(fit.problems()))
    if problems := fit.problems():
        raise WeightsMismatch(
            f"net {template.name!r}: the weights are of another network: {listed(problems, _LISTED, separator='; ')}"
        )
    if fit.kept and not isinstance(module, Block):
        names = listed([f'"{name}"' for name in fit.kept], _LISTED)
        message = f"net {template.name!r}: no weights for {names}; the template's stay"
        warnings.warn(message, DongfengWarning, stacklevel=3)
    return fit.net(_eps_of(module))


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return the network in DataParallel, an average of weights, or torch.compile's wrapper."""
    while not isinstance(module, Block):
        inner = getattr(module, "_orig_mod", None) or getattr(module, "module", None)
        if not isinstance(inner, nn.Module):
            break
        module = inner
    return module


def _eps_of(module: nn.Module | None) -> dict[str, float]:
    """Map the name of each BatchNorm's variance to the eps of its module."""
    if module is None:
        return {}
    return {
        f"{name}.running_var".removeprefix("."): float(part.eps)
        for name, part in module.named_modules()
        if isinstance(part, nn.modules.batchnorm._NormBase)
    }


class _Fit:
    """The match between a net and the weights of a state dict."""

    def __init__(self, net: Net, state: State) -> None:
        self.target = net
        self.slots = _slots(net)
        ours = [slot.key for slot in self.slots]
        plain = plain_state(state, ours)
        names = {name: name for name in plain}
        if is_community(plain):
            names = community_names(plain, ours)
        self.name_of = {ours: theirs for theirs, ours in names.items()}  # in the state
        self.values = {ours: plain[theirs] for theirs, ours in names.items()}
        known = {*ours, *(slot.leaf.key(_RUNNING[slot.attribute]) for slot in self.slots if slot.attribute in _RUNNING)}
        self.unexpected = [name for name in plain if name not in names or names[name] not in known]
        self.kept, self.missing, self.mismatched = self._compared()

    def problems(self) -> list[str]:
        """List the mismatches, one line each."""
        return [
            *self.mismatched,
            *(f"missing {key}" for key in self.missing),
            *(f"unexpected {name}" for name in self.unexpected),
        ]

    def _compared(self) -> tuple[list[str], list[str], list[str]]:
        """Return layers that keep the template's weights, missing names, and mismatches of shape."""
        kept: list[str] = []
        missing: list[str] = []
        mismatched: list[str] = []
        present = {slot.layer.name for slot in self.slots if self._has(slot)}
        for slot in self.slots:
            if not self._has(slot):
                if slot.layer.name not in present and (slot.layer.blobs or _is_bilinear(slot.layer)):
                    if slot.layer.blobs:
                        kept.append(slot.layer.name)
                else:
                    missing.append(slot.key)
                continue
            got = tuple(self._stored(slot).shape)
            wanted = slot.shape[::-1] if slot.is_transposed else slot.shape
            if not _fits(got, wanted):
                mismatched.append(f"{slot.key} is {show(got)}, the net wants {show(wanted)}")
        return list(dict.fromkeys(kept)), missing, mismatched

    def _has(self, slot: _Slot) -> bool:
        if slot.attribute in SUMS and slot.key not in self.values:  # plain PyTorch has no sums
            return slot.leaf.key("running_mean") in self.values and slot.leaf.key("running_var") in self.values
        return slot.key in self.values

    def _stored(self, slot: _Slot) -> Tensor:
        return self.values[slot.key] if slot.key in self.values else self._from_running_stats(slot)

    def _from_running_stats(self, slot: _Slot) -> Tensor:
        """Return a sum of Caffe's BatchNorm as running statistics give it: with a factor of 1."""
        return torch.ones(1) if slot.attribute == "factor" else self.values[slot.leaf.key(_RUNNING[slot.attribute])]

    def net(self, eps: Mapping[str, float]) -> Net:
        """Return the net with the weights; `eps` maps the name of a BatchNorm's variance to its eps."""
        blobs: dict[int, list[Array]] = {}
        eps_of_layer: dict[int, float | None] = {}
        for slot in self.slots:
            if self._has(slot):
                blob = self._blob(slot)
            elif slot.layer.blobs:  # the template's stay
                continue
            else:
                blob = frozen(bilinear(tuple(int(dim or 0) for dim in slot.shape)))
            blobs.setdefault(id(slot.layer), []).append(blob)
            if slot.attribute == "factor":
                eps_of_layer[id(slot.layer)] = eps.get(self.name_of.get(slot.leaf.key("running_var"), ""))
        return self.target.with_layers(
            _with_eps(replace(layer, blobs=tuple(blobs.get(id(layer), layer.blobs))), eps_of_layer.get(id(layer)))
            for layer in self.target.layers
        )

    def _blob(self, slot: _Slot) -> Array:
        value = self._stored(slot)
        if slot.attribute in SUMS and not self._sums_hold(slot.leaf):
            value = self._from_running_stats(slot)
        array = value.detach().to("cpu", torch.float32).numpy()
        array = array.T if slot.is_transposed else array
        shape = tuple(dim for dim in slot.shape if dim is not None)
        return frozen(np.array(array.reshape(shape) if len(shape) == len(slot.shape) else array))

    def _sums_hold(self, leaf: Leaf) -> bool:
        """Tell whether the running statistics are those of the sums; where they differ, somebody set them by hand."""
        factor = self.values.get(leaf.key("factor"))
        if factor is None:
            return False
        for total, running in _RUNNING.items():
            if leaf.key(total) not in self.values:
                return False
            shown = self.values.get(leaf.key(running))
            if shown is None:
                continue
            expected = divided(self.values[leaf.key(total)], factor).to(shown.dtype)
            if not torch.allclose(expected, shown, rtol=4 * torch.finfo(shown.dtype).eps, atol=0.0, equal_nan=True):
                return False
        return True


def _slots(net: Net) -> list[_Slot]:
    """List every weight blob of a net, in order."""
    slots = []
    for leaf in leaves_of(net, RESERVED):
        for layer in leaf.layers:
            shapes = leaf.bottom_shapes if layer is leaf.layer else leaf.bottom_shapes[:1]
            wanted = [blob.shape for blob in layer.blobs] or layer_type(layer).blob_shapes(shapes)
            transposed = layer.type == "InnerProduct" and layer.params.inner_product_param.transpose
            for attribute, shape in zip(blob_attributes(layer), wanted, strict=False):
                slots.append(_Slot(leaf, layer, attribute, shape, bool(transposed and len(shape) == 2)))
    return slots


def _fits(got: Sequence[int], wanted: Shape) -> bool:
    if not wanted:  # a blob without axes is one value
        return tuple(got) in ((), (1,))
    return len(got) == len(wanted) and all(b is None or a == b for a, b in zip(got, wanted, strict=True))


def _is_bilinear(layer: Layer) -> bool:
    """Tell whether a layer without weights is a fixed enlargement, whose weights follow from its shape."""
    param = layer.params.convolution_param
    return layer.type == "Deconvolution" and param.weight_filler.type == "bilinear" and not param.bias_term


def _with_eps(layer: Layer, eps: float | None) -> Layer:
    param = layer.params.batch_norm_param
    if eps is None or np.float32(eps) == np.float32(param.eps):
        return layer
    return replace(layer, params=layer.params.replace(batch_norm_param=param.replace(eps=eps)))
