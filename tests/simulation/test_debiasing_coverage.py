"""Corrected effects over many draws: bias, size of standard errors and coverage, as far as assumptions hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

TERMS = ("naive", "lcc", "lcc, Fieller", "tweedie", "bounds")


@dataclass(frozen=True)
class Regime:
    """A world and how it is analysed."""

    kind: str
    n: int = 2000
    n_calibration: int = 300
    world: dict[str, Any] = field(default_factory=dict)
    debias: dict[str, Any] = field(default_factory=dict)
    ate: dict[str, Any] = field(default_factory=dict)
    design: dict[str, Any] = field(default_factory=dict)
    weighted: bool = False
    draws: int = 600

    def drawn(self, seed: int) -> tuple[Any, Any]:
        """Return a world and its corrected effects."""
        made = ec.simulate_map(self.kind, n=self.n, n_calibration=self.n_calibration, seed=seed, **self.world)
        calibration, trial = made.calibration, made.trial
        asked, roles = dict(self.debias), dict(self.design)
        if self.weighted:
            calibration, trial = (_thinned(one, seed + k) for k, one in enumerate((calibration, trial)))
            asked["weights"] = roles["weights"] = "weight"
        fix = ec.debias(calibration, prediction="prediction", truth="truth", **{"method": "tweedie", **asked})
        design = ec.Design(trial, outcome="prediction", treatment="treatment", **roles)
        return made, ec.ate(design, correct=fix, **{"method": "difference", **self.ate})


def _thinned(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return units kept with a chance that rises with the prediction, and one over it as their weight."""
    rng = np.random.default_rng([seed, 9])
    chance = 0.2 + 0.6 / (1 + np.exp(-(table["prediction"] - table["prediction"].mean())))
    kept = rng.random(len(table)) < chance
    return table.assign(weight=1 / chance)[kept].reset_index(drop=True)


def _table(name: str, regime: Regime) -> pd.DataFrame:
    """Return bias, standard errors over their spread and coverage by term, and print them."""
    estimates, errors, covered = [], [], []
    for seed in range(regime.draws):
        made, found = regime.drawn(seed)
        frame = found.to_frame().set_index("term")
        truth = made.true_effect
        ends = {one: (frame.loc[one, "conf_low"], frame.loc[one, "conf_high"]) for one in frame.index}
        ends |= {"lcc, Fieller": found.fieller(), "bounds": found.bounds()}
        covered.append([ends[one][0] <= truth <= ends[one][1] for one in TERMS])
        estimates.append(frame["estimate"] - truth)
        errors.append(frame["std_error"])
    away, size = pd.DataFrame(estimates), pd.DataFrame(errors)
    made = pd.DataFrame(
        {
            "bias": away.mean(),
            "bias_error": away.std() / np.sqrt(regime.draws),
            "sd": away.std(),
            "se_over_sd": size.pow(2).mean() ** 0.5 / away.std(),
            "coverage": pd.Series(np.mean(covered, axis=0), index=TERMS),
        }
    ).reindex(TERMS)
    print(f"\n{name}, {regime.draws} draws\n{made.round(3).to_string()}")
    return made


HOLDING = {
    "mixture, 2000/300": (Regime("mixture"), ["tweedie"]),
    "mixture, 4000/100": (Regime("mixture", 4000, 100), ["tweedie"]),
    "proxy, 2000/300": (Regime("proxy", draws=1500), ["lcc", "lcc, Fieller"]),
    "proxy, 4000/100": (Regime("proxy", 4000, 100), ["lcc", "lcc, Fieller"]),
    "gaussian, 2000/300": (Regime("gaussian", draws=1500), ["lcc", "lcc, Fieller", "tweedie"]),
    "gaussian, 4000/100": (Regime("gaussian", 4000, 100), ["lcc", "lcc, Fieller", "tweedie"]),
    "over-shrunk, 2000/300": (Regime("over_shrunk"), ["tweedie"]),
    "heteroscedastic, spline, 2000/300": (
        Regime("heteroscedastic", debias={"noise": "spline"}),
        ["lcc", "lcc, Fieller", "tweedie"],
    ),
    "gaussian, clusters of 10, 2000/600": (
        Regime(
            "gaussian",
            2000,
            600,
            world={"clusters": (10, 0.3)},
            debias={"cluster": "cluster"},
            design={"cluster": "cluster"},
        ),
        ["lcc", "lcc, Fieller", "tweedie"],
    ),
    "gaussian, weights, 4000/600": (
        Regime("gaussian", 4000, 600, weighted=True),
        ["lcc", "lcc, Fieller", "tweedie"],
    ),
    "gaussian, confounded, weighted by a logit, 2000/300": (
        Regime(
            "gaussian",
            world={"confounding": 0.7},
            design={"covariates": ["covariate"]},
            ate={"method": "ipw", "learners": ec.Learners(propensity="logit")},
        ),
        ["lcc", "lcc, Fieller", "tweedie"],
    ),
    "gaussian, label noise told, 2000/300": (
        Regime("gaussian", world={"label_noise_var": 0.5}, debias={"label_noise_var": 0.5}, draws=1500),
        ["lcc", "lcc, Fieller", "tweedie"],
    ),
    "surrogate, 2000/300": (Regime("surrogate", draws=1500), ["naive"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(HOLDING))
def test_intervals_cover_where_their_assumptions_hold(name: str) -> None:
    regime, holding = HOLDING[name]
    found = _table(name, regime)
    for term in holding:
        assert 0.93 <= found.loc[term, "coverage"] <= 0.97, term
        if term != "lcc, Fieller":
            assert 0.9 <= found.loc[term, "se_over_sd"] <= 1.1
            assert abs(found.loc[term, "bias"]) < 0.25 * found.loc[term, "sd"]
    # the truth is at one end or the other, where the interval between both is meant to cover as often
    assert found.loc["bounds", "coverage"] >= 0.93
