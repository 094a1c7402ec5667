"""The folder of a training: its configuration, its log, its checkpoint, and in the end its network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dongfeng.errors import DongfengError
from dongfeng.support.files import alone_in, remove_leftovers, replacing
from dongfeng.support.json_layout import json_text
from dongfeng.training.config import TrainConfig, read_config


class TrainingFolder:
    """Files of one training.

    Attributes:
        config_file: All settings, JSON.
        log_file: What happened, a JSON object a line.
        checkpoint_file: What it takes to go on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config_file, self.log_file = folder / "config.json", folder / "log.jsonl"
        self.checkpoint_file = folder / "checkpoint.safetensors"

    def check(self, config: TrainConfig, *, resume: bool) -> None:
        """Make sure that a run can begin here, or that it is this one that goes on.

        Raises:
            DongfengError: there is a run already and it is not to be resumed, or it is another.
        """
        if not self.config_file.exists():
            return
        if not resume:
            raise DongfengError(f"{self.folder}: holds a training already; resume it, or choose another folder")
        difference = read_config(self.config_file).difference(config)
        if difference is not None:
            raise DongfengError(f"{self.folder}: holds another training: {difference}; choose another folder")

    @contextmanager
    def opened(self, config: TrainConfig) -> Iterator[None]:
        """Make the folder, write down what is done in it, and keep other processes out of it.

        Raises:
            DongfengError: another process trains in it.
            OSError: the folder cannot be written.
        """
        busy = DongfengError(f"{self.folder}: another process is training in this folder")
        with alone_in(self.folder, busy):
            remove_leftovers([self.config_file, self.log_file, self.checkpoint_file])
            with replacing(self.config_file) as temporary:
                temporary.write_text(json_text(config.as_dict()) + "\n", encoding="utf-8")
            yield

    def rewind(self, step: int) -> list[dict[str, Any]]:
        """Cut the log after a step, where a killed process has gone on beyond its checkpoint; what is left of it."""
        kept = [record for record in self.records() if record["step"] <= step]
        with replacing(self.log_file) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        return kept

    def records(self) -> list[dict[str, Any]]:
        """The log, without a last line that is not whole."""
        if not self.log_file.exists():
            return []
        lines = self.log_file.read_text(encoding="utf-8").split("\n")[:-1]
        try:
            return [dict(json.loads(line)) for line in lines]
        except ValueError as error:
            raise DongfengError(f"{self.log_file}: is no log of dongfeng train ({error})") from error

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
