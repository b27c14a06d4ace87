"""Test statistics of pairs and strata: what each scores, when it is chosen, and its extremes under hidden bias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.bias_inversion import Compare, largest_p
from eocausal.sensitivities.signed_rank_bounds import Extremes, mcnemar_p, signed_rank_extremes
from eocausal.sensitivities.strata_bounds import Strata, sum_extremes

FloatArray = npt.NDArray[np.float64]

AUTO = "auto"
# Rounding of outcomes, and of differences, to these shares does not part what is tied.
_OF_OUTCOMES, _OF_DIFFERENCES = 64 * np.finfo(float).eps, 1e-12


@dataclass(frozen=True)
class Statistic:
    """A test statistic, in words, and what it is for; ``scores`` (n,) are made of outcomes (n,) and strata."""

    words: str
    pairs_only: bool = False
    binary: bool = False
    scores: Callable[[FloatArray, Strata], FloatArray] | None = None


def aligned_ranks(outcome: FloatArray, strata: Strata) -> FloatArray:
    """Return ranks over all strata of the outcome less the mean of its stratum (Hodges and Lehmann 1962)."""
    from scipy.stats import rankdata

    members = strata.members
    ranks = np.zeros(outcome.size)
    ranks[members] = rankdata(_without_rounding(strata.within(outcome)[members], outcome))
    return ranks


def _without_rounding(differences: FloatArray, outcome: FloatArray) -> FloatArray:
    """Return differences of outcomes, those that are tied but for rounding made equal."""
    own, whole = (float(np.abs(one).max(initial=0.0)) for one in (differences, outcome))
    step = max(_OF_DIFFERENCES * own, _OF_OUTCOMES * whole)
    return np.round(differences / step) * step if step > 0 else differences


def _as_it_is(outcome: FloatArray, strata: Strata) -> FloatArray:
    return outcome


STATISTICS: dict[str, Statistic] = {
    "signed_rank": Statistic("Wilcoxon's signed rank test", pairs_only=True),
    "mcnemar": Statistic("McNemar's test (exact)", pairs_only=True, binary=True),
    "aligned_rank": Statistic("the aligned rank test", scores=aligned_ranks),
    "mean": Statistic("the permutation test of means", scores=lambda outcome, strata: strata.within(outcome)),
    "mantel_haenszel": Statistic("the Mantel-Haenszel test", binary=True, scores=_as_it_is),
}


def chosen_statistic(asked: str, outcome: FloatArray, strata: Strata, *, residuals: bool = False) -> str:
    """Return the name of the statistic: the one asked for, or the one that fits pairs or strata and the outcome.

    Raises
    ------
    SensitivityError
        Unknown, or not for such an outcome or such strata.
    """
    one_of(asked, (AUTO, *STATISTICS), argument="statistic", error=SensitivityError)
    binary = is_binary(outcome[strata.members])
    if asked == AUTO:
        if strata.paired:
            return "mcnemar" if binary else "signed_rank"
        return "mantel_haenszel" if binary else "aligned_rank"
    row = STATISTICS[asked]
    if row.pairs_only and not strata.paired:
        raise SensitivityError(
            explain(
                f"statistic={asked!r} is for pairs, and some strata have several treated units or controls.",
                fix="statistic='mantel_haenszel'" if row.binary else "statistic='aligned_rank'",
            )
        )
    if row.binary and residuals:
        text = f"statistic={asked!r} is for outcomes of 0 and 1, and adjust=True makes residuals of them."
        raise SensitivityError(explain(text, fix="adjust=False, or statistic='auto'"))
    if row.binary and not binary:
        raise SensitivityError(
            explain(
                f"statistic={asked!r} is for outcomes of 0 and 1.",
                where=np.unique(outcome[~np.isin(outcome, (0.0, 1.0))]).tolist(),
                fix="statistic='auto'",
            )
        )
    return asked


def is_binary(outcome: FloatArray) -> bool:
    """Return whether outcomes are 0 and 1.

    Examples
    --------
    >>> is_binary(np.array([0.0, 1.0])), is_binary(np.array([0.0, 0.5]))
    (True, False)
    """
    return bool(np.isin(outcome, (0.0, 1.0)).all())


@dataclass(frozen=True, eq=False)
class Comparison:
    """A statistic on outcomes, oriented so that a positive effect is what is tested for.

    Attributes
    ----------
    name : str
    largest, smallest : callable
        One-sided p-values of no effect, by gamma.
    compare : callable or None
        Extremes by effect and gamma, where an effect can be taken off the outcome.
    span : tuple of float
        Effects between which all comparisons change their sign.
    """

    name: str
    largest: Callable[[float], float]
    smallest: Callable[[float], float]
    compare: Compare | None
    span: tuple[float, float]


def comparison_of(
    name: str, outcome: FloatArray, treatment: npt.NDArray[np.bool_] | FloatArray, strata: Strata
) -> Comparison:
    """Return the test of a statistic, of a positive effect, on outcomes (n,).

    ``treatment`` (n,) is what an effect is taken off by: who was treated, or what is left of that.
    """
    row, exposed = STATISTICS[name], treatment.astype(float)
    span = _span(outcome, exposed, strata)
    if name == "mcnemar":
        differences = pair_differences(outcome, strata)
        counts = int((differences > 0).sum()), int((differences != 0).sum())
        return Comparison(
            name,
            lambda gamma: mcnemar_p(*counts, gamma)[0],
            lambda gamma: mcnemar_p(*counts, gamma)[1],
            None,
            span,
        )
    compare = _compare(name, outcome, exposed, strata)

    def smallest(gamma: float) -> float:
        from scipy.stats import norm

        return float(norm.sf(compare(0.0, gamma).above_least))

    return Comparison(
        name, lambda gamma: largest_p(compare, gamma), smallest, None if row.binary else compare, span
    )


def pair_differences(outcome: FloatArray, strata: Strata) -> FloatArray:
    """Return the outcome of the treated less that of the control (pairs,)."""
    rows = strata.blocks[0].rows
    return _without_rounding(outcome[rows[:, 0]] - outcome[rows[:, 1]], outcome[rows])


def informative_strata(outcome: FloatArray, strata: Strata) -> int:
    """Return the number of strata where outcomes differ; others say nothing."""
    return int((strata.range_of(outcome) > 0).sum())


def smaller_arms(outcome: FloatArray, strata: Strata) -> int:
    """Return how many units the smaller arm has, summed over strata where outcomes differ."""
    told = 0
    for block in strata.blocks:
        fewer = np.minimum(block.n_treated, block.rows.shape[1] - block.n_treated)
        told += int(fewer[np.ptp(outcome[block.rows], axis=1) > 0].sum())
    return told


def _compare(
    name: str, outcome: FloatArray, exposed: FloatArray, strata: Strata
) -> Callable[[float, float], Extremes]:
    if name == "signed_rank":
        differences, more = pair_differences(outcome, strata), pair_differences(exposed, strata)
        return lambda effect, gamma: signed_rank_extremes(differences - effect * more, gamma)
    scores = STATISTICS[name].scores or _as_it_is
    return lambda effect, gamma: sum_extremes(scores(outcome - effect * exposed, strata), strata, gamma)


def _span(outcome: FloatArray, exposed: FloatArray, strata: Strata) -> tuple[float, float]:
    ends = np.divide.outer(strata.gaps(outcome), strata.gaps(exposed))
    low, high = float(ends.min()), float(ends.max())
    room = max(high - low, abs(high), np.finfo(float).tiny)
    return low - room, high + room
