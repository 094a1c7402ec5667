"""Any encoding of the search space builds a net, by the rules that the released ones follow."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dongfeng.architectures import DF2A, backbone_net, segmentation_net
from dongfeng.errors import ShapeError

WIDTHS = st.sampled_from([8, 16, 24, 64])
STAGE = st.lists(WIDTHS, min_size=1, max_size=4)
ENCODINGS = st.tuples(STAGE, STAGE, STAGE)
BLOCKS = st.tuples(*[st.sampled_from(["basic", "bottleneck"])] * 3)


@settings(max_examples=25, deadline=None)
@given(encoding=ENCODINGS, blocks=BLOCKS, folded=st.booleans())
def test_every_encoding_gives_a_consistent_classifier(
    encoding: tuple[list[int], ...], blocks: tuple[str, ...], folded: bool
) -> None:
    net = backbone_net(encoding, blocks, folded=folded, classes=7)
    shapes = net.shapes()
    assert net.outputs == ("fc",)
    assert shapes["fc"] == (1, 7)
    for stage, (widths, kind, size) in enumerate(zip(encoding, blocks, (28, 14, 7), strict=True), 2):
        for index, width in enumerate(widths, 1):
            channels = min(4 * width, 1024) if kind == "bottleneck" else width
            assert shapes[f"res{stage}.{index}.sum"] == (1, channels, size, size)


@settings(max_examples=10, deadline=None)
@given(encoding=ENCODINGS, decoder=st.tuples(WIDTHS, WIDTHS, WIDTHS), blocks=BLOCKS)
def test_every_decoder_gives_labels_at_both_sizes(
    encoding: tuple[list[int], ...], decoder: tuple[int, ...], blocks: tuple[str, ...]
) -> None:
    net = segmentation_net(encoding, decoder, blocks, size_hw=(96, 160), classes=5)
    shapes = net.shapes()
    assert shapes["pred"] == (1, 1, 96, 160)
    assert shapes["pred_d8"] == (1, 1, 12, 20)
    assert shapes["Decoder_score/bn"] == (1, 5, 12, 20)


def test_skip_is_a_convolution_where_stride_or_width_changes() -> None:
    net = backbone_net([[64, 64, 128], [128], [256, 256]])
    skips = [layer.name for layer in net.layers if layer.name.endswith("skipConv")]
    assert skips == ["res2.1.skipConv", "res2.3.skipConv", "res3.1.skipConv", "res4.1.skipConv"]


def test_bottleneck_stops_at_1024_channels_and_still_projects_a_new_width() -> None:
    net = backbone_net(DF2A.encoding, DF2A.block)
    shapes = net.shapes()
    assert shapes["res4.4.sum"] == shapes["res4.5.sum"] == (1, 1024, 7, 7)
    assert net.layer("res4.5.skipConv").params.convolution_param.num_output == 1024


@pytest.mark.parametrize("encoding", [[], [[64], [64]], [[64], [], [64]], [[64], [0], [64]], [[64], [64], [64], [64]]])
def test_malformed_encoding_is_refused(encoding: list[list[int]]) -> None:
    with pytest.raises(ShapeError, match="three stages with one positive width per block"):
        backbone_net(encoding)


@pytest.mark.parametrize("block", ["residual", ("basic", "basic"), ("basic", "basic", "wide")])
def test_unknown_block_is_refused(block: str | tuple[str, ...]) -> None:
    with pytest.raises(ShapeError, match="basic, bottleneck"):
        backbone_net([[64], [64], [64]], block)


@pytest.mark.parametrize("decoder", [(), (19, 19), (19, 19, 0), (1, 2, 3, 4)])
def test_malformed_decoder_is_refused(decoder: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="three positive decoder widths"):
        segmentation_net([[64], [64], [64]], decoder)


@pytest.mark.parametrize("size_hw", [(100, 128), (0, 32), (64, 65)])
def test_input_that_is_no_multiple_of_32_is_refused(size_hw: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match="multiples of 32"):
        segmentation_net([[64], [64], [64]], (8, 8, 8), size_hw=size_hw)


def test_small_classifier_pools_its_whole_map() -> None:
    net = backbone_net([[16], [16], [32]], size_hw=(64, 96), classes=24, stem=(8, 16))
    shapes = net.shapes()
    assert shapes["res4.1.sum"] == (1, 32, 2, 3)
    assert shapes["pool5"] == (1, 32, 1, 1)
    assert shapes["fc"] == (1, 24)
    with pytest.raises(ShapeError, match="multiples of 32"):
        backbone_net([[16], [16], [32]], size_hw=(64, 90))


def test_pyramid_has_the_windows_asked_for() -> None:
    net = segmentation_net([[16], [16], [32]], (8, 8, 8), size_hw=(256, 512), psp_kernels=(8, 4, 2, 1))
    shapes = net.shapes()
    assert [shapes[f"psp.pool{at}"][2:] for at in (1, 2, 3, 4)] == [(1, 2), (2, 4), (4, 8), (8, 16)]
    assert shapes["psp.concat"] == (1, 64, 8, 16)


@pytest.mark.parametrize("stem", [(32,), (0, 64), (16, 32, 64)])
def test_malformed_stem_is_refused(stem: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="two positive widths of the stem"):
        backbone_net([[64], [64], [64]], stem=stem)
