"""The 1000 classes of ILSVRC2012, ImageNet's classification challenge."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("imagenet_classes.txt")


@cache
def _rows() -> tuple[tuple[str, str], ...]:
    """Read WordNet id and name of each class."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    rows = (line.split(" ", 1) for line in lines if not line.startswith("#"))
    return tuple((wnid, name) for wnid, name in rows)


def class_names() -> tuple[str, ...]:
    """Return the names of the 1000 classes in the order of their WordNet ids, as networks number them.

    A name is the first word of the class's synset, so two names stand for two classes each: "crane", the bird (134) and
    the machine (517), and "maillot", the tights (638) and the swimsuit (639).

    Example:
        >>> class_names()[285]
        'Egyptian cat'
    """
    return tuple(name for _, name in _rows())


def wordnet_ids() -> tuple[str, ...]:
    """Return the WordNet ids of the 1000 classes, such as "n01440764", in the order of the classes."""
    return tuple(wnid for wnid, _ in _rows())
