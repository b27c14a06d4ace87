"""`ppi_regression`: regression coefficients from many predictions and a few measured outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal._threads import one_blas_thread
from eocausal.errors import DebiasError, explain
from eocausal.inference.estimate import Estimate
from eocausal.inference.vcov import resolve_vcov, variance_of
from eocausal.labelled.asked import PowerTuning, tuning_of
from eocausal.labelled.label_checks import table_warnings
from eocausal.labelled.labelled_table import LabelledTable, Roles, covariate_names, read_labelled
from eocausal.labelled.ppi_result import CLASSICAL, NAIVE, PLAIN, POWERED
from eocausal.labelled.rectified import BOUNDS
from eocausal.labelled.rectified_logit import rectified_logistic
from eocausal.labelled.rectified_regression import (
    Fit,
    Fits,
    Lambdas,
    Rows,
    given_lambda,
    rectified_linear,
    tuned_lambda,
)
from eocausal.labelled.regression_result import PpiRegression

if TYPE_CHECKING:
    from eocausal.units import Units

OVERALL = "ppi++ overall"
METHODS = (POWERED, OVERALL, PLAIN, CLASSICAL)
# A lambda this far above 1 is more than chance.
_MUCH = 1.1
_MODELS = {"linear": rectified_linear, "logistic": rectified_logistic}
NAIVE_ASSUMES = "predictions err by chance alone, whatever the covariates"
ASSUMES = (
    "units with labels are a random sample of all units (given clusters)",
    "predictions were made without the labels: by a model trained elsewhere, or out of fold",
)


def ppi_regression(
    data: Units | pd.DataFrame,
    *,
    prediction: str,
    truth: str,
    covariates: Sequence[str],
    model: Literal["linear", "logistic"] = "linear",
    method: str | float | PowerTuning = POWERED,
    labelled: str | None = None,
    cluster: str | None = None,
    weights: str | None = None,
) -> PpiRegression:
    """Estimate regression coefficients of an outcome that is predicted for all units and measured for some.

    The regression of predictions on units without a label is put right by the units whose truth is known: by the
    gap, there, between coefficients of the truth and of the predictions. Whatever the predictions are worth,
    coefficients are those of the truth; the better they are, the smaller the standard errors.

    Parameters
    ----------
    data : Units or pandas.DataFrame
        The index of a plain DataFrame is the unit id.
    prediction, truth : str
        Numeric columns. The prediction is there for every unit, the truth for those with a label.
    covariates : sequence of str
        What the outcome is regressed on, such as the treatment; text columns become 0/1 columns, first level left
        out. An intercept is added.
    model : {"linear", "logistic"}
        ``logistic``: a truth of 0 and 1, and predictions that are probabilities.
    method : {"ppi++", "ppi++ overall", "ppi", "classical"}, float or PowerTuning
        How much of the predictions is used: lambda. ``ppi++`` (default): for each coefficient the lambda, from 0 to
        1, that makes its variance smallest; ``ppi++ overall``: one that makes the sum of variances smallest, which
        moves with the units that covariates are measured in. ``ppi``: 1, all of it. ``classical``: 0, the
        regression on labelled units alone. A number is lambda itself, and ``PowerTuning(bounds=(0, 3))`` lets
        predictions that move too little count for more; a logit needs lambda from 0 to 1.
    labelled : str, optional
        Column that says whose truth may be used. Default: where the truth is there.
    cluster : str, optional
        Column of groups of units that were sampled or treated together. Lambda and standard errors then count
        whole groups, with labels or without.
    weights : str, optional
        Column of positive sampling weights.

    Returns
    -------
    PpiRegression
        With the regressions of predictions alone and of labelled units alone beside it.

    Raises
    ------
    DebiasError
        Columns that are missing, ids twice, no label or no unit without one, predictions or covariates missing,
        fewer labels than coefficients, or for a logit outcomes that are no probabilities.
    EstimationError
        Covariates that are combinations of one another, with labels or without; a logit without a solution.

    Notes
    -----
    Angelopoulos, Bates, Fannjiang, Jordan and Zrnic (2023), Science 382; lambda: Angelopoulos, Duchi and Zrnic
    (2023), arXiv 2311.01453. Least squares are run on each sample, so that on a 0/1 covariate the slope is the
    difference of means of the predictions plus that of their errors. Standard errors are of influence values made
    of each regression's own residuals, with the factor ``n / (n - k)`` of each sample.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"road": np.tile([0, 1], 1000)})
    >>> wealth = table["road"] + rng.normal(size=2000)
    >>> table["predicted"] = 0.8 * wealth + rng.normal(scale=0.5, size=2000)
    >>> table["wealth"] = wealth.where(table.index < 200)
    >>> found = ec.ppi_regression(table, prediction="predicted", truth="wealth", covariates=["road"])
    >>> found.table().query("term == 'road'")[["method", "estimate"]].round(2).to_dict("list")
    {'method': ['naive', 'classical', 'ppi++'], 'estimate': [0.82, 1.17, 1.06]}
    """
    one_of(model, tuple(_MODELS), argument="model", error=DebiasError)
    name, tuning = _tuning(method, model)
    roles = Roles(prediction, truth, labelled, cluster, weights, covariate_names(covariates))
    table = read_labelled(data, roles)
    _require_usable(table, roles, model)
    rows = Rows(table.columns, table.prediction, table.truth, table.labelled, table.weights)
    with one_blas_thread():
        fits = _MODELS[model](rows, _lambdas(name, tuning, table), _bounds(tuning))
    named: dict[str, Any] = {
        "estimand": f"{model} regression of {truth}",
        "provenance": table.provenance(roles, model=model, method=name),
        "terms": table.names,
    }
    diagnostics = {**table.counts, "lambda": dict(zip(table.names, fits.lams.tolist()))}
    fit = _estimate(
        table, fits.rectified, method=name, assumptions=ASSUMES, diagnostics=diagnostics,
        warnings=(*table.warnings, *table_warnings(table), *_clipped(table, fits, tuning, model)), **named,
    )  # fmt: skip
    naive = _estimate(table, fits.naive, method=NAIVE, assumptions=(NAIVE_ASSUMES,), **named)
    alone = _estimate(
        table, fits.alone, method=CLASSICAL, assumptions=ASSUMES[:1], warnings=table.warnings, **named
    )
    return PpiRegression(fit, naive, alone, table.labelled).by_labels()


def _tuning(method: object, model: str) -> tuple[str, PowerTuning]:
    """Return the name of the estimate, and how predictions are powered."""
    name, tuning = tuning_of(method, METHODS)
    if tuning != PowerTuning(lam=tuning.lam, bounds=tuning.bounds):
        raise DebiasError(
            explain(
                f"{tuning!r} asks for what regressions do not have.",
                rule="lam= and bounds= of PowerTuning",
                fix="ec.PowerTuning(bounds=(0, 2))",
            )
        )
    tuning = replace(tuning, lam={PLAIN: 1.0, CLASSICAL: 0.0}.get(name, tuning.lam))
    outer = _bounds(tuning)
    if model == "logistic" and not 0 <= outer[0] <= outer[1] <= 1:
        raise DebiasError(
            explain(
                f"lambda is allowed from {outer[0]:g} to {outer[1]:g}.",
                rule="from 0 to 1 for model='logistic', whose equations have one solution there",
            )
        )
    return name, tuning


def _bounds(tuning: PowerTuning) -> tuple[float, float]:
    return tuning.bounds if tuning.lam is None else (tuning.lam, tuning.lam)


def _lambdas(name: str, tuning: PowerTuning, table: LabelledTable) -> Lambdas:
    if tuning.lam is not None:
        return given_lambda(tuning.lam, len(table.names))
    return tuned_lambda(table.labelled, table.clusters, each=name != OVERALL)


def _varies(columns: npt.NDArray[np.float64], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return which columns but the first vary among some rows, most of which the first thousand tell."""
    some = columns[rows[:1000], 1:]
    found = np.asarray((some != some[0]).any(axis=0))
    for place in np.flatnonzero(~found):
        found[place] = bool((columns[rows, 1 + place] != some[0, place]).any())
    return found


