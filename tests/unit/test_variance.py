"""Variances of influence values against loops and statsmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import eocausal as ec
from eocausal.errors import EstimationError
from eocausal.inference.variance import Vcov, score_variance, sum_within
from tests.studies import study


def looped(scores: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Sum over clusters of the outer product of the cluster's summed scores, over n squared."""
    n, k = scores.shape
    total = np.zeros((k, k))
    for label in set(clusters.tolist()):
        summed = [sum(float(scores[i, a]) for i in range(n) if clusters[i] == label) for a in range(k)]
        for a in range(k):
            for b in range(k):
                total[a, b] += summed[a] * summed[b]
    return total / n**2


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    values = np.random.default_rng(3).normal(size=(23, 2))
    return values - values.mean(axis=0)


@pytest.mark.parametrize(("vcov", "n_params", "factor"), [
    ("iid", 1, 23 / 22), ("iid", 4, 23 / 22), ("hetero", 1, 23 / 22), ("hetero", 4, 23 / 19),
])  # fmt: skip
def test_rows_as_independent_draws(scores: np.ndarray, vcov: str, n_params: int, factor: float) -> None:
    found = score_variance(scores, vcov=vcov, n_params=n_params)
    np.testing.assert_allclose(found.matrix, factor * looped(scores, np.arange(23)), rtol=1e-12)
    assert found.factor == pytest.approx(factor, rel=1e-15)
    assert found.df == 23 - n_params
    assert found.n_clusters is None


@pytest.mark.parametrize("n_params", [1, 4])
@pytest.mark.parametrize("labels", [np.arange(23) % 5, np.array(list("abcdefghij"))[np.arange(23) % 7]])
def test_clusters_with_their_factor(scores: np.ndarray, labels: np.ndarray, n_params: int) -> None:
    n_groups = len(set(labels.tolist()))
    factor = n_groups / (n_groups - 1) * 22 / (23 - n_params)
    found = score_variance(scores, vcov="cluster", clusters=labels, n_params=n_params)
    np.testing.assert_allclose(found.matrix, factor * looped(scores, labels), rtol=1e-12)
    assert (found.df, found.n_clusters) == (n_groups - 1, n_groups)


def test_a_cluster_of_each_unit_is_hetero(scores: np.ndarray) -> None:
    alone = score_variance(scores, vcov="cluster", clusters=np.arange(23)[::-1], n_params=2)
    np.testing.assert_allclose(
        alone.matrix, score_variance(scores, vcov="hetero", n_params=2).matrix, rtol=1e-12
    )


def test_each_unit_copied_m_times_in_its_cluster_keeps_the_variance_up_to_the_factor(
    scores: np.ndarray,
) -> None:
    labels = np.arange(23) % 5
    once = score_variance(scores, vcov="cluster", clusters=labels)
    thrice = score_variance(np.repeat(scores, 3, axis=0), vcov="cluster", clusters=np.repeat(labels, 3))
    np.testing.assert_allclose(thrice.matrix / thrice.factor, once.matrix / once.factor, rtol=1e-12)


def test_sums_within_clusters_are_in_sorted_order() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    np.testing.assert_array_equal(sum_within(values, np.array([9, 2, 9])), [[3, 4], [6, 8]])


def test_refusals_name_the_rule(scores: np.ndarray) -> None:
    with pytest.raises(EstimationError, match="23 units cannot carry 23 parameters"):
        score_variance(scores, n_params=23)
    with pytest.raises(EstimationError, match=r"no clusters[\s\S]*cluster= to Design"):
        score_variance(scores, vcov="cluster")
    with pytest.raises(EstimationError, match="All units are in one cluster"):
        score_variance(scores, vcov="cluster", clusters=np.zeros(23))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["hetero", "cluster"])
