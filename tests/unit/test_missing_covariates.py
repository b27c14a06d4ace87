"""Covariates that some units miss: kept, filled and marked, and told by arm in every result."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DesignError, EstimationError, LeakError
from eocausal.nuisance.columns import ColumnReducer
from tests.studies import FAST, FOREST, THREE, design, images, study


def _gaps(n: int = 120, *, every: int = 7) -> pd.DataFrame:
    table = study(n)
    table.loc[np.arange(n) % every == 0, "age"] = np.nan
    return table


def test_units_without_a_covariate_stay_and_are_counted_by_arm() -> None:
    table = _gaps()
    asked = design(table, missing="keep")
    gone = table["age"].isna().to_numpy()
    treated = int(table["grant"][gone].sum())
    assert len(asked) == 120
    assert asked.table.covariate_names == ("age", "wealth", "age (missing)")
    np.testing.assert_array_equal(asked.table.missing[:, 0], gone)
    assert not asked.table.missing[:, 1:].any()
    np.testing.assert_allclose(asked.table.covariates[gone, 0], table["age"].mean())
    np.testing.assert_array_equal(asked.table.covariates[:, 2], gone)
    assert asked.table.notes[0] == (
        f"kept: 18 units ({treated} treated, {18 - treated} control) with no covariate 'age'"
    )
    assert "marked by age (missing)" in asked.table.notes[1]


def test_without_gaps_nothing_is_added() -> None:
    kept, plain = design(study(), missing="keep"), design(study())
    assert kept.table.missing is None
    assert kept.table.covariate_names == plain.table.covariate_names
    assert kept.fingerprint == plain.fingerprint
    assert kept.table.notes == ()


def test_units_without_an_outcome_still_leave() -> None:
    table = _gaps()
    table.loc[table.index[:3], "income"] = np.nan
    asked = design(table, missing="keep")
    assert len(asked) == 117
    assert asked.table.notes[0].startswith("left out: 3 units")
    np.testing.assert_allclose(
        asked.table.covariates[asked.table.missing[:, 0], 0], table["age"].iloc[3:].mean()
    )


def test_covariates_that_the_same_units_miss_share_a_column_and_text_gets_a_level() -> None:
    table = _gaps()
    table["wealth"] = table["wealth"].where(table["age"].notna())
    table["region"] = np.where(np.arange(120) % 2, "north", "south")
    table.loc[table.index[:10], "region"] = None
    asked = design(table, covariates=["age", "wealth", "region"], missing="keep").table
    assert asked.covariate_names == ("age", "wealth", "region[south]", "age (missing)", "region (missing)")
    assert asked.covariates[:10, 2].tolist() == [0.0] * 10
    assert asked.covariates[:, 4].sum() == 10
    assert not asked.missing[:, 2:].any()


def test_learners_see_the_mean_of_their_training_units() -> None:
    asked = design(_gaps(), missing="keep")
    rows = np.arange(120) < 60
    reducer = ColumnReducer(pca=None, seed=0).fit(asked, rows)
    seen = asked.data["age"][rows].dropna()
    assert reducer.covariate_scaler.mean_[0] == pytest.approx(seen.mean(), rel=1e-12)
    columns = reducer.transform(asked, ~rows)
    gone = asked.table.missing[~rows, 0]
    assert gone.any()
    assert (columns[gone, 0] == 0).all()
    wanted = (asked.data["age"][~rows] - seen.mean()) / seen.std(ddof=0)
    np.testing.assert_allclose(columns[~gone, 0], wanted[~gone], rtol=1e-12)


def test_trees_see_what_is_missing() -> None:
    asked = design(_gaps(), missing="keep")
    everyone = np.arange(120)
    columns = ColumnReducer(pca=None, seed=0, missing=True).fit(asked, everyone).transform(asked, everyone)
    np.testing.assert_array_equal(np.isnan(columns), asked.table.missing)


def test_parts_of_a_design_keep_their_gaps() -> None:
    asked = design(_gaps(), missing="keep")
    part = asked.take(np.arange(10, 40))
    np.testing.assert_array_equal(part.table.missing, asked.table.missing[10:40])
    assert part.fingerprint != asked.fingerprint


def test_a_training_fold_in_which_a_covariate_is_missing_altogether_is_refused() -> None:
    table = study()
    table.loc[table.index[20:], "age"] = np.nan
    with pytest.raises(EstimationError, match=r"all 60 units of a training fold miss[\s\S]*age"):
        ColumnReducer(pca=None, seed=0).fit(design(table, missing="keep"), np.arange(120) >= 60)


BAD = {
    "stop": ({}, _gaps(), DesignError, r"no covariate 'age'[\s\S]*missing='keep' keeps"),
    "misspelt": ({"missing": "kep"}, _gaps(), DesignError, "Did you mean 'keep'"),
    "all": ({"missing": "keep"}, study().assign(age=np.nan), DesignError, "'age' is missing for all units"),
    "name taken": (
        {"missing": "keep", "covariates": ["age", "age (missing)"]},
        _gaps().assign(**{"age (missing)": np.arange(120.0) ** 2}),
        DesignError,
        r"would be called 'age \(missing\)'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_kept_is_refused(case: str) -> None:
    options, table, error, words = BAD[case]
    with pytest.raises(error, match=words):
        design(table, **options)


def test_a_covariate_that_is_missing_by_treatment_is_a_leak() -> None:
    table = study()
    table["age"] = table["age"].where(table["grant"] == 1)
    with pytest.raises(LeakError, match=r"'age \(missing\)'"):
        design(table, missing="keep")


def test_the_outcome_with_gaps_is_still_the_outcome() -> None:
    table = study()
    table["twin"] = 2 * table["income"].where(np.arange(120) % 5 > 0) + 1
    with pytest.raises(LeakError, match="'twin' equals the outcome"):
        design(table, covariates=["twin"], missing="keep")


@pytest.mark.parametrize("method", ["aipw", "regression", "entropy_balancing", "ipw", "partially_linear"])
def test_average_effects_adjust_for_what_is_seen_and_say_so(method: str) -> None:
    asked = design(_gaps(600), missing="keep", propensity=0.5 if method == "ipw" else None)
    options = {} if method in ("regression", "entropy_balancing") else {"learners": FAST, "folds": THREE}
    found = ec.ate(asked, method=method, **options)
    assert found.estimate == pytest.approx(1.0, abs=0.45)
    assert any("no covariate 'age'" in text for text in found.warnings)


def test_the_regression_is_that_on_columns_filled_by_hand() -> None:
    table = _gaps(400)
    found = ec.ate(design(table, missing="keep"), method="regression")
    by_hand = table.assign(age=table["age"].fillna(0.0), gone=table["age"].isna().astype(float))
    wanted = ec.ate(design(by_hand, covariates=["age", "wealth", "gone"]), method="regression")
    # with the 0/1 column any fill gives the same fit
    assert found.estimate == pytest.approx(wanted.estimate, rel=1e-10)
    assert found.std_error == pytest.approx(wanted.std_error, rel=1e-10)


def test_results_with_gaps_go_through_json() -> None:
    asked = design(_gaps(), missing="keep", propensity=0.5)
    found = ec.cate(asked, learner=FOREST, learners=FAST, folds=THREE)
    assert ec.Cate.from_dict(json.loads(json.dumps(found.to_dict(scores=True)))) == found


VERBS = {
    "balance": ec.balance,
    "overlap": lambda asked: ec.overlap(asked, learners=FAST),
    "assignment": lambda asked: ec.assignment(asked, learners=FAST),
    "randomisation_test": lambda asked: ec.randomisation_test(asked, method="regression", draws=99),
    "rate": lambda asked: ec.rate(asked, priority="wealth", replicates=50),
    "r_learner": lambda asked: ec.cate(asked, learner="r_learner", learners=FAST, folds=THREE),
    "linear": lambda asked: ec.cate(asked, learner="linear", learners=FAST, folds=THREE),
    "dose_response": lambda asked: ec.dose_response(_doses(asked), learners=FAST),
}


def _doses(asked: ec.Design) -> ec.Design:
    table = asked.data.assign(amount=np.random.default_rng(0).uniform(size=len(asked)))
    return ec.Design(
        table, outcome="income", treatment="amount", treatment_type="continuous", covariates=["age", "wealth"],
        missing="keep",
    )  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_who_misses_what(verb: str) -> None:
    asked = design(_gaps(240), missing="keep", features=images())
    assert any("with no covariate 'age'" in text for text in VERBS[verb](asked).warnings)


def test_a_sweep_keeps_the_units_that_its_design_keeps() -> None:
    asked = design(_gaps(), missing="keep", features=images())
    others = images(seed=3)
    found = ec.sweep(asked, features={"six": images(), "others": others}, learners=FAST)
    assert set(found.to_frame()["n"]) == {120}
