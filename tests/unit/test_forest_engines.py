"""The compiled engine of `cate`: near econml's, with whole clusters, the same for any order of rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EstimationError
from tests.studies import FAST


def _table(n: int = 1000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(n, 3)), columns=["age", "land", "rain"])
    table.index = pd.Index([f"u{number:04d}" for number in range(n)])
    table["village"] = np.arange(n) // 4
    table["grant"] = rng.integers(0, 2, size=n)
    table["income"] = table["grant"] * (0.5 + table["age"]) + table["land"] + rng.normal(size=n)
    return table


def _effects(table: pd.DataFrame, **settings: object) -> pd.DataFrame:
    design = ec.Design(
        table, outcome="income", treatment="grant", covariates=["age", "land", "rain"], cluster="village",
        propensity=0.5,
    )  # fmt: skip
    chosen = {"trees": 200, "engine": "fast", "n_jobs": 1} | settings
    return ec.cate(design, learner=ec.Forest(**chosen), folds=ec.Folds(k=3)).effects


def test_the_fast_engine_finds_what_the_other_finds() -> None:
    table = _table()
    truth = 0.5 + table["age"].to_numpy()
    fast, other = _effects(table), _effects(table, engine="econml")
    gaps = [np.mean((found["effect"] - truth) ** 2) / truth.var() for found in (fast, other)]
    assert gaps[0] < gaps[1] + 0.02
    assert gaps[0] < 0.3
    assert np.corrcoef(fast["effect"], other["effect"])[0, 1] > 0.97
    covered = [np.mean((found["conf_low"] < truth) & (truth < found["conf_high"])) for found in (fast, other)]
    assert covered[0] > covered[1] - 0.02


def test_effects_do_not_depend_on_the_order_of_rows_or_on_threads() -> None:
    table = _table(400)
    plain = _effects(table, trees=40)
    pd.testing.assert_frame_equal(_effects(table, trees=40, n_jobs=2), plain, check_exact=True)
    turned = _effects(table.iloc[::-1], trees=40)
    np.testing.assert_allclose(turned.loc[plain.index, "effect"], plain["effect"], rtol=1e-6)


def test_forests_of_few_clusters_draw_units_and_say_so() -> None:
    table = _table(240).assign(village=np.arange(240) // 20)
    design = ec.Design(
        table, outcome="income", treatment="grant", covariates=["age", "land"], cluster="village", propensity=0.5
    )  # fmt: skip
    # forests of two folds have eight villages, those of the first fold four
    found = ec.cate(design, learner=ec.Forest(trees=8, n_jobs=1), learners=FAST, folds=ec.Folds(k=3))
    told = [text for text in found.warnings if "drew units" in text]
    assert told == [
        "forests that learned from too few clusters or images to draw 4 whole ones a tree drew units"
    ]
    assert not any("independent" in text for text in found.warnings)
    assert np.isfinite(found.sequential_values[found.folds > 0]).all()
    few = ec.cate(
        design.take(table["village"].to_numpy() < 7), learner=ec.Forest(trees=8, n_jobs=1), learners=FAST,
        folds=ec.Folds(k=2),
    )  # fmt: skip
    assert any("treat units of one cluster or image as independent" in text for text in few.warnings)
    with pytest.raises(EstimationError, match=r"drew units and not groups[\s\S]*effects out of fold"):
        few.out_of_bag()
