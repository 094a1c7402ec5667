"""Lets a caller follow a long run over images, and end it early."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

Item_contra = TypeVar("Item_contra", contravariant=True)


class RunProgress(Generic[Item_contra]):
    """Follows a run and does nothing; subclasses override some of its methods.

    All methods are called in the thread of the run.

    Example:
        >>> class Names(RunProgress[object]):
        ...     def step(self, item: object) -> None:
        ...         print(item)
    """

    def start(self, name: str, total: int | None, unit: Literal["image", "frame"]) -> None:
        """Take note that the model is loaded and work begins.

        Args:
            name: Name of the work or of the video, such as "segmentation" or "drive.mp4".
            total: Number of steps that follow; None where it is not known.
            unit: The unit of the steps.
        """

    def step(self, item: Item_contra) -> None:
        """Take note of one image or frame that is done, or of an image that failed."""

    def should_stop(self) -> bool:
        """Tell whether to end the run now; asked before each image or frame."""
        return False
