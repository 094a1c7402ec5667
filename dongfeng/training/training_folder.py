"""The folder of a training: its configuration, its log, its checkpoint, and in the end its network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dongfeng.errors import DongfengError
from dongfeng.support import jsonl
from dongfeng.support.files import alone_in, remove_leftovers, write_whole
from dongfeng.support.json_layout import json_text
from dongfeng.support.strict_json import JsonFormat
from dongfeng.training.config import CONFIG_FILE, TrainConfig, read_config
from dongfeng.training.log import LogEntry, entry_line, read_entry

_LOG = JsonFormat(DongfengError, "the file is no log of dongfeng train; choose another folder")


class TrainingFolder:
    """Files of one training.

    Attributes:
        config_file: All settings, JSON.
        log_file: Losses and evaluations, a JSON object a line.
        checkpoint_file: State of the training, to go on from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config_file, self.log_file = folder / CONFIG_FILE, folder / "log.jsonl"
        self.checkpoint_file = folder / "checkpoint.safetensors"

    def check(self, config: TrainConfig, *, resume: bool) -> None:
        """Refuse to begin a training where there is one, and to resume another one.

        Raises:
            DongfengError: there is a training already and it is not to be resumed, or it is another.
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
        """Make the folder, write the configuration to it, and keep other processes out of it.

        Raises:
            DongfengError: another process trains in it.
            OSError: the folder cannot be written.
        """
        busy = DongfengError(f"{self.folder}: another process is training in this folder")
        with alone_in(self.folder, busy):
            remove_leftovers([self.config_file, self.log_file, self.checkpoint_file])
            write_whole(self.config_file, json_text(config.as_dict()) + "\n")
            yield

    def rewind(self, step: int) -> list[LogEntry]:
        """Cut the log after a step, where a killed process has gone on beyond its checkpoint; return what is left."""
        kept = [entry for entry in self.entries() if entry.step <= step]
        jsonl.rewrite(self.log_file, map(entry_line, kept))
        return kept

    def entries(self) -> list[LogEntry]:
        """Read the log, without a last line that is not whole.

        Raises:
            DongfengError: the file is no log.
        """
        return [read_entry(line) for line in jsonl.read(self.log_file, _LOG)]

    def log(self, entry: LogEntry) -> None:
        """Add an entry to the log."""
        jsonl.append(self.log_file, entry_line(entry))
