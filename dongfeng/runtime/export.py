"""A network as ONNX, with all that its file has to say: the one way by which this package makes such files."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from dongfeng.errors import ConversionError
from dongfeng.formats.onnx import to_onnx
from dongfeng.formats.versions import OPSET
from dongfeng.net.cut import cut
from dongfeng.net.fold import fold
from dongfeng.net.score_blob import find_score_blob
from dongfeng.runtime.spec import FileSpec, to_metadata

if TYPE_CHECKING:
    import onnx

    from dongfeng.net.graph import Net


def export_onnx(
    net: Net,
    spec: FileSpec,
    *,
    opset: int = OPSET,
    outputs: Sequence[str] | Literal["scores", "all"] = "scores",
    dynamic: bool | Literal["batch"] = False,
    folded: bool = True,
) -> onnx.ModelProto:
    """Fold a net, find its scores, and make it ONNX with the metadata that `dongfeng.load` runs it by.

    Args:
        net: The net with its weights.
        spec: What is known of running it on images.
        opset: ONNX opset.
        outputs: Names of the outputs; "scores": the scores alone, without what only turns them into labels; "all":
            the net's own outputs.
        dynamic: See `dongfeng.to_onnx`.
        folded: Fold BatchNorm and Scale into the layers before them.

    Raises:
        ConversionError: the net's scores are wanted and cannot be found, or an output is not a blob of the net.
    """
    net = fold(net) if folded else net
    spec = complete_spec(net, spec, needs_scores=outputs == "scores")
    if outputs == "scores":
        wanted = [str(spec.score_blob)]
    elif outputs == "all":
        wanted = None
    else:
        wanted = list(outputs)
        if spec.score_blob not in wanted:
            spec = replace(spec, score_blob=None)
    return to_onnx(net, opset=opset, outputs=wanted, dynamic=dynamic, metadata=to_metadata(spec))


def complete_spec(net: Net, spec: FileSpec, *, needs_scores: bool = True) -> FileSpec:
    """Return a specification with the net's own preprocessing and score blob where it does not say them.

    Args:
        net: The net as it is written.
        spec: What is known.
        needs_scores: Whether a net without one score blob is an error; else `score_blob` stays None.

    Raises:
        ConversionError: the net has no one score blob.
    """
    score_blob = spec.score_blob if spec.score_blob in net.blobs else None
    if score_blob is None:
        with contextlib.nullcontext() if needs_scores else contextlib.suppress(ConversionError):
            score_blob = find_score_blob(net)
    return replace(spec, preprocessing=spec.preprocessing or net.preprocessing, score_blob=score_blob)


def scored_net(net: Net) -> Net:
    """Return the net as `export_onnx` writes it: folded, down to its scores."""
    net = fold(net)
    return cut(net, [find_score_blob(net)])
