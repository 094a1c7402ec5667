"""Proof that an ONNX model computes what its Caffe network computes, blob by blob."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dongfeng._version import __version__
from dongfeng.errors import ConversionError, UnsupportedLayer
from dongfeng.layers.layer import Array, Layer, show
from dongfeng.net.feeds import feed_arrays, random_feeds, shaped_like
from dongfeng.net.fold import folded_blobs
from dongfeng.net.graph import Net
from dongfeng.verification.compare import Comparison
from dongfeng.verification.saved_blobs import SavedBlobs
from dongfeng.verification.verdict import BlobError, Verdict, store_verdict

if TYPE_CHECKING:
    import onnx

__all__ = ["BlobError", "Verdict", "store_verdict", "verify"]

INTERPRETER = "numpy interpreter"


def verify(
    net: Net,
    model: str | PathLike[str] | onnx.ModelProto,
    reference: str | PathLike[str] | None = None,
    *,
    feeds: Mapping[str, npt.ArrayLike] | None = None,
    seed: int = 0,
    tolerance: float = 1e-5,
    folded: bool | None = None,
) -> Verdict:
    """Run a converted model on ONNX Runtime's CPU provider and compare every blob with a reference.

    What runs is a copy of the model in which every blob is an output.

    Args:
        net: The net as it was read, not folded.
        model: What `to_onnx` made of it, or of `fold(net)`: a file or a model.
        reference: None: NumPy's computation of Caffe's arithmetic (`dongfeng.reference`), which shares no code with the
            conversion. Or saved blobs by name: an .npz file, a folder of .npy files, one .npy file with the only
            output.
        feeds: Input blob -> array; default: the inputs among the saved blobs, else drawn from `seed`.
        seed: Of the drawn inputs.
        tolerance: Largest error of a blob that passes, as a fraction of the largest magnitude in the reference.
        folded: Whether the model was made of the folded net; default: as the names of its blobs tell, which is in
            doubt only for a model that ends before the first BatchNorm.

    Returns:
        The verdict; `passed` and `first_difference` sum it up.

    Raises:
        ConversionError: the model, the feeds or the saved blobs are not of this net, or cannot be read.
        UnsupportedLayer: the interpreter does not know all layer types; saved blobs are the way out.
        ShapeError: the input size is dynamic and there are no feeds.
    """
    proto = _copy(model)
    saved = None if reference is None else _open(net, reference)
    arrays = _inputs(net, feeds, saved, seed)
    net = shaped_like(net, arrays)
    origins = _origins(net, proto, folded)
    computed = _compute(proto, origins, arrays)
    expected = _interpreted(net, arrays, list(computed)) if saved is None else _read(saved, net, computed, feeds or {})
    return Verdict(
        reference=INTERPRETER if saved is None else saved.path.name,
        seed=seed if saved is None and feeds is None else None,
        tolerance=tolerance,
        inputs={blob: array.shape for blob, array in arrays.items()},
        versions=_versions(),
        blobs=tuple(_judged(Comparison(net, arrays, computed, tolerance), expected, origins)),
        not_compared=tuple(
            name for name, origin in origins.items() if origin.blob in computed.keys() - expected.keys()
        ),
    )


def _judged(
    comparison: Comparison, expected: Mapping[str, Array], origins: Mapping[str, _Origin]
) -> Iterator[BlobError]:
    """One entry for each blob that both have, in the net's order."""
    names = {origin.blob: (name, origin.layer) for name, origin in origins.items()}
    for index, layer in enumerate(comparison.net.layers):
        for top in layer.tops:
            if top not in expected or top not in comparison.computed:
                continue
            name, maker = names[top]
            by = maker or layer
            found = comparison.judge(index, top, expected[top])
            shape = comparison.computed[top].shape
            yield BlobError(name, top, by.name, by.type, by.line, shape, **asdict(found))


# ---- the model ---------------------------------------------------------------------------------------------------


def _copy(model: str | PathLike[str] | onnx.ModelProto) -> onnx.ModelProto:
    """The model, or that of a file, to be changed at will.

    Raises:
        ConversionError: the file is no ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if isinstance(model, onnx.ModelProto):
        proto = onnx.ModelProto()
        proto.CopyFrom(model)
        return proto
    try:
        proto = onnx.load_model(model)
    except DecodeError as exc:
        raise ConversionError(f"{model}: not an ONNX model") from exc
    if not proto.graph.node:
        raise ConversionError(f"{model}: not an ONNX model, or one without nodes")
    return proto


@dataclass(frozen=True)
class _Origin:
    """Where a blob of the model comes from: the net's blob with the same values, and the layer that makes it."""

    blob: str
    layer: Layer | None