def _require_usable(table: LabelledTable, roles: Roles, model: str) -> None:
    """Raise where there are too few units on either side, or outcomes that a logit has no meaning for."""
    for rows, which in ((table.labelled, "with"), (~table.labelled, "without")):
        n, width = int(rows.sum()), len(table.names)
        if n < width + 2:
            raise DebiasError(
                explain(
                    f"{n} units {which} labels cannot carry {width} coefficients.",
                    rule=f"at least {width + 2} units with labels, and as many without",
                    fix="fewer covariates",
                )
            )
        varies = _varies(table.columns, np.flatnonzero(rows))
        if not varies.all():
            raise DebiasError(
                explain(
                    f"Covariates have one value among the {n} units {which} labels.",
                    where=[name for name, there in zip(table.names[1:], varies) if not there],
                    rule="all arms and levels occur with labels and without",
                    fix="labels in every arm and level, or leave the column out",
                )
            )
        if table.clusters is not None and np.unique(table.clusters[rows]).size < 2:
            raise DebiasError(
                explain(
                    f"All {n} units {which} labels are in one cluster: {table.clusters[rows][0]}.",
                    rule="labels in two clusters at least, and better 30",
                    fix="labels in more clusters",
                )
            )
    if model == "linear":
        return
    truth, predicted = table.truth[table.labelled], table.prediction
    strange = ~np.isin(truth, (0.0, 1.0))
    if strange.any() or np.ptp(truth) == 0:
        raise DebiasError(
            explain(
                f"The truth {roles.truth!r} is not 0 and 1.",
                where=table.ids[table.labelled][strange],
                rule="model='logistic' is for an outcome of 0 and 1, both of which occur among labelled units",
                fix="model='linear'",
            )
        )
    outside = (predicted < 0) | (predicted > 1)
    if outside.any():
        raise DebiasError(
            explain(
                f"The prediction {roles.prediction!r} is no probability.",
                where=table.ids[outside],
                rule="between 0 and 1 for model='logistic'",
                fix="model='linear', or predictions as probabilities",
            )
        )


