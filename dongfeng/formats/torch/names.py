"""The place of each layer in the tree of modules, by the names that a PyTorch user would give."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterable, Sequence
from graphlib import CycleError, TopologicalSorter

ModulePath = tuple[str, ...]

_BLOCK = re.compile(r"res(\d+)\.(\d+)\.?(.+)")
# Names of our own layers: their pattern, the groups they belong to, and the name within those.
_PLACES: Sequence[tuple[str, tuple[str, ...], str]] = (
    (r"psp\.(pool\d)", ("psp", r"\1"), "pool"),
    (r"psp\.(pool\d)\.(.+)", ("psp", r"\1"), r"\2"),
    (r"psp\.concat", ("psp",), "concat"),
    (r"psp\.concat\.?(.+)", ("psp",), r"\1"),
    (r"Decoder_wc(\d)(/.+)?", ("decoder", r"cc\1"), r"conv\2"),
    (r"Decoder(\d)_\d\.(.+)", ("decoder", r"fuse\1"), r"\2"),
    (r"Decoder_score(/.+)?", ("head",), r"conv\1"),
    (r"Decoder_score\.(.+)", ("head",), r"\1"),
    (r"conv\d.*", ("stem",), r"\g<0>"),
)


def module_paths(names: Sequence[str], reads: Sequence[Sequence[int]], reserved: Iterable[str]) -> list[ModulePath]:
    """Return a path for every layer, unique, of valid identifiers or whole numbers.

    The layers of one group can be computed together: nothing between them depends on a layer elsewhere that depends
    on them.

    Args:
        names: Names of all layers of a net, in order.
        reads: For each layer, the indices of those whose tops it reads.
        reserved: Names of attributes that every module has.
    """
    is_dongfeng = any(map(_BLOCK.fullmatch, names))
    known = frozenset(names)
    wanted = [_dongfeng(name, known) if is_dongfeng else _generic(name, known) for name in names]
    taken = frozenset(reserved)
    return _unique(_executable([tuple(_identifier(part, taken) for part in path) for path in wanted], reads))


def _dongfeng(name: str, names: Collection[str]) -> ModulePath:
    if found := _BLOCK.fullmatch(name):
        stage, block, rest = found.groups()
        return (f"stage{int(stage) + 1}", str(int(block) - 1), *_part_of_convolution(rest))
    for pattern, groups, convolution in _PLACES:
        if found := re.fullmatch(pattern, name):
            return (*map(found.expand, groups), *_part_of_convolution(found.expand(convolution)))
    return _generic(name, names)


def _part_of_convolution(name: str) -> ModulePath:
    """Name a convolution and its followers: `conv1`, `conv1/bn`, `conv1/relu` are `conv1`, `bn1`, `relu1`."""
    base, _, part = name.partition("/")
    base = base.replace(".", "_")
    if base == "skipConv":
        return ("downsample", "1" if part else "0")
    if part in ("bn", "relu"):
        numbered = re.fullmatch(r"conv(\d*)", base)
        return (f"{part}{numbered[1]}",) if numbered else (f"{base}_{part}",)
    return (part or base,)


def _generic(name: str, names: Collection[str]) -> ModulePath:
    """Split a name at dots and slashes, except behind the name of another layer."""
    parts = re.split(r"([./])", name)
    path, so_far = [parts[0]], parts[0]
    for separator, part in zip(parts[1::2], parts[2::2], strict=True):
        if so_far in names:
            path[-1] += f"_{part}"
        else:
            path.append(part)
        so_far += separator + part
    return tuple(path)


def _identifier(part: str, taken: frozenset[str]) -> str:
    if part.isascii() and part.isdigit():
        return part
    plain = re.sub(r"\W", "_", part, flags=re.ASCII) or "layer"
    if plain[0].isdigit():
        plain = f"_{plain}"
    return f"{plain}_" if plain in taken or keyword.iskeyword(plain) else plain


def _executable(paths: list[ModulePath], reads: Sequence[Sequence[int]]) -> list[ModulePath]:
    """Dissolve the groups that cannot be computed as one."""
    paths = list(paths)
    waiting: list[ModulePath] = [()]
    while waiting:
        prefix = waiting.pop()
        depth = len(prefix)
        while (loop := _loop(paths, reads, prefix)) is not None:
            for index, path in enumerate(paths):
                if path[:depth] == prefix and len(path) > depth + 1 and path[: depth + 1] in loop:
                    paths[index] = (*prefix, _joined(path[depth], path[depth + 1]), *path[depth + 2 :])
        waiting += {path[: depth + 1] for path in paths if path[:depth] == prefix and len(path) > depth + 1}
    return paths


def _joined(group: str, part: str) -> str:
    return f"_{group}_{part}" if group.isdigit() else f"{group}_{part}"


def _loop(paths: Sequence[ModulePath], reads: Sequence[Sequence[int]], prefix: ModulePath) -> set[ModulePath] | None:
    """Return the members of `prefix` that depend on each other in a circle, if there are any."""
    depth = len(prefix)

    def member(index: int) -> ModulePath | tuple[ModulePath, int]:
        path = paths[index]
        return path[: depth + 1] if len(path) > depth + 1 else (path, index)

    # Layers outside the group need no edges: a path out of it and back is a circle through the group itself, which is
    # dissolved one level up.
    inside = [index for index, path in enumerate(paths) if path[:depth] == prefix]
    edges: dict[object, set[object]] = {member(index): set() for index in inside}
    members = set(inside)
    for index in inside:
        edges[member(index)].update(
            member(source) for source in reads[index] if source in members and member(source) != member(index)
        )
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return {entry for entry in error.args[1] if not isinstance(entry[-1], int)}
    return None


def _unique(paths: Sequence[ModulePath]) -> list[ModulePath]:
    """Number the paths that equal another one, or the group of another one."""
    groups = {path[:depth] for path in paths for depth in range(1, len(path))}
    seen: set[ModulePath] = set()
    result = []
    for path in paths:
        name, count = path, 1
        while name in seen or name in groups:
            count += 1
            name = (*path[:-1], _joined(path[-1], str(count)))
        seen.add(name)
        result.append(name)
    return result
