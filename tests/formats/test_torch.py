"""A `Net` as a PyTorch module: what it is called, what it gives, and what PyTorch can do with it."""

from __future__ import annotations

import copy
import io
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dongfeng  # noqa: E402  what follows needs torch
from dongfeng.architectures import build  # noqa: E402
from dongfeng.errors import BackendUnavailable, ConversionError, DongfengWarning, UnsupportedLayer, WeightsMismatch  # noqa: E402
from dongfeng.formats.ncnn import load_ncnn_weights  # noqa: E402
from dongfeng.formats.torch import from_torch, parameter_groups, to_torch  # noqa: E402
from dongfeng.net.random_weights import random_weights  # noqa: E402
from dongfeng.runtime import torch_net  # noqa: E402
from tests.nets import CONV_BN, data, layer, read_text  # noqa: E402


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def computed(model: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(x)).numpy()


def assert_close(got: np.ndarray, expected: np.ndarray, relative: float = 1e-5) -> None:
    assert got.shape == expected.shape
    assert np.max(np.abs(got - expected)) <= relative * np.max(np.abs(expected))


@pytest.fixture(scope="module")
def df1() -> dongfeng.Net:
    return random_weights(build("df1"))


@pytest.fixture(scope="module")
def seg() -> dongfeng.Net:
    return random_weights(build("dflite_seg")).resize(64, 128)


@pytest.mark.parametrize("name", ["df1", "dflite_seg", "df1seg", "df2a", "pl1a_seg"])
@pytest.mark.parametrize("folded", [False, True], ids=["plain", "folded"])
def test_numbers_are_those_of_onnx_runtime(name: str, folded: bool) -> None:
    net = random_weights(build(name))
    net = net if name in ("df1", "df2a") else net.resize(64, 128)
    x = drawn(2, *net.inputs["data"][1:])
    model = to_torch(net, folded=folded)
    (blob,) = model.outputs
    assert_close(computed(model, x), dongfeng.run(net, {"data": x}, [blob])[blob])


def test_real_weights_give_the_numbers_of_onnx_runtime(shared: Path) -> None:
    weights = shared / "pl1a/pl1a_new.bin"
    net = load_ncnn_weights(build("pl1a_seg"), weights)
    model = torch_net.to_torch("pl1a_seg", weights=weights, outputs=["Decoder_score"])
    x = drawn(1, *net.inputs["data"][1:])
    assert_close(computed(model, x), dongfeng.run(net, {"data": x}, model.outputs)["Decoder_score"])


def test_another_size_needs_no_other_module(seg: dongfeng.Net) -> None:
    model = to_torch(seg, outputs=["Decoder_score/bn"])
    x = drawn(1, 3, 96, 160)
    assert_close(computed(model, x), dongfeng.run(seg, {"data": x}, ["Decoder_score/bn"])["Decoder_score/bn"])


def test_it_reads_like_hand_written_code(seg: dongfeng.Net) -> None:
    model = to_torch(seg)
    assert [name for name, _ in model.named_children()] == [
        *("stem", "stage3", "stage4", "stage5", "psp", "decoder", "head")
    ]
    assert [name for name, _ in model.stage3[0].named_children()] == [
        *("conv1", "bn1", "relu1", "conv2", "bn2", "downsample", "relu")
    ]
    assert [name for name, _ in model.decoder.named_children()] == ["cc3", "cc4", "cc5", "fuse4", "fuse3"]
    assert model.stage3[1].conv1.weight.shape == (64, 64, 3, 3)
    text = str(model)
    assert "(conv1): Conv2d(3, 32, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)" in text
    assert "(bn1): BatchNorm(32, eps=0.0001, momentum=0.1)" in text


def test_each_block_can_be_called_by_itself(seg: dongfeng.Net) -> None:
    model = to_torch(seg)
    x = drawn(1, 3, 64, 128)
    blobs = dongfeng.run(seg, {"data": x}, ["conv2/bn", "res2.1.sum", "res2.2.sum"])
    assert_close(computed(model.stage3[0], blobs["conv2/bn"]), blobs["res2.1.sum"])
    assert_close(computed(model.stage3[1], blobs["res2.1.sum"]), blobs["res2.2.sum"])
    assert_close(computed(model.stage3, blobs["conv2/bn"]), blobs["res2.2.sum"])


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("df1", ("res2.3.sum", "res3.3.sum", "res4.4.sum")),
        ("df2a", ("res2.3.sum", "res3.11.sum", "res4.6.sum")),
        ("dflite_seg", ("res2.2.sum", "res3.2.sum", "res4.2.sum")),
        ("pl1a_seg", ("res2.4.shuffle", "res3.8.shuffle", "res4.4.shuffle")),
    ],
)
def test_features_are_the_ends_of_the_stages(name: str, features: tuple[str, ...]) -> None:
    net = random_weights(build(name))
    model = to_torch(net)
    assert model.features == features
    assert isinstance(model.stage4, torch.nn.Sequential)
    x = drawn(1, 3, 64, 96)
    small = random_weights(build(name)).resize(64, 96) if "seg" in name else None
    with torch.no_grad():
        maps = model.forward_features(torch.from_numpy(x))
    assert [tuple(m.shape[2:]) for m in maps] == [(8, 12), (4, 6), (2, 3)]
    if small is not None:
        for got, expected in zip(maps, dongfeng.run(small, {"data": x}, features).values(), strict=True):
            assert_close(got.numpy(), expected)


