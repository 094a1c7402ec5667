"""From trained PyTorch weights back to a `Net`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from dongfeng.errors import DongfengWarning, WeightsMismatch
from dongfeng.formats.torch.batch_norm import SUMS, divided
from dongfeng.formats.torch.blocks import RESERVED, Block
from dongfeng.formats.torch.leaves import Leaf, blob_attributes, is_transposed, leaves_of
from dongfeng.formats.torch.state_dict import State, community_names, is_community, plain_state
from dongfeng.layers.base import layer_type
from dongfeng.layers.layer import Array, Layer, Shape, fits, frozen, show
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
        fit = min(fit, _Fit(fold(bare), state), key=lambda fit: len(fit.problems))
    if fit.problems:
        problems = listed(fit.problems, _LISTED, separator="; ")
        raise WeightsMismatch(f"net {template.name!r}: the weights are of another network: {problems}")
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
        names = community_names(plain, ours) if is_community(plain) else {name: name for name in plain}
        self.name_of = {ours: theirs for theirs, ours in names.items()}  # in the state
        self.values = {ours: plain[theirs] for theirs, ours in names.items()}
        known = {*ours, *(slot.leaf.key(_RUNNING[slot.attribute]) for slot in self.slots if slot.attribute in _RUNNING)}
        self.kept, self.problems = self._compared()
        self.problems += [f"unexpected {name}" for name in plain if names.get(name) not in known]

    def _compared(self) -> tuple[list[str], list[str]]:
        """Return the layers that keep the template's weights, and the mismatches of shape and missing names."""
        kept: list[str] = []
        missing: list[str] = []
        mismatched: list[str] = []
        present = {slot.layer.name for slot in self.slots if self._stored(slot) is not None}
        for slot in self.slots:
            if (stored := self._stored(slot)) is None:
                if slot.layer.name not in present and (slot.layer.blobs or _is_bilinear(slot.layer)):
                    if slot.layer.blobs:
                        kept.append(slot.layer.name)
                else:
                    missing.append(f"missing {slot.key}")
                continue
            got = tuple(stored.shape)
            wanted = slot.shape[::-1] if is_transposed(slot.layer) else slot.shape
            if not fits(got, wanted) and (wanted or got != (1,)):  # a blob without axes is one value
                mismatched.append(f"{slot.key} is {show(got)}, the net wants {show(wanted)}")
        return list(dict.fromkeys(kept)), mismatched + missing

    def _stored(self, slot: _Slot) -> Tensor | None:
        """Return the state's values for a slot; None where it has none."""
        if slot.attribute in SUMS and slot.key not in self.values:  # plain PyTorch has no sums
            has_stats = all(slot.leaf.key(name) in self.values for name in _RUNNING.values())
            return self._from_running_stats(slot) if has_stats else None
        return self.values.get(slot.key)

    def _from_running_stats(self, slot: _Slot) -> Tensor:
        """Return a sum of Caffe's BatchNorm as running statistics give it: with a factor of 1."""
        return torch.ones(1) if slot.attribute == "factor" else self.values[slot.leaf.key(_RUNNING[slot.attribute])]

    def net(self, eps: Mapping[str, float]) -> Net:
        """Return the net with the weights; `eps` maps the name of a BatchNorm's variance to its eps."""
        blobs: dict[int, list[Array]] = {}
        eps_of_layer: dict[int, float | None] = {}
        for slot in self.slots:
            if (stored := self._stored(slot)) is not None:
                blob = self._blob(slot, stored)
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

    def _blob(self, slot: _Slot, value: Tensor) -> Array:
        if slot.attribute in SUMS and not self._sums_hold(slot.leaf):
            value = self._from_running_stats(slot)
        array = value.detach().to("cpu", torch.float32).numpy()
        array = array.T if is_transposed(slot.layer) else array
        shape = tuple(dim for dim in slot.shape if dim is not None)
        return frozen(np.array(array.reshape(shape) if len(shape) == len(slot.shape) else array))

    def _sums_hold(self, leaf: Leaf) -> bool:
        """Tell whether the running statistics are those of the sums; where they differ, somebody set them by hand."""
        if not all(leaf.key(name) in self.values for name in SUMS):
            return False
        for total, running in _RUNNING.items():
            if (shown := self.values.get(leaf.key(running))) is None:
                continue
            expected = divided(self.values[leaf.key(total)], self.values[leaf.key("factor")]).to(shown.dtype)
            if not torch.allclose(expected, shown, rtol=4 * torch.finfo(shown.dtype).eps, atol=0.0, equal_nan=True):
                return False
        return True


def _slots(net: Net) -> list[_Slot]:
    """List every weight blob of a net, in order."""
    slots: list[_Slot] = []
    for leaf in leaves_of(net, RESERVED):
        for layer in leaf.layers:
            shapes = leaf.bottom_shapes if layer is leaf.layer else leaf.bottom_shapes[:1]
            wanted = [blob.shape for blob in layer.blobs] or layer_type(layer).blob_shapes(shapes)
            attributes = zip(blob_attributes(layer), wanted, strict=False)
            slots += [_Slot(leaf, layer, attribute, shape) for attribute, shape in attributes]
    return slots


def _is_bilinear(layer: Layer) -> bool:
    """Tell whether a layer without weights is a fixed enlargement, whose weights follow from its shape."""
    param = layer.params.convolution_param
    return layer.type == "Deconvolution" and param.weight_filler.type == "bilinear" and not param.bias_term


def _with_eps(layer: Layer, eps: float | None) -> Layer:
    param = layer.params.batch_norm_param
    if eps is None or np.float32(eps) == np.float32(param.eps):
        return layer
    return replace(layer, params=layer.params.replace(batch_norm_param=param.replace(eps=eps)))
