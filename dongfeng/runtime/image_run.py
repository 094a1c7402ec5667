"""Run a model over images, one after the other; an image that cannot be read stops no other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar, cast

from dongfeng.errors import ImageError
from dongfeng.runtime.inputs import Failure
from dongfeng.runtime.model_choice import ModelChoice
from dongfeng.runtime.run_progress import RunProgress

if TYPE_CHECKING:
    from dongfeng.runtime.model import Model


class ImageFile(Protocol):
    """Anything with the path of an image."""

    @property
    def path(self) -> Path:
        """The file."""


ImageT = TypeVar("ImageT", bound=ImageFile)
Result = TypeVar("Result")
Row = TypeVar("Row")


class ImageRun(ABC, Generic[ImageT, Result, Row]):
    """A run of a model over images; a subclass uses each result.

    Attributes:
        choice: The model.
        rows: A row for each image that is done, in order.
        failures: The images that failed, in order.
        interrupted: Whether the caller ended the run before its last image.
    """

    name: ClassVar[str]  # of the run, for its progress
    task: ClassVar[str]  # of the model
    otherwise: ClassVar[str]  # the command that takes a model for the other task

    def __init__(self, choice: ModelChoice) -> None:
        self.choice = choice
        self.rows: list[Row] = []
        self.failures: list[Failure] = []
        self.interrupted = False

    @abstractmethod
    def row(self, image: ImageT, result: Result) -> Row:
        """Use the result of an image, and return its row."""

    def check(self, model: Model) -> None:
        """Check that the model has the classes of the images.

        Raises:
            DongfengError: it has others.
        """

    def begin(self) -> None:
        """Prepare for the first image, once the model is loaded."""

    def finish(self, image: ImageT) -> None:
        """Use an image whose row is known, whether from a result or from an earlier run."""

    def run(
        self, images: Sequence[ImageT], progress: RunProgress[Row | Failure], done: Mapping[ImageT, Row] | None = None
    ) -> None:
        """Run the model over the images, and collect `rows` and `failures`.

        Args:
            images: The images.
            progress: Follows the run.
            done: The rows of images that need no model; it is not loaded where all are such.

        Raises:
            DongfengError: the model cannot be loaded, or is for something else.
        """
        done = done or {}
        with self._results([image.path for image in images if image not in done]) as results:
            self.begin()
            progress.start(self.name, len(images), "image")
            for image in images:
                if progress.should_stop():
                    self.interrupted = True
                    return
                try:
                    row = done[image] if image in done else self.row(image, next(results))
                except ImageError as error:
                    self.failures.append(Failure(str(image.path), str(error)))
                    progress.step(self.failures[-1])
                else:
                    self.finish(image)
                    self.rows.append(row)
                    progress.step(row)

    @contextmanager
    def _results(self, paths: Sequence[Path]) -> Iterator[Iterator[Result]]:
        """Open the model and stream the images; no model is loaded for none."""
        if not paths:
            yield iter(())
            return
        with self.choice.open(self.task, count=len(paths), otherwise=self.otherwise) as model:
            self.check(model)
            with closing(model.stream(paths)) as results:
                yield cast("Iterator[Result]", results)  # the model's task, which was checked, decides their class
