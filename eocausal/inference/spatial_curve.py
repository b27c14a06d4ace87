"""How far standard errors depend on the distance up to which units may vary together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal._checks import one_of
from eocausal.errors import EstimationError, explain
from eocausal.inference.conley import conley_variance
from eocausal.inference.estimate import Estimate
from eocausal.inference.how import Vcov
from eocausal.inference.repeats import median_square
from eocausal.inference.spatial import KERNELS
from eocausal.inference.tables import confidence_bounds
from eocausal.inference.variance import positive, unit_effects_of
from eocausal.inference.vcov import read_cutoff, resolve_vcov

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class ConleyCurve:
    """Conley standard errors of one estimate by cutoff.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row for each cutoff and term: ``term cutoff_km std_error conf_low conf_high places``. ``std_error``
        is missing where the variance is not positive. ``places`` is the number of separate places that the cutoff
        leaves: ``n^2`` over the sum of the weights of all pairs. Below 30, standard errors are too small.
    kernel : str
    vcov : str
        What the estimate's own standard errors are made with.
    own : dict of str to float
        The estimate's own standard error of each term.
    """

    frame: pd.DataFrame = field(repr=False)
    kernel: str
    vcov: str
    own: dict[str, float]

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.frame.copy()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the standard error against the cutoff, the estimate's own as a dashed line, and return the Axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            # through pyplot, since a notebook shows no figure of which it is handed the Axes alone
            _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
        for position, (term, part) in enumerate(self.frame.groupby("term", sort=False)):
            colour = f"C{position}" if len(self.own) > 1 else "#1f4e79"
            label = f"{term}: " if len(self.own) > 1 else ""
            ax.plot(
                part["cutoff_km"],
                part["std_error"],
                "o-",
                color=colour,
                label=f"{label}conley, {self.kernel}",
            )
            ax.axhline(
                self.own[str(term)], color=colour, linestyle="--", linewidth=0.9, label=f"{label}{self.vcov}"
            )
        ax.set_ylim(bottom=0)
        ax.set_xlabel("cutoff (km)")
        ax.set_ylabel("standard error")
        ax.legend(frameon=False)
        return ax


def conley_curve(
    estimate: Estimate,
    cutoffs: Iterable[str | float],
    *,
    kernel: str = "uniform",
    serial: int | str | None = None,
    crs: str | int | None = None,
    level: float = 0.95,
) -> ConleyCurve:
    """Return Conley standard errors of an estimate for several cutoffs, at no refit.

    No cutoff is right by itself. Standard errors usually rise with the cutoff as far as errors are correlated and
    fall again when it takes in much of the study area, because centred influence values sum to zero. Report the
    curve, and a cutoff at which it has stopped rising while many places remain separate.

    Parameters
    ----------
    estimate : Estimate
        On units with coordinates.
    cutoffs : iterable of str or float
        Text such as ``"50km"`` or metres.
    kernel : {"uniform", "bartlett"}
    serial : int or "all", optional
        Of a panel: up to how many periods apart rows of one unit vary together; default all.
    crs : str or int, optional
        Projected reference system for flat distances; default great circles.
    level : float
        Of the intervals.

    Returns
    -------
    ConleyCurve

    Raises
    ------
    EstimationError
        No cutoffs, an unknown kernel or reference system, or a result that does not know where its units are.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"id": range(200), "lon": rng.uniform(30, 32, 200), "lat": rng.uniform(0, 2, 200)})
    >>> table["grant"], table["income"] = rng.integers(0, 2, 200), rng.normal(size=200)
    >>> design = ec.Design(ec.read_units(table, id="id", lon="lon", lat="lat"), outcome="income", treatment="grant")
    >>> curve = ec.conley_curve(ec.ate(design, method="difference"), ["5km", "20km"])
    >>> curve.frame["cutoff_km"].tolist()
    [5.0, 20.0]
    """
    _require_estimate(estimate)
    one_of(kernel, tuple(KERNELS), argument="kernel", error=EstimationError)
    asked = [cutoffs] if isinstance(cutoffs, str | int | float) else list(cutoffs)
    metres = sorted({read_cutoff(cutoff) for cutoff in asked})
    if not metres:
        raise EstimationError(
            explain("There are no cutoffs.", fix='conley_curve(estimate, ["10km", "50km"])')
        )
    asked_as: dict[str, Any] = {"kernel": kernel, "serial": serial, "crs": crs}
    choices = [resolve_vcov({"conley": one, **asked_as}, groups={}, ids=estimate.ids)[0] for one in metres]
    parts = [_at(estimate, how, level) for how in choices]
    errors = np.sqrt(np.diag(estimate.variance.matrix)).tolist()
    frame = pd.concat(parts, ignore_index=True)
    return ConleyCurve(frame, kernel, estimate.vcov, dict(zip(estimate.terms, errors)))


def _at(estimate: Estimate, how: Vcov, level: float) -> pd.DataFrame:
    n_params = estimate.n_params + unit_effects_of(how, [], estimate.panel)
    repeats = estimate.repeats
    each = [estimate.score_values] if repeats is None else list(repeats.score_values)
    squares = []
    for scores in each:
        made, places = conley_variance(
            scores, how, estimate.coordinates, n_params=n_params, panel=estimate.panel
        )
        squares.append(np.where(positive(made, scores), np.diag(made.matrix), np.nan))
    # with repeats a variance that is not positive in one of them is none
    square = squares[0] if repeats is None else median_square(repeats.values, np.array(squares))
    if estimate.second is not None:
        square = square + np.diag(estimate.second.matrix)
    errors = np.sqrt(square)
    bounds = confidence_bounds(estimate.values, errors, df=made.df, level=level)
    return pd.DataFrame(
        {
            "term": estimate.terms, "cutoff_km": (how.cutoff_m or 0) / 1000, "std_error": errors,
            "conf_low": bounds[:, 0], "conf_high": bounds[:, 1], "places": places,
        }
    )  # fmt: skip


def _require_estimate(estimate: object) -> None:
    if not isinstance(estimate, Estimate):
        fix = "a Cate holds one in .average, a Balance in .differences, an Overlap in .auc"
        raise EstimationError(explain(f"estimate is a {type(estimate).__name__}.", fix=fix))