def _clipped(table: LabelledTable, found: Fits, tuning: PowerTuning, model: str) -> tuple[str, ...]:
    """Say where a lambda outside 0 to 1 would have made a variance smaller by more than a little."""
    if tuning.lam is not None or tuning.bounds != BOUNDS:
        return ()
    below = [f"{name} ({asked:.2g})" for name, asked in zip(table.names, found.asked) if asked < 0]
    above = [name for name, asked in zip(table.names, found.asked) if asked > _MUCH]
    told = []
    if below:
        told.append(
            "predictions do not follow the truth, or go against it, for what would have a lambda below 0: "
            f"{', '.join(below)}; none of them is used there"
        )
    if above:
        most = max(found.asked)
        better = (
            f"predictions times that, or PowerTuning(bounds=(0, {np.ceil(most):.0f}))"
            if model == "linear"
            else "ec.predict_then_debias with a logit as its estimator has no such bound"
        )
        told.append(
            f"predictions move less than the truth for {', '.join(above)}: lambda is 1, and up to {most:.2g} would "
            f"use them better; {better}"
        )
    return tuple(told)


def _estimate(table: LabelledTable, found: Fit, **named: Any) -> Estimate:
    """Return coefficients as a result on all units, or on those with labels where influence values are of them."""
    kept = slice(None) if len(found.scores) == table.ids.size else table.labelled
    ids, places = table.ids[kept], None if table.coordinates is None else table.coordinates[kept]
    name = named["provenance"]["columns"].get("cluster")
    groups = {} if table.clusters is None else {str(name): table.clusters[kept]}
    how, groups = resolve_vcov("cluster" if groups else "iid", groups=groups, ids=ids)
    variance = variance_of(found.scores, how, groups=groups, coordinates=places, n_params=1)
    warnings = tuple(dict.fromkeys((*named.pop("warnings", ()), *variance.notes)))
    return Estimate(
        values=found.coefficients,
        ids=ids,
        score_values=found.scores,
        variance=variance,
        groups=groups,
        coordinates=places,
        warnings=warnings,
        **named,
    )
