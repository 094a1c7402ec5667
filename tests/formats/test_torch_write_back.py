"""From PyTorch back to a `Net`: to the bit, folded, trained, wrapped, and from the community's state dicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  what follows needs torch

import dongfeng  # noqa: E402
from dongfeng.architectures import build  # noqa: E402
from dongfeng.errors import DongfengWarning, WeightsMismatch  # noqa: E402
from dongfeng.formats.ncnn import load_ncnn_weights  # noqa: E402
from dongfeng.formats.torch import from_torch, to_torch  # noqa: E402
from dongfeng.net.random_weights import random_weights  # noqa: E402


def bare(net: dongfeng.Net) -> dongfeng.Net:
    return net.with_layers(replace(layer, blobs=()) for layer in net.layers)


def trained_elsewhere(net: dongfeng.Net) -> dongfeng.Net:
    """Statistics as Caffe leaves them after long training: sums, and the factor that the release has."""
    rng = np.random.default_rng(1)
    layers = []
    for layer in net.layers:
        if layer.type == "BatchNorm":
            size = layer.blobs[0].shape
            mean = rng.standard_normal(size) * 300
            blobs = (mean, np.exp(rng.standard_normal(size)) * 1000, np.array([999.982]))
            layer = replace(layer, blobs=tuple(blob.astype(np.float32) for blob in blobs))  # noqa: PLW2901
        layers.append(layer)
    return net.with_layers(layers)


def same_bits(a: dongfeng.Net, b: dongfeng.Net) -> bool:
    return all(
        x.tobytes() == y.tobytes() and x.shape == y.shape
        for mine, theirs in zip(a.layers, b.layers, strict=True)
        for x, y in zip(mine.blobs, theirs.blobs, strict=True)
    )


@pytest.fixture(scope="module")
def seg() -> dongfeng.Net:
    return trained_elsewhere(random_weights(build("df1seg"))).resize(64, 128)


@pytest.fixture(scope="module")
def df1() -> dongfeng.Net:
    return trained_elsewhere(random_weights(build("df1")))


@pytest.mark.parametrize("name", ["df1", "df1seg"])
def test_round_trip_is_exact(name: str) -> None:
    net = trained_elsewhere(random_weights(build(name)))
    model = to_torch(net)
    for template in (net, bare(net)):
        back = from_torch(model, template)
        assert back == net
        assert same_bits(back, net)
    assert from_torch(model.state_dict(), bare(net)) == net


def test_round_trip_of_the_released_weights_is_exact(shared: Path) -> None:
    net = load_ncnn_weights(build("pl1a_seg"), shared / "pl1a/pl1a_new.bin")
    back = from_torch(to_torch(net), bare(net))
    # What stands behind the score is fixed, and its weights follow from its shape.
    assert back == net
    assert same_bits(back, net)


def test_round_trip_through_caffes_files_is_exact(seg: dongfeng.Net, tmp_path: Path) -> None:
    back = from_torch(to_torch(seg), seg)
    dongfeng.write_caffe(back, tmp_path / "a.prototxt", tmp_path / "a.caffemodel")
    again = dongfeng.read_caffe(tmp_path / "a.prototxt", tmp_path / "a.caffemodel")
    assert again == seg
    assert same_bits(again, seg)


def test_parts_that_are_left_out_keep_the_templates_weights(seg: dongfeng.Net) -> None:
    model = to_torch(seg, outputs=["res3.1.sum"])
    assert from_torch(model, seg) == seg
    with pytest.raises(WeightsMismatch, match="missing stage4.0.conv2.weight|missing stage4.1.conv1.weight"):
        from_torch(model, bare(seg))
    with pytest.warns(DongfengWarning, match='no weights for "res3.2.conv1".*the template\'s stay'):
        from_torch(model.state_dict(), seg)


def test_a_folded_module_gives_the_folded_net(df1: dongfeng.Net) -> None:
    assert from_torch(to_torch(df1, folded=True), df1) == dongfeng.fold(df1)


def test_training_changes_what_it_touches_and_nothing_else(seg: dongfeng.Net) -> None:
    model = to_torch(seg).train()
    for parameter in model.stem.parameters():
        parameter.requires_grad_(False)
    model.stem.eval()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    x = torch.randn(2, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    nn.functional.cross_entropy(model(x), torch.zeros(2, 64, 128, dtype=torch.long)).backward()
    optimizer.step()
    back = from_torch(model, seg)
    fixed = ("conv1", "conv2", "Decoder4_4.proj/up2", "Decoder3_3.proj/up2", "Decoder_score.up8")
    for got, before in zip(back.layers, seg.layers, strict=True):
        untouched = not before.blobs or before.name in fixed or before.name.startswith(("conv1/", "conv2/"))
        assert (got == before) == untouched, before.name
    x = x[:1].numpy()
    with torch.no_grad():
        got = model.eval()(torch.from_numpy(x)).numpy()
    expected = dongfeng.run(back, {"data": x}, model.outputs)[model.outputs[0]]
    assert np.max(np.abs(got - expected)) <= 1e-5 * np.max(np.abs(expected))


def test_wrappers_are_taken_off(df1: dongfeng.Net) -> None:
    model = to_torch(df1)
    assert from_torch(nn.DataParallel(model), bare(df1)) == df1
    assert from_torch(nn.DataParallel(model).state_dict(), bare(df1)) == df1
    assert from_torch(torch.optim.swa_utils.AveragedModel(model), bare(df1)) == df1


def test_what_does_not_fit_is_listed(df1: dongfeng.Net) -> None:
    state = to_torch(df1).state_dict()
    state["fc.weight"] = torch.zeros(10, 512)
    state["extra.weight"] = state.pop("fc.bias")
    with pytest.raises(WeightsMismatch) as caught:
        from_torch(state, bare(df1))
    message = str(caught.value)
    assert "\n" not in message
    for part in ("fc.weight is 10x512, the net wants 1000x512", "missing fc.bias", "unexpected extra.weight"):
        assert part in message
    with pytest.raises(
        WeightsMismatch, match="weights are of another network: missing stem.conv1.weight; .* and .. more"
    ):
        from_torch({"a.weight": torch.zeros(1)}, bare(df1))


class PortBlock(nn.Module):
    """A residual block as the ports write it."""

    def __init__(self, before: int, width: int, stride: int, eps: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, eps)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, eps)
        self.downsample = None
        if stride > 1 or before != width:
            self.downsample = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width, eps))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class Port(nn.Module):
    """DFNet in the community's structure: `stages` are (name, width, blocks, stride)."""

    def __init__(self, stages: list[tuple[str, int, int, int]], eps: float) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            *(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32, eps), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64, eps), nn.ReLU()),
        )
        before, self.order = 64, ["stage1"]
        for name, width, count, stride in stages:
            blocks = []
            for index in range(count):
                blocks.append(PortBlock(before, width, stride if index == 0 else 1, eps))
                before = width
            self.add_module(name, nn.Sequential(*blocks))
            self.order.append(name)
        self.fc = nn.Linear(before, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in self.order:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))


