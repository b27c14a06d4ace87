"""Learners are checked when they are made, and say what they are."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.nuisance.cross_fit import cross_fit, propensities
from tests.studies import FAST, design, images, study


class _Before:
    """Predictions made beforehand."""

    target = "treatment"
    fingerprint = "abc"

    def out_of_fold(self, design: ec.Design, folds: np.ndarray) -> np.ndarray:
        return np.full((len(design), 1), 0.4)


def test_the_defaults_have_names() -> None:
    learners = ec.Learners(outcome=None, propensity=None)
    assert learners == ec.Learners()
    assert (learners.outcome, learners.propensity) == ("ridge", "penalised_logit")
    assert not learners.chosen_propensity


@pytest.mark.parametrize(
    ("options", "parametric"),
    [
        ({}, None),
        ({"propensity": "logit"}, "logit"),
        ({"propensity": "probit"}, "probit"),
        # what is calibrated has no coefficients to speak of
        ({"propensity": "logit", "calibration": "platt"}, None),
        ({"propensity": "boosting"}, None),
        ({"propensity": LogisticRegression()}, None),
    ],
)
def test_parametric_names_plain_likelihoods_alone(options: dict[str, object], parametric: str | None) -> None:
    assert ec.Learners(**options).parametric == parametric


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outcome": "forest"}, r"outcome learner 'forest' is not known[\s\S]*ridge, boosting, stacking"),
        ({"propensity": "logits"}, r"'logits' is not known[\s\S]*Did you mean 'logit'"),
        ({"propensity": "ridge"}, r"propensity learner 'ridge' is not known"),
        ({"columns": "images"}, r"columns='images' is not known[\s\S]*both, covariates, features"),
        ({"calibration": "sigmoid"}, r"calibration='sigmoid'[\s\S]*isotonic, platt"),
        ({"propensity": _Before(), "calibration": "platt"}, r"predicted beforehand[\s\S]*leave calibration= out"),
    ],
)  # fmt: skip
def test_learners_that_cannot_be(options: dict[str, object], words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        ec.Learners(**options)


@pytest.mark.parametrize(("columns", "lacking"), [("features", "features="), ("covariates", "covariates=")])
def test_columns_that_the_design_lacks_are_named(columns: str, lacking: str) -> None:
    options = {"covariates": []} if columns == "covariates" else {}
    asked = design(study(), features=images() if columns == "covariates" else None, **options)
    folds = ec.Folds(k=3).assign(asked, seed=0)
    with pytest.raises(EstimationError, match=rf"the design has no {columns}[\s\S]*{lacking}"):
        propensities(asked, folds, ec.Learners(columns=columns), seed=0)


@pytest.mark.parametrize("columns", ["covariates", "features"])
def test_learners_see_the_columns_asked_for_and_no_others(columns: str) -> None:
    table, features = study(), images()
    asked = design(table, features=features)
    folds = ec.Folds(k=3).assign(asked, seed=1)
    found = cross_fit(
        asked, folds, ec.Learners(Ridge(10.0), LogisticRegression(C=1.0), columns=columns), seed=0
    )
    alone = design(table, features=features, covariates=[]) if columns == "features" else design(table)
    expected = cross_fit(alone, folds, FAST, seed=0)
    np.testing.assert_array_equal(found.propensity, expected.propensity)
    np.testing.assert_array_equal(found.outcome_treated, expected.outcome_treated)


def test_a_known_propensity_wins_and_says_so() -> None:
    asked = design(study(selected=True), propensity="p")
    folds = ec.Folds(k=3).assign(asked, seed=0)
    quiet = propensities(asked, folds, ec.Learners(), seed=0)
    assert quiet.known
    assert quiet.warnings == ()
    for learners, name in (
        (ec.Learners(propensity=_Before()), "_Before"),
        (ec.Learners(propensity="boosting"), "gradient boosting"),
        (ec.Learners(calibration="platt"), "calibration='platt'"),
    ):
        told = propensities(asked, folds, learners, seed=0)
        np.testing.assert_array_equal(told.values, asked.table.propensity)
        assert name in told.warnings[0]
        assert "was not used" in told.warnings[0]


def test_a_known_propensity_can_be_set_aside() -> None:
    asked = design(study(selected=True), propensity="p")
    folds = ec.Folds(k=3).assign(asked, seed=0)
    learned = propensities(asked, folds, FAST, seed=0, known=False)
    assert not learned.known
    plain = design(study(selected=True))
    np.testing.assert_array_equal(learned.values, propensities(plain, folds, FAST, seed=0).values)


def test_provenance_claims_no_predictions_that_a_known_propensity_put_aside() -> None:
    learners = ec.Learners(propensity=_Before())
    known = ec.ate(design(study(), propensity=0.5), method="ipw", learners=learners)
    learned = ec.ate(design(study()), method="ipw", learners=learners)
    assert "predictions_given" not in known.provenance
    assert learned.provenance["predictions_given"] == {"propensity": "abc"}
    assert any("was not used" in text for text in known.warnings)
