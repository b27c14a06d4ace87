"""Means of outcomes measured for some and predicted for all: ppi_py's arithmetic, closed forms, tuning."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eocausal.labelled.rectified import mean_part, pooled_lambda, tune, weighted_mean

TRUTH = np.array([1.0, 2, 3, 4, 6])
SEEN = np.array([1.5, 1.5, 3.5, 3, 4.5])
OTHERS = np.array([0.0, 1, 2, 3, 4, 5, 2, 7])


def part_of(truth, seen, others, *, ddof=0):
    known = np.r_[np.ones(truth.size), np.zeros(others.size)]
    return mean_part(
        np.r_[truth, np.full(others.size, np.nan)],
        np.r_[seen, others],
        labelled_weights=known,
        reference_weights=1 - known,
        ddof=ddof,
    )


def interval_90(value, scores):
    error = np.sqrt((scores**2).sum()) / scores.size
    return value - stats.norm.ppf(0.95) * error, value + stats.norm.ppf(0.95) * error


# points and 90% intervals of ppi_py 0.2.3, ppi_mean_pointestimate and ppi_mean_ci
@pytest.mark.parametrize(
    ("lam", "point", "low", "high"),
    [
        (0.0, 3.2, 1.9344243504, 4.4655756496),
        (0.5, 3.3, 2.2181101087, 4.3818898913),
        (1.0, 3.4, 2.0331870080, 4.7668129920),
        (0.3165591397849462, 3.2633118280, 2.1689741842, 4.3576494717),
    ],
)
def test_points_and_intervals_of_ppi_py(lam, point, low, high):
    value, scores = part_of(TRUTH, SEEN, OTHERS).rectified(lam)
    assert value == pytest.approx(point, abs=1e-9)
    assert interval_90(value, scores) == pytest.approx((low, high), abs=1e-9)


def test_the_number_of_ppi_py():
    assert pooled_lambda(TRUTH, SEEN, OTHERS, ddof=0) == pytest.approx(0.3165591398, abs=1e-10)
    assert pooled_lambda(TRUTH, SEEN, OTHERS) == pytest.approx(0.3956989247, abs=1e-10)


def test_own_number_is_the_ratio_of_covariance_to_variance():
    part = part_of(TRUTH, SEEN, OTHERS, ddof=1)
    found = tune(part.classical_scores, part.shift_scores[:, None])[0]
    wanted = (np.cov(TRUTH, SEEN)[0, 1] / 5) / (SEEN.var(ddof=1) / 5 + OTHERS.var(ddof=1) / 8)
    assert found == pytest.approx(wanted, rel=1e-12)
    scores = part.rectified(found)[1]
    wanted = (TRUTH - found * SEEN).var(ddof=1) / 5 + found**2 * OTHERS.var(ddof=1) / 8
    assert (scores**2).sum() / 13**2 == pytest.approx(wanted, rel=1e-12)


def test_predictions_off_by_a_constant_are_put_right():
    # truth less prediction is -2 everywhere, and all others are predicted to be 2: the mean is exactly 0
    part = part_of(np.array([1.0, 5.0, 2.0]) - 2, np.array([1.0, 5.0, 2.0]), np.full(4, 2.0))
    assert part.rectified(1.0)[0] == pytest.approx(0.0, abs=1e-12)


def test_closed_forms_of_variances_where_errors_do_not_follow_predictions():
    # predictions with variance 1, errors with variance 1/2 and no correlation, made exactly so
    n, others = 500, 20_000
    rng = np.random.default_rng(0)

    def exact(size):
        columns = rng.normal(size=(size, 2))
        columns -= columns.mean(axis=0)
        return columns @ np.linalg.inv(np.linalg.cholesky(columns.T @ columns / size)).T

    labelled = exact(n)
    part = part_of(labelled[:, 0] + np.sqrt(0.5) * labelled[:, 1], labelled[:, 0], exact(others)[:, 0])
    lam = tune(part.classical_scores, part.shift_scores[:, None])[0]
    assert lam == pytest.approx(others / (n + others), rel=1e-10)
    for number, variance in ((lam, 0.00104878048780488), (1.0, 0.00105), (0.0, 0.003)):
        scores = part.rectified(number)[1]
        assert (scores**2).sum() / scores.size**2 == pytest.approx(variance, rel=1e-10)


def test_a_weight_of_two_is_two_units_where_nothing_is_estimated_from_counts():
    weights = np.array([1.0, 2, 1, 3, 1])
    one = weighted_mean(TRUTH, weights, ddof=0)
    twice = weighted_mean(np.repeat(TRUTH, weights.astype(int)), np.ones(8), ddof=0)
    assert one[0] == pytest.approx(twice[0], rel=1e-14)
    # the copies of one unit are summed as a cluster
    summed = np.bincount(np.repeat(np.arange(5), weights.astype(int)), weights=twice[1]) / 8
    assert one[1] / 5 == pytest.approx(summed, rel=1e-12)


def test_unbiased_variance_of_means():
    scores = weighted_mean(TRUTH, np.ones(5))[1]
    assert (scores**2).sum() / 25 == pytest.approx(TRUTH.var(ddof=1) / 5, rel=1e-12)


def test_two_arms_that_share_no_unit_are_tuned_one_by_one():
    rng = np.random.default_rng(1)
    arm = np.repeat([0.0, 1.0], 40)
    prediction = rng.normal(size=80)
    truth = np.where(arm == 1, 0.7, -0.4) * prediction + rng.normal(size=80)
    known = np.tile([1.0, 0, 0, 1], 20)
    parts = [
        mean_part(
            truth, prediction, labelled_weights=known * (arm == a), reference_weights=(1 - known) * (arm == a)
        )
        for a in (1, 0)
    ]
    alone = [tune(part.classical_scores, part.shift_scores[:, None])[0] for part in parts]
    classical = parts[0].classical_scores - parts[1].classical_scores
    together = tune(classical, np.column_stack([parts[0].shift_scores, -parts[1].shift_scores]))
    assert together == pytest.approx(alone, abs=1e-10)
    assert alone[1] == 0  # predictions that point the wrong way are left out


def test_clusters_are_summed_before_tuning():
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(12), 5)
    classical, shift = rng.normal(size=60), rng.normal(size=60)
    sums = [np.bincount(clusters, weights=one) for one in (classical, shift)]
    wanted = -(sums[0] @ sums[1]) / (sums[1] @ sums[1])
    free = (-np.inf, np.inf)
    assert tune(classical, shift[:, None], clusters=clusters, bounds=free)[0] == pytest.approx(
        wanted, rel=1e-12
    )


def test_shifts_that_move_nothing_count_for_nothing():
    classical = np.array([1.0, -1.0, 0.5, -0.5])
    assert tune(classical, np.zeros((4, 2))).tolist() == [0, 0]
    assert tune(classical, np.column_stack([np.zeros(4), -2 * classical])) == pytest.approx([0, 0.5])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), columns=st.integers(1, 4))
def test_no_number_within_the_bounds_does_better(seed, columns):
    rng = np.random.default_rng(seed)
    classical, shifts = rng.normal(size=30), rng.normal(size=(30, columns)) * rng.uniform(0.1, 10, columns)
    lam = tune(classical, shifts)
    assert ((lam >= 0) & (lam <= 1)).all()
    least = ((classical + shifts @ lam) ** 2).sum()
    for other in (np.zeros(columns), np.ones(columns), *rng.uniform(size=(20, columns))):
        assert least <= ((classical + shifts @ other) ** 2).sum() * (1 + 1e-9)
