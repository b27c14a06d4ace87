"""Signed ranks and McNemar's test under hidden bias, against published data and enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, wilcoxon

from eocausal.sensitivities.bias_inversion import by_gamma, gamma_at, largest_p
from eocausal.sensitivities.signed_rank_bounds import mcnemar_p, signed_rank_extremes, signed_ranks

# Lead in the blood of 33 children of workers exposed to lead, and of their matched controls: Morton et al. (1982),
# American Journal of Epidemiology 115, 549-555, as analysed in Rosenbaum (2002), Observational Studies, chapter 4.
EXPOSED = (
    38, 23, 41, 18, 37, 36, 23, 62, 31, 34, 24, 14, 21, 17, 16, 20, 15, 10, 45, 39, 22, 35, 49, 48, 44, 35, 43, 39,
    34, 13, 73, 25, 27,
)  # fmt: skip
CONTROLS = (
    16, 18, 18, 24, 19, 11, 10, 15, 16, 18, 18, 13, 19, 10, 16, 16, 24, 13, 9, 14, 21, 19, 7, 18, 19, 12, 11, 22,
    25, 16, 13, 11, 13,
)  # fmt: skip
LEAD = np.array(EXPOSED, dtype=float) - np.array(CONTROLS)


def p_upper(differences: np.ndarray, gamma: float) -> float:
    return float(norm.sf(signed_rank_extremes(differences, gamma).above_most))


def test_the_lead_data_have_the_published_statistic() -> None:
    assert LEAD.size == 33
    assert signed_rank_extremes(LEAD, 1.0).statistic == 527


@pytest.mark.parametrize(
    ("gamma", "p"),
    [
        (1, 5.06e-6), (2, 0.00179), (3, 0.01362), (4, 0.03879), (4.25, 0.04683), (5, 0.07399), (6, 0.11502),
    ],
)  # fmt: skip
def test_the_lead_data_have_the_published_p_values(gamma: float, p: float) -> None:
    assert p_upper(LEAD, gamma) == pytest.approx(p, rel=1.5e-3 if p < 0.01 else 4e-4)


@pytest.mark.parametrize(("gamma", "p"), [(4, 0.040355), (5, 0.076884)])
def test_without_ties_ranks_are_those_from_one_to_n(gamma: float, p: float) -> None:
    """33 different differences with the same sum of positive ranks, 527 of 561: negative are 34 = 1 + 33."""
    differences = np.arange(1.0, 34.0)
    differences[[0, 32]] *= -1
    assert signed_rank_extremes(differences, gamma).statistic == 527
    assert p_upper(differences, gamma) == pytest.approx(p, abs=5e-7)


def test_effects_on_lead_that_hidden_bias_allows() -> None:
    """Estimates by Walsh averages, of which the next test makes others by brute force."""
    found = {
        gamma: by_gamma(
            lambda effect, odds: signed_rank_extremes(LEAD - effect, odds),
            gamma,
            span=(-100, 200),
            level=0.95,
        )
        for gamma in (1.0, 2.0, 3.0, 4.0, 5.0)
    }
    pairs = [(one.estimate_low, one.estimate_high) for one in found.values()]
    expected = [(15, 15), (10.25, 19.5), (8, 23), (6.5, 25), (5, 26.5)]
    assert np.allclose(pairs, expected, atol=1e-6)
    assert (found[1.0].conf_low, found[1.0].conf_high) == pytest.approx((9.5, 20.5), abs=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 1.7, 3.0])
def test_estimates_are_where_the_statistic_passes_its_mean_on_a_grid_of_walsh_averages(gamma: float) -> None:
    differences = np.random.default_rng(4).normal(0.3, 1, 15)
    walsh = np.sort([(a + b) / 2 for a, b in itertools.combinations_with_replacement(differences, 2)])
    between = np.concatenate([[walsh[0] - 1], (walsh[:-1] + walsh[1:]) / 2, [walsh[-1] + 1]])
    # between two neighbours the statistic is the number of Walsh averages above
    above = np.array([(walsh > one).sum() for one in between])
    most = gamma / (1 + gamma) * walsh.size
    over, under = walsh[(above > most).sum() - 1], walsh[(above >= most).sum() - 1]
    found = by_gamma(
        lambda effect, odds: signed_rank_extremes(differences - effect, odds), gamma, span=(-9, 9), level=0.9
    )
    assert found.estimate_low == pytest.approx((over + under) / 2, abs=1e-7)


@pytest.mark.parametrize(
    ("gamma", "p"),
    [(1, 2.73e-21), (2, 1.32e-9), (3, 2.03e-5), (4, 0.0019633), (5, 0.0231686), (6, 0.0969288)],
)
def test_mcnemar_has_the_published_values(gamma: float, p: float) -> None:
    assert mcnemar_p(110, 122, gamma)[0] == pytest.approx(p, rel=3e-3 if p < 1e-3 else 4e-5)


def test_without_hidden_bias_it_is_the_wilcoxon_test() -> None:
    for differences in (LEAD, np.random.default_rng(0).normal(0.2, 1, 40)):
        expected = wilcoxon(
            differences, zero_method="pratt", correction=False, alternative="greater", method="approx"
        )
        assert p_upper(differences, 1.0) == pytest.approx(expected.pvalue, rel=1e-12)


def test_no_unseen_variable_does_worse_than_the_bound() -> None:
    """Over all u in {0, 1}^8 of four pairs, the tail of every value is largest at the bound's probabilities."""
    differences, gamma = np.array([1.5, -0.5, 2.0, 0.7]), 2.5
    ranks = signed_ranks(differences)
    signs = np.array(list(itertools.product((0, 1), repeat=4)))
    sums = signs @ ranks

    def tail(chances: np.ndarray, value: float) -> float:
        weights = np.where(signs == 1, chances, 1 - chances).prod(axis=1)
        return float(weights[sums >= value].sum())

    worst = np.full(4, gamma / (1 + gamma))
    unseen = np.array(list(itertools.product((0, 1), repeat=8))).reshape(-1, 4, 2)
    chances = gamma ** unseen[:, :, 0] / (gamma ** unseen[:, :, 0] + gamma ** unseen[:, :, 1])
    for value in np.unique(sums):
        assert max(tail(one, value) for one in chances) == pytest.approx(tail(worst, value))
    found = signed_rank_extremes(differences, gamma)
    law = np.where(signs == 1, worst, 1 - worst).prod(axis=1)
    assert found.most == pytest.approx(law @ sums)
    assert found.most_variance == pytest.approx(law @ (sums - law @ sums) ** 2)


