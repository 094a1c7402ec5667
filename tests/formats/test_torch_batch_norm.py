"""BatchNorm in training, against Caffe's formula in NumPy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dongfeng  # noqa: E402  what follows needs torch
from dongfeng.formats.torch import from_torch, to_torch  # noqa: E402
from tests.nets import data, layer, read_text  # noqa: E402

RNG = np.random.default_rng(5)


@dataclass
class CaffeBatchNorm:
    """BatchNormLayer::Forward_cpu of phase TRAIN, in double precision."""

    mean_sum: np.ndarray
    var_sum: np.ndarray
    factor: float
    fraction: float
    eps: float

    def step(self, x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        axes = (0, *range(2, x.ndim))
        count = x.size // x.shape[1]
        mean = x.mean(axes, keepdims=True)
        variance = np.mean((x - mean) ** 2, axes, keepdims=True)
        self.factor = self.factor * self.fraction + 1
        correction = count / (count - 1) if count > 1 else 1
        self.mean_sum = self.fraction * self.mean_sum + mean.ravel()
        self.var_sum = self.fraction * self.var_sum + correction * variance.ravel()
        return (x - mean) / np.sqrt(variance + self.eps)


def norm_net(
    tmp_path: Path, *, params: str = "", scale: str | None = "scale_param { bias_term: true }"
) -> dongfeng.Net:
    text = data(1, 3, 4, 4) + layer("bn", "BatchNorm", "data", "bn", f"batch_norm_param {{ {params} }}")
    if scale is not None:
        text += layer("scale", "Scale", "bn", "bn", scale)
    net = read_text(tmp_path, text)
    draw = lambda: RNG.standard_normal(3).astype(np.float32)  # noqa: E731
    blobs = [(draw() * 500, np.exp(draw()) * 1000, np.array([999.982], np.float32))]
    if scale is not None:
        blobs.append((1 + 0.1 * draw(), draw()) if "true" in scale else (1 + 0.1 * draw(),))
    return net.with_layers(
        replace(lay, blobs=tuple(b.astype(np.float32) for b in values))
        for lay, values in zip(net.layers, blobs, strict=True)
    )


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (2, 3), (1, 3, 1, 1)], ids=str)
@pytest.mark.parametrize("fraction", [0.999, 0.9])
@pytest.mark.parametrize("is_new", [False, True], ids=["trained", "new"])
def test_training_is_caffes_formula(tmp_path: Path, shape: tuple[int, ...], fraction: float, is_new: bool) -> None:
    net = norm_net(tmp_path, params=f"moving_average_fraction: {fraction} eps: 1e-3")
    if is_new:
        blank = replace(net.layers[0], blobs=tuple(np.zeros_like(blob) for blob in net.layers[0].blobs))
        net = net.with_layers([blank, net.layers[1]])
    mean_sum, var_sum, factor = net.layers[0].blobs
    oracle = CaffeBatchNorm(mean_sum, var_sum, float(factor[0]), float(np.float32(fraction)), 1e-3)
    model = to_torch(net).train()
    gain, shift = (blob.reshape(-1, *(1,) * (len(shape) - 2)) for blob in net.layers[1].blobs)
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 2 + 1
        expected = oracle.step(x) * gain + shift
        with torch.no_grad():
            got = model(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    back = from_torch(model, net)
    for got, wanted in zip(back.layers[0].blobs, (oracle.mean_sum, oracle.var_sum, [oracle.factor]), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5)
    # And the net that comes back computes in phase TEST what the module computes then.
    x = np.random.default_rng(9).standard_normal((1, 3, 4, 4)).astype(np.float32)
    with torch.no_grad():
        got = model.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, dongfeng.run(back, {"data": x})["bn"], rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_the_formula(tmp_path: Path) -> None:
    model = to_torch(norm_net(tmp_path)).train().double()
    assert torch.autograd.gradcheck(
        model, torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True), nondet_tol=0
    )


@pytest.mark.parametrize("scale", [None, "", "scale_param { bias_term: true }"], ids=["bare", "no_bias", "bias"])
def test_scale_may_be_missing_or_without_bias(tmp_path: Path, scale: str | None) -> None:
    net = norm_net(tmp_path, scale=scale)
    model = to_torch(net)
    names = set(dict(model.named_parameters()))
    assert names == ({"bn.weight", "bn.bias"} if scale else set() if scale is None else {"bn.weight"})
    assert from_torch(model, net) == net
    model.train()(torch.randn(2, 3, 4, 4))
    assert from_torch(model, net).layers[0] != net.layers[0]
    assert from_torch(model, net).layers[1:] == net.layers[1:]


@pytest.mark.parametrize(("setting", "learns"), [("true", False), ("false", True)])
def test_use_global_stats_counts_more_than_the_mode(tmp_path: Path, setting: str, learns: bool) -> None:
    net = norm_net(tmp_path, params=f"use_global_stats: {setting}")
    model = to_torch(net)
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tested, trained = model(x), model.train()(x)
    torch.testing.assert_close(tested, trained)
    torch.testing.assert_close(
        tested, torch.from_numpy(dongfeng.run(net, {"data": x.numpy()})["bn"]), rtol=1e-5, atol=1e-5
    )
    assert (from_torch(model, net) != net) == learns


def test_statistics_set_by_hand_are_written(tmp_path: Path) -> None:
    net = norm_net(tmp_path)
    model = to_torch(net)
    model.bn.running_var.fill_(2.0)
    mean, variance, factor = from_torch(model, net).layers[0].blobs
    np.testing.assert_array_equal(variance, np.full(3, 2.0, np.float32))
    np.testing.assert_array_equal(mean, model.bn.running_mean.numpy())
    np.testing.assert_array_equal(factor, [1.0])


def test_reset_statistics_are_written_as_mean_0_and_variance_1(tmp_path: Path) -> None:
    net = norm_net(tmp_path)
    module = to_torch(net)
    (norm,) = (part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d))
    norm.reset_running_stats()
    mean, variance, factor = from_torch(module, net).layers[0].blobs
    assert (mean.tolist(), variance.tolist(), factor.tolist()) == ([0, 0, 0], [1, 1, 1], [1])


def test_a_plain_dict_of_the_state_loads(tmp_path: Path) -> None:
    net = norm_net(tmp_path)
    module, other = to_torch(net), to_torch(net)
    plain = {name: value + 1 for name, value in module.state_dict().items()}
    other.load_state_dict(plain)
    assert all(torch.equal(value, plain[name]) for name, value in other.state_dict().items())
