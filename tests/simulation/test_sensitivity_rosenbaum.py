"""Rosenbaum's bounds where hidden bias is exactly gamma: how often a true null is rejected, and power."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

ALPHA = 0.05
GAMMA = 2.0


def images(n: int, values: np.ndarray) -> ec.Embeddings:
    frame = pd.DataFrame(values.astype(np.float32)).add_prefix("f").assign(village=np.arange(n))
    return ec.read_embeddings(frame, key="village")


def confounded(seed: int, *, n: int, effect: float, width: int, hidden: float) -> ec.Design:
    """Units whose odds of treatment an unseen coin multiplies by gamma; it also moves the outcome.

    What is seen is one covariate, or images of ``width`` columns that mix four factors, of which the first counts.
    """
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 4))
    unseen = rng.integers(0, 2, n)
    odds = np.exp(-1.5 + 0.6 * latent[:, 0]) * GAMMA**unseen
    treated = (rng.random(n) < odds / (1 + odds)).astype(int)
    outcome = effect * treated + 0.5 * latent[:, 0] + hidden * unseen + 0.5 * rng.normal(size=n)
    table = pd.DataFrame({"village": np.arange(n), "treated": treated, "outcome": outcome, "x": latent[:, 0]})
    named = {"outcome": "outcome", "treatment": "treated"}
    if not width:
        return ec.Design(table, **named, covariates=["x"])
    mix = np.random.default_rng(99).normal(size=(4, width)) / 2
    pictures = latent @ mix + 0.3 * rng.normal(size=(n, width))
    return ec.Design(table, **named, features=images(n, pictures))


def rejected(design: ec.Design) -> tuple[bool, bool]:
    """Return whether a positive effect is found where no hidden bias is allowed for, and at the true gamma."""
    result = ec.ate(design, method="ipw", folds=ec.Folds(k=3))
    found = ec.sensitivity(result, kind="rosenbaum", gammas=(1.0, GAMMA), benchmark=[])
    positive = found.subject.estimate > 0
    return tuple(bool(positive and p < ALPHA) for p in found.frame["p_upper"])


@pytest.mark.slow
@pytest.mark.parametrize("width", [0, 24])
def test_size_is_at_most_alpha_where_hidden_bias_is_gamma(width: int) -> None:
    draws = np.array(
        [rejected(confounded(seed, n=500, effect=0.0, width=width, hidden=3.0)) for seed in range(60)]
    )
    naive, size = draws.mean(axis=0)
    print(f"width {width}: rejected without hidden bias {naive:.3f}, at gamma {size:.3f}")
    assert naive > 0.5
    assert size <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / len(draws))


@pytest.mark.slow
def test_size_is_alpha_where_every_pair_is_as_unequal_as_gamma_allows() -> None:
    """Pairs of a unit with the unseen and one without: the bound is then the law, and the size is alpha."""
    rng = np.random.default_rng(0)
    rejections, n_pairs, n_draws = 0, 60, 300
    for _ in range(n_draws):
        first = rng.random(n_pairs) < GAMMA / (1 + GAMMA)
        treated = np.column_stack([first, ~first]).astype(int).ravel()
        unseen = np.tile([1.0, 0.0], n_pairs)
        # the unit with the unseen always has the higher outcome
        outcome = 10 * unseen + rng.normal(size=2 * n_pairs)
        table = pd.DataFrame({"y": outcome, "treated": treated, "pair": np.repeat(np.arange(n_pairs), 2)})
        result = ec.ate(ec.Design(table, outcome="y", treatment="treated"), method="difference")
        found = ec.sensitivity(result, kind="rosenbaum", strata="pair", gammas=[GAMMA], benchmark=[])
        rejections += found.subject.estimate > 0 and found.frame["p_upper"][0] < ALPHA
    print(f"size {rejections / n_draws:.3f}")
    assert abs(rejections / n_draws - ALPHA) < 3 * np.sqrt(ALPHA * (1 - ALPHA) / n_draws)


@pytest.mark.slow
def test_power_grows_with_the_effect() -> None:
    """The unseen moves no outcome, and gamma of 2 is allowed for."""
    power = [
        np.mean(
            [rejected(confounded(seed, n=500, effect=effect, width=0, hidden=0.0))[1] for seed in range(25)]
        )
        for effect in (0.0, 0.3, 0.6)
    ]
    print(f"power at effects of 0, 0.3, 0.6: {power}")
    assert power[0] <= 0.04
    assert power[0] < power[1] < power[2]
    assert power[2] > 0.9


@pytest.mark.slow
def test_size_without_hidden_bias_where_arms_are_of_equal_size() -> None:
    """Then many pairs are not exact; the outcome is mostly what is seen, and residuals take it off."""
    draws = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=500)
        treated = (rng.random(500) < 1 / (1 + np.exp(-x))).astype(int)
        table = pd.DataFrame({"x": x, "treated": treated, "y": 3 * x + rng.normal(size=500)})
        result = ec.ate(ec.Design(table, outcome="y", treatment="treated", covariates=["x"]), method="ipw")
        found = [
            ec.sensitivity(result, kind="rosenbaum", gammas=[1.0], benchmark=[], adjust=adjust).frame
            for adjust in (False, None)
        ]
        draws.append([not one["conf_low"][0] < 0 < one["conf_high"][0] for one in found])
    plain, usual = np.mean(draws, axis=0)
    print(f"two-sided size: outcomes {plain:.3f}, residuals {usual:.3f}")
    assert usual <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / len(draws))
    assert plain > usual
