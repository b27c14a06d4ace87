"""A small study with every kind of result, for the tests of the report."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

import eocausal as ec
from eocausal.evaluate.rate_result import Rate
from eocausal.inference.estimate import Estimate
from eocausal.inference.variance import Variance
from tests import transport_worlds
from tests.judged import drawn_cate
from tests.scale_studies import trial


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


def effect_results(*, n: int = 240) -> dict[str, object]:
    """One result of every kind on effects by unit, by kind, and a ranking on several deals of the units."""
    design, sources = trial(n=n, scales=2, strength=1.0)
    four, cate = ec.Folds(k=4), drawn_cate(11, n=400)
    places = np.random.default_rng(0).uniform(size=(2, 300))
    target = transport_worlds.target().assign(lon=32 + places[0], lat=1 + places[1]).reset_index()
    study = transport_worlds.effects(transport_worlds.study())
    found = [
        ec.compare_features(design, sources, learner="linear", folds=four),
        ec.scale_search(design, sources, learner="linear", folds=ec.Folds(k=4, repeats=2)),
        ec.calibration(cate), ec.groups(cate, k=3),
        ec.effect_losses({"linear": cate}), ec.policy_value(cate, cost=0.2),
        ec.multi_arm_qini(cate, replicates=50), image_types(),
        ec.transport(
            study, ec.Target(ec.read_units(target, id="id", lon="lon", lat="lat")), learners=transport_worlds.FITTED
        ),
    ]  # fmt: skip
    return {type(one).__name__: one for one in found} | {
        "Rate": ec.rate_over_splits(study.design, learner="linear", folds=ec.Folds(k=3, repeats=3))
    }


def image_types(*, gain: float = 2.0, draw: int = 0, **options: object) -> ec.ImageTypes:
    """Types of 60 villages of 5 units; the greener half gains more."""
    rng = np.random.default_rng(draw)
    village = np.arange(300) % 60
    green = rng.normal(size=60)
    table = pd.DataFrame({"id": np.arange(300), "village": village, "grant": rng.integers(0, 2, 300)})
    table["lon"], table["lat"] = (32 + rng.uniform(size=(2, 60)))[:, village]
    table["income"] = gain * (green > 0)[village] * table["grant"] + rng.normal(size=300)
    features = ec.read_embeddings(pd.DataFrame({"village": range(60), "green": green}), key="village")
    units = ec.read_units(table, id="id", lon="lon", lat="lat", image_key="village")
    design = ec.Design(units, outcome="income", treatment="grant", features=features, propensity=0.5)
    return ec.image_types(design, folds=ec.Folds(k=3), **options)
