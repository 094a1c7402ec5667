"""Caffe's include and exclude rules, which select the layers of a file for a phase."""

from __future__ import annotations

from collections.abc import Sequence

from dongfeng.caffe.message import Message, message
from dongfeng.caffe.tokens import quote
from dongfeng.errors import PrototxtError


def filter_net(
    net: Message, *, phase: str = "TEST", stages: Sequence[str] = (), level: int = 0, filename: str | None = None
) -> Message:
    """Keep the layers whose rules hold.

    Args:
        net: An upgraded NetParameter.
        phase: "TEST" or "TRAIN"; it counts in place of the phase in the file's `state`.
        stages: Stages that count besides those in the file's `state`.
        level: Counts in place of the level in the file's `state`.
        filename: For errors.

    Returns:
        The NetParameter with the remaining layers; `state` is the state the rules were compared with.

    Raises:
        PrototxtError: a layer has both include and exclude rules, or there is no such phase.

    Source: Caffe, Net::FilterNet and Net::StateMeetsRule; Net's constructor for the state.
    """
    all_stages = dict.fromkeys((*net.state.stage, *((stages,) if isinstance(stages, str) else stages)))
    state = message("NetState", phase=phase, level=level, stage=tuple(all_stages))
    return net.replace(layer=tuple(layer for layer in net.layer if _belongs(layer, state, filename)), state=state)


def _belongs(layer: Message, state: Message, filename: str | None) -> bool:
    if layer.include and layer.exclude:
        lines = [line for line in (layer.line("include"), layer.line("exclude")) if line is not None]
        raise PrototxtError(
            f"layer {quote(layer.name)} has include and exclude rules; Caffe takes one or the other",
            file=filename,
            line=max(lines, default=None),
        )
    if layer.include:
        return any(_holds(rule, state) for rule in layer.include)
    return not any(_holds(rule, state) for rule in layer.exclude)


def _holds(rule: Message, state: Message) -> bool:
    """Return whether the state meets all that a rule sets; an empty rule always holds."""
    return (
        (not rule.has("phase") or rule.phase == state.phase)
        and (not rule.has("min_level") or state.level >= rule.min_level)
        and (not rule.has("max_level") or state.level <= rule.max_level)
        and set(rule.stage) <= set(state.stage)
        and not set(rule.not_stage) & set(state.stage)
    )
