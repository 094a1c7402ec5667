from __future__ import annotations

import itertools

import pytest

from dongfeng.architectures import CLASSIFIERS, DECODERS, DF1, DF2, DF2A, DFLITE, backbone_net, build
from dongfeng.architectures.blocks import Feature, separable
from dongfeng.architectures.builder import NetBuilder
from dongfeng.devices import load_profile
from dongfeng.errors import SearchError, ShapeError
from dongfeng.net.graph import Net
from dongfeng.search import Encoding, Space
from dongfeng.search.candidates import candidates
from dongfeng.search.latency import step_latencies_ms

MIXED = ("basic", "bottleneck", "bottleneck")


def by_brute_force(widths: tuple[tuple[int, ...], ...], depths: tuple[tuple[int, int], ...]) -> set[Encoding]:
    """All tuples of tuples, of which those that never decrease are kept."""
    per_stage = [
        [t for depth in range(least, most + 1) for t in itertools.product(choices, repeat=depth)]
        for choices, (least, most) in zip(widths, depths, strict=True)
    ]
    whole = itertools.product(*per_stage)
    return {e for e in whole if (flat := [w for t in e for w in t]) == sorted(flat)}


def never_built(encoding: Encoding) -> Net:
    raise AssertionError(encoding)


@pytest.mark.parametrize(
    ("widths", "depths"),
    [
        (((64, 128, 256),) * 3, ((1, 2), (1, 3), (1, 2))),
        (((64, 128), (128, 256), (64, 256, 512)), ((2, 3), (1, 1), (2, 2))),
        (((8, 16, 24, 48),) * 2, ((1, 3), (2, 3))),
        (((64, 512), (128, 256), (256, 1024)), ((1, 2),) * 3),  # 512 leads nowhere but to 1024
        (((3, 1, 2),), ((1, 4),)),
    ],
)
def test_the_arrays_hold_exactly_the_encodings_of_the_space(
    widths: tuple[tuple[int, ...], ...], depths: tuple[tuple[int, int], ...]
) -> None:
    space = Space(widths, depths, never_built)
    expected = by_brute_force(widths, depths)
    found = candidates(space, lambda encoding: 1.0, (0, 2))
    encodings = [found.encoding(number) for number in range(len(found))]
    assert len(encodings) == len(set(encodings)) == len(space) == len(expected)
    assert set(encodings) == expected
    assert all(encoding in space for encoding in expected)
    assert space.example in expected


def test_membership_is_refused_to_everything_else() -> None:
    space = Space(((64, 128),) * 2, ((1, 2), (1, 2)), never_built)
    members = by_brute_force(((64, 128),) * 2, ((1, 2), (1, 2)))
    tuples = [t for depth in range(4) for t in itertools.product((64, 96, 128), repeat=depth)]
    for encoding in itertools.product(tuples, tuples):
        assert (encoding in space) == (encoding in members)
    assert ((64,),) not in space
    assert [[64], [64]] not in space


def test_the_default_space_has_the_size_that_the_issue_counted() -> None:
    assert len(Space.backbone()) == 1_503_152


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_released_backbones_are_members_and_built_as_released(name: str) -> None:
    backbone = CLASSIFIERS[name]
    space = Space.backbone(block=backbone.block)
    assert backbone.encoding in space
    assert space.build(backbone.encoding) == build(name)
    assert space.build(space.checked([list(stage) for stage in backbone.encoding])) == build(name)


def test_df2a_is_df2_with_bottlenecks_and_dflite_is_a_member() -> None:
    assert DF2A.encoding == DF2.encoding
    assert Space.backbone(block=MIXED).build(DF2.encoding) == build("df2a")
    assert Space.backbone().build(DF2.encoding) != build("df2a")
    assert Space.backbone().build(((64, 64), (128, 128), (256, 512))) == backbone_net(DFLITE.encoding)


@pytest.mark.parametrize("name", DECODERS)
def test_released_decoders_are_members_and_built_as_released(name: str) -> None:
    backbone, widths = DECODERS[name]
    space = Space.decoder(backbone)
    encoding = tuple((width,) for width in widths)
    assert len(space) == 56  # 8 choose 3
    assert encoding in space
    assert space.build(encoding) == build(name)
    assert space.timed(encoding).outputs == ("Decoder_score.up8",)
    assert Space.decoder(backbone.encoding).build(encoding) == build(name)


def depthwise_net(encoding: Encoding) -> Net:
    """A small net of separable convolutions, as someone else might search it."""
    net = NetBuilder("depthwise", (1, 3, 384, 640), folded=True)
    feature = separable(net, "conv2", Feature(net.conv_bn_relu("conv1", net.data, 8, 3, stride=2), 8), 24, 2)
    for stage, widths in enumerate(encoding, 2):
        for index, width in enumerate(widths, 1):
            feature = separable(net, f"res{stage}.{index}", feature, width, 2 if index == 1 else 1)
    return net.net()


def test_another_space_is_declared_by_widths_depths_and_a_builder() -> None:
    space = Space(((24, 48), (48, 96), (96, 192)), ((2, 4), (4, 8), (2, 4)), depthwise_net)
    assert ((48,) * 4, (96,) * 8, (192,) * 4) in space
    steps = step_latencies_ms(space, load_profile("snapdragon845"))
    found = candidates(space, steps, (0, 1e9))
    assert len(found) == len(space)


def test_a_space_of_one_stage() -> None:
    space = Space(((4, 8),), ((1, 2),), lambda encoding: depthwise_net((*encoding, (8,), (8,))))
    assert len(space) == 5
    assert space.build(((4, 8),)).layers


@pytest.mark.parametrize(
    ("widths", "depths", "message"),
    [
        (((64,),), (), "depths: expected"),
        (((64,),), ((0, 2),), "depths: expected"),
        (((64,),), ((3, 2),), "depths: expected"),
        (((64,),), ((1, 2), (1, 2)), "a sequence for each of 2 stages"),
        ((64, 128), ((1, 2), (1, 2)), "a sequence for each of 2 stages"),
        (((),), ((1, 2),), "positive widths"),
        (((0, 64),), ((1, 2),), "positive widths"),
        (((128,), (64,)), ((1, 1), (1, 1)), "narrower somewhere"),
        ((range(1, 11),), ((1, 40),), "fewer widths or blocks"),
    ],
)
def test_what_is_no_space_is_an_error_of_one_line(widths: object, depths: object, message: str) -> None:
    with pytest.raises(SearchError, match=message) as caught:
        Space(widths, depths, never_built)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_wrong_encodings_blocks_and_stages_are_errors() -> None:
    space = Space.backbone()
    for encoding in (((64,), (64,)), ((128,), (64,), (64,)), ((64,) * 5, (64,), (64,)), ((65,), (128,), (128,))):
        with pytest.raises(SearchError, match="is not in the space"):
            space.build(encoding)
    with pytest.raises(ShapeError, match="block type"):
        Space.backbone(block="dense")
    with pytest.raises(ShapeError, match="three stages"):
        Space.backbone(depths=((1, 2), (1, 2)))
    with pytest.raises(ShapeError, match="multiples of 32"):
        Space.decoder(DF1, size_hw=(100, 100))
