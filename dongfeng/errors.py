"""Exceptions and warnings of dongfeng.

    DongfengError
      +-- PrototxtError (ValueError)          text of a network file: file, line, column
      +-- CaffemodelError (ValueError)        weight file: truncated, not a caffemodel, inconsistent
      +-- UnsupportedLayer (NotImplementedError)  all unsupported layers of a net at once
      +-- ShapeError (ValueError)             blob shapes that do not fit, or a dynamic input size
      +-- WeightsMismatch (ValueError)        weights of another net
      +-- WeightsUnavailable (OSError)        weights that cannot be fetched: URL and where to put the file
      +-- ImageError (ValueError)             an image that cannot be read or has an unusable form
      +-- BackendUnavailable (RuntimeError)   backend, precision and device that cannot run together here
      +-- EngineMismatch (RuntimeError)       an engine file of another machine or version
      +-- ManifestError (ValueError)          a damaged weights_manifest.json
      +-- UnknownModel (KeyError)             a name that is neither in the zoo nor a file
      +-- ConversionError (ValueError)        a net that the target format cannot hold
      +-- DeviceError (ValueError)            an unknown device, or a damaged profile or report of one
      +-- SearchError (ValueError)            an invalid search space or search
      +-- TrainingDiverged (ArithmeticError)  a training whose loss is no longer finite

    DongfengWarning (UserWarning)             a result that is defined, but perhaps not what was meant

Every message is one line: where, what is wrong (got and expected), what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class DongfengError(Exception):
    """Root of every error that dongfeng raises for something the user can mend."""

    def __str__(self) -> str:
        # KeyError would show the repr of its argument.
        return str(self.args[0]) if self.args else ""


class PrototxtError(DongfengError, ValueError):
    """A prototxt is no Caffe network; carries file, line and column."""

    def __init__(
        self, message: str, *, file: str | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        self.file, self.line, self.column = file, line, column
        where = ":".join(str(part) for part in (file, line, column) if part is not None)
        super().__init__(f"{where}: {message}" if where else message)


class CaffemodelError(DongfengError, ValueError):
    """A weight file is truncated, no caffemodel, or inconsistent."""


class UnsupportedLayer(DongfengError, NotImplementedError):
    """A net has layers that are not supported; `problems` lists all of them, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Problems(list[str]):
    """The problems of layers, collected so that one `UnsupportedLayer` names all of them."""

    @contextmanager
    def collected(self, where: str = "") -> Iterator[None]:
        """Collect the problems of an `UnsupportedLayer` raised in the block, behind their place if there is one."""
        try:
            yield
        except UnsupportedLayer as exc:
            self += [f"{where}: {problem}" if where else problem for problem in exc.problems]

    def refuse(self) -> None:
        """Raise the `UnsupportedLayer` if there are problems."""
        if self:
            raise UnsupportedLayer([*self])


class ShapeError(DongfengError, ValueError):
    """Blob shapes do not fit together, or the input size is dynamic."""


class WeightsMismatch(DongfengError, ValueError):
    """The weights belong to another net."""


class WeightsUnavailable(DongfengError, OSError):
    """Weights are not here and cannot be fetched; the message says where to put the file."""


class ImageError(DongfengError, ValueError):
    """An image cannot be read, or has an unusable form."""


class BackendUnavailable(DongfengError, RuntimeError):
    """A backend, precision and device cannot run together on this machine."""


class EngineMismatch(DongfengError, RuntimeError):
    """An engine file was built for another machine or version."""


class ManifestError(DongfengError, ValueError):
    """The weights manifest is damaged."""


class UnknownModel(DongfengError, KeyError):
    """A name is neither a model of the zoo nor a file."""


class ConversionError(DongfengError, ValueError):
    """The target format cannot hold a net."""


class DeviceError(DongfengError, ValueError):
    """A device is unknown or cannot be measured, or a profile or report of one cannot be read."""


class SearchError(DongfengError, ValueError):
    """A search space, or a search in one, is invalid."""


class TrainingDiverged(DongfengError, ArithmeticError):
    """The loss of a training became NaN or infinite."""


class DongfengWarning(UserWarning):
    """A result is defined, but perhaps not what was meant."""
