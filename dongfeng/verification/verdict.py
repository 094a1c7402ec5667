"""`Verdict`: the comparison of a converted model with a reference, blob by blob, and its place in the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

from dongfeng.errors import ConversionError
from dongfeng.support.files import replacing
from dongfeng.support.json_dataclass import as_json
from dongfeng.verification.compare import Difference

if TYPE_CHECKING:
    import onnx

METADATA_VERDICT = "dongfeng.verdict"


@dataclass(frozen=True, kw_only=True)
class ComparedBlob:
    """A blob of a model that is compared, and the layer that computes it.

    Attributes:
        blob: Its name in the model.
        reference_blob: Its name in the net and the reference: another one where layers were folded.
        layer: Name of the layer that computes it.
        type: That layer's type.
        line: Line of the prototxt the layer begins at, where there is one.
        shape: Its shape.
    """

    blob: str
    reference_blob: str
    layer: str
    type: str
    line: int | None
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class BlobError(Difference, ComparedBlob):
    """How far one blob of a model is from the reference, and the layer that computes it."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The comparison of a model with a reference.

    Attributes:
        reference: "numpy interpreter", or the name of the file with saved blobs.
        seed: Seed of the random input; None where the input was given.
        tolerance: Largest relative error that passes.
        inputs: Shape of each input.
        versions: Version of each package that took part.
        not_compared: Blobs that the model has and the reference has not.
        blobs: One entry for each blob compared, in the net's order.
    """

    reference: str
    seed: int | None
    tolerance: float
    inputs: Mapping[str, tuple[int, ...]]
    versions: Mapping[str, str]
    not_compared: tuple[str, ...] = ()
    blobs: tuple[BlobError, ...]

    @property
    def passed(self) -> bool:
        """Whether every layer is right."""
        return all(blob.passed for blob in self.blobs)

    @property
    def first_difference(self) -> BlobError | None:
        """The first blob in the net's order whose layer is not right."""
        return next((blob for blob in self.blobs if not blob.passed), None)

    @property
    def worst(self) -> BlobError | None:
        """The blob with the largest relative error; None where no error could be computed."""
        measured = (blob for blob in self.blobs if blob.max_rel_error is not None)
        return max(measured, key=lambda blob: blob.max_rel_error or 0.0, default=None)

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Return headings and rows, one for each blob: numbers are floats, None where there is none."""
        columns = ["blob", "layer", "type", "max abs error", "max rel error", "result"]
        rows: list[list[object]] = [
            [blob.blob, blob.layer, blob.type, blob.max_abs_error, blob.max_rel_error, blob.result]
            for blob in self.blobs
        ]
        return columns, rows

    def as_dict(self) -> dict[str, object]:
        """Return everything as plain data for JSON."""
        return {"passed": self.passed, "first_difference": as_json(self.first_difference), **as_json(self)}


class VerificationFailed(ConversionError):
    """A converted model that does not compute what the net does.

    Attributes:
        verdict: The comparison.
    """

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


def store_verdict(model: str | PathLike[str] | onnx.ModelProto, verdict: Verdict) -> None:
    """Put a verdict into the metadata of a model, under `dongfeng.verdict`, in place of an earlier one.

    Args:
        model: An ONNX file, which is replaced whole or not at all; or a model, which is changed.
        verdict: The verdict.

    Raises:
        OSError: the file cannot be read or written.
    """
    import onnx

    proto = model if isinstance(model, onnx.ModelProto) else onnx.load_model(model)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    metadata[METADATA_VERDICT] = json.dumps(verdict.as_dict(), allow_nan=False)
    onnx.helper.set_model_props(proto, metadata)
    if not isinstance(model, onnx.ModelProto):
        with replacing(model) as temporary:
            onnx.save_model(proto, temporary)
