"""Calibration: the same numbers as scikit-learn's, and never from a unit's own fold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV, _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.nuisance.calibration import isotonic, platt
from eocausal.nuisance.cross_fit import propensities
from eocausal.nuisance.training_folds import TrainingFold
from tests.studies import FAST, by_village, design, images, study

# without a penalty, so that the scale of the columns does not matter
PLAIN = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)


def _world(n: int = 300, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0.05, 0.95, size=n)
    treatment = (rng.uniform(size=n) < expit(2 * logit(predicted))).astype(float)
    return predicted, treatment, rng.uniform(0.5, 2, size=n)


@pytest.mark.parametrize("seed", range(3))
def test_isotonic_is_that_of_scikit_learn(seed: int) -> None:
    predicted, treatment, weights = _world(seed=seed)
    asked = np.random.default_rng(9).uniform(size=50)
    calibrated, moved = isotonic(predicted, treatment, weights)(asked)
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    expected = fitted.fit(predicted, treatment, sample_weight=weights).predict(asked)
    np.testing.assert_array_equal(moved, (expected == 0) | (expected == 1))
    low, high = fitted.y_thresholds_[[0, -1]]
    # between a level of 0 and the next the line starts from what stands for 0
    between = (expected > low) & (expected < high)
    inner = fitted.y_thresholds_[(fitted.y_thresholds_ > 0) & (fitted.y_thresholds_ < 1)]
    safe = between & (expected >= inner.min()) & (expected <= inner.max())
    assert safe.sum() > 20
    np.testing.assert_allclose(calibrated[safe], expected[safe], rtol=1e-12)
    assert ((calibrated > 0) & (calibrated < 1)).all()
    assert (np.diff(calibrated[np.argsort(asked)]) >= 0).all()


def test_what_stands_for_zero_and_one_by_hand() -> None:
    predicted = np.array([0.1, 0.2, 0.3, 0.5, 0.55, 0.6, 0.65, 0.8, 0.9])
    treatment = np.array([0.0, 0, 0, 1, 0, 1, 0, 1, 1])
    calibrated, moved = isotonic(predicted, treatment, np.ones(9))(np.array([0.05, 0.3, 0.58, 0.9]))
    # three controls alone: 0.5 / 4; two treated alone: 1 - 0.5 / 3; the four between are half treated
    np.testing.assert_allclose(calibrated, [0.125, 0.125, 0.5, 1 - 1 / 6])
    assert moved.tolist() == [True, True, False, True]


def test_what_stands_for_zero_is_no_more_than_the_next_level() -> None:
    # one control, then one treated among twenty: 0.5 / 2 would be above 1 / 20
    predicted = np.linspace(0.1, 0.9, 21)
    treatment = np.zeros(21)
    treatment[1] = 1
    calibrated, moved = isotonic(predicted, treatment, np.ones(21))(predicted)
    np.testing.assert_allclose(calibrated, 1 / 20)
    assert moved.sum() == 1


@pytest.mark.parametrize("seed", range(3))
def test_platt_is_that_of_scikit_learn(seed: int) -> None:
    predicted, treatment, weights = _world(seed=seed)
    calibrated, moved = platt(predicted, treatment, weights)(predicted)
    reference = _SigmoidCalibration().fit(logit(predicted), treatment, sample_weight=weights)
    np.testing.assert_allclose(calibrated, reference.predict(logit(predicted)), rtol=1e-4)
    assert not moved.any()


def test_platt_never_falls() -> None:
    predicted, treatment, weights = _world()
    calibrated, _ = platt(1 - predicted, treatment, weights)(predicted)
    treated = weights @ treatment
    target = np.where(treatment == 1, (treated + 1) / (treated + 2), 1 / (weights.sum() - treated + 2))
    np.testing.assert_allclose(calibrated, np.average(target, weights=weights), rtol=1e-12)


def test_platt_has_a_line_where_arms_are_told_apart() -> None:
    predicted = np.linspace(0.01, 0.99, 40)
    calibrated, _ = platt(predicted, (predicted > 0.5).astype(float), np.ones(40))(predicted)
    assert ((calibrated > 1e-6) & (calibrated < 1 - 1e-6)).all()
    assert (np.diff(calibrated) > 0).all()


class _Chances(ClassifierMixin, BaseEstimator):
    """The plain logit without log odds, which scikit-learn would calibrate in place of probabilities."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> _Chances:
        self.classes_, self.model_ = np.array([0, 1]), clone(PLAIN).fit(X, y)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.model_.predict_proba(X)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.model_.predict(X)


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_calibrated_propensities_are_those_of_scikit_learn_on_the_same_splits(method: str) -> None:
    asked = design(study(400, selected=True))
    folds = ec.Folds(k=3).assign(asked, seed=1)
    learners = ec.Learners(propensity=PLAIN, calibration=method)
    found = propensities(asked, folds, learners, seed=0).values
    x, t = asked.table.covariates, asked.table.treatment
    for fold in range(3):
        part = TrainingFold(asked, fold, folds != fold, groups=asked.groups, learners=learners, seed=0)
        at = np.cumsum(part.rows) - 1
        splits = [(at[inner.train], at[inner.test]) for inner in part.inner]
        scaler = StandardScaler().fit(x[part.rows])
        model, name = {"isotonic": (_Chances(), "isotonic"), "platt": (PLAIN, "sigmoid")}[method]
        reference = CalibratedClassifierCV(model, method=name, cv=splits, ensemble=False).fit(
            scaler.transform(x[part.rows]), t[part.rows]
        )
        expected = reference.predict_proba(scaler.transform(x[~part.rows]))[:, 1]
        inside = np.ones(expected.size, dtype=bool)
        if method == "isotonic":
            # on the way to a level of 0 or 1 the two differ, because ours stops short of it
            levels = reference.calibrated_classifiers_[0].calibrators[0].y_thresholds_
            levels = levels[(levels > 0) & (levels < 1)]
            inside = (expected >= levels.min()) & (expected <= levels.max())
        assert inside.mean() > 0.7
        np.testing.assert_allclose(found[~part.rows][inside], expected[inside], atol=2e-4)


