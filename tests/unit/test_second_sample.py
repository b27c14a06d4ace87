"""Units of a second sample: their variance by hand, degrees of freedom, and how it stays with an estimate."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.inference.how import Variance, Vcov
from eocausal.inference.second_sample import SecondSample, joint_second
from tests.studies import by_village, design

PARTS = np.array([[0.3], [-0.1], [-0.2], [0.0]])


def _sample(**options: object) -> SecondSample:
    return SecondSample(np.array(list("abcd")), PARTS, **options)


def _with(estimate: ec.Estimate, second: SecondSample) -> ec.Estimate:
    return replace(estimate, second=second, variance=second.added(estimate.variance))


def test_variance_is_the_sum_of_squares_with_its_factor() -> None:
    assert _sample().matrix[0, 0] == pytest.approx(4 / 3 * (0.09 + 0.01 + 0.04))
    together = _sample(clusters=np.array([1, 1, 2, 2]))
    assert together.matrix[0, 0] == pytest.approx(2 / 1 * (0.2**2 + 0.2**2))
    assert (_sample().n_drawn, together.n_drawn) == (4, 2)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6, 1e9])
def test_what_a_covariance_brings_does_not_depend_on_units(unit: float) -> None:
    units = np.array([1.0, unit, unit**2, 1.0])
    correlated = np.array(
        [[0.04, 0.01, 0.02, 0.0], [0.01, 0.09, 0.03, 0.0], [0.02, 0.03, 0.16, 0.0], [0.0] * 4]
    )
    loadings = np.array([[1.0, 0.0, 0.0, 5.0], [0.3, -2.0, 0.5, 0.0]])
    made = SecondSample.of_covariance(
        loadings / units, correlated * np.outer(units, units), key="a", name="calibration", drawn=50
    )
    assert made.matrix == pytest.approx(loadings @ correlated @ loadings.T, rel=1e-9)


def test_it_is_the_standard_error_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=50)
    second = SecondSample(np.arange(50), ((values - values.mean()) / 50)[:, None])
    assert second.matrix[0, 0] == pytest.approx(values.var(ddof=1) / 50, rel=1e-12)


def test_degrees_of_freedom_are_welchs() -> None:
    own = Variance(np.array([[0.05]]), 9.0, 1.0, 10)
    made = _sample().added(own)
    other = _sample().matrix[0, 0]
    assert made.matrix[0, 0] == pytest.approx(0.05 + other)
    assert made.df == pytest.approx((0.05 + other) ** 2 / (0.05**2 / 9 + other**2 / 3))
    alone = SecondSample(np.arange(3), np.zeros((3, 1))).added(own)
    assert alone.df == pytest.approx(9.0)
    nothing = SecondSample(np.arange(3), np.zeros((3, 1))).added(Variance(np.zeros((1, 1)), 9.0, 1.0, 10))
    assert nothing.df == 9.0


def test_few_units_are_told_where_they_count() -> None:
    assert "4 units" in _sample().added(Variance(np.array([[0.05]]), 9.0, 1.0, 10)).notes[0]
    assert _sample().added(Variance(np.array([[50.0]]), 9.0, 1.0, 10)).notes == ()


def test_all_in_one_cluster_are_refused() -> None:
    with pytest.raises(EstimationError, match="All units of the target are in one cluster"):
        _ = _sample(clusters=np.ones(4)).matrix


def test_it_stays_with_every_choice_of_standard_errors_but_a_bootstrap() -> None:
    plain = ec.ate(design(by_village(), cluster="village"), method="difference")
    both = _with(plain, _sample())
    for choice in ("iid", "cluster"):
        expected = float(plain.with_vcov(choice).std_error) ** 2 + _sample().matrix[0, 0]
        assert float(both.with_vcov(choice).std_error) ** 2 == pytest.approx(expected, rel=1e-12)
    with pytest.raises(EstimationError, match=r"draws units of the study.*\n.*iid"):
        both.with_vcov({"bootstrap": "wild"})


def test_it_survives_a_file() -> None:
    plain = ec.ate(design(by_village()), method="difference")
    for second in (_sample(), _sample(clusters=np.array(["x", "x", "y", "y"]))):
        both = _with(plain, second)
        again = ec.Estimate.from_dict(json.loads(json.dumps(both.to_dict(scores=True))))
        assert again == both
        assert again.with_vcov("hetero").std_error == both.with_vcov("hetero").std_error


def test_in_differences_a_shared_second_sample_cancels_and_one_of_its_own_adds() -> None:
    plain = ec.ate(design(by_village()), method="difference")
    other = ec.ate(design(by_village()), method="regression")
    both, too = _with(plain, _sample()), _with(other, _sample())
    assert (both - too).std_error == pytest.approx((plain - other).std_error, rel=1e-9)
    expected = float((plain - other).std_error) ** 2 + _sample().matrix[0, 0]
    assert float((both - other).std_error) ** 2 == pytest.approx(expected, rel=1e-9)
    joint = ec.compare(left=both, right=too)
    assert joint.variance.matrix[0, 1] == pytest.approx(
        ec.compare(left=plain, right=other).variance.matrix[0, 1] + _sample().matrix[0, 0], rel=1e-9
    )


def test_samples_with_other_units_are_matched_by_id() -> None:
    one = SecondSample(np.array(["b", "a"]), np.array([[2.0], [1.0]]))
    other = SecondSample(np.array(["b", "c"]), np.array([[3.0], [4.0]]))
    found = joint_second([one, None, other])
    assert found is not None
    assert found.ids.tolist() == ["a", "b", "c"]
    assert found.parts.tolist() == [[1, 0, 0], [2, 0, 3], [0, 0, 4]]
    assert joint_second([None, None]) is None


def test_clusters_that_disagree_are_refused() -> None:
    one, other = _sample(clusters=np.array([1, 1, 2, 2])), _sample(clusters=np.array([1, 2, 2, 2]))
    with pytest.raises(EstimationError, match="clusters that differ"):
        joint_second([one, other])
    few = SecondSample(np.array(["y", "z"]), np.ones((2, 1)))
    with pytest.raises(EstimationError, match="clusters that differ"):
        joint_second([one, few])


def test_conley_curve_holds_it() -> None:
    rng = np.random.default_rng(0)
    table = by_village().reset_index().assign(lon=rng.uniform(30, 31, 120), lat=rng.uniform(0, 1, 120))
    placed = ec.read_units(table, id="id", lon="lon", lat="lat")
    plain = ec.ate(design(placed), method="difference")
    both = _with(plain, _sample())
    found = ec.conley_curve(both, ["5km"]).frame["std_error"][0]
    expected = np.hypot(ec.conley_curve(plain, ["5km"]).frame["std_error"][0], _sample().matrix[0, 0] ** 0.5)
    assert found == pytest.approx(expected, rel=1e-12)
    assert both.with_vcov({"conley": "5km"}).std_error == pytest.approx(found, rel=1e-12)
    assert both.variance.how == Vcov("iid")
