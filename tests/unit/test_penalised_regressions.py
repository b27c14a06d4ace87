"""The default learners against scikit-learn, which refits each training set and penalty."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, GroupKFold

from eocausal.errors import EstimationError
from eocausal.nuisance import penalised_logit
from eocausal.nuisance.linear import compact
from eocausal.nuisance.models import LOGIT_INVERSE_PENALTIES, RIDGE_PENALTIES, Sample
from eocausal.nuisance.models import penalised_logit as logit_of_sample
from eocausal.nuisance.models import ridge as ridge_of_sample
from eocausal.nuisance.penalised_logit import fit_penalised_logit
from eocausal.nuisance.ridge import fit_ridge


class Drawn(NamedTuple):
    columns: np.ndarray
    outcome: np.ndarray
    treatment: np.ndarray
    weights: np.ndarray
    splits: list
    parts: np.ndarray


@st.composite
def designs(draw: st.DrawFn) -> Drawn:
    """Few rows and many, few columns and many, clusters of uneven size, uneven weights, columns that repeat."""
    n = draw(st.integers(24, 120))
    p = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    columns = rng.normal(size=(n, p)) * draw(st.sampled_from([1.0, 1.0, 3.0]))
    if draw(st.booleans()):
        columns = np.column_stack([columns, columns[:, :1], columns[:, :1] - columns[:, -1:]])
    groups = rng.integers(0, draw(st.sampled_from([5, 12, 1000])), size=n)
    signal = draw(st.sampled_from([0.0, 1.0, 4.0])) * columns[:, 0]
    treatment = (rng.uniform(size=n) < 1 / (1 + np.exp(-signal))).astype(float)
    outcome = 100.0 + columns[:, : min(p, 3)].sum(axis=1) + rng.normal(size=n)
    weights = rng.uniform(0.1, 3.0, size=n) if draw(st.booleans()) else np.ones(n)
    splits = list(GroupKFold(4).split(columns, groups=groups))
    parts = np.full(n, -1)
    for part, (_, test) in enumerate(splits):
        parts[test] = part
    return Drawn(columns, outcome, treatment, weights / weights.mean(), splits, parts)


def _clear(losses: np.ndarray, margin: float) -> bool:
    """Whether the best is better than the next by more than two computations of it may differ."""
    best, second = np.sort(losses)[:2]
    return bool(second - best > margin)


@settings(max_examples=20, deadline=None)
@given(designs())
def test_ridge_is_that_of_scikit_learn(drawn: Drawn) -> None:
    x, y, w = drawn.columns, drawn.outcome, drawn.weights
    found = fit_ridge(x, y, w, penalties=RIDGE_PENALTIES, parts=drawn.parts)
    searched = RidgeCV(RIDGE_PENALTIES, cv=drawn.splits).fit(x, y, sample_weight=w)
    assert 1 - found.losses.min() == pytest.approx(searched.best_score_, rel=1e-9, abs=1e-9)
    if _clear(found.losses, 1e-9):
        assert found.penalty == searched.alpha_
    same = Ridge(found.penalty).fit(x, y, sample_weight=w)
    np.testing.assert_allclose(found.predict(x), same.predict(x), rtol=1e-8)
    np.testing.assert_allclose(found.coefficients, same.coef_, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(designs())
def test_penalised_logit_is_that_of_scikit_learn(drawn: Drawn) -> None:
    x, t, w = drawn.columns, drawn.treatment, drawn.weights
    usable = [split for split in drawn.splits if all(0 < t[part].mean() < 1 for part in split)]
    if not usable:
        return
    parts = np.full(t.size, -1)
    for part, (_, test) in enumerate(usable):
        parts[test] = part
    found = fit_penalised_logit(x, t, w, inverse_penalties=LOGIT_INVERSE_PENALTIES, parts=parts)
    exact = LogisticRegression(solver="newton-cholesky", max_iter=1000, tol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        searched = GridSearchCV(exact, {"C": LOGIT_INVERSE_PENALTIES}, scoring="neg_log_loss", cv=usable).fit(
            x, t, sample_weight=w
        )
        same = exact.set_params(C=found.penalty).fit(x, t, sample_weight=w)
    losses = -searched.cv_results_["mean_test_score"]
    # scikit-learn clips the logarithm of chances that round to zero
    sane = losses < 3.0
    np.testing.assert_allclose(found.losses[sane], losses[sane], rtol=1e-3)
    if _clear(losses, 1e-3 * losses.min()):
        assert found.penalty == searched.best_params_["C"]
    np.testing.assert_allclose(1 / (1 + np.exp(-found.predict(x))), same.predict_proba(x)[:, 1], atol=1e-7)


def test_a_shift_of_the_outcome_by_a_million_keeps_the_digits_of_ridge() -> None:
    rng = np.random.default_rng(3)
    x = 50 + rng.normal(size=(400, 5))
    y = x @ np.arange(5.0) + rng.normal(size=400)
    parts = np.arange(400) % 4
    near, far = (
        fit_ridge(x, y + by, np.ones(400), penalties=RIDGE_PENALTIES, parts=parts) for by in (0, 1e6)
    )
    np.testing.assert_allclose(far.coefficients, near.coefficients, rtol=1e-9)
    np.testing.assert_allclose(far.predict(x) - 1e6, near.predict(x), rtol=1e-9)


def test_a_weight_of_two_is_a_row_twice() -> None:
    rng = np.random.default_rng(0)
    x, parts = rng.normal(size=(60, 4)), np.arange(60) % 4
    t = (rng.uniform(size=60) < 0.5).astype(float)
    y = x[:, 0] + rng.normal(size=60)
    weights = 1.0 + (np.arange(60) < 20)
    rows = np.repeat(np.arange(60), weights.astype(int))
    for fit, target, offered in (
        (fit_ridge, y, {"penalties": RIDGE_PENALTIES}),
        (fit_penalised_logit, t, {"inverse_penalties": LOGIT_INVERSE_PENALTIES}),
    ):
        weighted = fit(x, target, weights, parts=parts, **offered)
        repeated = fit(x[rows], target[rows], np.ones(rows.size), parts=parts[rows], **offered)
        assert weighted.penalty == repeated.penalty
        np.testing.assert_allclose(weighted.losses, repeated.losses, rtol=1e-6)
        np.testing.assert_allclose(weighted.coefficients, repeated.coefficients, atol=1e-8)


def test_parts_without_variation_say_nothing_and_without_any_the_penalty_is_the_largest() -> None:
    x = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    y = np.array([1.0, 2.0, 3.0, 4.0, 9.0])
    alone = fit_ridge(x, y, np.ones(5), penalties=np.array([0.1, 10.0]), parts=np.arange(5))
    assert alone.penalty == 10.0
    one_pair = fit_ridge(x, y, np.ones(5), penalties=np.array([0.1, 10.0]), parts=np.array([0, 0, 1, 2, 3]))
    by_hand = [((Ridge(a).fit(x[2:], y[2:]).predict(x[:2]) - y[:2]) ** 2).sum() / 0.5 for a in (0.1, 10.0)]
    np.testing.assert_allclose(one_pair.losses, by_hand, rtol=1e-12)


def test_rows_that_are_never_left_out_are_seen_by_every_fit() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(90, 3))
    t = (rng.uniform(size=90) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    parts = np.where(np.arange(90) < 30, -1, np.arange(90) % 2)
    found = fit_penalised_logit(x, t, np.ones(90), inverse_penalties=np.array([0.5]), parts=parts)
    by_hand = []
    for part in (0, 1):
        chance = (
            LogisticRegression(C=0.5, tol=1e-10)
            .fit(x[parts != part], t[parts != part])
            .predict_proba(x)[:, 1]
        )
        own = parts == part
        by_hand.append(-np.log(np.where(t == 1, chance, 1 - chance)[own]).mean())
    assert found.losses[0] == pytest.approx(np.mean(by_hand), rel=1e-6)


def test_arms_that_the_columns_tell_apart_are_fitted_too() -> None:
    x = np.r_[np.linspace(-2, -1, 40), np.linspace(1, 2, 40)][:, None] * 20
    t = (x[:, 0] > 0).astype(float)
    parts = np.arange(80) % 4
    found = fit_penalised_logit(x, t, np.ones(80), inverse_penalties=LOGIT_INVERSE_PENALTIES, parts=parts)
    same = LogisticRegression(C=found.penalty, solver="newton-cholesky", tol=1e-12).fit(x, t)
    np.testing.assert_allclose(found.predict(x), same.decision_function(x), rtol=1e-6)


def test_a_logit_that_does_not_come_to_an_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penalised_logit, "_MOST_STEPS", 1)
    x = np.arange(8.0)[:, None]
    t = np.array([0.0, 1, 1, 0, 0, 1, 1, 1])
    with pytest.raises(EstimationError, match=r"(?s)more than 1 steps.*like scales"):
        fit_penalised_logit(x, t, np.ones(8), inverse_penalties=np.array([1.0]), parts=np.arange(8) % 2)


def test_few_columns_stand_for_many() -> None:
    wide = np.random.default_rng(1).normal(size=(5, 40))
    centre = wide.mean(axis=0)
    few = compact(wide, centre)
    np.testing.assert_allclose(few.columns @ few.columns.T, (wide - centre) @ (wide - centre).T, atol=1e-12)
    np.testing.assert_allclose(
        (wide - centre) @ few.slope(np.arange(5.0)), few.columns @ np.arange(5.0), atol=1e-12
    )
    assert compact(wide.T, wide.T.mean(axis=0)).basis is None


def test_models_keep_groups_whole_while_they_choose() -> None:
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(12), 10)
    x = np.repeat(rng.normal(size=(12, 6)), 10, axis=0) + 0.01 * rng.normal(size=(120, 6))
    y = np.repeat(rng.normal(size=12), 10) + rng.normal(size=120)
    t = (rng.uniform(size=120) < 0.5).astype(float)
    splits = list(GroupKFold(4).split(x, groups=groups))
    sample = Sample(x, y, None, groups, np.arange(120), 0)
    np.testing.assert_allclose(
        ridge_of_sample(sample)(x), RidgeCV(RIDGE_PENALTIES, cv=splits).fit(x, y).predict(x), rtol=1e-8
    )
    search = GridSearchCV(
        LogisticRegression(solver="newton-cholesky", tol=1e-9),
        {"C": LOGIT_INVERSE_PENALTIES},
        scoring="neg_log_loss",
        cv=splits,
    ).fit(x, t)
    chances = logit_of_sample(replace(sample, target=t))(x)
    np.testing.assert_allclose(chances, search.predict_proba(x)[:, 1], atol=1e-7)
