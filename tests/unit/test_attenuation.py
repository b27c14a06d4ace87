"""How much of differences is left in predictions, against sums over all pairs written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eocausal.debiasing.contrasts import Pairs, between_arms, between_groups, between_units, nested
from eocausal.errors import DebiasError


def _places(seed: int = 0, n: int = 120, groups: int = 6) -> tuple[Pairs, np.ndarray]:
    rng = np.random.default_rng(seed)
    group = rng.integers(groups, size=n)
    truth = rng.normal(size=groups)[group] + rng.normal(size=n)
    prediction = 0.6 * truth + 0.3 * rng.normal(size=n) + 5
    return Pairs(prediction, truth, np.ones(n)), group


def _over_pairs(pairs: Pairs, group: np.ndarray, apart: np.ndarray, weights: np.ndarray) -> float:
    """Sum over ordered pairs of one group whose ``apart`` differs, each group over its count less one."""
    a = pairs.prediction - np.average(pairs.prediction, weights=weights)
    b = pairs.truth - np.average(pairs.truth, weights=weights)
    top = bottom = 0.0
    for name in np.unique(group):
        rows = np.flatnonzero(group == name)
        total = weights[rows].sum()
        same = sum(weights[rows][apart[rows] == one].sum() ** 2 for one in np.unique(apart[rows]))
        factor = 1 / (total - same / total)
        for i in rows:
            for j in rows:
                if apart[i] != apart[j]:
                    top += factor * weights[i] * weights[j] * a[i] * b[j]
                    bottom += factor * weights[i] * weights[j] * b[i] * b[j]
    return top / bottom


def test_between_units_is_the_published_slope_of_five_labelled_pairs() -> None:
    five = Pairs(np.array([1.5, 1.5, 3.5, 3, 4.5]), np.array([1.0, 2, 3, 4, 6]), np.ones(5))
    found = between_units(five)
    assert found.estimate == pytest.approx(0.6216216216, abs=1e-10)
    assert found.df == 3


def test_between_groups_is_the_sum_over_pairs_of_different_units() -> None:
    pairs, group = _places()
    expected = _over_pairs(pairs, group, np.arange(group.size), pairs.weights)
    assert between_groups(pairs, group, term="g").estimate == pytest.approx(expected, rel=1e-10)


def test_weights_enter_pairs_as_products() -> None:
    pairs, group = _places()
    weights = np.random.default_rng(5).uniform(0.5, 2, size=group.size)
    weighed = Pairs(pairs.prediction, pairs.truth, weights)
    expected = _over_pairs(pairs, group, np.arange(group.size), weights)
    assert between_groups(weighed, group, term="g").estimate == pytest.approx(expected, rel=1e-10)
    doubled = Pairs(pairs.prediction, pairs.truth, 2 * pairs.weights)
    plain, same = (between_groups(one, group, term="g") for one in (pairs, doubled))
    assert same.estimate == pytest.approx(plain.estimate)
    assert same.std_error == pytest.approx(plain.std_error)


def test_units_of_one_cluster_make_no_pair() -> None:
    pairs, group = _places(n=90)
    cluster = group * 100 + np.arange(90) % 4
    clustered = Pairs(pairs.prediction, pairs.truth, pairs.weights, cluster)
    expected = _over_pairs(pairs, group, cluster, pairs.weights)
    assert between_groups(clustered, group, term="g").estimate == pytest.approx(expected, rel=1e-10)


def test_clusters_that_are_the_groups_leave_pairs_of_units() -> None:
    pairs, group = _places()
    clustered = Pairs(pairs.prediction, pairs.truth, pairs.weights, group)
    assert between_groups(clustered, group, term="g") == between_groups(pairs, group, term="g")


def test_noise_within_groups_does_not_enter() -> None:
    """Means of four units hold a quarter of the noise's variance; pairs hold none of it."""
    by_pairs, by_means = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(1000), 4)
        level = rng.normal(size=1000)[group]
        truth = level + 2 * rng.normal(size=4000)
        prediction = 0.8 * level + rng.normal(size=4000)
        by_pairs.append(between_groups(Pairs(prediction, truth, np.ones(4000)), group, term="g").estimate)
        means = [np.bincount(group, values) / 4 for values in (prediction, truth)]
        by_means.append(np.cov(*means)[0, 1] / np.var(means[1], ddof=1))
    assert np.mean(by_pairs) == pytest.approx(0.8, abs=0.03)
    assert np.mean(by_means) == pytest.approx(0.4, abs=0.03)


