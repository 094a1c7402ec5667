from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from dongfeng.architectures import DF1, DF2, DF2A, segmentation_net
from dongfeng.devices import load_profile, predict
from dongfeng.errors import DeviceError, SearchError
from dongfeng.search import Encoding, Space, Step
from dongfeng.search.candidates import candidates
from dongfeng.search.latency import LatencyModel, latency_model, steps_of

MIXED = ("basic", "bottleneck", "bottleneck")
SPACES = {
    "basic": Space.backbone(),
    "bottleneck": Space.backbone(block="bottleneck", depths=((1, 3), (2, 4), (3, 3))),
    "mixed": Space.backbone(block=MIXED),
    "other widths": Space.backbone(widths=(48, 96, 160), depths=((2, 3), (1, 2), (1, 3))),
    "decoder of DF1": Space.decoder(DF1),
    "decoder of DF2A": Space.decoder(DF2A, size_hw=(384, 640)),
    "backbone in a segmentation net": Space(
        ((64, 128, 256),) * 3,
        ((1, 2),) * 3,
        lambda e: segmentation_net(e, (19, 32, 128), size_hw=(384, 640)),
        "Decoder_score",
    ),
}
SMALL = Space.backbone(widths=(64, 128), depths=((1, 2), (1, 3), (1, 2)))


def latency_ms(model: LatencyModel, encoding: Encoding) -> float:
    """The sum over an encoding's steps."""
    assert isinstance(model, Mapping)
    return math.fsum(model[step] for step in steps_of(encoding))


@pytest.mark.parametrize("device", ["tx2", "gtx1080ti", "titanx"])
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_sums_over_steps_are_the_predictions_for_whole_nets(space: Space, device: str) -> None:
    profile = load_profile(device)
    found = candidates(space, latency_model(space, device), (0, 1e9))
    assert len(found) == len(space)
    for number in np.random.default_rng(5).integers(0, len(found), 12):
        whole = predict(space.timed(found.encoding(int(number))), profile).total_ms
        assert found.latency_ms[number] == pytest.approx(whole, rel=1e-9)


def test_a_profile_and_its_name_are_the_same() -> None:
    assert latency_model(SMALL, load_profile("tx2")) == latency_model(SMALL, "tx2")


def test_released_backbones_take_what_is_predicted_of_them() -> None:
    model = latency_model(SPACES["basic"], "tx2")
    assert latency_ms(model, DF1.encoding) == pytest.approx(
        predict(SPACES["basic"].build(DF1.encoding), "tx2").total_ms
    )
    assert latency_ms(model, DF2.encoding) == pytest.approx(5.0, rel=0.05)


@pytest.mark.parametrize("window_ms", [(0.0, 1e9), (1.2, 2.0), (1.5, 1.52), (0.0, 1.0)])
def test_the_window_keeps_exactly_what_is_inside(window_ms: tuple[float, float]) -> None:
    model = latency_model(SMALL, "tx2")
    everything = candidates(SMALL, lambda encoding: 1.0, (1, 1))
    by_hand = {
        encoding: ms
        for encoding in map(everything.encoding, range(len(everything)))
        if window_ms[0] <= (ms := latency_ms(model, encoding)) <= window_ms[1]
    }
    found = candidates(SMALL, model, window_ms)
    assert {found.encoding(n): found.latency_ms[n] for n in range(len(found))} == pytest.approx(by_hand)


def test_both_ends_of_the_window_are_inside() -> None:
    found = candidates(SMALL, lambda encoding: float(len(encoding[1])), (1, 2))
    assert set(found.latency_ms.tolist()) == {1.0, 2.0}
    one = latency_ms(latency_model(SMALL, "tx2"), ((64, 128), (128,), (128, 128)))
    assert len(candidates(SMALL, latency_model(SMALL, "tx2"), (one, one))) >= 1


def test_a_mapping_of_steps_and_a_callable_agree_with_the_sum() -> None:
    rng = np.random.default_rng(0)
    everything = candidates(SMALL, lambda encoding: 1.0, (1, 1))
    encodings = [everything.encoding(n) for n in range(len(everything))]
    table = {step: float(rng.uniform(0.1, 1)) for e in encodings for step in steps_of(e)}
    mapped = candidates(SMALL, table, (0, 1e9))
    called = candidates(SMALL, lambda e: sum(table[step] for step in steps_of(e)), (0, 1e9))
    assert np.allclose(mapped.latency_ms, called.latency_ms)
    assert (mapped.rows == called.rows).all()
    del table[Step(1, 64, 128, True)]
    with pytest.raises(SearchError, match="mapping lacks steps"):
        candidates(SMALL, table, (0, 1e9))


def test_nets_that_are_no_sum_over_steps_are_refused() -> None:
    def uneven(encoding: Encoding) -> object:
        squeezed = tuple(stage if len(set(stage)) == 1 else stage[:1] for stage in encoding)
        return SMALL.builder(squeezed)

    space = Space(SMALL.widths, SMALL.depths, uneven)  # type: ignore[arg-type]
    with pytest.raises(SearchError, match="blocks add up to .* give latency as a callable"):
        latency_model(space, "tx2")


def test_errors_say_what_to_do() -> None:
    with pytest.raises(SearchError, match=r"no architecture of the space takes 0.1 to 0.2 ms; they take 0.\d+ to"):
        candidates(SMALL, latency_model(SMALL, "tx2"), (0.1, 0.2))
    large = Space.backbone(depths=((1, 6), (1, 12), (1, 8)))
    with pytest.raises(SearchError, match=f"callable would be asked for {len(large)} encodings"):
        candidates(large, lambda encoding: 1.0, (0, 2))
    with pytest.raises(SearchError, match=r"latency of \(\(64,\), .* is nan"):
        candidates(SMALL, lambda encoding: float("nan"), (0, 2))
    with pytest.raises(DeviceError, match="no device is called"):
        latency_model(SMALL, "tx3")


def test_many_stages_of_few_widths_are_joined_right() -> None:
    space = Space(
        ((8, 16), (8, 16, 32), (16, 32), (16, 64)), ((1, 2), (1, 2), (1, 1), (1, 2)), lambda e: pytest.fail("built")
    )
    table = {s: s.stage + s.before / 7 + s.width / 3 + 5 * s.opens for e in all_of(space) for s in steps_of(e)}
    expected = {e: latency_ms(table, e) for e in all_of(space)}
    low, high = np.quantile(list(expected.values()), [0.3, 0.7])
    found = candidates(space, table, (float(low), float(high)))
    assert {found.encoding(n) for n in range(len(found))} == {e for e, ms in expected.items() if low <= ms <= high}


def all_of(space: Space) -> list[Encoding]:
    found = candidates(space, lambda encoding: 1.0, (1, 1))
    return [found.encoding(number) for number in range(len(found))]
