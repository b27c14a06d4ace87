"""Samples for learners of effects whose nuisances are given, so that every number can be made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

import eocausal as ec
from eocausal.effects.effect_learners import EffectSample
from eocausal.nuisance.cross_fit import Nuisance

COVARIATES = ["age", "wealth", "rain"]


def table(n: int = 180, *, seed: int = 0, n_villages: int = 45) -> pd.DataFrame:
    """Units in villages whose effect is ``1 + age - 0.5 rain``, and made-up nuisances in columns."""
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(rng.normal(size=(n, 3)), columns=COVARIATES)
    made["village"] = rng.permutation(np.arange(n) % n_villages)
    made["e"] = 0.2 + 0.6 / (1 + np.exp(-made["age"]))
    made["grant"] = (rng.uniform(size=n) < made["e"]).astype(int)
    made["effect"] = 1 + made["age"] - 0.5 * made["rain"]
    shock = rng.normal(size=n_villages)[made["village"]]
    made["income"] = 3 + made["wealth"] + made["grant"] * made["effect"] + 0.5 * shock + rng.normal(size=n)
    made["weight"] = rng.integers(1, 4, size=n).astype(float)
    # off the truth, as nuisances are
    made["control"] = 3 + 0.8 * made["wealth"] + 0.1 * rng.normal(size=n)
    made["treated"] = made["control"] + 0.9 + 0.7 * made["age"]
    return made


def sample(made: pd.DataFrame, *, known: bool = True, **options: object) -> EffectSample:
    """Return a sample with the nuisances that the columns of a table say."""
    asked = {"cluster": "village", "weights": "weight", **options}
    if known:
        asked["propensity"] = "e"
    design = ec.Design(made, outcome="income", treatment="grant", covariates=COVARIATES, **asked)
    columns = {name: made[name].to_numpy() for name in ("control", "treated", "e")}
    nuisance = Nuisance(
        columns["control"], columns["treated"], columns["e"], np.zeros(len(made), dtype=np.intp), known
    )
    return EffectSample(design, nuisance, design.groups)


def standardised(made: pd.DataFrame) -> np.ndarray:
    """Return the covariates at mean 0 and deviation 1."""
    values = made[COVARIATES].to_numpy()
    return (values - values.mean(axis=0)) / values.std(axis=0)


def residuals(made: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return outcome and treatment less what the made-up nuisances expect."""
    e = made["e"].to_numpy()
    mean = e * made["treated"].to_numpy() + (1 - e) * made["control"].to_numpy()
    return made["income"].to_numpy() - mean, made["grant"].to_numpy() - e
