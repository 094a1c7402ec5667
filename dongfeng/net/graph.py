"""`Net`, the one graph type that reading, converting, costing and searching pass to each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from dongfeng.errors import PrototxtError, ShapeError
from dongfeng.layers.infer import LayerCost, costs, infer_shapes
from dongfeng.layers.inplace import first_version, rename_inplace, restore_inplace
from dongfeng.layers.layer import Layer, Shape, show
from dongfeng.net.preprocessing import Preprocessing

__all__ = ["Layer", "LayerCost", "Net", "Shape"]


@dataclass(frozen=True, eq=False)
class Net:
    """An immutable Caffe network: inputs, layers in order, and what is known about its input.

    Each blob has one producer. Where Caffe works in place, the last version keeps the blob's name and earlier ones
    carry private names; `aliases` maps those back to the name in the file, so that the in-place form can be written.

    Attributes:
        name: The network's name in its file.
        inputs: Input blob -> shape, None where a dimension is dynamic (batch is 1 for data layers).
        layers: The layers, in the file's order; data layers are `inputs` instead.
        preprocessing: Input arithmetic kept from a data layer's transform_param, if there was one.
        aliases: Private blob name -> the blob's name in the file.
        source: File the net was read from, for messages.
    """

    name: str
    inputs: Mapping[str, Shape]
    layers: tuple[Layer, ...]
    preprocessing: Preprocessing | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", MappingProxyType({k: tuple(v) for k, v in self.inputs.items()}))
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "aliases", MappingProxyType(dict(self.aliases)))
        _check_wiring(self)

    @classmethod
    def from_inplace(
        cls,
        name: str,
        inputs: Mapping[str, Shape],
        layers: Sequence[Layer],
        *,
        preprocessing: Preprocessing | None = None,
        source: str | None = None,
    ) -> Net:
        """Build a net from layers in Caffe's form, where a layer may overwrite its bottom.

        Raises:
            PrototxtError: two layers write one blob, or one overwrites a blob that another reads.
        """
        renamed, aliases = rename_inplace(layers, inputs, source=source)
        inputs = {first_version(blob, aliases): shape for blob, shape in inputs.items()}
        return cls(name, inputs, tuple(renamed), preprocessing, aliases, source)

    def inplace_layers(self) -> list[Layer]:
        """Return the layers with the blob names of Caffe's in-place form."""
        return restore_inplace(self.layers, self.aliases)

    def inplace_inputs(self) -> dict[str, Shape]:
        """Return the inputs under their names in Caffe's in-place form."""
        return {self.aliases.get(blob, blob): shape for blob, shape in self.inputs.items()}

    @property
    def blobs(self) -> tuple[str, ...]:
        """All blobs: the inputs, then each layer's tops."""
        return *self.inputs, *(top for layer in self.layers for top in layer.tops)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Blobs nobody reads, in byte order of their names, as Caffe lists them."""
        read = {bottom for layer in self.layers for bottom in layer.bottoms}
        return tuple(sorted((blob for blob in self.blobs if blob not in read), key=str.encode))

    @property
    def is_dynamic(self) -> bool:
        """Whether some input dimension is not known yet."""
        return any(dim is None for shape in self.inputs.values() for dim in shape)

    def layer(self, name: str) -> Layer:
        """Return the first layer of that name.

        Raises:
            KeyError: there is none.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def with_layers(self, layers: Iterable[Layer]) -> Net:
        """Return the same net with other layers; aliases of blobs that are gone are dropped."""
        layers = tuple(layers)
        written = {*self.inputs, *(top for layer in layers for top in layer.tops)}
        return replace(self, layers=layers, aliases={k: v for k, v in self.aliases.items() if k in written})

    def resize(self, height: int, width: int) -> Net:
        """Return the same net for another input size.

        Interp layers of fixed size follow the blobs they are concatenated or added with; those that stand alone
        scale with the input.

        Raises:
            ShapeError: the network does not fit that size; the message names the nearest one that does.
        """
        from dongfeng.layers.resize import resized  # only here: most nets are never resized

        inputs, layers = resized(self.inputs, self.layers, height, width)
        return replace(self, inputs=inputs, layers=tuple(layers))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Infer the shape of every blob.

        Raises:
            ShapeError: the input size is dynamic (use `resize`), or blobs do not fit together.
        """
        self._require_size("shapes()")
        shapes = infer_shapes(self.inputs, self.layers)
        # A dimension that depends on the data, such as the number of detections, is 1, as in Caffe before it has run.
        return {blob: tuple(1 if dim is None else dim for dim in shape) for blob, shape in shapes.items()}

    def cost(self) -> list[LayerCost]:
        """Compute multiply-accumulates, parameters and bytes of every layer, fp32, batch 1.

        Raises:
            ShapeError: the input size is dynamic (use `resize`), or blobs do not fit together.
        """
        self._require_size("cost()")
        inputs = {blob: (1, *shape[1:]) for blob, shape in self.inputs.items()}
        return costs(inputs, self.layers)

    def _require_size(self, what: str) -> None:
        if self.is_dynamic:
            listed = ", ".join(f"{blob} {show(shape)}" for blob, shape in self.inputs.items())
            raise ShapeError(f"{what}: the input size of this net is open ({listed}); use net.resize(height, width)")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Net):
            return NotImplemented
        mine = (self.inputs, self.aliases, self.preprocessing, self.layers)
        return mine == (other.inputs, other.aliases, other.preprocessing, other.layers)

    def __hash__(self) -> int:
        return hash((tuple(self.inputs), self.layers))

    def __repr__(self) -> str:
        return f"Net({self.name!r}, {len(self.layers)} layers, {dict(self.inputs)} -> {list(self.outputs)})"


def _check_wiring(net: Net) -> None:
    """Refuse a bottom without an earlier producer, and a blob with two."""
    written = set(net.inputs)
    for layer in net.layers:
        problems = [f'bottom "{blob}" is made by no earlier layer' for blob in layer.bottoms if blob not in written]
        for top in layer.tops:
            if top in written:
                problems.append(f'top "{top}" is made by two layers')
            written.add(top)
        if problems:
            problem = f'layer "{layer.name}" ({layer.type}): {problems[0]}'
            raise PrototxtError(problem, file=net.source, line=layer.line)
