"""Before and after: a joint test of the periods before treatment, and the figure of an event study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from eocausal.errors import EstimationError, explain
from eocausal.inference.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class PretrendTest:
    """A joint test that nothing differs before treatment.

    Attributes
    ----------
    statistic : float
        Wald statistic over its degrees of freedom.
    df : (int, float)
        Of the F distribution: number of coefficients tested, and those of the standard errors.
    p_value : float
    terms : tuple of str
    vcov : str
    """

    statistic: float
    df: tuple[int, float]
    p_value: float
    terms: tuple[str, ...]
    vcov: str

    def __repr__(self) -> str:
        return (
            f"PretrendTest(F({self.df[0]}, {self.df[1]:.0f}) = {self.statistic:.3f}, p = {self.p_value:.4f}; "
            f"{len(self.terms)} periods before treatment, vcov {self.vcov})"
        )


def pretrends(result: Estimate) -> PretrendTest:
    """Test jointly that coefficients of periods before treatment are zero.

    A test that does not reject is no proof of parallel trends: it may have little power, and judging a study by it
    distorts what is reported after it (Roth 2022, American Economic Review: Insights 4).

    Parameters
    ----------
    result : Estimate
        From ``ec.panel`` with ``method="event_study"``, or ``method="did"`` with ``aggregate="dynamic"`` or
        ``"cells"``; its standard errors are used as they are.

    Raises
    ------
    EstimationError
        Another result, no period before treatment, or more of them than clusters can carry.

    Examples
    --------
    >>> import eocausal as ec
    >>> made = ec.simulate_panel(seed=1, n_regions=40)
    >>> design = ec.PanelDesign(made.frame, outcome="outcome", treatment="treated", unit="unit", period="period",
    ...                         cluster="region")
    >>> ec.pretrends(ec.panel(design, method="event_study")).df[0]
    2
    """
    events = _events(result)
    leads = np.array([event is not None and event < 0 for event in events])
    if not leads.any():
        raise EstimationError(
            explain(
                "The result has no coefficient of a period before treatment besides the one compared with."
            )
        )
    values, matrix = result.values[leads], result.variance.matrix[np.ix_(leads, leads)]
    scale = np.sqrt(np.diag(matrix))
    usable = bool((scale > 0).all())
    correlation = matrix / np.outer(scale, scale) if usable else matrix
    if not usable or np.linalg.eigvalsh(correlation)[0] < 1e-9:
        raise EstimationError(
            explain(
                f"The covariance of the {int(leads.sum())} periods before treatment has not full rank under "
                f"{result.vcov}.",
                rule="more clusters than periods tested",
                fix="window=(-3, 3) in event_study, or finer clusters where assignment allows it",
            )
        )
    statistic = float(values @ np.linalg.solve(matrix, values) / leads.sum())
    df = (int(leads.sum()), result.variance.df)
    terms = tuple(term for term, one in zip(result.terms, leads) if one)
    return PretrendTest(statistic, df, float(stats.f.sf(statistic, *df)), terms, result.vcov)


def event_plot(result: Estimate, ax: Axes | None = None) -> Axes:
    """Draw coefficients by time since treatment with 95% intervals, and return the Axes.

    Parameters
    ----------
    result : Estimate
        From ``ec.panel`` with ``method="event_study"``, or ``method="did"`` with ``aggregate="dynamic"``.
    ax : matplotlib Axes, optional

    Examples
    --------
    >>> import eocausal as ec
    >>> made = ec.simulate_panel(seed=1, n_regions=40)
    >>> design = ec.PanelDesign(made.frame, outcome="outcome", treatment="treated", unit="unit", period="period",
    ...                         cluster="region")
    >>> ec.event_plot(ec.panel(design, method="did", aggregate="dynamic")).get_xlabel()
    'periods since treatment began'
    """
    events = _events(result)
    shown = [place for place, event in enumerate(events) if event is not None]
    times = [event for event in events if event is not None]
    if len(set(times)) < len(times):
        raise EstimationError(
            explain("Several coefficients are of the same time since treatment.", fix='aggregate="dynamic"')
        )
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    frame = result.to_frame().iloc[shown]
    spread = [frame["estimate"] - frame["conf_low"], frame["conf_high"] - frame["estimate"]]
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.axvline(-0.5, color="0.6", linewidth=0.8, linestyle=":")
    ax.errorbar(times, frame["estimate"], yerr=spread, fmt="o", color="#1f4e79", capsize=3)
    if -1 not in times:
        ax.plot([-1], [0], "o", markerfacecolor="white", color="#1f4e79")
    ax.set_xlabel("periods since treatment began")
    ax.set_ylabel("estimate with 95% interval")
    return ax


def _events(result: Any) -> list[int | None]:
    events: list[int | None] = _times(result)
    if not events:
        fix = 'ec.panel(design, method="event_study"), or method="did" with aggregate="dynamic"'
        if _times(getattr(result, "best", None)):
            fix = "effect.best: of naive and corrected estimates one is tested and drawn"
        raise EstimationError(explain("The result is not by time since treatment.", fix=fix))
    return events


def _times(result: Any) -> list[int | None]:
    return list(result.diagnostics.get("event_times", ())) if isinstance(result, Estimate) else []