V1 = [("stage2", 64, 3, 2), ("stage3", 128, 3, 2), ("stage4", 256, 3, 2), ("stage5", 512, 1, 1)]
V2 = [("stage2_1", 64, 2, 2), ("stage2_2", 128, 1, 1), ("stage3_1", 128, 10, 2), ("stage3_2", 256, 1, 1)]
V2 += [("stage4_1", 256, 4, 2), ("stage4_2", 512, 2, 1)]


def port(stages: list[tuple[str, int, int, int]], eps: float = 1e-4) -> Port:
    torch.manual_seed(0)
    model = Port(stages, eps).eval()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
                part.weight.uniform_(0.5, 1.5)
    return model


@pytest.mark.parametrize(("name", "stages"), [("df1", V1), ("df2", V2)], ids=["v1", "v2"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.backbone."])
def test_the_communitys_state_dicts_are_known(name: str, stages: list[tuple[str, int, int, int]], prefix: str) -> None:
    model = port(stages)
    state = {prefix + key: value for key, value in model.state_dict().items()}
    net = from_torch(state, build(name))
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(x).numpy()
    got = dongfeng.run(net, {"data": x.numpy()})["fc"]
    assert np.max(np.abs(got - expected)) <= 1e-5 * np.max(np.abs(expected))


def test_the_communitys_module_tells_its_eps() -> None:
    model = port(V1, eps=0.5)
    net = from_torch(model, build("df1"))
    assert {layer.params.batch_norm_param.eps for layer in net.layers if layer.type == "BatchNorm"} == {0.5}
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(x).numpy()
    got = dongfeng.run(net, {"data": x.numpy()})["fc"]
    assert np.max(np.abs(got - expected)) <= 1e-5 * np.max(np.abs(expected))


def test_the_communitys_backbone_goes_into_a_segmentation_net(seg: dongfeng.Net) -> None:
    state = {key: value for key, value in port(V1).state_dict().items() if not key.startswith("fc.")}
    with pytest.warns(DongfengWarning, match='no weights for "psp.pool1.conv"'):
        net = from_torch(state, seg)
    np.testing.assert_array_equal(net.layer("res2.1.conv1").blobs[0], state["stage2.0.conv1.weight"].numpy())
    np.testing.assert_array_equal(net.layer("res4.4.conv2").blobs[0], state["stage5.0.conv2.weight"].numpy())
    with pytest.raises(WeightsMismatch, match="stage3.2.conv1.weight is 128x64x3x3, the net wants 64x64x3x3"):
        from_torch({key: value for key, value in state.items() if "stage2.2" not in key}, build("df1"))
    with pytest.raises(WeightsMismatch, match="is 64x64x3x3, the net wants"):
        from_torch(state, random_weights(build("df2")))
