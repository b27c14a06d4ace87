"""The mean outcome at each dose: `dose_response`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal._provenance import hash_arrays
from eocausal.design import Design
from eocausal.effects.dose_curve import DoseResponse, dose_names
from eocausal.effects.doses import as_good_as_random, described, set_aside
from eocausal.errors import DesignError, EstimationError, explain
from eocausal.inference.assemble import assemble
from eocausal.inference.dose_scores import dose_mean, undersmoothed
from eocausal.inference.vcov import VcovChoice
from eocausal.nuisance.dose_nuisance import densities, outcomes_at
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.learners import Learners
from eocausal.nuisance.settings import dealt, provenance, settings_for

FloatArray = npt.NDArray[np.float64]

METHOD = "kernel AIPW"
# Doses that are chosen for the user lie between these shares of the units.
CENTRAL = (0.1, 0.9)
# A mean at a dose that fewer units speak for is told of, as are kernel weights whose mean is this far from 1, and a
# single dose that this share of the units got.
FEW_NEAR = 30.0
FAR_FROM_ONE = 0.2
MANY_EQUAL = 0.05


def dose_response(
    design: Design,
    *,
    doses: int | Sequence[float] = 7,
    bandwidth: float | None = None,
    spread: Literal["constant", "columns"] = "constant",
    folds: Folds | None = None,
    learners: Learners | None = None,
    vcov: VcovChoice | None = None,
    seed: int = 0,
) -> DoseResponse:
    """Estimate the mean outcome if all units got a dose, for several doses.

    Doubly robust: the outcome predicted at the dose, corrected by the residuals of units whose dose is near, over
    the density of that dose given covariates and features. Both are predicted out of fold.

    Parameters
    ----------
    design : Design
        With ``treatment_type="continuous"``.
    doses : int or sequence of float
        How many doses, at equal steps from the 10th to the 90th percentile of the doses that units got; or the
        doses themselves, within their range.
    bandwidth : float, optional
        How far a dose may be to count as near, in the unit of the dose. Default ``2.34 sd n^(-1/4)``, less than
        what makes the mean square error least (undersmoothing), so that intervals are centred.
    spread : {"constant", "columns"}
        Whether the dose varies about its expectation alike for all units, or as covariates and features predict.
    folds : Folds, optional
        Default five folds with clusters and shared images kept whole.
    learners : Learners, optional
        The outcome learner predicts the outcome from columns and dose, and the dose from columns.
    vcov : optional
        As in :func:`eocausal.ate`.
    seed : int

    Returns
    -------
    DoseResponse

    Raises
    ------
    DesignError
        The treatment is not a dose.
    EstimationError
        Doses outside those that units got, a bandwidth that is not positive, no units near a dose, or units near a
        dose that was as good as impossible for them.

    Notes
    -----
    Colangelo and Lee (2020), Double debiased machine learning nonparametric inference with continuous treatments,
    arXiv 2004.03036, with the Epanechnikov kernel; prediction and density in the correction are taken at the dose
    that a unit got, so that only what the prediction misses is smoothed. Influence values take what bias is left as
    small.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"age": rng.normal(size=400)})
    >>> table["rain"] = 0.5 * table["age"] + rng.normal(size=400)
    >>> table["yield"] = 2 * table["rain"] + table["age"] + rng.normal(size=400)
    >>> design = ec.Design(
    ...     table, outcome="yield", treatment="rain", treatment_type="continuous", covariates=["age"])
    >>> curve = ec.dose_response(design, doses=[-0.5, 0.5])
    >>> curve.terms
    ('dose -0.5', 'dose 0.5')
    >>> low, high = curve.slopes().ci()
    >>> bool(low < 2 < high)
    True
    """
    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    _require_dose(design)
    one_of(spread, ("constant", "columns"), argument="spread", error=EstimationError)
    at, width = _doses(design, doses), _bandwidth(design, bandwidth)
    table, how = design.table, dealt(design, settings)
    predicted, own = outcomes_at(design, at.tolist(), **how)
    density = densities(design, **how, spread=spread)
    _require_possible(design, at, width, density)
    found = [
        dose_mean(
            table.outcome, table.assigned, table.weights,
            at=float(dose), bandwidth=width,
            predicted=predicted[:, k], predicted_own=own, density_own=density,
        )
        for k, dose in enumerate(at)
    ]  # fmt: skip
    weights = np.column_stack([one[1] for one in found])
    sizes = _effective(weights)
    curve = assemble(
        design,
        [one[0] for one in found],
        estimand="mean outcome at a dose",
        method=METHOD,
        terms=tuple(f"dose {name}" for name in dose_names(at, digits=6)),
        vcov=vcov,
        assumptions=(
            as_good_as_random(design, settings.learners),
            "every dose asked for is possible for every unit",
            f"within {width:.4g} of a dose the mean outcome bends too little to matter",
        ),
        warnings=[*set_aside(settings.learners), *_warnings(design, at, width, weights)],
        diagnostics={
            "bandwidth": width,
            "spread": spread,
            "units_near_fewest": float(sizes.min()),
            "units_near": sizes.tolist(),
            "folds_hash": hash_arrays(how["folds"]),
            **described(settings.learners),
        },
        provenance=provenance(design, settings),
    )
    return DoseResponse(curve, at, table.assigned, table.weights)


def _require_dose(design: Design) -> None:
    if design.treatment_type != "continuous":
        raise DesignError(
            explain(
                f"A dose-response needs a dose, and the treatment of this design is {design.treatment_type}.",
                rule="treatment_type='continuous'",
                fix="ec.ate(design), which compares arms",
            )
        )


def _doses(design: Design, doses: int | Sequence[float]) -> FloatArray:
    """Return the doses asked for, in order, within those that units got."""
    got = design.table.assigned
    if isinstance(doses, (int, np.integer)) and not isinstance(doses, bool):
        count = int(doses)
        if count < 2:
            raise EstimationError(explain(f"doses={doses!r}.", rule="at least 2 doses, or a list of doses"))
        low, high = (float(edge) for edge in np.quantile(got, CENTRAL))
        return np.linspace(low, high, count)
    try:
        asked = np.asarray(doses, dtype=float)
    except (TypeError, ValueError) as error:
        raise EstimationError(
            explain(f"doses={doses!r}.", rule="a whole number, or a list of doses", fix="doses=[0.5, 1.0]")
        ) from error
    if (
        asked.ndim != 1
        or not asked.size
        or not np.isfinite(asked).all()
        or np.unique(asked).size < asked.size
    ):
        raise EstimationError(
            explain(f"doses={doses!r}.", rule="a list of different finite numbers", fix="doses=[0.5, 1.0]")
        )
    outside = (asked < got.min()) | (asked > got.max())
    if outside.any():
        raise EstimationError(
            explain(
                "No unit got as low or as high a dose as these.",
                where=asked[outside],
                rule=f"doses from {got.min():.6g} to {got.max():.6g}",
            )
        )
    return np.sort(asked)


def _bandwidth(design: Design, bandwidth: float | None) -> float:
    if bandwidth is None:
        return undersmoothed(design.table.assigned)
    number = isinstance(bandwidth, (int, float, np.number)) and not isinstance(bandwidth, bool)
    if not number or not 0 < float(bandwidth) < np.inf:
        raise EstimationError(
            explain(f"bandwidth={bandwidth!r}.", rule="a positive number in the unit of the dose")
        )
    return float(bandwidth)


def _require_possible(design: Design, at: FloatArray, width: float, density: FloatArray) -> None:
    """Raise where no unit is near a dose, or a unit near it was predicted never to get it."""
    table = design.table
    for dose in at:
        near = np.abs(table.assigned - dose) < width
        if near.sum() < 2:
            raise EstimationError(
                explain(
                    f"{int(near.sum())} units got a dose within {width:.4g} of {dose:.6g}.",
                    rule="at least 2 units near each dose",
                    fix="another dose, or a larger bandwidth=",
                )
            )
        never = near & ~(density > 0)
        if never.any():
            raise EstimationError(
                explain(
                    f"Units got doses near {dose:.6g} that were predicted to be impossible for them.",
                    where=table.ids[never],
                    rule="the density of a dose is positive where units got it",
                    fix="leave these units out: design.take(rows), or spread='columns'",
                )
            )


def _warnings(design: Design, at: FloatArray, width: float, weights: FloatArray) -> list[str]:
    """Return what a reader must know of the doses: few units near, the edge, weights that do not average to 1."""
    got, found = design.table.assigned, []
    sizes, means = _effective(weights), weights.sum(axis=0) / design.table.weights.sum()
    names = np.array([f"{dose:.4g}" for dose in at])
    span = f"{got.min():.4g} to {got.max():.4g}"
    for text, which in (
        (f"the kernel weights are worth fewer than {FEW_NEAR:.0f} units", sizes < FEW_NEAR),
        (
            f"the kernel reaches beyond the doses that units got ({span}), which biases it",
            (at - width < got.min()) | (at + width > got.max()),
        ),
        (
            f"the kernel weights average more than {FAR_FROM_ONE} away from 1, so the density of doses is "
            "predicted badly there",
            np.abs(means - 1) > FAR_FROM_ONE,
        ),
    ):
        if which.any():
            found.append(f"at dose {', '.join(names[which])} {text}")
    values, counts = np.unique(got, return_counts=True)
    if counts.max() > MANY_EQUAL * got.size:
        found.append(
            f"{counts.max()} of {got.size} units got exactly the dose {values[counts.argmax()]:.6g}: the dose has "
            "no density there, and means near it are not what they seem; treat it as an arm, or leave it out"
        )
    return found


def _effective(weights: FloatArray) -> FloatArray:
    """Return how many equally weighted units the weights (n, k) of each dose are worth."""
    return np.asarray(weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0))
