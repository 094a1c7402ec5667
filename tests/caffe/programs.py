"""Running Python in a process of its own, with the same dongfeng, installed or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dongfeng


def run_python(*arguments: str) -> str:
    """What `python ARGUMENTS` prints; an error if it fails."""
    folder = str(Path(dongfeng.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ).stdout
