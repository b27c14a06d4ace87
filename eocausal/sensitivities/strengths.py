"""How much an omitted variable moves a coefficient, by partial R2: pure formulas (Cinelli and Hazlett 2020).

``f`` is how far an estimate lies from the value it is compared with, over the ``scale`` of its bias: for a
coefficient of least squares ``|t| / sqrt(df)`` for each unit of the estimate that is to be explained away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

# Below this a partial R2 is what rounding leaves of none.
NOTHING = 1e-12


def partial_r2(statistic: float, df: float) -> float:
    """Return the share of what is left of the outcome that a coefficient explains, by its t statistic.

    Examples
    --------
    >>> round(partial_r2(4.18445, 783), 6)
    0.021873
    """
    return statistic**2 / (statistic**2 + df)


def bias_factor(r2_treatment: float, r2_outcome: float) -> float:
    """Return the bias of a variable over its scale, ``sqrt(r2_outcome r2_treatment / (1 - r2_treatment))``.

    Parameters
    ----------
    r2_treatment, r2_outcome : float
        Shares that it explains of what is left of the treatment (below 1), and of the outcome given treatment.
    """
    return float(np.sqrt(r2_outcome * r2_treatment / (1 - r2_treatment)))


def robustness_value(f: float) -> float:
    """Return the partial R2 with both treatment and outcome at which the bias is ``f`` times its scale.

    It solves ``r**2 / (1 - r) = f**2``.

    Examples
    --------
    >>> round(robustness_value(1.0), 10), robustness_value(0.0)
    (0.6180339887, 0.0)
    """
    # the textbook form (sqrt(f^4 + 4 f^2) - f^2) / 2 loses all digits for large f
    return 0.0 if f <= 0 else float(2 / (1 + np.sqrt(1 + 4 / f**2)))


def robustness_value_classical(f: float, *, df: float, level: float) -> float:
    """Return the partial R2 with both at which the classical interval of the longer regression holds the null.

    Of all omitted variables up to that strength the worst is taken: where the estimate is precise, one that
    explains less of the outcome than it could leaves wider errors and is worse.

    Parameters
    ----------
    f : float
    df : float
        Residual degrees of freedom of the regression without the omitted variable.
    level : float
        Of the two-sided interval.
    """
    reach = float(stats.t.ppf(0.5 + level / 2, df - 1)) / np.sqrt(df - 1)
    if f <= reach:
        return 0.0
    if f * reach <= 1:
        return robustness_value(f - reach)
    return float((f**2 - reach**2) / (1 + f**2))


def robustness_value_interval(f: float, reach: float) -> float:
    """Return the partial R2 with both at which an interval that residuals do not narrow holds the null.

    Its errors grow by ``1 / sqrt(1 - r2_treatment)``. It solves ``f sqrt(1 - r) = r + reach``.

    Parameters
    ----------
    f : float
    reach : float
        Distance from the estimate to the end of its interval that faces the null, over the scale.

    Examples
    --------
    >>> round(robustness_value_interval(1.0, 0.0), 10), robustness_value_interval(1.0, 1.0)
    (0.6180339887, 0.0)
    """
    if f <= reach:
        return 0.0
    left = 2 * (1 + reach) / (f + np.sqrt(f**2 + 4 * (1 + reach)))
    return float(1 - left**2)


def extreme_robustness_value(f: float) -> float:
    """Return the partial R2 with treatment at which a variable that explains all of the outcome is enough."""
    return f**2 / (1 + f**2)


def adjusted_std_error(std_error: float, r2_treatment: float, r2_outcome: float, *, df: float) -> float:
    """Return the classical standard error that the coefficient has once the omitted variable is added."""
    return float(std_error * np.sqrt((1 - r2_outcome) / (1 - r2_treatment) * df / (df - 1)))


def adjusted_critical_value(
    r2_treatment: float, r2_outcome: float, *, df: float, level: float = 0.95
) -> float:
    """Return how large a t statistic must be to be significant with the omitted variable added.

    Examples
    --------
    >>> round(adjusted_critical_value(0.01, 0.01, df=100), 6)
    2.094717
    """
    usual = float(stats.t.ppf(0.5 + level / 2, df - 1))
    widened = adjusted_std_error(1.0, r2_treatment, r2_outcome, df=df)
    return usual * widened + float(np.sqrt(df)) * bias_factor(r2_treatment, r2_outcome)


@dataclass(frozen=True)
class Yardstick:
    """How much columns explain, and how strong an omitted variable is that compares with them.

    Attributes
    ----------
    r2_treatment, r2_outcome : float
        Shares that the columns explain of what all others leave of the treatment, and of the outcome given
        treatment.
    inside : bool
        Whether the columns are in the regression. An omitted variable ``times`` as strong is then compared with
        them given the others, and its strength given all columns follows (their bound 4.4, which by the
        Cauchy-Schwarz inequality holds for several columns together). Columns that are not in the regression are
        themselves omitted, and the strengths are theirs.
    """

    r2_treatment: float
    r2_outcome: float
    inside: bool = True

    @property
    def empty(self) -> bool:
        """Whether the columns explain nothing of the treatment or of the outcome, so that no multiple biases."""
        return min(self.r2_treatment, self.r2_outcome) <= NOTHING

    def strength(self, times: float) -> tuple[float, float]:
        """Return the partial R2 with treatment, infinite where that cannot be, and with the outcome, at most 1."""
        treatment, explained = self._asked(times)
        return treatment, min(explained, 1.0)

    def takes_all(self, times: float) -> bool:
        """Whether as strong with the outcome is more than can be, so that all of it is taken to be explained."""
        return bool(np.isfinite(times)) and self._asked(times)[1] > 1

    def _asked(self, times: float) -> tuple[float, float]:
        treatment, outcome = self.r2_treatment, self.r2_outcome
        if not self.inside:
            return times * treatment if times * treatment < 1 else float("inf"), times * outcome
        if treatment + times * treatment >= 1:
            return float("inf"), float("inf")
        # what the omitted variable has in common with the columns once treatment is given
        common = times * treatment**2 / ((1 - times * treatment) * (1 - treatment))
        related = float((np.sqrt(times) + np.sqrt(common)) ** 2 / (1 - common))
        if outcome >= 1:
            return times * treatment / (1 - treatment), float("inf") if times > 0 else 0.0
        return times * treatment / (1 - treatment), related * outcome / (1 - outcome)

    def times_needed(self, f: float, reach: float = 0.0) -> float:
        """Return how many times as strong the omitted variable must be for the interval to hold the null.

        Infinite where the columns explain nothing. With ``reach`` 0 it is the estimate that is brought there.
        """
        if f <= reach:
            return 0.0
        if self.empty:
            return float("inf")

        def left(times: float) -> float:
            treatment, outcome = (min(one, 1.0) for one in self.strength(times))
            return float(f * np.sqrt(1 - treatment) - np.sqrt(outcome * treatment) - reach)

        # there the treatment is explained to the last
        most = 1 / self.r2_treatment - (1.0 if self.inside else 0.0)
        return float(optimize.brentq(left, 0.0, most, xtol=1e-14 * most, rtol=1e-13))
