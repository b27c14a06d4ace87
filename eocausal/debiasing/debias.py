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
from eocausal.debiasing.changes import NOISY
from eocausal.debiasing.choice import choose_method, held_out
from eocausal.debiasing.corrector import METHODS, Corrector
from eocausal.debiasing.corrector_content import wider_range
from eocausal.debiasing.density_score import DensityScore, fit_density_score
from eocausal.debiasing.diagnose import diagnose_sample
from eocausal.debiasing.fitted_parts import fitted_parts
from eocausal.debiasing.given_numbers import require_noise
from eocausal.debiasing.paired_arrays import read_groups
from eocausal.errors import DebiasError, explain
from eocausal.inference.variance import FEW_CLUSTERS, score_variance

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

SCORES = ("lindsey", "kde", "gaussian")
NOISES = ("constant", "spline")
OF_CHANGES = "the calibration is of changes within places, which are what effects in panels are made of"
# A slope that is fewer standard errors than this above zero cannot be divided by.
WEAK = 3.0


class HowCorrected(TypedDict, total=False):
    """Options of :func:`debias` that say how predictions are corrected."""

    method: str
    score: str
    noise: str
    recalibrate: bool
    unit: str | None
    period: str | None


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
    unit, period : str
        Columns of places that were measured in several rounds, and of the rounds: periods as in
        :class:`eocausal.PanelDesign`. Then k is that of changes within places, with unit and period effects taken
        out, which effects in panels are divided by: that a map is right across places says nothing of it. Only
        ``lcc`` and ``none`` are made of changes; standard errors are by unit unless ``cluster`` is named.

    Returns
    -------
    Corrector

    Raises
    ------
    DebiasError
        Fewer than 30 places, missing values, columns that do not vary, rows that all trained the map, predictions
        that fall as the truth rises or hardly follow it, more label noise than variance.
    DesignError
        Columns that are not numeric or infinite, weights that are not positive, missing clusters or periods.
    EstimationError
        A unit twice in a period.

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
    require_noise(label_noise_var)
    rounds = options.pop("unit"), options.pop("period")
    named = _as_names(groups)
    _require_changes(rounds, how, named)
    columns = CalibrationColumns(prediction, truth, weights, cluster, named, trained_on, *rounds)
    sample = read_sample(calibration, columns)
    sample = replace(sample, groups=read_groups(sample.groups, None, sample.ids))
    return fit_corrector(sample, columns, options, float(label_noise_var))


def fit_corrector(
    sample: CalibrationSample, columns: CalibrationColumns, options: HowCorrected, label_noise_var: float
) -> Corrector:
    """Fit all parameters of a corrector to a sample, with their joint covariance."""
    fitted = fitted_parts(sample, options, label_noise_var)
    y, truth, w, noise = fitted.prediction, fitted.truth, sample.weights, fitted.noise
    density = fit_density_score(y, weights=w, kind=options["score"])
    share = (w / w.mean())[:, None]
    scores = np.column_stack([fitted.scores, share * density.influence(y)])
    densities = [f"density {place}" for place in range(density.columns(y[:1]).shape[1])]
    made = score_variance(
        scores,
        vcov="iid" if sample.clusters is None else "cluster",
        clusters=sample.clusters,
        n_params=fitted.n_params,
    )
    method = "none" if options["method"] == "auto" else options["method"]
    corrector = Corrector(
        prediction=columns.prediction,
        truth=columns.truth,
        method=method,
        k=fitted.shrunk.slope,
        m=fitted.shrunk.intercept,
        a=fitted.back.intercept,
        b=fitted.back.slope,
        noise=noise,
        density=density,
        parameters=("k", "m", "a", "b", *noise.names, *densities),
        covariance=made.matrix,
        n=len(sample),
        n_drawn=sample.n_drawn,
        truth_range=wider_range(float(truth.min()), float(truth.max())),
        label_noise_var=label_noise_var,
        score=options["score"],
        level="levels" if sample.panel is None else "changes",
        warnings=(*sample.notes, *_about(sample, density, label_noise_var), *_few(sample)),
        provenance=_provenance(sample, columns, options),
        sample=sample,
    )
    _require_followed(corrector)
    if options["method"] != "auto":
        return corrector
    if sample.panel is not None:
        return replace(corrector, method="lcc", reasons=(OF_CHANGES,))
    plain: HowCorrected = {**options, "method": "lcc"}
    return _chosen(corrector, sample, lambda part: fit_corrector(part, columns, plain, label_noise_var))


def _provenance(
    sample: CalibrationSample, columns: CalibrationColumns, options: HowCorrected
) -> dict[str, object]:
    named = ("weights", "cluster", "unit", "period")
    return {
        "calibration_hash": hash_arrays(sample.prediction, sample.truth, sample.weights),
        "columns": {**{name: getattr(columns, name) for name in named}, "groups": list(columns.groups)},
        "options": dict(options),
        "folds": "predictions are taken as held out",
        "versions": versions(),
    }


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
        "unit": None,
        "period": None,
        **how,
    }
    one_of(made["method"], ("auto", *METHODS), argument="method", error=DebiasError)
    one_of(made["score"], SCORES, argument="score", error=DebiasError)
    one_of(made["noise"], NOISES, argument="noise", error=DebiasError)
    if not isinstance(made["recalibrate"], bool):
        raise DebiasError(explain(f"recalibrate={made['recalibrate']!r}.", rule="True or False"))
    return made


def _require_changes(
    rounds: tuple[str | None, str | None], how: HowCorrected, groups: tuple[str, ...]
) -> None:
    """Raise where rounds are named by halves, or with what has no meaning for changes."""
    if rounds == (None, None):
        return
    if None in rounds:
        raise DebiasError(
            explain(
                f"unit={rounds[0]!r} and period={rounds[1]!r}.",
                rule="both, for places measured in several rounds, or neither",
            )
        )
    if how.get("method") == "tweedie":
        raise DebiasError(
            explain(
                "method='tweedie' is not made of changes within places.",
                rule="it rests on the density of what was predicted for one time, and that of changes depends on "
                "how many rounds they are taken over",
                fix="method='lcc'; or one row for each place, with the change as prediction and truth",
            )
        )
    strange = [name for name in ("score", "noise", "recalibrate") if name in how] + (
        ["groups"] if groups else []
    )
    if strange:
        raise DebiasError(
            explain("Options of levels were given with unit and period.", where=strange, fix="leave them out")
        )


def _about(sample: CalibrationSample, density: DensityScore, label_noise_var: float) -> tuple[str, ...]:
    """Return what there is to say of the density of levels, or of the noise in changes."""
    if sample.panel is None:
        return density.warnings
    return () if label_noise_var else (NOISY,)


def _as_names(groups: str | Sequence[str] | None) -> tuple[str, ...]:
    if groups is None:
        return ()
    if not isinstance(groups, str | list | tuple):
        text = f"groups is a {type(groups).__name__}."
        raise DebiasError(explain(text, rule="the name of a column, or a list of names"))
    names = (groups,) if isinstance(groups, str) else tuple(groups)
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise DebiasError(explain("Groups are named twice.", where=twice))
    return names


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
