"""Learners of effects that regress: what they see and refuse, and results without errors of single effects."""

from __future__ import annotations

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

import eocausal as ec
from eocausal.effects import effect_regressions
from eocausal.effects.known_learners import known_learner
from eocausal.errors import EstimationError
from eocausal.nuisance.models import Sample, ridge
from tests.effect_samples import sample, table
from tests.studies import FAST, THREE, by_village, design, images, study

LEARNERS = {
    "r": ec.RLearner(LinearRegression()),
    "dr": ec.DRLearner(),
    "x": ec.XLearner(),
    "linear": ec.LinearEffects(components=2),
}
each = pytest.mark.parametrize("name", list(LEARNERS))


def _found(asked: ec.Design, learner: object, **options: object) -> ec.Cate:
    return ec.cate(asked, learner=learner, **{"learners": FAST, "folds": THREE, "seed": 2, **options})


@pytest.fixture(scope="module")
def asked() -> ec.Design:
    return design(by_village(240, n_villages=48), cluster="village", features=images(48), propensity=0.5)


@each
def test_outcomes_of_a_fold_do_not_move_its_own_effects(asked: ec.Design, name: str) -> None:
    found = _found(asked, LEARNERS[name])
    own = found.folds == 1
    table = asked.data.assign(income=asked.data["income"] + np.where(own, 30 * np.cos(np.arange(240)), 0.0))
    moved = _found(design(table, cluster="village", features=asked.features, propensity=0.5), LEARNERS[name])
    np.testing.assert_array_equal(moved.effect_values[own], found.effect_values[own])
    np.testing.assert_array_equal(moved.effect_errors[own], found.effect_errors[own])
    assert (moved.effect_values[~own] != found.effect_values[~own]).mean() > 0.9
    second = found.folds == 1
    np.testing.assert_array_equal(moved.sequential_values[second], found.sequential_values[second])


@pytest.mark.parametrize(("name", "kind"), [
    ("r_learner", ec.RLearner), ("dr_learner", ec.DRLearner), ("x_learner", ec.XLearner),
    ("linear", ec.LinearEffects), ("causal_forest", ec.Forest),
])  # fmt: skip
def test_learners_go_by_names(name: str, kind: type) -> None:
    assert known_learner(name) == kind()


@pytest.mark.parametrize("name", ["r", "dr", "x"])
def test_results_without_errors_of_single_effects_are_whole_in_all_else(asked: ec.Design, name: str) -> None:
    found = _found(asked, LEARNERS[name])
    assert found.effects[["std_error", "conf_low", "conf_high"]].isna().all(axis=None)
    assert np.isfinite(found.effects["effect"]).all()
    back = ec.Cate.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found
    assert back.effect_errors.dtype == float
    pd.testing.assert_frame_equal(back.effects, found.effects)
    assert len(repr(found).splitlines()) == 1
    assert "nan" not in repr(found)
    assert "nan" not in found.summary().lower()
    assert any("no standard errors of single effects" in text for text in found.warnings)
    assert not any("too small with many features" in text for text in found.warnings)
    assert found.estimate == ec.ate(asked, learners=FAST, folds=THREE, seed=2).estimate
    assert sum(patch.get_height() for patch in found.plot().patches[:40]) == pytest.approx(240)
    plt.close("all")
    rates = ec.rate(found, replicates=50)
    assert np.isfinite(rates.estimate)
    assert not any("single effects" in text for text in rates.warnings)
    assert found.predict(asked).notna().all()


def test_linear_effects_have_errors(asked: ec.Design) -> None:
    found = _found(asked, LEARNERS["linear"])
    assert (found.effect_errors > 0).all()
    assert any("single effects are those of the best linear" in text for text in found.warnings)
    assert not any("single effects" in text for text in ec.rate(found, replicates=50).warnings)


def test_diagnostics_say_what_learned(asked: ec.Design) -> None:
    found = _found(asked, ec.RLearner("boosting", pca=3, columns="features"))
    about = {"learner": "R-learner", "effect_pca": 3, "effect_columns": "features"}
    assert about.items() <= found.diagnostics.items()
    assert "boosting" in found.diagnostics["effect_model"]
    assert ec.XLearner(LinearRegression()).describe()["effect_model"] == "LinearRegression()"


@each
def test_only_the_columns_asked_for_tell_units_apart(asked: ec.Design, name: str) -> None:
    learner = replace(LEARNERS[name], columns="features")
    effects = _found(asked, learner).effect_values
    # villages share a picture, and a known propensity of one half mixes alike
    assert (pd.Series(effects).groupby(asked.table.clusters).agg(np.ptp) < 1e-12).all()
    of_both = _found(asked, LEARNERS[name]).effect_values
    assert (pd.Series(of_both).groupby(asked.table.clusters).agg(np.ptp) > 1e-6).mean() > 0.9


def test_blocks_are_reduced_on_the_units_that_are_learned_from(asked: ec.Design) -> None:
    given = sample(table())
    wide = replace(given, design=asked.take(np.arange(180)))
    model = ec.RLearner(LinearRegression(), pca=2).fit(wide, seed=0)
    assert model.reducer.transform(asked, np.arange(240)).shape == (240, 4)


