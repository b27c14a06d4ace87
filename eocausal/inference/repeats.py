"""Cross-fitting repeated: the median of estimates from several ways of dealing units into folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.inference.origin import of_repeats
from eocausal.inference.variance import Variance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Repeats:
    """The estimates that a median is of, one for each way of dealing units into folds.

    Attributes
    ----------
    terms : tuple of str, length k
    seeds : tuple of int, length r
    values : array of shape (r, k)
    score_values : array of shape (r, n, k)
        Influence values of each.
    std_errors : array of shape (r, k)
        Made as those of the result are.
    """

    terms: tuple[str, ...]
    seeds: tuple[int, ...]
    values: FloatArray
    score_values: FloatArray
    std_errors: FloatArray

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each repeat and term: ``seed term estimate std_error``."""
        k, r = len(self.terms), len(self.seeds)
        return pd.DataFrame(
            {
                "seed": np.repeat(self.seeds, k),
                "term": np.tile(self.terms, r),
                "estimate": self.values.ravel(),
                "std_error": self.std_errors.ravel(),
            }
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the estimate of each repeat with its 95% interval, and their median, of the first term."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 3), layout="constrained")
        values, errors = self.values[:, 0], self.std_errors[:, 0]
        ax.axhline(float(np.median(values)), color="0.6", linewidth=0.8)
        ax.errorbar(np.arange(values.size), values, yerr=1.96 * errors, fmt="o", color="#1f4e79", capsize=3)
        ax.set_xticks(np.arange(values.size), labels=[str(seed) for seed in self.seeds])
        ax.set_xlabel("seed of the folds")
        ax.set_ylabel(f"effect of {self.terms[0]}")
        return ax

    def variance(self, make: Callable[[FloatArray], Variance]) -> tuple[Variance, Self]:
        """Return the variance of the median by ``make``, which turns influence values (n, k) into a variance."""
        made = [make(scores) for scores in self.score_values]
        errors = np.array([np.sqrt(np.diag(one.matrix)) for one in made])
        return median_variance(self.values, made), replace(self, std_errors=errors)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        return {
            "terms": list(self.terms),
            "seeds": list(self.seeds),
            "values": self.values.tolist(),
            "score_values": self.score_values.tolist(),
            "std_errors": self.std_errors.tolist(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild what ``to_dict`` wrote."""
        arrays = {
            name: np.array(content[name], dtype=float) for name in ("values", "score_values", "std_errors")
        }
        return cls(tuple(content["terms"]), tuple(content["seeds"]), **arrays)


def median_variance(values: FloatArray, variances: Sequence[Variance]) -> Variance:
    """Return the variance of the median of estimates (r, k) with these variances.

    For each term it is the median over repeats of the variance plus the squared distance of the repeat from the
    median estimate, so that it holds how much the dealing of folds moves estimates: Chernozhukov et al. (2018),
    Econometrics Journal 21, definition 3.3. Correlations of terms are those of the repeat in the middle.

    Examples
    --------
    >>> one = Variance(np.array([[4.0]]), 9.0, 1.0, None)
    >>> median_variance(np.array([[1.0], [2.0], [4.0]]), [one, one, one]).matrix.round(12).tolist()
    [[5.0]]
    """
    spread = median_square(values, np.array([np.diag(one.matrix) for one in variances]))
    middle = variances[middle_repeats(values)[0]]
    own = np.diag(middle.matrix)
    scale = np.sqrt(np.divide(spread, own, out=np.zeros_like(spread), where=own > 0))
    matrix = middle.matrix * np.outer(scale, scale)
    # a repeat without any error has none to scale up
    np.fill_diagonal(matrix, spread)
    notes = tuple(dict.fromkeys(note for one in variances for note in one.notes))
    return replace(middle, matrix=matrix, notes=notes)


def median_square(values: FloatArray, squares: FloatArray) -> FloatArray:
    """Return the squared standard errors (k,) of medians of estimates (r, k) with such squares (r, k)."""
    return np.asarray(np.median(squares + (values - np.median(values, axis=0)) ** 2, axis=0))


def middle_repeats(values: FloatArray) -> list[int]:
    """Return the repeats whose first estimate is in the middle: one of an odd number, two of an even one.

    Examples
    --------
    >>> middle_repeats(np.array([[3.0], [1.0], [2.0]])), middle_repeats(np.array([[3.0], [1.0]]))
    ([2], [1, 0])
    """
    order = np.argsort(values[:, 0], kind="stable")
    last = len(order) // 2
    return [int(one) for one in order[(len(order) - 1) // 2 : last + 1]]


def median_over(results: Sequence[Estimate], seeds: Sequence[int]) -> Estimate:
    """Return the median of results that differ only in how units were dealt into folds.

    Influence values, weights, warnings and diagnostics are those of the repeat in the middle, of the two in the
    middle the influence values' mean.
    """
    values = np.array([one.values for one in results])
    scores = np.array([one.score_values for one in results])
    errors = np.array([np.sqrt(np.diag(one.variance.matrix)) for one in results])
    middle = middle_repeats(values)
    low, high = values.min(axis=0), values.max(axis=0)
    repeats = Repeats(results[0].terms, tuple(seeds), values, scores, errors)
    made = median_variance(values, [one.variance for one in results])
    warnings = list(results[middle[0]].warnings)
    if ((high - low) > np.median(errors, axis=0)).any():
        warnings.append(
            f"over {len(results)} repeats the estimate ranges from {low[0]:.4g} to {high[0]:.4g}, more than a "
            "standard error: how units are dealt into folds matters; more repeats or more folds steady it"
        )
    return replace(
        results[middle[0]],
        values=np.median(values, axis=0),
        origin=of_repeats(results),
        score_values=scores[middle].mean(axis=0),
        variance=made,
        repeats=repeats,
        warnings=tuple(warnings),
        diagnostics={
            "repeats": f"median of {len(results)}, from {low[0]:.4g} to {high[0]:.4g}",
            **results[middle[0]].diagnostics,
        },
    )