def test_features_are_refused_where_there_are_none(tmp_path: Path) -> None:
    model = to_torch(random_weights(read_text(tmp_path, CONV_BN)))
    with pytest.raises(ConversionError, match=r"no maps at 1/8, 1/16 and 1/32.*outputs="):
        model.forward_features(torch.zeros(1, 3, 8, 8))


def test_the_default_output_is_the_full_size_score(seg: dongfeng.Net) -> None:
    assert to_torch(seg).outputs == ("Decoder_score.up8",)
    assert to_torch(random_weights(build("pl1a_seg")).resize(64, 128)).outputs == ("Decoder_score.up8",)
    two = to_torch(seg, outputs=["Decoder_score/bn", "prob"])
    small, prob = two(torch.zeros(1, 3, 64, 128))
    assert small.shape == (1, 19, 8, 16)
    assert torch.allclose(prob.sum(1), torch.ones(1, 64, 128))


def test_a_classifier_gives_one_row_per_image(tmp_path: Path) -> None:
    text = CONV_BN + layer("pool", "Pooling", "out", "pool", "pooling_param { pool: AVE global_pooling: true }")
    text += layer("prob", "Softmax", "pool", "prob")
    model = to_torch(random_weights(read_text(tmp_path, text)))
    assert model(torch.zeros(3, 3, 8, 8)).shape == (3, 2)


def test_unknown_and_inner_blobs_are_refused(seg: dongfeng.Net) -> None:
    with pytest.raises(ConversionError, match="no blob 'nothing'.*its outputs are pred, pred_d8"):
        to_torch(seg, outputs=["nothing"])
    inner = next(layer.tops[0] for layer in seg.layers if layer.type == "BatchNorm")
    with pytest.raises(ConversionError, match='lies between conv1/bn and conv1/bn_scale.*take "conv1/bn@1"'):
        to_torch(seg, outputs=[inner])


def test_all_layers_without_a_form_are_named_at_once(tmp_path: Path) -> None:
    text = (
        data(1, 4, 8, 8)
        + layer("top", "ArgMax", "data", "top")
        + layer("spp", "SPP", "data", "spp", "spp_param { pyramid_height: 2 }")
    )
    with pytest.raises(UnsupportedLayer) as caught:
        to_torch(read_text(tmp_path, text), outputs=["top", "spp"])
    assert [part in str(caught.value) for part in ('"top" (ArgMax)', '"spp" (SPP)', "\n")] == [True, True, False]


def test_a_net_without_weights_gets_caffes_fillers_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(DongfengWarning, match='no weights for "conv".*fillers stand in'):
        model = to_torch(read_text(tmp_path, CONV_BN))
    assert not model.conv.weight.any()
    random = CONV_BN.replace("bias_term: false", 'bias_term: false weight_filler { type: "xavier" }')
    with pytest.raises(WeightsMismatch, match='its filler "xavier" is random'):
        to_torch(read_text(tmp_path, random))


def test_any_names_become_identifiers(tmp_path: Path) -> None:
    conv = "convolution_param { num_output: 4 kernel_size: 1 }"
    text = data(1, 4, 8, 8)
    text += layer("a/1x1", "Convolution", "data", "x", conv) + layer("b/class", "Convolution", "x", "y", conv)
    text += layer("a/3x3", "Convolution", "y", "z", conv)  # `a` cannot be computed as one
    text += layer("forward", "Convolution", "z", "w", conv) + layer("a/1x1/relu", "ReLU", "w", "v")
    text += layer("a 1x1", "Convolution", "v", "u", conv) + layer("a_1x1", "Convolution", "u", "t", conv)
    net = random_weights(read_text(tmp_path, text))
    model = to_torch(net)
    names = [name for name, _ in model.named_modules() if name]
    assert len(set(names)) == len(names)
    assert all(part.isidentifier() or part.isdigit() for name in names for part in name.split("."))
    x = drawn(1, 4, 8, 8)
    assert_close(computed(model, x), dongfeng.run(net, {"data": x})["t"])
    assert from_torch(model, net) == net


