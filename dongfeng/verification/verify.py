"""Proof that an ONNX model computes what its Caffe network computes, blob by blob."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dongfeng._version import __version__
from dongfeng.layers.layer import Array
from dongfeng.net.feeds import shaped_like
from dongfeng.net.fold import Counterpart
from dongfeng.net.graph import Net
from dongfeng.verification.compare import BlobComparison
from dongfeng.verification.model_blobs import compute_blobs, copy_of, leave_out_inputs, origins_of
from dongfeng.verification.reference_blobs import input_arrays, interpreted_blobs, read_saved
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
        model: File or model that `to_onnx` gave for it, or for `fold(net)`.
        reference: None: NumPy's computation of Caffe's arithmetic (`dongfeng.reference`), which shares no code with the
            conversion. Or saved blobs by name: an .npz file, a folder of .npy files, one .npy file with the only
            output.
        feeds: Input blob -> array; default: the inputs among the saved blobs, else random ones.
        seed: Seed of the random inputs.
        tolerance: Largest error of a blob that passes, as a fraction of the largest magnitude in the reference.
        folded: Whether the model is that of the folded net; default: derived from the names of its blobs, which leave
            it in doubt only for a model that ends before the first BatchNorm.

    Returns:
        The verdict; `passed` and `first_difference` sum it up.

    Raises:
        ConversionError: the model, the feeds or the saved blobs are not of this net, or cannot be read.
        UnsupportedLayer: the interpreter does not know all layer types; saved blobs are the way out.
        ShapeError: the input size is dynamic and there are no feeds.
    """
    proto = copy_of(model)
    saved = None if reference is None else SavedBlobs(reference, [*net.blobs, *net.aliases.values()], net.outputs)
    arrays = input_arrays(net, feeds, saved, seed)
    leave_out_inputs(proto, net.inputs.keys() - arrays.keys())
    net = shaped_like(net, arrays)
    origins = origins_of(net, proto, folded)
    computed = compute_blobs(proto, origins, arrays)
    if saved is None:
        expected = interpreted_blobs(net, arrays, list(computed))
    else:
        expected = read_saved(saved, net, computed, given=feeds or {})
    return Verdict(
        reference=INTERPRETER if saved is None else saved.path.name,
        seed=seed if saved is None and feeds is None else None,
        tolerance=tolerance,
        inputs={blob: array.shape for blob, array in arrays.items()},
        versions=_versions(),
        blobs=tuple(_blob_errors(BlobComparison(net, arrays, computed, tolerance), expected, origins)),
        not_compared=tuple(
            name for name, origin in origins.items() if origin.blob in computed.keys() - expected.keys()
        ),
    )


def _blob_errors(
    comparison: BlobComparison, expected: Mapping[str, Array], origins: Mapping[str, Counterpart]
) -> Iterator[BlobError]:
    """Compare the blobs that model and reference both have, in the net's order."""
    names = {origin.blob: (name, origin.layer) for name, origin in origins.items()}
    for index, layer in enumerate(comparison.net.layers):
        for top in layer.tops:
            if top not in expected or top not in comparison.computed:
                continue
            name, folded_layer = names[top]
            producer = folded_layer or layer
            yield BlobError(
                blob=name,
                reference_blob=top,
                layer=producer.name,
                type=producer.type,
                line=producer.line,
                shape=comparison.computed[top].shape,
                **asdict(comparison.judge(index, top, expected[top])),
            )


def _versions() -> dict[str, str]:
    import onnx
    import onnxruntime

    return {"dongfeng": __version__, **{each.__name__: each.__version__ for each in (np, onnx, onnxruntime)}}
