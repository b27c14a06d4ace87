"""Repeated cross-fitting: the median, its variance, and what has nothing to repeat."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import pyplot as plt

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.inference.repeats import Repeats, median_variance, middle_repeats
from eocausal.inference.variance import Variance, score_variance
from tests.studies import FAST, THREE, design, study

FIVE = ec.Folds(k=3, repeats=5)


def _asked() -> ec.Design:
    return design(study(150, selected=True), cluster="village")


@pytest.mark.parametrize("method", ["aipw", "partially_linear", "ipw", "horvitz_thompson"])
@pytest.mark.parametrize("repeats", [4, 5])
def test_the_median_of_single_runs(method: str, repeats: int) -> None:
    asked = _asked()
    found = ec.ate(asked, method=method, learners=FAST, folds=ec.Folds(k=3, repeats=repeats), seed=7)
    single = [
        ec.ate(asked, method=method, learners=FAST, folds=THREE, seed=7 + repeat) for repeat in range(repeats)
    ]
    estimates, errors = (
        np.array([getattr(one, name) for one in single]) for name in ("estimate", "std_error")
    )
    assert found.estimate == pytest.approx(np.median(estimates), rel=1e-14)
    # Chernozhukov et al. (2018), definition 3.3, by hand
    variance = np.median(errors**2 + (estimates - np.median(estimates)) ** 2)
    assert found.std_error == pytest.approx(np.sqrt(variance), rel=1e-12)
    assert found.std_error > 0
    assert found.repeats.seeds == tuple(range(7, 7 + repeats))
    np.testing.assert_allclose(found.repeats.values[:, 0], estimates)
    np.testing.assert_allclose(found.repeats.std_errors[:, 0], errors)
    assert found.diagnostics["repeats"].startswith(f"median of {repeats}, from {estimates.min():.4g} to")
    assert found.provenance["folds"]["repeats"] == repeats


def test_influence_values_and_weights_are_of_the_repeat_in_the_middle() -> None:
    asked = _asked()
    found = ec.ate(asked, learners=FAST, folds=FIVE)
    middle = int(np.argsort(found.repeats.values[:, 0])[2])
    one = ec.ate(asked, learners=FAST, folds=THREE, seed=middle)
    np.testing.assert_array_equal(found.score_values, one.score_values)
    np.testing.assert_array_equal(found.weights, one.weights)


@pytest.mark.parametrize("vcov", ["iid", "hetero", {"cluster": "village"}])
def test_other_standard_errors_are_medians_too(vcov: object) -> None:
    asked = _asked()
    found = ec.ate(asked, learners=FAST, folds=FIVE).with_vcov(vcov)
    at_once = ec.ate(asked, learners=FAST, folds=FIVE, vcov=vcov)
    assert found.std_error == pytest.approx(at_once.std_error, rel=1e-14)
    assert found.variance.df == at_once.variance.df
    errors = [ec.ate(asked, learners=FAST, folds=THREE, seed=seed, vcov=vcov).std_error for seed in range(5)]
    np.testing.assert_allclose(found.repeats.std_errors[:, 0], errors, rtol=1e-12)
    assert found.repeats.to_frame()["std_error"].tolist() == pytest.approx(errors)


def test_one_repeat_is_no_repeat() -> None:
    asked = _asked()
    one = ec.ate(asked, learners=FAST, folds=ec.Folds(k=3, repeats=1))
    assert one.repeats is None
    assert one == ec.ate(asked, learners=FAST, folds=THREE)


def test_results_with_repeats_go_through_json_and_compare() -> None:
    found = ec.ate(_asked(), learners=FAST, folds=FIVE)
    assert ec.Estimate.from_dict(json.loads(json.dumps(found.to_dict(scores=True)))) == found
    assert "score_values" not in json.dumps(found.to_dict())
    assert ec.compare(again=found).std_error == found.std_error


def _spread() -> ec.Estimate:
    """Return an estimate that the dealing of folds matters for more than its middle repeat shows."""
    return ec.ate(_asked(), learners=FAST, folds=ec.Folds(k=2, repeats=5), seed=3)


def test_differences_are_made_repeat_by_repeat() -> None:
    found, plain = _spread(), ec.ate(_asked(), method="regression")
    other = ec.ate(_asked(), learners=FAST, folds=ec.Folds(k=3, repeats=5), seed=50)
    both = ec.compare(a=found, b=other).std_error
    np.testing.assert_allclose(both, [found.std_error, other.std_error], rtol=1e-12)
    for right in (plain, other):
        gap, contrast = found - right, ec.contrast(ec.compare(a=found, b=right), "a", against="b")
        assert (gap.estimate, gap.std_error) == (contrast.estimate, contrast.std_error)
        by_repeat = [
            _single(found, place) - (right if right.repeats is None else _single(right, place))
            for place in range(5)
        ]
        values, errors = (
            np.array([getattr(one, name) for one in by_repeat]) for name in ("estimate", "std_error")
        )
        assert gap.estimate == pytest.approx(np.median(values), rel=1e-12)
        square = np.median(errors**2 + (values - np.median(values)) ** 2)
        assert gap.std_error == pytest.approx(np.sqrt(square), rel=1e-12)
        assert gap.with_vcov("iid").repeats.values.shape == (5, 1)
    assert (found - found).estimate == 0 == (found - found).std_error


def _single(found: ec.Estimate, place: int) -> ec.Estimate:
    repeats = found.repeats
    bare = replace(
        found, values=repeats.values[place], score_values=repeats.score_values[place], repeats=None
    )
    return bare.with_vcov("cluster")


def test_repeats_that_are_not_as_many_are_told() -> None:
    few = ec.ate(_asked(), learners=FAST, folds=ec.Folds(k=3, repeats=2))
    joint = ec.compare(a=_spread(), b=few)
    assert joint.repeats is None
    assert any("medians of 2 and 5 repeats" in text for text in joint.warnings)
    assert not any("repeats:" in text for text in ec.compare(a=few, b=few).warnings)


def test_the_curve_by_distance_is_of_all_repeats() -> None:
    table = study(150, selected=True).reset_index()
    rng = np.random.default_rng(0)
    table["lon"], table["lat"] = rng.uniform(30, 31, 150), rng.uniform(0, 1, 150)
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    made = ec.ate(design(units), learners=FAST, folds=ec.Folds(k=2, repeats=5))
    single = made.with_vcov({"conley": "10km"}).std_error
    assert ec.conley_curve(made, ["10km"]).frame["std_error"][0] == pytest.approx(single, rel=1e-12)
    middle = replace(made, repeats=None)
    assert ec.conley_curve(middle, ["10km"]).frame["std_error"][0] != pytest.approx(single, rel=1e-3)


def test_table_and_figure_of_repeats() -> None:
    found = ec.ate(_asked(), learners=FAST, folds=FIVE, seed=2)
    frame = found.repeats.to_frame()
    assert list(frame.columns) == ["seed", "term", "estimate", "std_error"]
    assert frame["seed"].tolist() == [2, 3, 4, 5, 6]
    ax = found.repeats.plot()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "3", "4", "5", "6"]
    assert found.repeats.plot(ax) is ax
    plt.close(ax.figure)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("difference", {}, r"method='difference' makes no out-of-fold predictions: it has nothing random"),
        ("regression", {}, "makes no out-of-fold predictions"),
        ("entropy_balancing", {}, "makes no out-of-fold predictions"),
        ("cbps", {}, "makes no out-of-fold predictions"),
        ("ipw", {"learners": ec.Learners(propensity="logit")}, "with a logit fits it to all units at once"),
        ("horvitz_thompson", {"learners": ec.Learners(propensity="probit")}, "with a probit fits it"),
        ("aipw", {"trim": ec.Trim("crump")}, "each repeat would leave out other units"),
    ],
)
def test_what_has_nothing_to_repeat_is_refused(method: str, options: dict, words: str) -> None:
    with pytest.raises(EstimationError, match=words):
        ec.ate(_asked(), method=method, folds=FIVE, **options)


def test_a_known_propensity_has_nothing_to_repeat_but_its_outcomes_have() -> None:
    asked = design(study(150, selected=True), propensity="p")
    with pytest.raises(EstimationError, match="with a known propensity predicts nothing"):
        ec.ate(asked, method="ipw", folds=FIVE)
    assert ec.ate(asked, folds=FIVE, learners=FAST).repeats is not None


def test_variances_of_several_terms_keep_correlations_and_take_medians_of_each() -> None:
    rng = np.random.default_rng(0)
    values = np.array([[1.0, 5.0], [3.0, 4.0], [2.0, 9.0]])
    scores = rng.normal(size=(3, 50, 2)) @ np.array([[1.0, 0.8], [0.0, 0.5]])
    made = [score_variance(one) for one in scores]
    found = median_variance(values, made).matrix
    for term in range(2):
        off = (values[:, term] - np.median(values[:, term])) ** 2
        expected = np.median([one.matrix[term, term] for one in made] + off)
        assert found[term, term] == pytest.approx(expected, rel=1e-12)
    middle = made[2].matrix  # whose first estimate is the median
    assert found[0, 1] / np.sqrt(found[0, 0] * found[1, 1]) == pytest.approx(
        middle[0, 1] / np.sqrt(middle[0, 0] * middle[1, 1]), rel=1e-12
    )
    assert np.linalg.eigvalsh(found).min() > 0
    repeats = Repeats(("a", "b"), (0, 1, 2), values, scores, np.ones((3, 2)))
    variance, again = repeats.variance(score_variance)
    np.testing.assert_allclose(variance.matrix, found)
    np.testing.assert_allclose(again.std_errors, [np.sqrt(np.diag(one.matrix)) for one in made])
    assert again.to_frame()["term"].tolist() == ["a", "b"] * 3


def test_notes_of_all_repeats_are_told_once() -> None:
    one = [Variance(np.eye(1), 9.0, 1.0, None, notes=(text,)) for text in ("x", "y", "x")]
    assert median_variance(np.zeros((3, 1)), one).notes == ("x", "y")


def test_middles() -> None:
    assert middle_repeats(np.array([[5.0], [1.0], [3.0], [2.0], [4.0]])) == [2]
    assert middle_repeats(np.array([[5.0], [1.0], [3.0], [2.0]])) == [3, 2]


def test_a_wide_range_over_repeats_warns() -> None:
    # with two folds of few units each, predictions follow the dealing
    asked = design(study(60, selected=True), features=None)
    from sklearn.tree import DecisionTreeRegressor

    wild = ec.Learners(outcome=DecisionTreeRegressor(random_state=0), propensity=FAST.propensity)
    found = ec.ate(asked, learners=wild, folds=ec.Folds(k=2, repeats=9))
    spread = np.ptp(found.repeats.values)
    told = [text for text in found.warnings if "how units are dealt into folds matters" in text]
    assert bool(told) == bool(spread > np.median(found.repeats.std_errors))
    assert told