def test_a_difference_has_the_standard_error_of_least_squares(seed: int, kind: str) -> None:
    table = study(90, seed=seed)
    options: dict[str, object] = {"cov_type": "HC1"}
    if kind == "cluster":
        options = {"cov_type": "cluster", "cov_kwds": {"groups": table["village"]}}
    fit = sm.OLS(table["income"], sm.add_constant(table["grant"].astype(float))).fit(use_t=True, **options)
    design = ec.Design(table, outcome="income", treatment="grant", cluster="village")
    found = ec.ate(design, method="difference", vcov=kind)
    assert found.estimate == pytest.approx(fit.params["grant"], rel=1e-12)
    assert found.std_error == pytest.approx(fit.bse["grant"], rel=1e-10)
    if kind == "cluster":
        assert found.variance.df == 23
    # statsmodels takes n - k degrees of freedom with HC1, and G - 1 with clusters, as here
    assert found.p_value() == pytest.approx(fit.pvalues["grant"], rel=1e-8)
    np.testing.assert_allclose(found.ci(), fit.conf_int().loc["grant"], rtol=1e-9)


@pytest.mark.parametrize("seed", range(2))
def test_weights_give_the_standard_error_of_weighted_least_squares(seed: int) -> None:
    table = study(90, seed=seed)
    rows = sm.add_constant(table["grant"].astype(float))
    fit = sm.WLS(table["income"], rows, weights=table["weight"]).fit(cov_type="HC1")
    found = ec.ate(
        ec.Design(table, outcome="income", treatment="grant", weights="weight"),
        method="difference",
        vcov="hetero",
    )
    assert found.estimate == pytest.approx(fit.params["grant"], rel=1e-12)
    assert found.std_error == pytest.approx(fit.bse["grant"], rel=1e-10)


def test_iid_does_not_assume_equal_variances_in_the_arms() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"grant": np.r_[np.zeros(200, int), np.ones(50, int)]})
    table["income"] = rng.normal(size=250) * np.where(table["grant"] == 1, 10.0, 1.0)
    arms = [table.loc[table["grant"] == arm, "income"] for arm in (0, 1)]
    by_hand = np.sqrt(sum(((arm - arm.mean()) ** 2).sum() / len(arm) ** 2 for arm in arms) * 250 / 249)
    found = ec.ate(ec.Design(table, outcome="income", treatment="grant"), method="difference")
    assert found.vcov == "iid"
    assert found.std_error == pytest.approx(by_hand, rel=1e-12)


def pairs(labels: list[np.ndarray]) -> np.ndarray:
    """Return which pairs of units share at least one of the labels."""
    return np.any([one[:, None] == one for one in labels], axis=0).astype(float)


