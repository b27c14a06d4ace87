"""A small study with every kind of result, for the tests of the report."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

import eocausal as ec
from eocausal.evaluate.rate_result import Rate
from eocausal.inference.estimate import Estimate
from eocausal.inference.variance import Variance


@dataclass(frozen=True)
class Results:
    units: ec.Units
    chips: ec.Chips
    design: ec.Design
    balance: object
    overlap: object
    estimates: tuple
    cate: ec.Cate
    rates: tuple

    def all(self) -> list:
        return [
            self.units, self.chips, self.design, self.balance, self.overlap, *self.estimates, self.cate, *self.rates
        ]  # fmt: skip


def small_study(
    *, treatment="grant", outcome="income", unit="unit-", image="village-", covariate="age"
) -> Results:
    """48 villages of 5 units; village-level treatment; chips of all villages but the last two."""
    rng = np.random.default_rng(3)
    villages, each = 48, 5
    village = np.repeat(np.arange(villages), each)
    treated = np.tile([0, 1], villages // 2)[village]
    table = pd.DataFrame(
        {
            "id": [f"{unit}{row:04d}" for row in range(village.size)],
            "village": [f"{image}{one}" for one in village],
            "lon": 32.0 + rng.uniform(0, 1, villages)[village],
            "lat": 1.0 + rng.uniform(0, 1, villages)[village],
            treatment: treated,
            covariate: rng.normal(size=village.size),
        }
    )
    table[outcome] = treated * (1 + table[covariate]) + rng.normal(size=village.size)
    table.loc[0, covariate] = np.nan
    units = ec.read_units(table, id="id", lon="lon", lat="lat", image_key="village")
    pixels = rng.integers(0, 255, size=(villages - 2, 16, 16, 3)).astype("uint8")
    keys = [f"{image}{one}" for one in range(villages - 2)]
    chips = ec.chips_from_arrays(units, pixels, keys=keys, size_m=480)
    design = ec.Design(
        units, outcome=outcome, treatment=treatment, covariates=[covariate], cluster="village", propensity=0.5,
        missing="drop",
    )  # fmt: skip
    cate = ec.cate(design, learner=ec.Forest(trees=20), folds=ec.Folds(k=3))
    return Results(
        units, chips, design, ec.balance(design), ec.overlap(design),
        tuple(ec.ate(design, method=method) for method in ("difference", "regression")), cate,
        tuple(ec.rate(cate, target=target, replicates=50) for target in ("AUTOC", "QINI")),
    )  # fmt: skip


def estimate(value: float, error: float, **changes) -> Estimate:
    """An average effect with a chosen value and standard error, on 100 degrees of freedom."""
    made = Estimate(
        estimand="ate", method="difference", terms=("grant",), values=np.array([value]), ids=np.arange(101),
        score_values=np.zeros((101, 1)), variance=Variance(np.array([[error**2]]), 100.0, 1.0, None),
    )  # fmt: skip
    return replace(made, **changes)


def rate(value: float, error: float, target: str = "AUTOC", **changes) -> Rate:
    """A RATE with a chosen value and standard error."""
    q = np.linspace(0.1, 1, 10)
    toc = pd.DataFrame(
        {"priority": "predicted effect", "q": q, "estimate": value * (1 - q), "std_error": error}
    )
    toc["conf_low"], toc["conf_high"] = toc["estimate"] - 2 * error, toc["estimate"] + 2 * error
    name = f"{target}: predicted effect"
    inner = estimate(value, error, estimand=target, method="sequential folds", terms=(name,))
    return Rate(replace(inner, **changes), target, toc, pd.DataFrame())