def test_copies_and_pickles_compute_the_same(df1: dongfeng.Net) -> None:
    model = to_torch(df1)
    x = drawn(1, 3, 224, 224)
    expected = computed(model, x)
    stored = io.BytesIO()
    torch.save(model, stored)
    stored.seek(0)
    for twin in (copy.deepcopy(model), torch.load(stored, weights_only=False)):
        np.testing.assert_array_equal(computed(twin, x), expected)
        assert from_torch(twin, df1) == df1


def test_fx_export_and_the_compiler_take_it(tmp_path: Path, seg: dongfeng.Net) -> None:
    model = to_torch(seg)
    x = torch.from_numpy(drawn(1, 3, 64, 128))
    with torch.no_grad():
        assert torch.equal(torch.fx.symbolic_trace(model)(x), model(x))
    text = CONV_BN + layer("pool", "Pooling", "out", "pool", "pooling_param { pool: AVE kernel_size: 4 stride: 2 }")
    text += layer("up", "Interp", "pool", "up", "interp_param { zoom_factor: 2 }")
    net = random_weights(read_text(tmp_path, text))
    model, x = to_torch(net), torch.from_numpy(drawn(1, 3, 8, 8))
    with torch.no_grad():
        expected = model(x)
        assert torch.equal(torch.export.export(model, (x,)).module()(x), expected)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated, but in use
            assert torch.equal(torch.jit.trace(model, x)(x), expected)
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        assert torch.equal(compiled(x), expected)
        assert from_torch(compiled, net) == net
    compiled.train()(torch.cat([x, x]))
    assert from_torch(compiled, net) != net


def test_half_precision_keeps_the_sums(seg: dongfeng.Net) -> None:
    model = to_torch(seg).to(torch.bfloat16)
    assert model.stem.bn1.weight.dtype == torch.bfloat16
    assert model.stem.bn1.mean_sum.dtype == torch.float32
    back = from_torch(model, seg)
    for got, expected in zip(back.layers, seg.layers, strict=True):
        if expected.type == "BatchNorm":
            assert got == expected
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 128, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_every_trainable_parameter_gets_a_gradient(seg: dongfeng.Net) -> None:
    model = to_torch(seg).train()
    model(torch.from_numpy(drawn(2, 3, 64, 128))).square().mean().backward()
    fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert fixed == {"decoder.fuse4.up2.weight", "decoder.fuse3.up2.weight", "head.up8.weight"}
    for name, parameter in model.named_parameters():
        if name not in fixed:
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name


def test_parameter_groups_heed_the_multipliers(tmp_path: Path) -> None:
    params = "param { lr_mult: 2 decay_mult: 3 } param { lr_mult: 4 decay_mult: 0 }"
    conv = "convolution_param { num_output: 4 kernel_size: 1 }"
    text = data(1, 4, 8, 8) + layer("a", "Convolution", "data", "a", conv + params)
    text += layer("b", "Convolution", "a", "b", conv) + layer(
        "c", "Convolution", "b", "c", conv + "param { lr_mult: 0 }"
    )
    model = to_torch(random_weights(read_text(tmp_path, text)))
    groups = parameter_groups(model, 0.5, lr=0.1)
    shown = [([id(p) for p in g["params"]], g["weight_decay"], g["lr_mult"], round(g["lr"], 6)) for g in groups]
    assert shown == [
        ([id(model.a.weight)], 1.5, 2.0, 0.2),
        ([id(model.a.bias)], 0.0, 4.0, 0.4),
        ([id(model.b.weight), id(model.b.bias), id(model.c.bias)], 0.5, 1.0, 0.1),
    ]
    torch.optim.SGD(groups, lr=0.1)


def test_dropout_drops_in_training_only(tmp_path: Path) -> None:
    text = data(1, 4, 8, 8) + layer("drop", "Dropout", "data", "drop", "dropout_param { dropout_ratio: 0.25 }")
    model = to_torch(read_text(tmp_path, text))
    ones = torch.ones(1, 4, 64, 64)
    assert torch.equal(model(ones), ones)
    torch.manual_seed(0)
    dropped = model.train()(ones)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert 0.2 < (dropped == 0).float().mean() < 0.3


def test_names_and_files_are_taken(tmp_path: Path) -> None:
    model = torch_net.to_torch("DF1", weights="random:3")
    net = random_weights(build("df1"), 3)
    assert torch_net.from_torch(model, "df1") == net
    dongfeng.write_caffe(net, tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    other = torch_net.to_torch(tmp_path / "n.prototxt", weights=tmp_path / "n.caffemodel")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))
    with pytest.raises(dongfeng.errors.UnknownModel, match="no such file"):
        torch_net.to_torch(tmp_path / "nothing.prototxt")


def test_without_torch_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, df1: dongfeng.Net) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendUnavailable, match=r'pip install "dongfeng\[torch\]"'):
        to_torch(df1)