def test_the_standard_error_is_near_the_spread_over_draws_and_the_jackknife() -> None:
    estimates, errors = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(40), 10)
        shift = rng.normal(size=40)
        truth = shift[group] + rng.normal(size=400)
        prediction = 0.7 * truth + (0.3 * rng.normal(size=40))[group] + 0.3 * rng.normal(size=400)
        found = between_groups(Pairs(prediction, truth, np.ones(400)), group, term="g")
        estimates.append(found.estimate)
        errors.append(found.std_error)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.15)
    pairs, group = _places(n=900, groups=30)
    without = [
        between_groups(
            Pairs(pairs.prediction[group != g], pairs.truth[group != g], np.ones((group != g).sum())),
            group[group != g],
            term="g",
        ).estimate
        for g in range(30)
    ]
    jackknife = np.sqrt(29 / 30 * ((without - np.mean(without)) ** 2).sum())
    assert between_groups(pairs, group, term="g").std_error == pytest.approx(jackknife, rel=0.15)


def test_two_groups_are_a_ratio_of_differences_with_the_error_of_instrumental_variables() -> None:
    pairs, _ = _places(n=200)
    town = np.tile([0, 1, 1], 67)[:200]
    h, y = pairs.prediction, pairs.truth + town
    found = between_groups(Pairs(h, y, np.ones(200)), town, term="town")
    ratio = (h[town == 1].mean() - h[town == 0].mean()) / (y[town == 1].mean() - y[town == 0].mean())
    assert found.kind == "contrast"
    assert found.estimate == pytest.approx(ratio)
    # two-stage least squares with the town as instrument, heteroscedasticity as in HC1
    x, z = np.column_stack([np.ones(200), y]), np.column_stack([np.ones(200), town])
    bread = np.linalg.inv(z.T @ x)
    residual = h - x @ (bread @ z.T @ h)
    covariance = bread @ ((z * residual[:, None] ** 2).T @ z) @ bread.T * 200 / 198
    assert found.std_error == pytest.approx(np.sqrt(covariance[1, 1]))
    difference = np.array([y[town == one].var() / (town == one).sum() for one in (0, 1)]).sum() * 200 / 198
    gap = y[town == 1].mean() - y[town == 0].mean()
    assert found.strength == pytest.approx(gap**2 / difference)


def test_a_contrast_with_weights_counts_a_weight_of_two_as_two_places() -> None:
    pairs, _ = _places(n=60)
    town = np.tile([0, 1], 30)
    weights = 1.0 + (np.arange(60) % 3 == 0)
    rows = np.repeat(np.arange(60), weights.astype(int))
    weighed = between_groups(Pairs(pairs.prediction, pairs.truth, weights), town, term="town")
    twice = between_groups(
        Pairs(pairs.prediction[rows], pairs.truth[rows], np.ones(rows.size), rows), town[rows], term="town"
    )
    assert weighed.estimate == pytest.approx(twice.estimate)
    assert weighed.std_error == pytest.approx(twice.std_error, rel=0.03)


def test_arms_are_a_contrast_of_their_own_kind() -> None:
    pairs, _ = _places()
    arm = np.tile([0.0, 1.0], 60)
    arms, town = between_arms(pairs, arm), between_groups(pairs, arm, term="treatment")
    assert (arms.kind, town.kind) == ("treatment", "contrast")
    assert (arms.estimate, arms.std_error) == (town.estimate, town.std_error)


@pytest.mark.parametrize("of", ["prediction", "truth"])
@pytest.mark.parametrize("cuts", [1, 4])
def test_groups_cut_from_predictions_or_truth_are_recognised(of: str, cuts: int) -> None:
    pairs, group = _places()
    values = getattr(pairs, of)
    cut = np.searchsorted(np.quantile(values, np.arange(1, cuts + 1) / (cuts + 1)), values)
    assert between_groups(pairs, cut, term="cut").formed_from == of
    assert between_groups(pairs, group, term="g").formed_from == ""


def test_one_prediction_for_a_whole_group_is_no_cut_of_predictions() -> None:
    pairs, group = _places()
    flat = Pairs(group * 1.0, pairs.truth, pairs.weights)
    assert between_groups(flat, group, term="g").formed_from == ""


def test_contrasts_by_cutting_predictions_look_unbiased_and_their_correction_off_by_the_slope() -> None:
    """The trap: under Berkson error the naive contrast of such groups has share 1, whatever the slope."""
    rng = np.random.default_rng(0)
    prediction = rng.normal(size=200_000)
    truth = prediction + rng.normal(size=200_000)
    pairs = Pairs(prediction, truth, np.ones(200_000))
    k = between_units(pairs).estimate
    assert k == pytest.approx(0.5, abs=0.01)
    cut = between_groups(pairs, prediction > 0.3, term="cut")
    assert cut.estimate == pytest.approx(1.0, abs=0.01)
    assert cut.estimate / k == pytest.approx(1 / k, abs=0.02)
    # the same world by a cause of the truth: the share is the slope
    assert between_groups(
        pairs, truth + rng.normal(size=200_000) > 1, term="cause"
    ).estimate == pytest.approx(0.5, abs=0.02)


