"""Every exception and warning a user of dongfeng can meet.

    DongfengError
      +-- PrototxtError (ValueError)          text of a network file: file, line, column
      +-- CaffemodelError (ValueError)        weight file: truncated, not a caffemodel, inconsistent
      +-- UnsupportedLayer (NotImplementedError)  all layers of a net that cannot be expressed, at once
      +-- ShapeError (ValueError)             blob shapes that do not fit, or an input size that is open
      +-- WeightsMismatch (ValueError)        weights that are not of this net
      +-- WeightsUnavailable (OSError)        weights that cannot be had: URL and where to put the file
      +-- ImageError (ValueError)             an image that cannot be read or has an unusable form
      +-- BackendUnavailable (RuntimeError)   backend, precision and device that cannot run together here
      +-- EngineMismatch (RuntimeError)       an engine file that does not fit this machine
      +-- ManifestError (ValueError)          weights_manifest.json is damaged
      +-- UnknownModel (KeyError)             no such name in the zoo
      +-- ConversionError (ValueError)        a net that the target format cannot hold
      +-- DeviceError (ValueError)            an unknown device, or a profile or report that cannot be read
      +-- SearchError (ValueError)            a search space or a search that cannot be
      +-- TrainingDiverged (ArithmeticError)  a training whose loss is no longer finite

    DongfengWarning (UserWarning)             the result is defined, but perhaps not what was meant

Every message is one line: where, what is wrong (got and expected), what to do.
"""

from __future__ import annotations


class DongfengError(Exception):
    """Root of every error that dongfeng raises for something the user can mend."""

    def __str__(self) -> str:
        # KeyError would show the repr of its argument.
        return str(self.args[0]) if self.args else ""


class PrototxtError(DongfengError, ValueError):
    """A prototxt that cannot be read as a Caffe network."""

    def __init__(
        self, message: str, *, file: str | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        self.file, self.line, self.column = file, line, column
        where = ":".join(str(part) for part in (file, line, column) if part is not None)
        super().__init__(f"{where}: {message}" if where else message)


class CaffemodelError(DongfengError, ValueError):
    """A weight file that cannot be read."""


class UnsupportedLayer(DongfengError, NotImplementedError):
    """Layers that dongfeng cannot express; `problems` lists all of a net's, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class ShapeError(DongfengError, ValueError):
    """Blob shapes that do not fit together, or an input whose size is still dynamic."""


class WeightsMismatch(DongfengError, ValueError):
    """Weights that do not belong to the net they were given for."""


class WeightsUnavailable(DongfengError, OSError):
    """Weights that are not here and could not be fetched; the message says where to put the file."""


class ImageError(DongfengError, ValueError):
    """An image that cannot be read."""


class BackendUnavailable(DongfengError, RuntimeError):
    """A backend, precision and device that cannot run together on this machine."""


class EngineMismatch(DongfengError, RuntimeError):
    """An engine file that does not fit this machine."""


class ManifestError(DongfengError, ValueError):
    """The weights manifest is damaged."""


class UnknownModel(DongfengError, KeyError):
    """A name that is neither a model of the zoo nor a file."""


class ConversionError(DongfengError, ValueError):
    """A net that the target format cannot hold."""


class DeviceError(DongfengError, ValueError):
    """A device that is not known or cannot be measured, or a profile or report of one that cannot be read."""


class SearchError(DongfengError, ValueError):
    """A search space, or a search in one, that is not well defined."""


class TrainingDiverged(DongfengError, ArithmeticError):
    """A training whose loss became NaN or infinite."""


class DongfengWarning(UserWarning):
    """The result is defined, but perhaps not what was meant."""