def test_no_unseen_variable_does_worse_than_mcnemar() -> None:
    favourable, discordant, gamma = 4, 5, 2.0
    signs = np.array(list(itertools.product((0, 1), repeat=discordant)))
    tails = []
    for chances in itertools.product((1 / 3, 1 / 2, 2 / 3), repeat=discordant):
        weights = np.where(signs == 1, chances, 1 - np.array(chances)).prod(axis=1)
        tails.append(weights[signs.sum(axis=1) >= favourable].sum())
    assert mcnemar_p(favourable, discordant, gamma) == pytest.approx((max(tails), min(tails)))


@given(st.lists(st.integers(-30, 30), min_size=3, max_size=25), st.floats(0.01, 100))
def test_p_values_grow_with_gamma_and_know_no_scale_and_no_order(values: list[int], scale: float) -> None:
    differences = np.array(values, dtype=float)
    p = [p_upper(differences, gamma) for gamma in (1.0, 1.5, 3.0, 8.0)]
    assert all(later >= earlier - 1e-15 for earlier, later in itertools.pairwise(p) if earlier <= 0.5)
    assert p_upper(differences[::-1] * scale, 2.0) == pytest.approx(p_upper(differences, 2.0))


def test_the_gamma_of_the_lead_data() -> None:
    def compare(effect: float, gamma: float):
        return signed_rank_extremes(LEAD - effect, gamma)

    gamma = gamma_at(lambda odds: largest_p(compare, odds), 0.05)
    assert 4.25 < gamma < 4.35
    assert largest_p(compare, gamma) == pytest.approx(0.05, abs=1e-8)