def _origins(net: Net, model: onnx.ModelProto, folded: bool | None) -> dict[str, _Origin]:
    """Blob of the model -> what it is in the net, in the net's order.

    Raises:
        ConversionError: the model is another net's.
    """
    made = {name for node in model.graph.node for name in node.output}
    plain = {blob: _Origin(blob, None) for blob in net.inputs}
    plain.update({top: _Origin(top, layer) for layer in net.layers for top in layer.tops})
    with_folded = {name: _Origin(blob, layer) for name, (blob, layer) in folded_blobs(net).items()}
    if folded is None:
        folded = made.isdisjoint(plain.keys() - with_folded.keys())
    blobs = with_folded if folded else plain
    inputs = {value.name for value in model.graph.input}
    if not inputs <= {name for name, origin in blobs.items() if origin.layer is None}:
        raise ConversionError(f"the model's inputs are {sorted(inputs)}, the net's {sorted(net.inputs)}")
    if made.isdisjoint(name for name, origin in blobs.items() if origin.layer is not None):
        raise ConversionError(f"the model computes no blob of the net {net.name!r}")
    return {name: origin for name, origin in blobs.items() if origin.layer is None or name in made}


def _compute(model: onnx.ModelProto, origins: Mapping[str, _Origin], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Blob of the net -> what the model computes, for all that it does; the model's outputs are changed."""
    import onnxruntime
    from onnx import helper

    names = [name for name, origin in origins.items() if origin.layer is not None]
    feeds = {value.name: arrays[origins[value.name].blob] for value in model.graph.input}
    known = {value.name: value for value in (*model.graph.output, *model.graph.value_info)}
    outputs = [known.get(name) or helper.make_empty_tensor_value_info(name) for name in names]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
        )
        values = session.run(names, feeds)
    except Exception as exc:  # ONNX Runtime's exceptions have no base class of their own
        raise ConversionError(f"ONNX Runtime cannot run the model: {' '.join(str(exc).split())}") from exc
    return {origins[name].blob: np.asarray(value, np.float32) for name, value in zip(names, values, strict=True)}


# ---- the reference -----------------------------------------------------------------------------------------------


def _interpreted(net: Net, arrays: Mapping[str, Array], blobs: Sequence[str]) -> dict[str, Array]:
    """What NumPy computes.

    Raises:
        UnsupportedLayer: it does not know all layer types.
    """
    from dongfeng import reference

    unknown = [layer.where for layer in net.layers if layer.type not in reference.supported_types()]
    if unknown:
        way_out = "teach it (docs/own-layers.md), or verify against saved blobs"
        raise UnsupportedLayer(
            [f"{where}: the NumPy interpreter does not know this type; {way_out}" for where in unknown]
        )
    return reference.run(net, arrays, blobs)


def _open(net: Net, path: str | PathLike[str]) -> SavedBlobs:
    blobs = [*net.inputs, *net.aliases.values(), *(top for layer in net.layers for top in layer.tops)]
    return SavedBlobs(path, dict.fromkeys(blobs), net.outputs)


def _read(
    saved: SavedBlobs, net: Net, computed: Mapping[str, Array], feeds: Mapping[str, npt.ArrayLike]
) -> dict[str, Array]:
    """What was saved of the blobs that the model computes.

    Raises:
        ConversionError: nothing, or a blob has another shape.
    """
    # An input that a layer overwrites: what is saved under its name is the input, unless that was given.
    inputs = {net.aliases.get(blob, blob) for blob in net.inputs} - feeds.keys()
    found = {blob: saved.read(blob) for blob in computed if blob in saved and blob not in inputs}
    if not found:
        raise ConversionError(f"{saved.path}: has no blob that the model computes, such as {_listed(list(computed))}")
    types = {top: layer.type for layer in net.layers for top in layer.tops}
    for blob, array in found.items():
        got = computed[blob].shape
        if array.shape != got and types[blob] != "DetectionOutput":  # whose number of rows depends on the data
            raise ConversionError(
                f'{saved.path}: blob "{blob}" is {show(array.shape)}, the model computes {show(got)}; '
                "is it of this net, and at this size?"
            )
    return found


def _inputs(
    net: Net, feeds: Mapping[str, npt.ArrayLike] | None, saved: SavedBlobs | None, seed: int
) -> dict[str, Array]:
    """Values of the inputs: given, saved or drawn."""
    if saved is None:
        return random_feeds(net, seed) if feeds is None else feed_arrays(net, feeds)
    given = dict(feeds or {})
    for blob in net.inputs:
        public = net.aliases.get(blob, blob)
        if blob in given or public in given:
            continue
        if public not in saved:
            raise ConversionError(f'{saved.path}: has no input "{public}", so nothing can be compared; save it too')
        given[blob] = saved.read(public)
    return feed_arrays(net, given)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _versions() -> dict[str, str]:
    import onnx
    import onnxruntime

    return {
        "dongfeng": __version__,
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