class _Memory(ClassifierMixin, BaseEstimator):
    """Knows by heart what it has seen, and is as sure of the rest, at random."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> _Memory:
        self.classes_ = np.array([0, 1])
        self.known_ = {row.tobytes(): value for row, value in zip(X, y)}
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        sure = [self.known_.get(row.tobytes(), int(1e6 * abs(row[0])) % 2) for row in X]
        chance = 0.98 * np.array(sure) + 0.01
        return np.column_stack([1 - chance, chance])


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_a_learner_that_memorises_is_calibrated_to_the_share_treated(method: str) -> None:
    asked = design(study(300))
    folds = ec.Folds(k=3).assign(asked, seed=1)
    raw = propensities(asked, folds, ec.Learners(propensity=_Memory()), seed=0)
    found = propensities(asked, folds, ec.Learners(propensity=_Memory(), calibration=method), seed=0)
    assert np.abs(raw.values - 0.5).min() > 0.4
    # in sample the memory is right every time, and a calibrator that saw it there would trust it
    assert np.abs(found.values - asked.table.treatment.mean()).max() < 0.15
    assert found.diagnostics["reliability_before"]["ici"] > 0.3
    assert found.diagnostics["reliability"]["ici"] < 0.15


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_units_of_one_image_are_calibrated_on_other_images(method: str) -> None:
    asked = design(by_village(360, n_villages=60), covariates=[], features=images(60), cluster="village")
    folds = ec.Folds(k=3).assign(asked, seed=1)
    learners = ec.Learners(propensity=_Memory(), calibration=method)
    whole = propensities(asked, folds, learners, seed=0).values
    assert np.abs(whole - 0.5).max() < 0.3
    # units parted one by one: the memory of an image is right, and trusted
    parted = propensities(asked, folds, learners, seed=0, groups=np.arange(360)).values
    assert np.abs(parted - 0.5).min() > 0.45


@pytest.mark.parametrize("method", ["isotonic", "platt"])
@pytest.mark.parametrize("propensity", [FAST.propensity, "penalised_logit"])
def test_treatment_of_a_fold_does_not_move_its_own_propensities(method: str, propensity: object) -> None:
    table = study(200, selected=True)
    asked = design(table)
    folds = ec.Folds(k=3).assign(asked, seed=1)
    learners = ec.Learners(propensity=propensity, calibration=method)
    before = propensities(asked, folds, learners, seed=0).values
    rng = np.random.default_rng(4)
    changed = table.assign(grant=np.where(folds == 1, rng.permutation(table["grant"]), table["grant"]))
    after = propensities(design(changed), folds, learners, seed=0).values
    np.testing.assert_array_equal(after[folds == 1], before[folds == 1])
    assert (after[folds != 1] != before[folds != 1]).any()


def test_zeros_of_trees_are_moved_and_counted_by_arm() -> None:
    asked = design(study(300, selected=True))
    folds = ec.Folds(k=3).assign(asked, seed=1)
    tree = DecisionTreeClassifier(max_depth=4, random_state=0)
    found = propensities(asked, folds, ec.Learners(propensity=tree, calibration="isotonic"), seed=0)
    assert ((found.values > 0) & (found.values < 1)).all()
    assert found.diagnostics["reliability_before"]["slope"] is None
    for text in found.warnings:
        assert "isotonic calibration gives" in text
        assert "treated and" in text
    with pytest.raises(EstimationError, match=r"exactly 0 or 1 for \d+ of 200[\s\S]*calibration='isotonic'"):
        propensities(asked, folds, ec.Learners(propensity=tree, calibration="platt"), seed=0)


def test_moved_units_are_counted_by_arm() -> None:
    # a covariate that nearly decides treatment: the lowest and the highest are all of one arm
    table = study(300)
    rng = np.random.default_rng(0)
    table["grant"] = (table["age"] + 0.3 * rng.normal(size=300) > 0).astype(int)
    asked = design(table)
    folds = ec.Folds(k=3).assign(asked, seed=1)
    found = propensities(asked, folds, ec.Learners(propensity=PLAIN, calibration="isotonic"), seed=0)
    (text,) = found.warnings
    numbers = [int(word) for word in text.split() if word.isdigit()]
    assert numbers[0] > 50  # treated
    assert numbers[1] > 50  # control
    assert "a propensity of 0 or 1" in text
    result = ec.ate(
        asked, folds=ec.Folds(k=3), learners=ec.Learners(propensity=PLAIN, calibration="isotonic")
    )
    assert any("isotonic calibration gives" in one for one in result.warnings)


def test_without_columns_there_is_nothing_to_calibrate() -> None:
    asked = design(study(), covariates=[])
    folds = ec.Folds(k=3).assign(asked, seed=1)
    found = propensities(asked, folds, ec.Learners(calibration="isotonic"), seed=0)
    plain = propensities(asked, folds, ec.Learners(), seed=0)
    np.testing.assert_array_equal(found.values, plain.values)
    assert found.diagnostics == {}


def test_a_result_keeps_the_curve_before_and_after() -> None:
    asked = design(study(300, selected=True))
    for method in ("ipw", "aipw"):
        found = ec.ate(
            asked, method=method, folds=ec.Folds(k=3), learners=ec.Learners(propensity=PLAIN, calibration="platt")
        )  # fmt: skip
        for name in ("reliability", "reliability_before"):
            assert sum(found.diagnostics[name]["bins"]["n"]) == 300
            assert len(found.diagnostics[name]["bins"]["std_error"]) == 10
        assert ec.Estimate.from_dict(found.to_dict(scores=True)) == found
