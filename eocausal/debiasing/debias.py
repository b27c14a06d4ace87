"""`debias`: from places with predictions and measured outcomes to a corrector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal._provenance import hash_arrays, versions
from eocausal.debiasing.calibration_sample import CalibrationColumns, CalibrationSample, read_sample
from eocausal.debiasing.choice import choose_method, held_out
from eocausal.debiasing.corrector import METHODS, Corrector
from eocausal.debiasing.density_score import fit_density_score
from eocausal.debiasing.diagnose import diagnose_sample
from eocausal.debiasing.linear_fit import Line, line
from eocausal.debiasing.noise import fit_noise
from eocausal.errors import DebiasError, explain
from eocausal.inference.variance import FEW_CLUSTERS, score_variance

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

SCORES = ("lindsey", "kde", "gaussian")
NOISES = ("constant", "spline")
# A slope that is fewer standard errors than this above zero cannot be divided by.
WEAK = 3.0


class HowCorrected(TypedDict, total=False):
    """Options of :func:`debias` that say how predictions are corrected."""

    method: str
    score: str
    noise: str
    recalibrate: bool


def debias(
    calibration: pd.DataFrame,
    *,
    prediction: str,
    truth: str,
    weights: str | None = None,
    groups: str | Sequence[str] | None = None,
    cluster: str | None = None,
    label_noise_var: float = 0.0,
    trained_on: str | None = None,
    **how: Unpack[HowCorrected],
) -> Corrector:
    """Learn how a map shrinks outcomes, from places where they were both measured and predicted.

    Parameters
    ----------
    calibration : DataFrame
        One row for each place; the index is its id. The predictions must be of models that did not see the place:
        held out, or out of fold.
    prediction, truth : str
        Numeric columns, in the same unit.
    weights : str, optional
        Column of positive sampling weights.
    groups : str or sequence of str, optional
        Columns by which places differ as a treatment might make them differ: town or country, region. They show
        whether differences between places shrink as much as places do, and so whether to correct at all.
    cluster : str, optional
        Column of places that were drawn together.
    label_noise_var : float
        Variance of the error of one measured outcome, in its unit squared: of a mean of 20 households, the variance
        within the place over 20. Without it noise in the truth passes for error of the map, and corrections are too
        large.
    trained_on : str, optional
        Column that is true for places the map was trained on; they are left out.
    method : {"auto", "none", "lcc", "tweedie"}
        What is believed. ``lcc``: divide by the slope of the prediction on the truth. ``tweedie``: take off the
        variance of the error times the score of the density of the predictions. ``auto`` (default): what the
        calibration speaks for, which may be ``none``; see :func:`eocausal.diagnose`.
    score : {"lindsey", "kde", "gaussian"}
        How that density is estimated: a spline of its logarithm (default), kernels, or a normal density.
    noise : {"constant", "spline"}
        Whether the variance of the error is one number (default) or varies with the prediction.
    recalibrate : bool
        Make the slope of the truth on the prediction 1 before Tweedie's correction (default).

    Returns
    -------
    Corrector

    Raises
    ------
    DebiasError
        Fewer than 30 places, missing values, columns that do not vary, rows that all trained the map, predictions
        that fall as the truth rises or hardly follow it, more label noise than variance.
    DesignError
        Columns that are not numeric or infinite, weights that are not positive, missing clusters.

    Notes
    -----
    Pettersson, Jerzak and Daoud, One Map, Many Trials (arXiv 2508.01341): ``lcc`` is their linear calibration
    correction, ``tweedie`` theirs with the sign of the score of the *predictions*, and both rest on an error that
    does not depend on treatment given the truth. With ``y`` the prediction, ``u = a + b y`` recalibrated and
    ``V(y)`` the variance of the truth about ``u``, Tweedie's correction is ``u - (V(y) s(y) + V'(y)) / b``, with
    ``s`` the score of the density of ``y``.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> places = pd.DataFrame({"map": rng.normal(size=2000)})
    >>> places["wealth"] = places["map"] + np.sqrt(0.5) * rng.normal(size=2000)
    >>> fix = ec.debias(places, prediction="map", truth="wealth", method="lcc")
    >>> round(fix.k, 1)
    0.7
    """
    options = _read_options(how)
    _require_noise(label_noise_var)
    columns = CalibrationColumns(prediction, truth, weights, cluster, _as_names(groups), trained_on)
    sample = read_sample(calibration, columns)
    return fit_corrector(sample, columns, options, float(label_noise_var))


def fit_corrector(
    sample: CalibrationSample, columns: CalibrationColumns, options: HowCorrected, label_noise_var: float
) -> Corrector:
    """Fit all parameters of a corrector to a sample, with their joint covariance."""
    y, truth, w = sample.prediction, sample.truth, sample.weights
    shrunk = line(y, truth, w, noise_in_on=label_noise_var)
    back, free = _recalibration(y, truth, w, recalibrate=options["recalibrate"])
    residuals = back.residuals(truth, y)
    noise = fit_noise(
        y, residuals, weights=w, kind=options["noise"], label_noise_var=label_noise_var, ddof=free
    )
    density = fit_density_score(y, weights=w, kind=options["score"])
    scores = np.column_stack(
        [shrunk.scores, back.scores[:, ::-1], noise.influence(y, residuals, w), density.influence(y, w)]
    )
    noises = list(noise.names)
    densities = [f"density {place}" for place in range(density.columns(y[:1]).shape[1])]
    made = score_variance(
        scores, vcov="iid" if sample.clusters is None else "cluster", clusters=sample.clusters
    )
    method = "none" if options["method"] == "auto" else options["method"]
    corrector = Corrector(
        prediction=columns.prediction,
        truth=columns.truth,
        method=method,
        k=shrunk.slope,
        m=shrunk.intercept,
        a=back.intercept,
        b=back.slope,
        noise=noise,
        density=density,
        parameters=("k", "m", "a", "b", *noises, *densities),
        covariance=made.matrix,
        n=len(sample),
        n_drawn=sample.n_drawn,
        truth_range=(float(truth.min()), float(truth.max())),
        label_noise_var=label_noise_var,
        score=options["score"],
        warnings=(*sample.notes, *density.warnings, *_few(sample)),
        provenance={
            "calibration_hash": hash_arrays(y, truth, w),
            "columns": {
                "weights": columns.weights,
                "cluster": columns.cluster,
                "groups": list(columns.groups),
            },
            "options": dict(options),
            "folds": "predictions are taken as held out",
            "versions": versions(),
        },
        sample=sample,
    )
    _require_followed(corrector)
    if options["method"] != "auto":
        return corrector
    plain: HowCorrected = {**options, "method": "lcc"}
    return _chosen(corrector, sample, lambda part: fit_corrector(part, columns, plain, label_noise_var))


def _read_options(how: HowCorrected) -> HowCorrected:
    known = tuple(HowCorrected.__annotations__)
    strange = [name for name in how if name not in known]
    if strange:
        raise DebiasError(
            explain(
                "debias has no option of this name.",
                where=strange,
                fix=", ".join(HowCorrected.__annotations__),
            )
        )
    made: HowCorrected = {
        "method": "auto",
        "score": "lindsey",
        "noise": "constant",
        "recalibrate": True,
        **how,
    }
    one_of(made["method"], ("auto", *METHODS), argument="method", error=DebiasError)
    one_of(made["score"], SCORES, argument="score", error=DebiasError)
    one_of(made["noise"], NOISES, argument="noise", error=DebiasError)
    if not isinstance(made["recalibrate"], bool):
        raise DebiasError(explain(f"recalibrate={made['recalibrate']!r}.", rule="True or False"))
    return made


def _as_names(groups: str | Sequence[str] | None) -> tuple[str, ...]:
    if groups is None:
        return ()
    return (groups,) if isinstance(groups, str) else tuple(groups)


def _require_noise(value: object) -> None:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not 0 <= float(value) < np.inf:  # type: ignore[arg-type]
        raise DebiasError(explain(f"label_noise_var={value!r}.", rule="a variance, 0 or above"))


def _recalibration(y: FloatArray, truth: FloatArray, w: FloatArray, *, recalibrate: bool) -> tuple[Line, int]:
    """Return the line of the truth on the prediction and its degrees of freedom, or the prediction as it is."""
    if recalibrate:
        return line(truth, y, w), 2
    return Line(1.0, 0.0, np.zeros((y.size, 2))), 1


def _require_followed(corrector: Corrector) -> None:
    """Raise where predictions hardly follow the truth, so that there is nothing to scale back."""
    error = corrector.std_errors["k"]
    if corrector.k < WEAK * error:
        raise DebiasError(
            explain(
                f"Predictions hardly follow the truth: k {corrector.k:.3g}, standard error {error:.2g}.",
                rule=f"k at least {WEAK:g} standard errors above zero",
                fix="more places in the calibration, or a better map; no correction brings back what is not there",
            )
        )


def _few(sample: CalibrationSample) -> tuple[str, ...]:
    if sample.clusters is None or sample.n_drawn >= FEW_CLUSTERS:
        return ()
    return (
        f"the calibration has {sample.n_drawn} clusters: with fewer than {FEW_CLUSTERS} its part of standard "
        "errors is too small",
    )


def _chosen(
    corrector: Corrector, sample: CalibrationSample, refit: Callable[[CalibrationSample], Corrector]
) -> Corrector:
    """Return the corrector with the method that its calibration speaks for, and why."""
    diagnosis = diagnose_sample(sample, label_noise_var=corrector.label_noise_var)

    def fitted(part: CalibrationSample) -> Callable[[FloatArray, str], FloatArray]:
        found = refit(part)
        return lambda values, method: found.correct(values, method=method)

    method, reasons = choose_method(diagnosis, corrected=held_out(sample, fitted))
    told = [text for text in diagnosis.warnings if text not in corrector.warnings]
    return replace(corrector, method=method, reasons=reasons, warnings=(*corrector.warnings, *told))