@pytest.mark.parametrize("learner", [ec.RLearner(), ec.DRLearner(), ec.XLearner()])
def test_inner_splits_and_weights_are_those_of_the_sample(
    monkeypatch: pytest.MonkeyPatch, learner: ec.RLearner
) -> None:
    made, seen = table(), []

    def noted(rows: Sample) -> object:
        seen.append(rows)
        return ridge(rows)

    monkeypatch.setitem(effect_regressions.OUTCOME_MODELS, "ridge", noted)
    given = sample(made)
    learner.fit(given, seed=5)
    whole = pd.Series(given.groups, index=given.design.table.ids)
    for rows in seen:
        np.testing.assert_array_equal(rows.groups, whole[rows.ids])
        assert rows.weights.mean() == pytest.approx(1)
        assert rows.seed == 5
    if isinstance(learner, ec.XLearner):
        arms = [made.loc[rows.ids, "grant"].unique().tolist() for rows in seen]
        assert arms == [[0], [1]]
    else:
        treatment = given.centred_treatment if isinstance(learner, ec.RLearner) else 1.0
        np.testing.assert_allclose(
            np.corrcoef(seen[0].weights, made["weight"] * treatment**2)[0, 1], 1, rtol=1e-12
        )


def test_any_regressor_serves() -> None:
    rng = np.random.default_rng(0)
    made = pd.DataFrame({"grant": np.tile([0, 1], 300), "age": rng.normal(size=600)})
    made["income"] = made["grant"] * made["age"] ** 2 + 0.3 * rng.normal(size=600)
    asked = ec.Design(made, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    bent = make_pipeline(PolynomialFeatures(2), LinearRegression())
    truth = made["age"] ** 2
    for learner in (ec.RLearner(bent), ec.DRLearner(bent), ec.XLearner(bent)):
        effects = _found(asked, learner, learners=ec.Learners(outcome=bent)).effect_values
        assert 1 - np.mean((effects - truth) ** 2) / truth.var() > 0.95
    for learner in (ec.RLearner("boosting"), ec.DRLearner("boosting"), ec.XLearner("boosting")):
        effects = _found(asked, learner, learners=ec.Learners(outcome=bent)).effect_values
        assert 1 - np.mean((effects - truth) ** 2) / truth.var() > 0.5


def test_a_regressor_without_weights_serves_where_units_weigh_alike() -> None:
    asked = design(study(), propensity=0.5)
    assert np.isfinite(_found(asked, ec.RLearner(KNeighborsRegressor())).effect_values).all()
    with pytest.raises(EstimationError, match=r"KNeighborsRegressor takes no sample weights, but its rows"):
        _found(design(study(), propensity="p", weights="weight"), ec.RLearner(KNeighborsRegressor()))


@each
def test_units_that_miss_covariates_may_stay(name: str) -> None:
    made = study(150)
    made.loc[made.index[::7], "wealth"] = np.nan
    found = _found(design(made, propensity=0.5, missing="keep"), LEARNERS[name])
    assert np.isfinite(found.effect_values).all()
    assert len(found.ids) == 150


@each
def test_columns_that_vary_in_the_whole_and_not_in_a_fold_do_no_harm(name: str) -> None:
    made = study(240).assign(rare=lambda t: (np.arange(len(t)) < 2).astype(float))
    found = _found(design(made, covariates=["age", "rare"], propensity=0.5), LEARNERS[name])
    assert np.isfinite(found.effect_values).all()


class _Lost(LinearRegression):
    def predict(self, X):
        return np.full(len(X), np.nan)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: ec.RLearner("bosting"), r"'bosting' is not known[\s\S]*Did you mean 'boosting'[\s\S]*regressor"),
    (lambda: ec.DRLearner(LinearRegression), r"is a class[\s\S]*DRLearner\(model=LinearRegression\(\)\)"),
    (lambda: ec.XLearner(PolynomialFeatures()), r"PolynomialFeatures has no fit\(\) and predict"),
    (lambda: ec.RLearner(pca=0), r"pca=0"),
    (lambda: ec.DRLearner(columns="images"), r"columns='images'[\s\S]*features"),
    (lambda: ec.LinearEffects(components=2.5), r"components=2.5"),
    (lambda: ec.LinearEffects(columns="feature"), r"Did you mean 'features'"),
    (lambda: _found(design(study()), "xlearner"), r"learner='xlearner'[\s\S]*x_learner"),
    (lambda: _found(design(study()), ec.RLearner(columns="features")), r"the design has no features"),
    (lambda: _found(design(study()), ec.DRLearner(_Lost())), r"learner of effects _Lost predicted[\s\S]*finite"),
    (lambda: ec.LinearEffects(components=None).fit(_narrow(), seed=0), r"8 columns are to be learned from 8 units"),
])  # fmt: skip
def test_what_cannot_be_learned_with_is_refused(call, words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        call()


def _narrow():
    made = table(8, n_villages=8).assign(grant=np.tile([0, 1], 4))
    made["village"] = np.arange(8)
    return sample(made, features=images(8, width=5), cluster=None)
