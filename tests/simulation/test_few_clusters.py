"""How often true hypotheses are rejected at 5% where few clusters were treated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from tests.studies import FAST

DRAWS = 400
CHOICES = {
    "cluster": "cluster",
    "wild": {"bootstrap": "wild", "draws": 499},
    "bootstrap": {"bootstrap": "cluster", "draws": 499},
}


def world(rng: np.random.Generator, clusters: int, treated: int) -> ec.Design:
    """Clusters of 5 to 15 units, shocks common to each, no effect for anyone."""
    village = np.repeat(np.arange(clusters), rng.integers(5, 16, clusters))
    grant = (rng.permutation(clusters) < treated).astype(int)[village]
    age = rng.normal(size=village.size)
    income = 0.6 * rng.normal(size=clusters)[village] + 0.5 * age + rng.normal(size=village.size)
    table = pd.DataFrame({"village": village, "grant": grant, "age": age, "income": income})
    return ec.Design(
        table,
        outcome="income",
        treatment="grant",
        covariates=["age"],
        cluster="village",
        propensity=treated / clusters,
    )


def rejected(clusters: int, treated: int, draws: int = DRAWS) -> pd.DataFrame:
    """Share of draws in which a true null is rejected, by method and kind of inference."""
    rng = np.random.default_rng(clusters)
    found = pd.DataFrame(0.0, index=["difference", "regression", "aipw"], columns=[*CHOICES, "randomisation"])
    for draw in range(draws):
        design = world(rng, clusters, treated)
        for method in ("difference", "regression", "aipw"):
            made = ec.ate(design, method=method, learners=FAST, folds=ec.Folds(k=4), seed=draw)
            for name, choice in CHOICES.items():
                found.loc[method, name] += (made.with_vcov(choice).p_value() <= 0.05) / draws
        found.loc["regression":, "randomisation"] = np.nan
        test = ec.randomisation_test(design, draws=199, seed=draw)
        found.loc["difference", "randomisation"] += (test.p_value() <= 0.05) / draws
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("clusters", "treated"), [(40, 8), (12, 6), (40, 4)])
def test_true_hypotheses_are_rejected_about_as_often_as_said(clusters: int, treated: int) -> None:
    found = rejected(clusters, treated)
    print(f"\n{treated} of {clusters} clusters treated, {DRAWS} draws\n{found.round(3)}")
    plain = found.loc["difference"]
    # the Monte Carlo standard error at 0.05 is 0.011
    assert plain["randomisation"] < 0.085
    assert plain["wild"] < plain["cluster"]
    assert plain["wild"] < (0.12 if treated < 8 else 0.09)
    # of AIPW recentring arm by arm is on the safe side
    assert found.loc["aipw", "wild"] < 0.09
