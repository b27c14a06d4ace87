"""Whether a set of specifications finds more than chance would: tests of all at once. Pure arrays but for one call.

All specifications are of the same units, so that their influence values say how estimates vary together. Were
every effect zero, estimates would be draws with that covariance, and what is found is compared with such draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal.inference.joint import compare
from eocausal.inference.simultaneous import step_down, t_draws, zero_p

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]

SIGNIFICANT = 0.05
# A draw that equals what was found is no smaller for rounding.
_TIE = 1e-9
# Differences between specifications with less than this share of the variance of an estimate are not judged: with
# 250 units and three methods a test of all of them rejects 17% of draws without any, this one 5%.
_LEAST_DIFFERENCE = 0.1


@dataclass(frozen=True, eq=False)
class Null:
    """Draws of all estimates together where no effect differs from zero.

    Attributes
    ----------
    statistics : array of shape (draws, k)
        t statistics.
    estimates : array of shape (draws, k)
    exact : bool
        Whether the draws are all there are.
    """

    statistics: FloatArray
    estimates: FloatArray
    exact: bool

    @property
    def least(self) -> float:
        """The smallest p-value that the draws can give."""
        return 1 / len(self.statistics) if self.exact else 1 / (1 + len(self.statistics))

    def share(self, found: float, drawn: FloatArray) -> float:
        """Return the share of draws (draws,) that reach what was found; it counts as one draw more."""
        many = int((drawn >= found * (1 - _TIE)).sum())
        return many / drawn.size if self.exact else (1 + many) / (1 + drawn.size)

    def curve(self) -> pd.DataFrame:
        """Return by rank, from the lowest, between which bounds 95% of the draws have their estimates."""
        ordered = np.sort(self.estimates, axis=1)
        low, high = np.quantile(ordered, [SIGNIFICANT / 2, 1 - SIGNIFICANT / 2], axis=0)
        return pd.DataFrame({"rank": np.arange(1, low.size + 1), "low": low, "high": high})


def joint_of(estimates: Mapping[str, Estimate]) -> Estimate:
    """Return the estimates with their joint covariance, with the standard errors of the first.

    Raises
    ------
    EstimationError
        Estimates that have no joint covariance, such as those of units and of rows taken as independent.
    """
    how = next(iter(estimates.values())).variance.how
    alike = {name: one if one.variance.how == how else one.with_vcov(how) for name, one in estimates.items()}
    return compare(**alike)


def null_of(joint: Estimate, *, draws: int, seed: int) -> Null:
    """Return draws of t statistics and estimates under the hypothesis that no estimand differs from zero.

    They are draws of a multivariate t distribution with the joint covariance of the estimates: what influence
    values give that are multiplied by normal weights, by cluster or place as the standard errors are made. With a
    bootstrap of clusters the statistics are its draws, and estimates are those times the standard errors.
    """
    variance = joint.variance
    errors = np.sqrt(np.diag(variance.matrix))
    reference = variance.reference
    if reference is None:
        statistics = t_draws(variance.matrix, df=variance.df, seed=seed, draws=draws)
        return Null(statistics, statistics * errors, False)
    drawn = [reference.statistics(term, float(gap)) for term, gap in enumerate(joint.values)]
    statistics = np.column_stack(drawn)
    # statistics and not numerators, whose draws are as much too near as errors of few clusters are too small
    return Null(statistics, np.where(statistics == 0, 0.0, statistics * errors), reference.exact)


def critical_of(estimates: Sequence[Estimate], joint: Estimate, null: Null) -> FloatArray:
    """Return what |t| by the joint errors has to reach, (k,), for each estimate to differ from zero by its own.

    Where specifications differ in their standard errors, an effect that is there by one may not be by another, and
    in a draw each is judged as it was.
    """
    variance = joint.variance
    found = []
    for place, (one, error) in enumerate(zip(estimates, np.sqrt(np.diag(variance.matrix)))):
        if variance.reference is not None and one.variance.how == variance.how:
            found.append(_usual_bound(null.statistics[:, place]))
            continue
        own = one.variance.reference
        bound = (
            float(stats.t.ppf(1 - SIGNIFICANT / 2, one.variance.df))
            if own is None
            else _usual_bound(own.statistics(0, float(one.values[0])))
        )
        found.append(bound * float(np.ravel(one.std_error)[0]) / error if error > 0 else bound)
    return np.array(found)


def _usual_bound(statistics: FloatArray) -> float:
    """Return what |t| of draws reaches in 5% of them; infinite ones are among them."""
    return float(np.quantile(np.abs(statistics), 1 - SIGNIFICANT, method="higher"))


def in_direction(estimates: FloatArray, significant: npt.NDArray[np.bool_]) -> FloatArray:
    """Return (draws,) how many of k estimates (draws, k) are significant with the sign of their median.

    Examples
    --------
    >>> signs = np.array([[1.0, 2.0, -3.0], [-1.0, -2.0, 3.0]])
    >>> in_direction(signs, np.array([[True, False, True], [True, True, True]])).tolist()
    [1.0, 2.0]
    """
    side = np.sign(np.median(estimates, axis=1))[:, None]
    return np.asarray((significant & (np.sign(estimates) == side)).sum(axis=1), dtype=float)


def joint_tests(
    joint: Estimate, null: Null, significant: npt.NDArray[np.bool_], critical: FloatArray
) -> dict[str, float]:
    """Return p-values of what all specifications show together, two-sided, were no effect different from zero.

    Of the median estimate, of how many are significant in its direction, of the average t statistic, and of the
    largest. ``significant`` (k,) is what was found, and in draws |t| of at least ``critical`` (k,).
    """
    values, statistics = joint.values, _statistics(joint)
    drawn_significant = np.abs(null.statistics) >= critical
    count = float(in_direction(values[None, :], significant[None, :])[0])
    found = {
        "p_median": (abs(float(np.median(values))), np.abs(np.median(null.estimates, axis=1))),
        "p_significant": (count, in_direction(null.estimates, drawn_significant)),
        "p_average": (abs(float(statistics.mean())), np.abs(null.statistics.mean(axis=1))),
        "p_largest": (float(np.abs(statistics).max()), np.abs(null.statistics).max(axis=1)),
    }
    return {name: null.share(one, drawn) for name, (one, drawn) in found.items()}


def adjusted_p(joint: Estimate, null: Null, own: FloatArray) -> FloatArray:
    """Return for each specification the p-value that counts in that all of them were looked at.

    Never below its ``own`` (k,), nor below that by the joint errors.
    """
    own = np.maximum(own, np.atleast_1d(np.asarray(joint.p_value(), dtype=float)))
    return step_down(np.abs(_statistics(joint)), own, np.abs(null.statistics))


def same_value_p(joint: Estimate, groups: Sequence[object]) -> float:
    """Return the p-value that all groups of specifications estimate one value; each is the average of its members.

    Specifications that differ in folds, seeds or learners alone estimate one thing with nearly one influence
    function, so that influence values say nothing of how far they may lie apart: they are averaged first. For the
    same reason differences are not judged whose variance is less than a tenth of that of an estimate. NaN where
    none is left, or where averages differ by rounding alone.
    """
    codes = pd.factorize(pd.Series(list(groups)))[0]
    weights = (codes[:, None] == np.arange(codes.max() + 1)).astype(float)
    weights /= weights.sum(axis=0)
    centred = np.eye(weights.shape[1]) - 1 / weights.shape[1]
    matrix = weights.T @ joint.variance.matrix @ weights
    least = _LEAST_DIFFERENCE * float(np.diag(matrix).mean())
    averages = joint.values @ weights
    if np.ptp(averages) <= _TIE * np.abs(averages).max():
        return float("nan")
    gaps = centred @ averages
    return zero_p(gaps, centred @ matrix @ centred, df=joint.variance.df, least=least)


def spread_explained(values: FloatArray, choices: pd.DataFrame) -> pd.DataFrame:
    """Return how much of the variance of the estimates (k,) each choice goes with.

    Parameters
    ----------
    values : array of shape (k,)
    choices : DataFrame, k rows
        One column of labels for each choice.

    Returns
    -------
    DataFrame
        ``choice``; ``share``, the variance of averages by way over the variance of all (eta squared); ``alone``,
        what of the variance no sum of the other choices could explain. One row more, ``together``: choices that
        work differently together than each alone. Where all ways are combined the shares add up to one.
    """
    total = float(((values - values.mean()) ** 2).sum())
    names = [str(name) for name in choices]
    if total <= _TIE**2 * float((values**2).sum()):
        nothing = [*names, "together"]
        return pd.DataFrame({"choice": nothing, "share": np.nan, "alone": np.nan})
    dummies = {name: pd.get_dummies(choices[name].astype(str)).to_numpy(dtype=float) for name in names}

    def explained(chosen: Sequence[str]) -> float:
        columns = np.column_stack([np.ones(values.size), *(dummies[name] for name in chosen)])
        fitted = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
        return 1 - float(((values - fitted) ** 2).sum()) / total

    everything = explained(names)
    rows = [
        (name, explained([name]), everything - explained([one for one in names if one != name]))
        for name in names
    ]
    rows.append(("together", 1 - everything, 1 - everything))
    found = pd.DataFrame(rows, columns=["choice", "share", "alone"])
    return found.assign(share=found["share"].clip(0, 1), alone=found["alone"].clip(0, 1))


def _statistics(joint: Estimate) -> FloatArray:
    errors = np.sqrt(np.diag(joint.variance.matrix))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(joint.values == 0, 0.0, joint.values / errors))
