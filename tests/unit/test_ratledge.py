"""Ratledge's loss: against NumPy, its gradient, batches that lack a group, and how far predictions shrink."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EstimationError

torch = pytest.importorskip("torch")


def _numpy(loss: ec.RatledgeLoss, predicted: np.ndarray, truth: np.ndarray) -> float:
    errors = predicted - truth
    group = np.searchsorted(loss.cuts, truth, side="left")
    worst = max(errors[group == one].mean() ** 2 for one in np.unique(group))
    return float((errors**2).mean() + loss.weight * worst)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_numpy_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    train, truth = rng.gamma(2, size=500), rng.gamma(2, size=64)
    predicted = 0.5 * truth + rng.normal(size=64)
    loss = ec.RatledgeLoss(train, weight=3.0)
    assert loss(torch.tensor(predicted), torch.tensor(truth)).item() == pytest.approx(
        _numpy(loss, predicted, truth), rel=1e-12
    )
    # groups are those of pandas' quintiles, so that a truth at a cut point is below it
    codes = pd.qcut(train, 5, labels=False)
    assert np.searchsorted(loss.cuts, train, side="left").tolist() == codes.tolist()


def test_groups_are_those_of_the_training_set_and_not_of_the_batch() -> None:
    loss = ec.RatledgeLoss(np.arange(100.0), weight=1.0)
    batch = torch.tensor([90.0, 91.0, 92.0, 93.0])
    biases = loss.biases(batch - 2, batch)
    assert torch.isnan(biases[:4]).all()
    assert biases[4].item() == pytest.approx(-2.0)
    assert loss(batch - 2, batch).item() == pytest.approx(4 + 4)


def test_without_weight_it_is_the_mean_squared_error() -> None:
    truth = torch.linspace(0, 1, 20)
    loss = ec.RatledgeLoss(np.linspace(0, 1, 50), weight=0)
    assert loss(truth**2, truth).item() == pytest.approx(((truth**2 - truth) ** 2).mean().item(), rel=1e-6)


def test_the_gradient_is_that_of_differences() -> None:
    rng = np.random.default_rng(0)
    truth = torch.tensor(rng.normal(size=30))
    predicted = torch.tensor(rng.normal(size=30), requires_grad=True)
    loss = ec.RatledgeLoss(rng.normal(size=200), weight=2.0)
    assert torch.autograd.gradcheck(lambda values: loss(values, truth), (predicted,))
    loss(predicted, truth).backward()
    assert predicted.grad is not None
    # only units of the worst group feel the penalty
    plain = 2 * (predicted.detach() - truth) / 30
    moved = (predicted.grad - plain).abs() > 1e-12
    worst = int(loss.biases(predicted.detach(), truth).abs().nan_to_num(0).argmax())
    group = np.searchsorted(loss.cuts, truth.numpy(), side="left")
    assert moved.tolist() == (group == worst).tolist()


def test_a_batch_of_one_unit_and_columns_of_one_shape_work() -> None:
    loss = ec.RatledgeLoss(np.arange(10.0), weight=1.0)
    one = loss(torch.tensor([1.0]), torch.tensor([3.0]))
    assert one.item() == pytest.approx(8.0)
    column = loss(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [3.0]]))
    flat = loss(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0]))
    assert column.item() == flat.item()


def test_training_shrinks_predictions_less_by_as_much_as_the_loss_says() -> None:
    """One slope b on x = truth + noise: squared error gives 1/2, the penalty ``(1 + 1.96 w) / (2 + 1.96 w)``."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=20_000)
    x = torch.tensor(truth + rng.normal(size=20_000))
    target = torch.tensor(truth)
    # squared mean of a standard normal above its 80th percentile
    at_end = 1.3998096**2
    for weight in (0.0, 2.0, 15.0):
        loss = ec.RatledgeLoss(truth, weight=weight)
        slope = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([slope], lr=0.5, max_iter=60)

        def step() -> torch.Tensor:
            optimiser.zero_grad()  # noqa: B023
            value = loss(slope * x, target)  # noqa: B023
            value.backward()
            return value

        optimiser.step(step)
        k = np.polyfit(truth, (slope.detach() * x).numpy(), 1)[0]
        assert k == pytest.approx((1 + at_end * weight) / (2 + at_end * weight), abs=0.02)


def test_it_stays_as_it_was_made() -> None:
    loss = ec.RatledgeLoss([1.0, 2.0, 3.0, 4.0], groups=2)
    assert (loss.weight, loss.cuts) == (15.0, (2.5,))
    assert loss == ec.RatledgeLoss([1.0, 2.0, 3.0, 4.0], groups=2)
    with pytest.raises(AttributeError):
        loss.weight = 3.0


@pytest.mark.parametrize(("truth", "options", "words"), [
    ([1.0, np.nan, 2.0], {}, "missing or infinite"),
    ([], {}, "missing or infinite"),
    ([0.0, 1.0] * 20, {}, "too few different values for 5 groups"),
    (["poor", "rich"], {}, "an array of real numbers"),
    (np.arange(9.0) + 1j, {}, "are complex128"),
    (np.arange(9.0), {"weight": -1}, "weight=-1"),
    (np.arange(9.0), {"weight": "15"}, "weight='15'"),
    (np.arange(9.0), {"groups": 1}, "groups=1"),
])  # fmt: skip
def test_what_it_cannot_be_made_of_says_why(truth: object, options: dict, words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        ec.RatledgeLoss(truth, **options)


def test_shapes_that_torch_would_blow_up_are_refused() -> None:
    loss = ec.RatledgeLoss(np.arange(10.0))
    with pytest.raises(EstimationError, match=r"shapes \(4, 1\) and \(4,\)"):
        loss(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(EstimationError, match="at least one unit"):
        loss(torch.zeros(0), torch.zeros(0))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_halves_count_thousands_of_units(kind: torch.dtype) -> None:
    truth = np.random.default_rng(0).normal(size=20_000)
    loss = ec.RatledgeLoss(truth)
    low = torch.tensor(truth).to(kind)
    exact = loss(low.double() / 2, low.double()).item()
    assert loss(low / 2, low).item() == pytest.approx(exact, rel=1e-4)


def test_truths_may_be_tensors_and_whole_numbers() -> None:
    truth = torch.arange(9.0, requires_grad=True)
    assert ec.RatledgeLoss(truth, groups=2).cuts == (4.0,)
    whole = ec.RatledgeLoss(np.arange(9), groups=2)
    assert whole.cuts == (4.0,)
    predicted, measured = torch.tensor([3, 4, 8]), torch.tensor([3, 4, 5])
    # one error of 3 in three units, which is all of the upper group
    assert whole(predicted, measured).item() == pytest.approx(3 + 15 * 9)
