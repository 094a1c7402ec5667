"""The oracle is worth nothing if it shares code with what it checks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dongfeng.reference

FILES = sorted(Path(dongfeng.reference.__file__).parent.glob("**/*.py"))

# Data types and errors; everything else of dongfeng is off limits.
ALLOWED = {"dongfeng.net.graph": {"Layer", "Net"}, "dongfeng.caffe.message": {"Message"}}


def foreign_imports(source: str) -> list[str]:
    """Names that a module takes from outside the interpreter and may not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in ("dongfeng", "importlib")]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if (
                module == "dongfeng.reference"
                or module.startswith("dongfeng.reference.")
                or module == "dongfeng.errors"
            ):
                continue
            if module.startswith(("dongfeng", ".", "importlib")):
                allowed = ALLOWED.get(module, set())
                found += [f"{module}.{alias.name}" for alias in node.names if alias.name not in allowed]
        elif isinstance(node, ast.Name) and node.id == "__import__":
            found.append(node.id)
    return found


def test_there_are_files_to_check() -> None:
    assert len(FILES) > 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_interpreter_imports_nothing_it_has_to_check(path: Path) -> None:
    assert foreign_imports(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import dongfeng",
        "import dongfeng.layers.shapes",
        "from dongfeng.layers import registered_types",
        "from dongfeng.layers.layer import Layer",
        "def f():\n    from dongfeng.net.weights import bilinear",
        "from dongfeng.net.graph import infer_shapes",
        "from dongfeng import layers",
        "from ..layers.shapes import canonical_axis",
        "from importlib import import_module",
        "__import__('dongfeng.layers')",
    ],
)
def test_check_sees_what_is_forbidden(source: str) -> None:
    assert foreign_imports(source)
