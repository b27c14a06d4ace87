"""Worlds where how selection on the unseen compares with that on the seen is known: intervals hold the truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

DRAWS = 250
EFFECT = 1.0


def share(inside: list[bool]) -> float:
    return float(np.mean(inside))


def tabular(seed: int, n: int = 800) -> tuple[ec.Design, float, float]:
    """Return three controls of which one moves the treatment alone and one the outcome alone, delta and R2."""
    rng = np.random.default_rng(seed)
    seen, unseen = rng.normal(size=(n, 3)), rng.normal(size=n)
    to_treatment, to_outcome = np.array([0.8, 0.4, 0.0]), np.array([1.0, 0.0, 0.6])
    table = pd.DataFrame(seen, columns=["a", "b", "c"])
    table["dose"] = seen @ to_treatment + 0.5 * unseen + rng.normal(size=n)
    table["wealth"] = EFFECT * table.dose + seen @ to_outcome + 0.8 * unseen + rng.normal(size=n)
    delta = (0.5 / 0.8) / (to_treatment @ to_outcome / (to_outcome @ to_outcome))
    design = ec.Design(
        table, outcome="wealth", treatment="dose", treatment_type="continuous", covariates=["a", "b", "c"]
    )
    dose = to_treatment @ to_treatment + 0.25 + 1
    outcome = EFFECT**2 * dose + 2 * EFFECT * (to_treatment @ to_outcome + 0.4) + 1.36 + 0.64 + 1
    return design, delta, 1 - 1 / outcome


def pictures(seed: int, n: int = 800) -> tuple[ec.Design, float, float]:
    """Return 16 features whose ten leading components hold what is seen; the confounder goes with it alike."""
    rng = np.random.default_rng(seed)
    scales = np.r_[np.linspace(3.0, 1.5, 10), np.full(6, 0.05)]
    parts = rng.normal(size=(n, 16))
    turn = np.linalg.qr(np.random.default_rng(99).normal(size=(16, 16)))[0]
    features = pd.DataFrame((parts * scales) @ turn, columns=[f"f{place}" for place in range(16)]).astype(
        "f4"
    )
    features.insert(0, "image_key", [f"p{place}" for place in range(n)])
    index, unseen = parts[:, :10] @ np.full(10, 0.3), rng.normal(size=n)
    table = pd.DataFrame({"image_key": features["image_key"]})
    # per unit of variance both go with the treatment alike: delta is 1
    table["dose"] = index + 0.9 * unseen + rng.normal(size=n)
    table["wealth"] = EFFECT * table.dose + index + 0.9 * unseen + rng.normal(size=n)
    design = ec.Design(
        table, outcome="wealth", treatment="dose", treatment_type="continuous",
        features=ec.read_embeddings(features, key="image_key"),
    )  # fmt: skip
    both = 0.9 + 0.81
    return design, 1.0, 1 - 1 / (EFFECT**2 * (both + 1) + 2 * EFFECT * both + both + 1)


@pytest.mark.slow
@pytest.mark.parametrize("world", [tabular, pictures])
def test_intervals_of_delta_and_of_the_effect_hold_the_truth(
    world: Callable[[int], tuple[ec.Design, float, float]],
):
    effect, deltas, plain = [], [], []
    for seed in range(DRAWS):
        design, delta, r2_max = world(seed)
        made = ec.ate(design, method="ols")
        found = ec.sensitivity(made, kind="oster", delta=delta, r2_max=r2_max, beta=EFFECT)
        roots = found.frame[(found.frame["quantity"] == "effect") & found.frame["conf_low"].notna()]
        nearest = roots.iloc[(roots["value"] - EFFECT).abs().argmin()]
        effect.append(nearest["conf_low"] <= EFFECT <= nearest["conf_high"])
        deltas.append(found.numbers["delta_star_low"] <= delta <= found.numbers["delta_star_high"])
        plain.append(made.ci()[0] <= EFFECT <= made.ci()[1])
    print("effect, delta", share(effect), share(deltas))
    assert 0.92 <= share(effect) <= 0.985, (share(effect), share(deltas))
    assert 0.92 <= share(deltas) <= 0.99, (share(effect), share(deltas))
    assert share(plain) < 0.05  # without it the confounder is not seen


@pytest.mark.slow
@pytest.mark.parametrize("world", [tabular, pictures])
def test_the_set_of_effects_of_the_true_strength_holds_the_truth(
    world: Callable[[int], tuple[ec.Design, float, float]],
):
    """With an effect of zero in truth, the strength that breaks the sign is at most the confounder's own."""
    own = {tabular: 0.5 / np.sqrt(0.8), pictures: 0.9 / np.sqrt(0.9)}[world]
    inside, held = [], []
    for seed in range(DRAWS // 2):
        design, _, _ = world(seed)
        found = ec.sensitivity(ec.ate(design, method="ols"), kind="breakdown", beta=EFFECT)
        inside.append(found.numbers["strength_low"] <= own)
        held.append(found.numbers["strength_uncorrelated"] <= 1.15 * own)
    assert share(inside) >= 0.95
    assert share(held) >= 0.95


@pytest.mark.slow
def test_intervals_of_the_strength_cover():
    """The strength of the population, from a sample of 400,000."""
    truth = _strengths(0, 400_000)
    inside = []
    for seed in range(DRAWS):
        found = ec.sensitivity(ec.ate(tabular(seed + 1)[0], method="ols"), kind="breakdown")
        inside.append(found.numbers["strength_low"] <= truth <= found.numbers["strength_high"])
    assert 0.92 <= share(inside) <= 0.98, share(inside)


def _strengths(seed: int, n: int) -> float:
    return ec.sensitivity(ec.ate(tabular(seed, n)[0], method="ols"), kind="breakdown").numbers["strength"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["regression", "ols", "ipw"])
def test_intervals_of_risk_ratios_cover(method: str):
    """Against the risk ratio among a million, with a confounder that is in the covariates."""
    rng = np.random.default_rng(0)
    age = rng.normal(size=1_000_000)
    risks = [np.clip(0.3 + 0.15 * arm + 0.08 * age, 0.02, 0.98).mean() for arm in (0, 1)]
    inside = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        age = rng.normal(size=700)
        grant = (rng.random(700) < 1 / (1 + np.exp(-0.7 * age))).astype(int)
        job = (rng.random(700) < np.clip(0.3 + 0.15 * grant + 0.08 * age, 0.02, 0.98)).astype(int)
        table = pd.DataFrame({"age": age, "grant": grant, "job": job})
        design = ec.Design(table, outcome="job", treatment="grant", covariates=["age"])
        learners = {"learners": ec.Learners(propensity="logit")} if method == "ipw" else {}
        numbers = ec.sensitivity(ec.ate(design, method=method, **learners), kind="evalue").numbers
        inside.append(numbers["risk_ratio_low"] <= risks[1] / risks[0] <= numbers["risk_ratio_high"])
    assert 0.92 <= share(inside) <= 0.98, share(inside)
