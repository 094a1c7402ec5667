"""In-place layers: from Caffe's form, where a layer may overwrite its bottom, to one producer for each blob, and back.

In a Caffe file `conv1 -> BatchNorm -> Scale -> ReLU` may use one blob name throughout. Here every version of a blob
has a name of its own: the last keeps the name of the file, earlier ones are called `name@0`, `name@1`, ...
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dongfeng.errors import PrototxtError
from dongfeng.layers.layer import Layer

_Version = tuple[str, int]  # the blob's name in the file, and how often it has been overwritten before


def rename_inplace(
    layers: Sequence[Layer], inputs: Iterable[str], *, source: str | None = None
) -> tuple[list[Layer], dict[str, str]]:
    """Give every version of a blob a name of its own.

    A bottom without an earlier producer keeps its name; `Net` refuses it.

    Args:
        layers: Layers as the file has them, in order.
        inputs: Names of the net's input blobs. One that is overwritten is renamed as well: see `first_version`.
        source: File name for error messages.

    Returns:
        The renamed layers, and private name -> name in the file, in the order of the versions.

    Raises:
        PrototxtError: two layers write one blob and the second is not in place, or it is but the blob it overwrites
            has another reader.

    Source: caffe/src/caffe/util/insert_splits.cpp and net.cpp, Net::AppendTop: a blob with several readers is split,
        so that only a bottom of the same index that nobody else reads is still the blob itself.
    """
    numbering = _Numbering(source, dict.fromkeys(inputs, 0))
    bottoms, tops = zip(*(numbering.visit(layer) for layer in layers), strict=True) if layers else ((), ())
    names, aliases = numbering.names(taken={blob for layer in layers for blob in layer.bottoms})
    unique = [
        replace(
            layer,
            bottoms=tuple(names.get(version, version[0]) for version in layer_bottoms),
            tops=tuple(names[version] for version in layer_tops),
        )
        for layer, layer_bottoms, layer_tops in zip(layers, bottoms, tops, strict=True)
    ]
    return unique, aliases


def first_version(blob: str, aliases: Mapping[str, str]) -> str:
    """Return the name that `rename_inplace` gave to the first version of a blob, such as an input's."""
    return next((private for private, name in aliases.items() if name == blob), blob)


def restore_inplace(layers: Sequence[Layer], aliases: Mapping[str, str]) -> list[Layer]:
    """Return the in-place form of `layers`: the inverse of `rename_inplace`.

    A private name stays where the in-place form would mean something else: the blob has several readers, or its
    reader does not write the next version of it at the same index.
    """
    readers = Counter(blob for layer in layers for blob in layer.bottoms)
    names: dict[str, str] = {}
    for layer in reversed(layers):  # the names of a layer's tops decide those of its bottoms
        for bottom, top in zip(layer.bottoms, layer.tops, strict=False):
            if readers[bottom] == 1 and aliases.get(bottom) == names.get(top, top):
                names[bottom] = aliases[bottom]
    return [renamed(layer, names) for layer in layers]


def renamed(layer: Layer, names: Mapping[str, str]) -> Layer:
    """Return the layer with other names for its blobs; those that `names` lacks stay."""
    bottoms, tops = (tuple(names.get(blob, blob) for blob in blobs) for blobs in (layer.bottoms, layer.tops))
    return replace(layer, bottoms=bottoms, tops=tops)


@dataclass
class _Numbering:
    """Numbers the versions of each blob, layer by layer."""

    source: str | None
    latest: dict[str, int]
    readers: dict[_Version, list[str]] = field(default_factory=lambda: defaultdict(list))

    def visit(self, layer: Layer) -> tuple[list[_Version], list[_Version]]:
        """Return the versions that a layer reads and writes."""
        bottoms = [(blob, self.latest.get(blob, 0)) for blob in layer.bottoms]
        for version in bottoms:
            self.readers[version].append(layer.name)
        for index, top in enumerate(layer.tops):
            if top not in self.latest:
                self.latest[top] = 0
                continue
            if layer.bottoms[index : index + 1] != (top,):
                raise self._error(layer, f'top "{top}" is made by two layers; give each a name of its own')
            others = [f'"{name}"' for name in self.readers[bottoms[index]] if name != layer.name]
            if len(self.readers[bottoms[index]]) > 1:
                raise self._error(
                    layer,
                    f'top "{top}" cannot be computed in place, for it is read more than once'
                    f" (by {', '.join(others) or 'this layer'}); give the top a name of its own",
                )
            self.latest[top] += 1
        return bottoms, [(top, self.latest[top]) for top in layer.tops]

    def names(self, taken: set[str]) -> tuple[dict[_Version, str], dict[str, str]]:
        """Return a name for every version, and private name -> name in the file."""
        taken = taken | self.latest.keys()
        names: dict[_Version, str] = {}
        aliases: dict[str, str] = {}
        for blob, latest in self.latest.items():
            for number in range(latest):
                private = f"{blob}@{number}"
                while private in taken:
                    private += "@"
                taken.add(private)
                names[blob, number] = private
                aliases[private] = blob
            names[blob, latest] = blob
        return names, aliases

    def _error(self, layer: Layer, problem: str) -> PrototxtError:
        return PrototxtError(f'layer "{layer.name}" ({layer.type}): {problem}', file=self.source, line=layer.line)