@pytest.mark.parametrize("n_params", [1, 4])
@pytest.mark.parametrize("kinds", [2, 3])
def test_several_kinds_of_clusters_sum_over_pairs_that_share_one(
    scores: np.ndarray, kinds: int, n_params: int
) -> None:
    labels = [np.arange(23) % 5, np.array(list("abcdefg"))[np.arange(23) // 4], np.arange(23) // 7][:kinds]
    fewest = min(len(set(one.tolist())) for one in labels)
    factor = fewest / (fewest - 1) * 22 / (23 - n_params)
    # shocks common to clusters, so that the terms do not cancel
    scores = scores + np.random.default_rng(1).normal(size=(5, 2))[labels[0]] * [3, 2]
    found = score_variance(scores, vcov="cluster", clusters=labels, n_params=n_params)
    assert not found.notes
    np.testing.assert_allclose(found.matrix, factor * scores.T @ pairs(labels) @ scores / 23**2, rtol=1e-12)
    assert (found.df, found.n_clusters) == (fewest - 1, fewest)
    assert found.factor == pytest.approx(factor, rel=1e-15)


def test_clusters_within_clusters_add_nothing(scores: np.ndarray) -> None:
    village = np.arange(23) // 2
    district = village // 3
    both = score_variance(scores, vcov="cluster", clusters=[village, district])
    np.testing.assert_allclose(
        both.matrix, score_variance(scores, vcov="cluster", clusters=district).matrix, rtol=1e-12
    )


def test_negative_eigenvalues_are_set_to_zero_and_told() -> None:
    row, column = np.repeat([0, 1], 8), np.tile(np.arange(8), 2)
    by_row, checkers = (-1.0) ** row, (-1.0) ** (row + column)
    values = np.column_stack([by_row + checkers, by_row - checkers])
    # by rows 2 x 8^2, less 16 of the cells, is 112; checkers have the cells alone, -16; so [[96, 128], [128, 96]]
    np.testing.assert_array_equal(values.T @ pairs([row, column]) @ values, [[96, 128], [128, 96]])
    found = score_variance(values, vcov=Vcov("cluster", ("row", "column")), clusters=[row, column])
    # eigenvalues 224 and -32: half of 224 in every entry is what is left; the factor of two clusters is 2
    np.testing.assert_allclose(found.matrix, np.full((2, 2), 2 * 112 / 16**2), rtol=1e-12)
    assert found.notes == (
        "the covariance matrix by cluster(row & column) had 1 negative eigenvalues, which were set to zero: some "
        "combinations of these estimates have no reliable standard error",
    )


def test_a_variance_that_is_not_positive_is_refused() -> None:
    # a checkerboard: rows and columns sum to zero, so only the subtracted cells are left
    row, column = np.repeat(np.arange(4), 4), np.tile(np.arange(4), 4)
    values = (-1.0) ** (row + column)[:, None]
    how = Vcov("cluster", ("row", "column"))
    with pytest.raises(EstimationError, match=r"by cluster\(row & column\) is not positive[\s\S]*coarser"):
        score_variance(values, vcov=how, clusters=[row, column])
    # an estimate without any error keeps its zero
    assert score_variance(0 * values, vcov=how, clusters=[row, column]).matrix.item() == 0


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    return np.random.default_rng(4).uniform([33.0, 0.0], [35.0, 2.0], size=(23, 2))


@pytest.mark.parametrize("n_params", [1, 4])
def test_conley_below_every_distance_is_hetero_with_its_own_factor(
    scores: np.ndarray, places: np.ndarray, n_params: int
) -> None:
    how = Vcov("conley", cutoff_m=1.0, kernel="uniform")
    found = score_variance(scores, vcov=how, coordinates=places, n_params=n_params)
    factor = 22 / (23 - n_params)
    np.testing.assert_allclose(found.matrix, factor * scores.T @ scores / 23**2, rtol=1e-12)
    assert (found.factor, found.df, found.n_clusters) == (
        pytest.approx(factor, rel=1e-15),
        23 - n_params,
        None,
    )


@pytest.mark.parametrize("kernel", ["uniform", "bartlett"])
def test_conley_of_villages_far_apart_is_clustering_up_to_the_factor(scores: np.ndarray, kernel: str) -> None:
    village = np.arange(23) % 7
    centres = np.column_stack([30 + np.arange(7), np.zeros(7)])
    how = Vcov("conley", cutoff_m=20_000.0, kernel=kernel)
    found = score_variance(scores, vcov=how, coordinates=centres[village])
    clustered = score_variance(scores, vcov="cluster", clusters=village)
    np.testing.assert_allclose(found.matrix / found.factor, clustered.matrix / clustered.factor, rtol=1e-12)
    # as few places as villages, of nearly equal size, and that is said
    (note,) = found.notes
    assert note.startswith("conley(20 km, ")
    assert "as if there were 7 separate places: with fewer than 30" in note


def test_conley_over_the_whole_study_is_refused(scores: np.ndarray, places: np.ndarray) -> None:
    how = Vcov("conley", cutoff_m=1_000_000.0, kernel="uniform")
    with pytest.raises(
        EstimationError, match=r"conley\(1000 km, uniform\) is not positive[\s\S]*smaller cutoff"
    ):
        score_variance(scores, vcov=how, coordinates=places)


def test_conley_needs_places(scores: np.ndarray) -> None:
    with pytest.raises(EstimationError, match=r"does not know where its units are[\s\S]*read_units\(table"):
        score_variance(scores, vcov=Vcov("conley", cutoff_m=1000.0, kernel="uniform"))
