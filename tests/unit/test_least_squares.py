"""Weighted least squares with influence values, and HC3 of units and of clusters."""

from __future__ import annotations

import numpy as np
import pytest

from eocausal.errors import EstimationError
from eocausal.inference.least_squares import hc3_matrix, least_squares
from eocausal.inference.variance import score_variance


def _data(n: int = 60, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = np.column_stack([np.ones(n), rng.normal(size=(n, k - 1))])
    return (
        columns @ np.arange(1.0, k + 1) + rng.normal(size=n),
        columns,
        rng.uniform(0.5, 2, n),
        np.arange(n) // 4,
    )


def test_coefficients_and_residuals_are_those_of_least_squares() -> None:
    outcome, columns, weights, _ = _data()
    fit = least_squares(outcome, columns, weights)
    root = np.sqrt(weights)
    expected = np.linalg.lstsq(columns * root[:, None], outcome * root, rcond=None)[0]
    np.testing.assert_allclose(fit.coefficients, expected, rtol=1e-10)
    np.testing.assert_allclose(fit.residuals, outcome - columns @ expected, atol=1e-12)
    np.testing.assert_allclose(fit.scores.sum(axis=0), 0, atol=1e-9)


def test_influence_values_are_how_coefficients_move_when_a_unit_weighs_more() -> None:
    outcome, columns, weights, _ = _data()
    fit = least_squares(outcome, columns, weights)
    more = weights.copy()
    more[7] *= 1 + 1e-6
    moved = (least_squares(outcome, columns, more).coefficients - fit.coefficients) / 1e-6
    np.testing.assert_allclose(moved, fit.scores[7] / outcome.size, rtol=1e-4)


def test_hc3_of_units_is_the_textbook_formula() -> None:
    outcome, columns, _, _ = _data()
    fit = least_squares(outcome, columns, np.ones(outcome.size))
    leverage = np.einsum("ij,jk,ik->i", columns, fit.inverse_gram, columns)
    meat = (columns * (fit.residuals / (1 - leverage))[:, None] ** 2).T @ columns
    np.testing.assert_allclose(hc3_matrix(fit), fit.inverse_gram @ meat @ fit.inverse_gram, rtol=1e-10)


@pytest.mark.parametrize("by_cluster", [False, True])
def test_hc3_is_the_jackknife_that_leaves_out_one_cluster_where_weights_are_even_within(
    by_cluster: bool,
) -> None:
    outcome, columns, weights, clusters = _data()
    weights = weights[clusters] if by_cluster else np.ones(outcome.size)
    fit = least_squares(outcome, columns, weights)
    left = []
    for cluster in np.unique(clusters):
        rows = clusters != cluster
        left.append(
            least_squares(outcome[rows], columns[rows], weights[rows]).coefficients - fit.coefficients
        )
    np.testing.assert_allclose(hc3_matrix(fit, clusters), np.array(left).T @ np.array(left), rtol=1e-9)


def test_hc3_does_not_depend_on_the_scale_of_weights_and_is_above_the_plain_sum() -> None:
    outcome, columns, weights, clusters = _data()
    fit = least_squares(outcome, columns, weights)
    np.testing.assert_allclose(
        hc3_matrix(fit, clusters),
        hc3_matrix(least_squares(outcome, columns, 7 * weights), clusters),
        rtol=1e-9,
    )
    variance = score_variance(fit.scores, vcov="cluster", clusters=clusters, n_params=3)
    assert (np.diag(hc3_matrix(fit, clusters)) > np.diag(variance.matrix) / variance.factor).all()


def test_columns_that_are_combinations_of_others_are_refused() -> None:
    outcome, columns, weights, _ = _data()
    with pytest.raises(EstimationError, match="combinations of one another"):
        least_squares(outcome, np.column_stack([columns, columns[:, 1] * 2]), weights)
    with pytest.raises(EstimationError, match="combinations of one another"):
        least_squares(outcome, np.column_stack([columns, np.zeros(outcome.size)]), weights)


def test_a_column_that_varies_in_one_cluster_alone_has_no_hc3() -> None:
    outcome, columns, weights, clusters = _data()
    only = np.where(clusters == 3, 1.0, 0.0)
    fit = least_squares(outcome, np.column_stack([columns, only]), weights)
    with pytest.raises(EstimationError, match="alone determines a coefficient"):
        hc3_matrix(fit, clusters)


def test_results_with_hc3_refuse_to_be_combined_until_they_have_errors_by_influence_values() -> None:
    from eocausal.inference.variance import Vcov

    with pytest.raises(EstimationError, match="with_vcov"):
        score_variance(np.ones((5, 1)), vcov=Vcov("HC3"))


def test_a_column_far_from_zero_is_refused_with_the_way_out() -> None:
    rng = np.random.default_rng(3)
    far, outcome = 1e8 + rng.normal(size=50), rng.normal(size=50)
    columns = np.column_stack([np.ones(50), far])
    with pytest.raises(EstimationError, match=r"combinations[\s\S]*take the mean off"):
        least_squares(outcome, columns, np.ones(50))
    columns[:, 1] -= far.mean()
    assert least_squares(outcome, columns, np.ones(50)).coefficients[1] == pytest.approx(
        np.polyfit(far - far.mean(), outcome, 1)[0]
    )
