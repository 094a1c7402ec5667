"""The loss, the schedule and the average, each against its formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from dongfeng.net.weights import bilinear
from dongfeng.training.batches import Pixels
from dongfeng.training.config import TrainConfig
from dongfeng.training.loss import cross_entropy
from dongfeng.training.optimizer import learning_rate, update_average

torch = pytest.importorskip("torch")


def test_classes_of_images() -> None:
    rng = np.random.default_rng(0)
    scores, classes = rng.normal(size=(5, 7)).astype(np.float32), rng.integers(0, 7, 5)
    expected = -log_softmax(scores.astype(float), axis=1)[np.arange(5), classes].mean()
    for shape in ((5, 7), (5, 7, 1, 1)):
        loss = cross_entropy(torch.from_numpy(scores.reshape(shape)), torch.from_numpy(classes))
        assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_a_map_at_the_size_of_its_labels() -> None:
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=(2, 4, 5, 6)).astype(np.float32), rng.integers(0, 4, (2, 5, 6)).astype(np.uint8)
    labels[0, :2] = 255
    logs = np.moveaxis(log_softmax(scores.astype(float), axis=1), 1, -1)
    counted = labels != 255
    expected = -np.take_along_axis(logs, np.where(counted, labels, 0)[..., None].astype(int), -1)[..., 0][
        counted
    ].mean()
    assert float(cross_entropy(torch.from_numpy(scores), torch.from_numpy(labels))) == pytest.approx(expected, rel=1e-6)


def test_a_smaller_map_is_enlarged_as_the_nets_deconvolution_does() -> None:
    rng = np.random.default_rng(2)
    scores = torch.from_numpy(rng.normal(size=(1, 3, 6, 8)).astype(np.float32))
    kernel = torch.from_numpy(bilinear((3, 1, 16, 16)))
    enlarged = torch.nn.functional.conv_transpose2d(scores, kernel, stride=8, padding=4, groups=3)
    labels = torch.from_numpy(rng.integers(0, 3, (1, 48, 64)).astype(np.uint8))
    inner = torch.full_like(labels, 255)
    inner[:, 4:-4, 4:-4] = labels[:, 4:-4, 4:-4]  # at the border the deconvolution fades
    assert float(cross_entropy(scores, inner)) == pytest.approx(float(cross_entropy(enlarged, inner)), rel=1e-5)


@pytest.mark.parametrize(("top", "left", "stride"), [(0, 0, 2), (1, 0, 2), (2, 1, 3)])
def test_chosen_pixels_have_the_scores_of_their_place(top: int, left: int, stride: int) -> None:
    rng = np.random.default_rng(7)
    scores = torch.from_numpy(rng.normal(size=(2, 3, 4, 6)).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, 3, (2, 32, 48)).astype(np.uint8))
    rows, columns = slice(top, None, stride), slice(left, None, stride)
    enlarged = torch.nn.functional.interpolate(scores, size=(32, 48), mode="bilinear")
    expected = torch.nn.functional.cross_entropy(enlarged[:, :, rows, columns], labels[:, rows, columns].long())
    loss = cross_entropy(scores, labels[:, rows, columns], pixels=Pixels((32, 48), rows, columns))
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_scores_under_255_change_nothing() -> None:
    rng = np.random.default_rng(3)
    labels = torch.from_numpy(rng.integers(0, 3, (1, 8, 8)).astype(np.uint8))
    labels[:, :4] = 255
    scores = torch.from_numpy(rng.normal(size=(1, 3, 8, 8)).astype(np.float32)).requires_grad_()
    loss = cross_entropy(scores, labels)
    loss.backward()
    changed = scores.detach().clone()
    changed[:, :, :4] += torch.from_numpy(rng.normal(size=(1, 3, 4, 8)).astype(np.float32))
    assert float(cross_entropy(changed, labels)) == loss.item()
    assert not scores.grad[:, :, :4].any()
    assert scores.grad[:, :, 4:].any()
    changed[:, :, 4:] += torch.from_numpy(rng.normal(size=(1, 3, 4, 8)).astype(np.float32))
    assert float(cross_entropy(changed, labels)) != loss.item()


def test_nothing_but_255_is_a_loss_of_zero() -> None:
    assert float(cross_entropy(torch.randn(1, 3, 4, 4), torch.full((1, 4, 4), 255, dtype=torch.uint8))) == 0


def test_label_smoothing_is_that_of_torch() -> None:
    scores, labels = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    expected = torch.nn.functional.cross_entropy(scores, labels, label_smoothing=0.1)
    assert float(cross_entropy(scores, labels.byte(), 0.1)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("power", [0.9, 1.0, 2.0])
def test_poly_schedule_is_that_of_torch(power: float) -> None:
    config = TrainConfig(lr=0.3, steps=50, power=power)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.lr)
    oracle = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=50, power=power)
    for step in range(50):
        assert learning_rate(config, step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        oracle.step()


def test_warm_up_rises_to_the_schedule() -> None:
    config, plain = TrainConfig(lr=1.0, steps=100, warmup_steps=9), TrainConfig(lr=1.0, steps=100)
    assert [learning_rate(config, step) / learning_rate(plain, step) for step in (0, 4, 9, 50)] == pytest.approx(
        [0.1, 0.5, 1, 1]
    )


def test_the_average_is_that_of_its_formula() -> None:
    module, average = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    values, expected, initial = np.random.default_rng(0).normal(size=200), 1.0, 1.0
    for step, value in enumerate(values):
        with torch.no_grad():
            module.weight.fill_(value)
            module.running_mean.fill_(2 * value)
        update_average(average, module, 0.9, step)
        keep = min(0.9, (1 + step) / (10 + step))
        expected, initial = keep * expected + (1 - keep) * value, keep * initial  # the mean begins at 0, not 1
    assert average.weight.item() == pytest.approx(expected, rel=1e-4)
    assert average.running_mean.item() == pytest.approx(2 * expected - 2 * initial, rel=1e-3)
