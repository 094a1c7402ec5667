"""Write docs/layers.md from the registry, or check that it is current."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from dongfeng.formats.caffe_inputs import IMAGE_SOURCES, TRAINING_ENDS
from dongfeng.formats.onnx import MAX_OPSET, MIN_OPSET
from dongfeng.layers.advice import ADVICE
from dongfeng.layers.base import LayerType, registered_types, type_class
from dongfeng.tools.program import add_check, parser, write_or_check

_SOURCE = re.compile(r"Source: (?P<origin>[^:]+?)(?:, \w+Layer(?: and \w+Layer)*)?[:.] (?P<text>.+)")

_HEAD = """\
# Layer types

<!-- Written by `python -m dongfeng.layers`; change the classes and the advice there, not this file. -->

How dongfeng converts each type of layer in a Caffe file. A parameter that is not understood is an error that names
the layer, the field and the line; learning rates, fillers of layers that have weights, and `engine` do not matter.
All unsupported layers of a net are reported at once. "Dynamic sizes" are those of `--dynamic` models, whose input size
is known only when they run. Layers share weights by `param { name: "w" }` as in Caffe: blobs of one shape, or with
`share_mode: PERMISSIVE` of one size. [own-layers.md](own-layers.md) adds a type in your own code.

## Supported

"""

_INPUTS = """\

## Data layers, which become inputs

The first top is the input, at batch 1; labels, and whatever only feeds on them, are left out. A `transform_param`
becomes the preprocessing: mean, scale and crop. A `DummyData` layer of constants stays one.

"""

_ENDS = """\

## Losses, metrics and sinks, which are left out

"""

_UNKNOWN = """\

## Not supported

Types that occur in files, and what can be done. Any other unknown type is an error that names the most similar one.

"""


def render() -> str:
    """Write the text of the page."""
    supported = _table(
        ("type", "origin", "bottoms", "tops", "what is supported", "opsets", "what is refused, and why"),
        (_row(name, type_class(name)) for name in registered_types() if _is_ours(type_class(name))),
    )
    unknown = _table(
        ("type", "origin", "what can be done"),
        ((f"`{name}`", item.origin, item.text) for name, item in sorted(ADVICE.items())),
    )
    inputs = _listed({"Input", "HDF5Data", *IMAGE_SOURCES})
    return f"{_HEAD}{supported}{_INPUTS}{inputs}{_ENDS}{_listed(TRAINING_ENDS)}{_UNKNOWN}{unknown}"


def _is_ours(cls: type[LayerType]) -> bool:
    return cls.__module__.startswith("dongfeng.layers.")


def _row(name: str, cls: type[LayerType]) -> tuple[str, ...]:
    origin, text = describe(cls)
    counts = (_count(cls.min_bottoms, cls.max_bottoms), _count(cls.min_tops, cls.max_tops))
    return (f"`{name}`", origin, *counts, text, f"{MIN_OPSET} to {MAX_OPSET}", cls.refused)


def describe(cls: type[LayerType]) -> tuple[str, str]:
    """Read origin and meaning of a type from the docstring of its class.

    Raises:
        ValueError: the docstring is of another form.
    """
    match = _SOURCE.fullmatch(" ".join((cls.__doc__ or "").split()))
    if match is None:
        raise ValueError(f'{cls.__qualname__}: expected a docstring "Source: ORIGIN, LAYER: meaning."')
    origin = "BVLC's Caffe" if match["origin"] == "Caffe" else match["origin"]
    text = match["text"].rstrip(".")
    if text[1:2].islower():  # a sentence, not a name
        text = text[0].lower() + text[1:]
    return origin[0].upper() + origin[1:], text


def _count(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return 0 when the page is (now) current, 1 when `--check` found it stale."""
    examples = "examples:\n  python -m dongfeng.layers\n  python -m dongfeng.layers --check docs/layers.md"
    arguments = parser("python -m dongfeng.layers", __doc__, examples)
    arguments.add_argument("page", nargs="?", type=Path, default=Path("docs/layers.md"), help="default: %(default)s")
    add_check(arguments)
    args = arguments.parse_args(argv)
    return write_or_check({args.page: render()}, check=args.check)
