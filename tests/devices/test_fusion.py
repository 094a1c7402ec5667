from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from dongfeng.architectures import build
from dongfeng.devices import conv_kernel, kernels_of, named_kernels, timed_net
from dongfeng.devices.kernel import Kernel
from dongfeng.errors import ShapeError, UnsupportedLayer
from dongfeng.net.cut import cut
from dongfeng.net.fold import fold
from dongfeng.net.graph import Layer, Net
from tests.nets import read_text
from tests.networks.catalog import NETWORKS
from tests.networks.prototxt import Prototxt

BOTH = ("fused", "layers")
NETS = ["df1", "df2a", "df1seg", "df2seg2", "pl1a_seg"]


@pytest.mark.parametrize("fusion", BOTH)
@pytest.mark.parametrize("name", NETS)
def test_units_do_all_the_work_of_a_net(name: str, fusion: str) -> None:
    """`Net.cost` counts from the layers, kernels from their shapes."""
    net = build(name)
    assert sum(kernel.macs for kernel in kernels_of(net, fusion)) == sum(cost.macs for cost in net.cost())
    weights = sum(u.parameters for u in kernels_of(net, fusion))
    biases = sum(blobs for blobs in map(_biases, fold(net).layers))
    assert weights + biases == sum(cost.parameters for cost in fold(net).cost())


def _biases(layer: Layer) -> int:
    if layer.type in ("Convolution", "Deconvolution") and layer.params.convolution_param.bias_term:
        return layer.params.convolution_param.num_output
    return layer.params.inner_product_param.num_output if layer.type == "InnerProduct" else 0


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("fusion", BOTH)
def test_units_do_all_the_work_of_nets_of_other_families(name: str, fusion: str, tmp_path: Path) -> None:
    net = read_text(tmp_path, NETWORKS[name]())
    try:
        kernels = kernels_of(net, fusion)
    except UnsupportedLayer as error:
        assert re.search(r"(LSTM|RNN|Embed).*no latency model", str(error))  # noqa: PT017
    else:
        assert sum(kernel.macs for kernel in kernels) == sum(cost.macs for cost in net.cost())


def test_a_batch_counts_as_one(tmp_path: Path) -> None:
    one, four = (Prototxt("net", data=(n, 3, 32, 32)) for n in (1, 4))
    for net in (one, four):
        net.conv_relu("conv", "data", 8, 3, pad=1)
    assert kernels_of(read_text(tmp_path, four.text)) == kernels_of(read_text(tmp_path, one.text))


def test_what_a_fused_block_becomes() -> None:
    """Of a sum's two convolutions the later one takes it along; what is added to a blob others read is not its own."""
    net = build("df1")
    net = cut(net, net.layer("res2.2.relu").tops)
    names = [placed.name for placed in named_kernels(net)]
    operations = [placed.kernel.operation for placed in named_kernels(net)]
    assert names[2:] == [
        "res2.1.conv1 + res2.1.conv1/relu",
        "res2.1.conv2",
        "res2.1.skipConv + res2.1.sum + res2.1.relu",
        "res2.2.conv1 + res2.2.conv1/relu",
        "res2.2.conv2 + res2.2.sum + res2.2.relu",
    ]
    assert operations[2:] == ["conv+relu", "conv", "conv+add+relu", "conv+relu", "conv+add+relu"]


def test_concatenation_copies_what_no_convolution_wrote() -> None:
    names = [placed.name for placed in named_kernels(timed_net("df1seg_d8", (1024, 2048)))]
    assert [name for name in names if name.endswith("copy")] == [
        "psp.pool1.interp copy",
        "psp.pool2.interp copy",
        "psp.pool3.interp copy",
        "psp.pool4.interp copy",
        "Decoder4_4.proj/up2 copy",
        "Decoder3_3.proj/up2 copy",
    ]


def test_caffe_splits_what_several_layers_read(shared: Path) -> None:
    """Its log names the layers; the first is the input."""
    with (shared / "research/caffe_titanx_layers.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["model"], row["variant"]) == ("df1seg", "scoreup8")]
    names = [placed.name for placed in named_kernels(timed_net("df1seg", (1024, 2048)), "layers")]
    is_split = [row["layer"].endswith("_split") for row in rows[1:]]
    assert [name.endswith(" split") for name in names] == is_split
    assert [name for name, split in zip(names, is_split, strict=True) if not split] == [
        row["layer"] for row in rows[1:] if not row["layer"].endswith("_split")
    ]


def test_shape_of_a_unit() -> None:
    first = kernels_of(build("df1"))[0]
    assert first == conv_kernel(3, 32, 3, (224, 224), stride=2)
    assert first == Kernel("conv+relu", (3, 3), (2, 2), 1, 3, 32, (224, 224), (112, 112))
    assert first.macs == 112 * 112 * 3 * 32 * 9
    assert first.values_read == 3 * 224 * 224 + 3 * 32 * 9
    assert conv_kernel(64, 64, 3, (8, 8), fused="+add").values_read == 2 * 64 * 8 * 8 + 64 * 64 * 9
    assert str(first) == "conv+relu 3x3 s2x2 3->32 @224x224"


def test_depthwise_and_pooling_are_told_apart() -> None:
    kernels = kernels_of(build("pl1a_seg"))
    depthwise = [kernel for kernel in kernels if kernel.main_operation == "conv" and kernel.groups > 1]
    assert depthwise
    assert all(kernel.groups == kernel.c_in == kernel.c_out for kernel in depthwise)
    assert {kernel.window_hw for kernel in kernels_of(build("df1seg")) if kernel.main_operation == "average pool"} == {
        (32, 32),
        (16, 16),
        (8, 8),
        (4, 4),
    }


def test_an_open_size_is_refused() -> None:
    net = build("df1seg")
    opened = Net(net.name, {"data": (1, 3, None, None)}, net.layers, aliases=net.aliases)
    with pytest.raises(ShapeError, match="resize"):
        kernels_of(opened)


def test_matrix_products_without_a_model_are_refused(tmp_path: Path) -> None:
    net = Prototxt("net", data=(3, 1, 4), indicator=(3, 1))
    net.add("LSTM", "lstm", ["data", "indicator"], recurrent_param={"num_output": 4})
    with pytest.raises(UnsupportedLayer, match=r'"lstm" \(LSTM\): no latency model'):
        kernels_of(read_text(tmp_path, net.text))
