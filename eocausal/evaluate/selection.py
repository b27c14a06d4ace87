"""What choosing the largest of many rates does to it, and a gain whose choice was made beforehand. Pure arrays.

A *set* is what units are ranked by: the columns of one scale, or of two. Rates of all sets are known for each of
several folds, in the order in which models saw them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.inference.simultaneous import t_draws

FloatArray = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class FoldRates:
    """Rates of m sets in each of F folds.

    Attributes
    ----------
    values : array of shape (F, m)
    covariances : array of shape (F, m, m)
        Folds count as independent given what was learned before them.
    shares : array of shape (F,)
        What each fold weighs in the average; they sum to 1.
    """

    values: FloatArray
    covariances: FloatArray
    shares: FloatArray

    def average(self) -> tuple[FloatArray, FloatArray]:
        """Return the average rates (m,) over folds, and their covariance (m, m)."""
        covariance: FloatArray = np.einsum("f,fij->ij", self.shares**2, self.covariances)
        return self.shares @ self.values, covariance

    def ratios(self) -> FloatArray:
        """Return average rates over their standard errors (m,); zero without any error."""
        values, covariance = self.average()
        errors = np.sqrt(np.diag(covariance))
        return np.divide(values, errors, out=np.zeros_like(values), where=errors > 0)


class Choice(NamedTuple):
    """The set of one scale and the set of two that were best so far."""

    single: int
    pair: int


class ChosenGain(NamedTuple):
    """The gain of sets that were chosen beforehand.

    Attributes
    ----------
    gain, std_error : float
        In ratios of rate to standard error, for as many units as all folds hold.
    weights : array of shape (F, m)
        What each fold's rates weigh in the gain; its influence values are those of the rates times these.
    """

    gain: float
    std_error: float
    weights: FloatArray


def best(ratios: FloatArray, singles: Places, pairs: Places) -> Choice:
    """Return the largest ratio of one scale, and the largest of two, where a scale may be joined with itself.

    A scale with itself says what the scale says, so that the best pair is never worse than the best single scale.
    """
    candidates = np.concatenate([singles, pairs])
    return Choice(int(singles[ratios[singles].argmax()]), int(candidates[ratios[candidates].argmax()]))


def naive_gain(ratios: FloatArray, singles: Places, pairs: Places) -> float:
    """Return the largest ratio over pairs less the largest over single scales, both chosen where they are judged.

    Examples
    --------
    >>> naive_gain(np.array([1.0, 0.5, 1.75]), np.array([0, 1]), np.array([2]))
    0.75
    """
    single, pair = best(ratios, singles, pairs)
    return float(ratios[pair] - ratios[single])


def choices_beforehand(before: Sequence[FoldRates], singles: Places, pairs: Places) -> list[Choice]:
    """Return for each fold but the first the sets that were best in the folds before it.

    ``before`` holds for each of these the rates of earlier folds, as they were known then.
    """
    return [best(known.ratios(), singles, pairs) for known in before]


def chosen_gain(rates: FoldRates, choices: list[Choice]) -> ChosenGain:
    """Return the gain in folds that the choices were made before.

    Each fold is judged with sets that were chosen in earlier folds, by models that learned from earlier folds.
    Where no set ranks better than another the gain is zero on average, however many sets there are.
    """
    folds = slice(1, None)
    share = rates.shares[folds] / rates.shares[folds].sum()
    places = np.array([[choice.pair, choice.single] for choice in choices])
    values = np.take_along_axis(rates.values[folds], places, axis=1)
    averages = share @ values
    covariance = sum(
        own**2 * matrix[np.ix_(place, place)]
        for own, matrix, place in zip(share, rates.covariances[folds], places)
    )
    errors = np.sqrt(np.diag(np.asarray(covariance)))
    inverse = np.divide(1.0, errors, out=np.zeros(2), where=errors > 0)
    signed = inverse * [1.0, -1.0] / np.sqrt(rates.shares[folds].sum())
    weights = np.zeros_like(rates.values)
    for fold, (own, place) in enumerate(zip(share, places), start=1):
        # a pair that is the single scale itself takes away what it adds
        np.add.at(weights[fold], place, own * signed)
    weights[folds] = np.where(
        np.abs(weights[folds]) > 1e-14 * np.abs(signed).max(initial=1.0), weights[folds], 0.0
    )
    same = (places[:, 0] == places[:, 1]).all()
    gain = 0.0 if same else float(averages @ signed)
    variance = sum(one @ matrix @ one for one, matrix in zip(weights, rates.covariances))
    return ChosenGain(gain, 0.0 if same else float(np.sqrt(variance)), weights)


def gain_by_chance(
    covariance: FloatArray, singles: Places, pairs: Places, *, found: float, df: float, seed: int
) -> tuple[float, float]:
    """Return the gain that is expected where all sets rank equally well, and how often it is at least ``found``.

    Draws of all ratios together, which vary as the rates do: what is left is what the choice alone does.

    Examples
    --------
    Six scales and their fifteen pairs, were they independent:

    >>> mean, _ = gain_by_chance(np.eye(21), np.arange(6), np.arange(6, 21), found=1.0, df=1e6, seed=0)
    >>> round(mean, 1)
    0.6
    """
    drawn = t_draws(covariance, df=df, seed=seed)
    of_singles = drawn[:, singles].max(axis=1)
    gains = np.maximum(drawn[:, pairs].max(axis=1, initial=-np.inf), of_singles) - of_singles
    return float(gains.mean()), float((1 + (gains >= found - 1e-12).sum()) / (1 + gains.size))
