"""AUTOC and QINI against closed forms and grf's values on twelve units."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from eocausal.evaluate.toc import DEFAULT_GRID, TARGETS, rank, rates_and_toc

GAMMA = np.array([3, -1, 2, 0.5, 4, -2, 1, 0, 2.5, -0.5, 1.5, -3])
DISTINCT = -np.arange(12.0)
TIED = np.array([10.0, 9, 9, 8, 7, 7, 7, 5, 4, 3, 2, 2])
WEIGHTS = np.array([1, 2, 1, 0.5, 1, 3, 1, 1, 2, 1, 0.5, 1])
ONES = np.ones(12)


def toc_and_rate(ranking, scores, weights, *, target, grid=DEFAULT_GRID, integration="grf"):
    rates, toc = rates_and_toc(ranking, scores, weights, grid=grid, integration=integration)
    return toc, rates[TARGETS.index(target)]


def _rate(priority, target, weights=ONES, scores=GAMMA, integration="grf"):
    return toc_and_rate(rank(priority), scores, weights, target=target, integration=integration)[1]


@pytest.mark.parametrize(
    ("priority", "weights", "autoc", "qini"),
    [
        (DISTINCT, ONES, 0.581531084656085, 0.208333333333333),
        (TIED, ONES, 0.57698563011063, 0.182291666666667),
        (DISTINCT, WEIGHTS, 0.314408068596923, 0.0764444444444445),
        (TIED, WEIGHTS, 0.37705173212294, 0.0882222222222222),
        (-DISTINCT, ONES, -0.784161556036556, -0.208333333333333),
    ],
)
def test_twelve_units_agree_with_grf(priority, weights, autoc, qini) -> None:
    assert _rate(priority, "AUTOC", weights) == pytest.approx(autoc, abs=1e-12)
    assert _rate(priority, "QINI", weights) == pytest.approx(qini, abs=1e-12)


def test_toc_of_twelve_tied_units_agrees_with_grf() -> None:
    toc, _ = toc_and_rate(rank(TIED), GAMMA, WEIGHTS, target="AUTOC", grid=DEFAULT_GRID)
    expected = [1.7, 0.7, 0.4222222222, 0.1916666667, 0.0533333333, -0.0388888889, -0.0857142857, 0.2, 0.2, 0]
    np.testing.assert_allclose(toc, expected, atol=1e-9)


def test_half_samples_enumerated_give_the_standard_error_that_draws_converge_to() -> None:
    ranking = rank(TIED)
    rates = []
    for kept in itertools.combinations(range(12), 6):
        weights = np.isin(np.arange(12), kept).astype(float)
        rates.append(toc_and_rate(ranking, GAMMA, weights, target="AUTOC", grid=DEFAULT_GRID)[1])
    assert np.mean(rates) == pytest.approx(0.43728956229, abs=1e-10)
    assert np.std(rates) == pytest.approx(0.464789711897, abs=1e-10)


@pytest.mark.parametrize("n", [10, 400])
def test_uniform_effects_ranked_perfectly_have_the_exact_finite_sample_mean(n: int) -> None:
    spaced = np.arange(1, n + 1) / (n + 1)  # expected order statistics of U(0, 1)
    grid = DEFAULT_GRID
    ranking = rank(spaced)
    autoc = toc_and_rate(ranking, spaced, np.ones(n), target="AUTOC", grid=grid)[1]
    qini = toc_and_rate(ranking, spaced, np.ones(n), target="QINI", grid=grid)[1]
    assert autoc == pytest.approx((n - 1) / (4 * (n + 1)), abs=1e-12)
    assert qini == pytest.approx((n - 1) / (12 * n), abs=1e-12)


def test_normal_effects_ranked_perfectly_reach_the_population_values() -> None:
    from scipy.stats import norm

    n = 200_000
    effects = norm.ppf((np.arange(n) + 0.5) / n)
    ranking = rank(effects)
    shares = np.array([0.05, 0.1, 0.2, 0.5, 1.0])
    toc, autoc = toc_and_rate(ranking, effects, np.ones(n), target="AUTOC", grid=shares)
    qini = toc_and_rate(ranking, effects, np.ones(n), target="QINI", grid=DEFAULT_GRID)[1]
    assert autoc == pytest.approx(0.9031972856, abs=1e-3)
    assert qini == pytest.approx(0.2820947918, abs=1e-4)
    np.testing.assert_allclose(toc, [2.062713, 1.754983, 1.399810, 0.797885, 0], atol=1e-3)


# the integral over groups of ties

ORDER_IN_TIES = np.array([1, 3, 2, 4, 7, 6, 5, 8, 9, 10, 12, 11]) - 1


@pytest.mark.parametrize(
    ("priority", "weights", "autoc", "qini"),
    [
        (DISTINCT, ONES, 0.6604963801899013, 0.208333333333333),
        (TIED, ONES, 0.6584946031901894, 0.182291666666667),
        (TIED, WEIGHTS, 0.4868013569992705, 0.08555555555555543),
    ],
)
def test_twelve_units_integrated_over_groups(priority, weights, autoc, qini) -> None:
    for rows in (np.arange(12), ORDER_IN_TIES, np.arange(12)[::-1]):
        found = [
            _rate(priority[rows], target, weights[rows], GAMMA[rows], "exact") for target in ("AUTOC", "QINI")
        ]
        assert found == pytest.approx([autoc, qini], abs=1e-12)


def test_sums_over_units_depend_on_the_order_within_ties_where_weights_differ() -> None:
    rows = ORDER_IN_TIES
    assert _rate(TIED[rows], "AUTOC", WEIGHTS[rows], GAMMA[rows]) == pytest.approx(
        0.393570615538375, abs=1e-12
    )
    assert _rate(TIED[rows], "QINI", WEIGHTS[rows], GAMMA[rows]) == pytest.approx(
        0.0882222222222222, abs=1e-12
    )


@pytest.mark.parametrize("target", ["AUTOC", "QINI"])
def test_a_weight_of_two_is_a_row_twice(target: str) -> None:
    twice = np.repeat(np.arange(12), np.where(np.arange(12) % 3 == 0, 2, 1))
    weights = np.where(np.arange(12) % 3 == 0, 2.0, 1.0)
    for priority in (DISTINCT, TIED):
        by_weight = _rate(priority, target, weights, integration="exact")
        by_rows = _rate(priority[twice], target, np.ones(twice.size), GAMMA[twice], "exact")
        assert by_weight == pytest.approx(by_rows, abs=1e-13)


def test_halves_of_clusters_enumerated() -> None:
    ranking, clusters, rates = rank(TIED), np.arange(12) // 2, []
    for kept in itertools.combinations(range(6), 3):
        weights = np.isin(clusters, kept).astype(float)
        rates.append(rates_and_toc(ranking, GAMMA, weights, grid=DEFAULT_GRID, integration="grf")[0])
    np.testing.assert_allclose(np.std(rates, axis=0), [0.204443972675, 0.0769581064887], atol=1e-11)


@pytest.mark.parametrize(("clusters", "expected"), [
    (np.arange(12), (0.464789711897, 0.177847662093)),
    (np.arange(12) // 2, (0.204443972675, 0.0769581064887)),
])  # fmt: skip
def test_drawn_halves_come_to_those_enumerated(clusters, expected) -> None:
    import eocausal as ec

    made = ec.rate_from_scores(
        GAMMA, TIED, clusters=clusters, integration="grf", std_errors="half_sample", replicates=40_000, seed=3
    )
    # the relative error of a standard error from so many draws is 0.0035; four of them
    assert made.to_frame()["std_error"].tolist() == pytest.approx(expected, rel=0.015)


def test_the_difference_of_a_ranking_and_its_reverse() -> None:
    forward, backward = (_rate(sign * TIED, "AUTOC") for sign in (1, -1))
    assert forward - backward == pytest.approx(1.1504329, abs=1e-7)


def _quantiles(n: int) -> np.ndarray:
    return (np.arange(n)[::-1] + 0.5) / n


def _surface(reach: float):
    return lambda u: np.maximum(2 / reach - 2 * (1 - u) / reach**2, 0)


def _laws() -> dict:
    from scipy.stats import norm

    return {
        "normal": (lambda u: 3 + 2 * norm.ppf(u), 2 * 0.9031972856, 2 * 0.2820947918),
        "uniform": (lambda u: 1 + 4 * u, 1.0, 1 / 3),
        "exponential": (lambda u: -np.log1p(-u) / 2, 0.5, 1 / 8),
        "a tenth gains 3": (lambda u: 3.0 * (u > 0.9), -3 * 0.1 * np.log(0.1), 3 * 0.1 * 0.9 / 2),
        "positive part": (lambda u: np.maximum(norm.ppf(u), 0), 0.5714984913, 0.1410473959),
        "lognormal": (lambda u: np.exp(norm.ppf(u)), 2.0308141445, 0.4290796100),
        "surface 1": (_surface(1.0), 0.5, 1 / 6),
        "surface .5": (_surface(0.5), 1.193147, 1 / 3),
        "surface .1": (_surface(0.1), 2.802585, 0.466667),
    }


@pytest.mark.parametrize("name", list(_laws()))
@pytest.mark.parametrize("integration", ["exact", "grf"])
def test_laws_of_effects_ranked_perfectly(name: str, integration: str) -> None:
    make, autoc, qini = _laws()[name]
    effects = make(_quantiles(400_000))
    found = [
        toc_and_rate(rank(effects), effects, np.ones(effects.size), target=target, integration=integration)[1]
        for target in ("AUTOC", "QINI")
    ]
    # what steps of 1 / 400,000 leave of a tail
    assert found == pytest.approx([autoc, qini], abs=2e-4, rel=1e-3)


def test_an_exponential_ranked_the_wrong_way_round() -> None:
    effects = -np.log1p(-_quantiles(400_000))
    ones = np.ones(effects.size)
    found = [toc_and_rate(rank(-effects), effects, ones, target=t, integration="exact")[1] for t in TARGETS]
    assert found == pytest.approx([1 - np.pi**2 / 6, -1 / 4], abs=1e-4)


def test_exponential_effects_have_the_exact_finite_sample_mean_of_sums_over_units() -> None:
    for n, expected in ((10, 0.7071032), (400, 0.9835752)):
        spaced = np.cumsum(1 / np.arange(n, 0, -1))  # expected order statistics
        found = toc_and_rate(rank(spaced), spaced, np.ones(n), target="AUTOC")[1]
        assert found == pytest.approx(expected, abs=1e-6)


def test_groups_with_known_means() -> None:
    shares, means = np.array([0.2, 0.3, 0.5]), np.array([4.0, 1.0, -1.0])
    reached = np.r_[0, np.cumsum(shares)]
    heights = np.r_[0, -reached[1:] * np.log(reached[1:])]
    autoc = float(np.diff(heights) @ means)
    qini = float(np.diff(reached - reached**2) @ means / 2)
    group = np.repeat(np.arange(3), [2, 3, 5])
    found = [
        toc_and_rate(rank(-group.astype(float)), means[group], np.ones(10), target=t, integration="exact")[1]
        for t in TARGETS
    ]
    assert found == pytest.approx([autoc, qini], abs=1e-13)


@pytest.mark.parametrize("seed", [0, 1])
def test_random_rankings_have_the_permutation_variance_and_so_do_the_errors(seed: int) -> None:
    import eocausal as ec

    n = 60
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    spread = scores.var(ddof=1)
    exact = np.array(
        [spread / n * (1 - (1 / np.arange(1, n + 1)).sum() / n), spread / n * (n**2 - 1) / (12 * n**2)]
    )
    rates = np.array(
        [rates_and_toc(rank(rng.permutation(n) * 1.0), scores, np.ones(n), grid=DEFAULT_GRID, integration="grf")[0]
         for _ in range(6000)]
    )  # fmt: skip
    np.testing.assert_allclose(rates.var(axis=0), exact, rtol=0.09)  # five Monte Carlo errors of a variance
    many = rng.normal(size=20_000)
    made = ec.rate_from_scores(many, rng.normal(size=many.size), std_errors="influence").to_frame()
    expected = many.std() / np.sqrt(many.size * np.array([1, 12]))
    assert made["std_error"].tolist() == pytest.approx(expected, rel=0.03)


def test_shared_shocks_enter_the_error_once_a_cluster() -> None:
    import eocausal as ec

    clusters, per_cluster = 300, 7
    group = np.repeat(np.arange(clusters), per_cluster)
    errors, naive = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = 0.5 * rng.normal(size=clusters)[group] + rng.normal(size=group.size)
        priority = rng.normal(size=clusters)[group]
        errors.append(ec.rate_from_scores(scores, priority, clusters=group).std_error)
        naive.append(ec.rate_from_scores(scores, priority).std_error)
    # (0.25 + 1 / 7) / 300 is the variance of a mean of clusters
    assert np.mean(errors) == pytest.approx(0.0362, rel=0.04)
    assert np.mean(naive) == pytest.approx(0.0244, rel=0.04)


def test_what_econml_calls_autoc_and_qini_is_less_than_the_integral() -> None:
    utils = pytest.importorskip("econml.validate.utils", reason="econml is not installed")
    effects = 1 + _laws()["normal"][0](_quantiles(5000)) / 2 - 1.5
    shares = np.linspace(5, 95, 50)
    theirs = [
        utils.calc_uplift(effects, effects, effects, shares, metric, n_bootstrap=2)[0]
        for metric in ("toc", "qini")
    ]
    ours = [
        toc_and_rate(rank(effects), effects, np.ones(5000), target=t, integration="exact")[1] for t in TARGETS
    ]
    assert ours == pytest.approx([0.9032, 0.2821], abs=1e-3)
    assert theirs == pytest.approx([0.760, 0.277], abs=5e-3)