def test_label_noise_is_taken_off_the_slope_of_units() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)
    prediction, measured = 0.7 * truth, truth + 0.5 * rng.normal(size=20_000)
    pairs = Pairs(prediction, measured, np.ones(20_000))
    assert between_units(pairs).estimate == pytest.approx(0.7 / 1.25, abs=0.01)
    assert between_units(pairs, label_noise_var=0.25).estimate == pytest.approx(0.7, abs=0.01)


def test_places_alone_in_their_group_are_counted_and_left_out() -> None:
    pairs, group = _places()
    alone = np.where(np.arange(120) < 3, 100 + np.arange(120), group)
    found = between_groups(pairs, alone, term="g")
    assert (found.left_out, found.n_groups) == (3, 6)


def test_one_group_or_no_pairs_are_refused() -> None:
    pairs, _ = _places()
    with pytest.raises(DebiasError, match="holds one group"):
        between_groups(pairs, np.zeros(120), term="g")
    with pytest.raises(DebiasError, match="No two places share a group"):
        between_groups(pairs, np.arange(120), term="g")


def test_crossing_clusters_give_the_larger_of_both_errors() -> None:
    pairs, group = _places(n=400)
    cluster = np.arange(400) % 40
    crossed = between_groups(Pairs(pairs.prediction, pairs.truth, np.ones(400), cluster), group, term="g")
    assert crossed.std_error >= between_groups(pairs, group, term="g").std_error
    assert not nested(cluster, group)


@given(
    st.integers(0, 1000), st.floats(0.1, 10), st.floats(-100, 100), st.floats(0.1, 10), st.floats(-100, 100)
)
def test_scale_and_order_of_rows(seed: int, scale: float, shift: float, unit: float, offset: float) -> None:
    pairs, group = _places(seed)
    order = np.random.default_rng(seed).permutation(group.size)
    moved = Pairs(
        shift + scale * pairs.prediction[order], offset + unit * pairs.truth[order], np.ones(order.size)
    )
    for labels in (group, group % 2):
        one = between_groups(pairs, labels, term="g")
        other = between_groups(moved, labels[order], term="g")
        if one.strength < 1:
            continue
        assert other.estimate == pytest.approx(one.estimate * scale / unit, rel=1e-6)
        assert other.std_error == pytest.approx(one.std_error * scale / unit, rel=1e-6)
        assert other.strength == pytest.approx(one.strength, rel=1e-6)


def test_a_group_that_holds_one_value_is_not_cut_at_the_value_it_shares() -> None:
    """A region where nobody is poor, beside one where some are: the outcome is 0 or 1."""
    poor = np.concatenate([np.zeros(40), np.tile([0.0, 1.0], 40)])
    region = np.repeat([0, 1], [40, 80])
    score = 0.6 * poor + 0.2 * np.random.default_rng(0).normal(size=120)
    assert between_groups(Pairs(score, poor, np.ones(120)), region, term="region").formed_from == ""
    assert between_groups(Pairs(poor, score, np.ones(120)), region, term="region").formed_from == ""


def test_a_side_that_was_drawn_once_has_no_error() -> None:
    """Arms of one cluster each have no variance within, which is not a standard error of zero."""
    rng = np.random.default_rng(0)
    truth, arm = rng.normal(size=120) + np.repeat([0.0, 3.0], 60), np.repeat([0.0, 1.0], 60)
    prediction = 0.5 * truth + 0.2 * rng.normal(size=120)
    one_each, single = arm.astype(int), (np.arange(120) == 3).astype(float)
    for found in (
        between_arms(Pairs(prediction, truth, np.ones(120), one_each), arm),
        between_arms(Pairs(prediction, truth, np.ones(120)), single),
        between_groups(
            Pairs(prediction, truth, np.ones(120), np.where(arm == 1, 9, np.arange(120) // 10)), arm, term="g"
        ),
    ):
        assert found.std_error == np.inf
        assert np.isfinite(found.estimate)
    assert between_arms(Pairs(prediction, truth, np.ones(120)), arm).std_error < 0.1


def test_means_that_differ_by_rounding_alone_have_no_share() -> None:
    values = np.random.default_rng(0).normal(size=60)
    group = np.repeat([0, 1], 60)
    truth = np.concatenate([values, values[::-1]])
    assert truth[:60].mean() != truth[60:].mean() or truth[:60].sum() == truth[60:].sum()
    found = between_groups(Pairs(truth + np.arange(120), truth, np.ones(120)), group, term="g")
    assert np.isnan(found.estimate)
    assert found.strength == 0
