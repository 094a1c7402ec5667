"""The files that a run over Cityscapes writes, and those that an earlier run has left to go on from.

`OUT/label_ids/SPLIT/CITY/*_leftImg8bit.png` is what the test server takes, packed as a zip; pictures have folders of
their own beside it, because the server wants exactly one PNG per image. `OUT/run.json` says what made the files, so
that a run never goes on with another model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dongfeng.datasets.cityscapes_folder import Frame
from dongfeng.datasets.label_png import png_form, whole_png_form
from dongfeng.errors import DongfengError
from dongfeng.support.files import remove_leftovers, write_whole
from dongfeng.support.strict_json import JsonFormat

Kind = Literal["label_ids", "color", "overlay"]
LABEL_IDS: Kind = "label_ids"
KINDS: tuple[Kind, ...] = (LABEL_IDS, "color", "overlay")

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Outputs:
    """The outputs of one split.

    Attributes:
        folder: Where everything goes.
        split: Such as "val".
        kinds: What is written for each image, of `KINDS`.
    """

    folder: Path
    split: str
    kinds: tuple[Kind, ...]

    def path(self, frame: Frame, kind: Kind) -> Path:
        """Return the file of one frame."""
        return self.folder / kind / self.split / frame.city / frame.path.name

    def done(self, frames: Sequence[Frame], settings: Settings) -> set[Frame]:
        """Return the frames whose outputs are all there, whole and of the right form.

        Args:
            frames: The frames in question.
            settings: Model, weights and whatever else decides the outputs, as plain JSON.

        Raises:
            DongfengError: the files in the folder are those of other settings, or their record is damaged.
        """
        recorded = self._recorded()
        if recorded is not None and recorded != settings:
            keys = [key for key in {**recorded, **settings} if recorded.get(key) != settings.get(key)]
            raise DongfengError(
                f"{self.folder}: was made with {_show(recorded, keys)}, this run has {_show(settings, keys)}; {_ADVICE}"
            )
        return {frame for frame in frames if all(self._is_done(frame, kind) for kind in self.kinds)}

    def begin(self, frames: Sequence[Frame], settings: Settings, *, resume: bool) -> None:
        """Make the folder, and record what its files are going to be made with.

        Args:
            frames: All of the split, whichever part of them is to be done here.
            settings: As for `done`.
            resume: Keep what is there. Else what other settings, or unknown ones, have made of these frames is deleted
                first: a run that is killed and then resumed would end with files of both.

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with suppress(DongfengError):  # of a damaged file, which is replaced
            if self._recorded() == settings:
                return
        if not resume:
            outputs = (self.path(frame, kind) for frame in frames for kind in KINDS)
            for path in (*outputs, *self.folder.glob("results*.json")):
                path.unlink(missing_ok=True)
        self.write_json(_SETTINGS, json.dumps(settings, indent=2) + "\n")

    def remove_leftovers(self, frames: Iterable[Frame]) -> None:
        """Delete the temporary files that a killed run has left of these frames' outputs."""
        remove_leftovers(self.path(frame, kind) for frame in frames for kind in self.kinds)

    def write_json(self, name: str, text: str) -> None:
        """Write a file of the folder itself, whole or not at all."""
        remove_leftovers([self.folder / name])
        write_whole(self.folder / name, text)

    def _is_done(self, frame: Frame, kind: Kind) -> bool:
        form, image = whole_png_form(self.path(frame, kind)), png_form(frame.path)
        if form is None or (image is not None and image.size_hw != form.size_hw):
            return False
        return form.bits == 8 and form.channels == (1 if kind == LABEL_IDS else 3)

    def _recorded(self) -> Settings | None:
        """Read the settings that made the files in the folder; None where there is no record.

        Raises:
            DongfengError: the record is damaged.
        """
        try:
            members = _FORMAT.read(self.folder / _SETTINGS).members()
        except FileNotFoundError:
            return None
        return {key: node.value for key, node in members.items()}


_SETTINGS = "run.json"
_ADVICE = "choose another folder, or leave out --resume to start over"
_FORMAT = JsonFormat(DongfengError, _ADVICE)


def _show(settings: Settings, keys: Iterable[str]) -> str:
    return ", ".join(f"{key} {json.dumps(settings.get(key))}" for key in keys)
