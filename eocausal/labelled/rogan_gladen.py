"""`rogan_gladen`: how many places are of a kind, from predictions whose errors are known from labelled units."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns
from eocausal._provenance import hash_arrays, versions
from eocausal._study_columns import read_clusters, read_numbers, read_weights
from eocausal.debiasing.calibration_sample import CalibrationColumns, CalibrationSample, read_sample, uneven
from eocausal.errors import DebiasError, explain
from eocausal.inference.estimate import Estimate
from eocausal.inference.ratio import ratio_loadings
from eocausal.inference.variance import Variance
from eocausal.labelled.pooled_units import PooledUnits
from eocausal.labelled.remote_moments import LevelMeans, level_means
from eocausal.labelled.remote_result import RemoteOutcome, checks_table, levels_table, weak_denominator
from eocausal.labelled.remote_trial import other_predictions, read_levels

if TYPE_CHECKING:
    import pandas

FloatArray = npt.NDArray[np.float64]

ASSUMES = (
    "given the truth, predictions are spread alike in these places and in the labelled sample (stability)"
)
OUTSIDE = (
    "the share is outside 0 to 1, and is given as it is: a share that is cut off would be biased. Predictions are "
    "not spread as a mixture of those of labelled units, or errors are large"
)


def rogan_gladen(
    places: pandas.DataFrame,
    labelled: pandas.DataFrame,
    *,
    prediction: str,
    truth: str,
    weights: str | None = None,
    cluster: str | None = None,
) -> RemoteOutcome:
    """Estimate the share of places with a 0/1 outcome from predictions of it.

    The mean prediction is brought to the scale of the truth by the mean predictions of labelled units with
    truth 0 and 1. Effects have :func:`eocausal.remote_outcome`.

    Parameters
    ----------
    places : DataFrame
        Places with a prediction: a class, or a probability. The index is the id.
    labelled : DataFrame
        Places with prediction and truth; they may be some of ``places`` or others.
    prediction : str
        Column of both tables.
    truth : str
        Column of 0 and 1 of the labelled sample.
    weights, cluster : str, optional
        Columns of both tables.

    Returns
    -------
    RemoteOutcome
        Its parts are the mean prediction less that of truth 0, and the difference by truth.

    Raises
    ------
    DebiasError
        A truth that is not 0 or 1, fewer than 10 labelled units with either, predictions that are the same for
        both, missing values, or units with one id and two predictions.

    Notes
    -----
    ``(p - (1 - specificity)) / (sensitivity + specificity - 1)`` for a 0/1 prediction with mean ``p``, and the
    delta method for its error: Rogan and Gladen (1978), American Journal of Epidemiology 107, 71-76.

    Examples
    --------
    90 of 100 poor and 20 of 100 other places look poor, and so do 34 of 100 that are asked about:

    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> survey = pd.DataFrame({"poor": np.repeat([1, 0], 100), "looks": np.repeat([1, 0, 1, 0], [90, 10, 20, 80])})
    >>> survey.index = [f"survey {i}" for i in range(200)]
    >>> asked = pd.DataFrame({"looks": np.repeat([1, 0], [34, 66])})
    >>> round(ec.rogan_gladen(asked, survey, prediction="looks", truth="poor").estimate, 3)
    0.2
    """
    sample = read_sample(
        labelled, CalibrationColumns(prediction, truth, weights, cluster, table="labelled sample")
    )
    codes = read_levels(sample, truth, None)
    ids, seen, own, clusters = _places(places, prediction, weights, cluster)
    units = PooledUnits.of(ids, clusters, seen, sample)
    made = level_means(sample.prediction[:, None], codes, sample.weights)
    low, step = float(made.means[0, 0]), float(made.means[1, 0] - made.means[0, 0])
    if step <= 0:
        text = f"Predictions are no higher where the truth {truth!r} is 1: they differ by {step:.3g}."
        raise DebiasError(explain(text, fix="better predictions; there is no share to recover"))
    mean = float(np.average(seen, weights=own))
    scores = np.column_stack([own / own.mean() * (seen - mean), np.zeros(ids.size)])
    parts = _parts_of_labelled(sample, made, codes)
    both = _estimate(ids, np.array([mean - low, step]), scores, parts, units, cluster)
    both = replace(
        both,
        diagnostics=_diagnostics(sample, made, mean, units),
        provenance=_provenance(ids, seen, own, sample),
    )
    fit = _ratio(both, truth)
    share = float(fit.values[0])
    told = [] if 0 <= share <= 1 else [OUTSIDE]
    told += [*other_predictions(seen, sample.prediction, "the places"), *uneven(sample.weights)]
    fit = replace(fit, warnings=tuple(dict.fromkeys([*weak_denominator(both), *told, *fit.warnings])))
    table = levels_table(np.bincount(codes), [0.0, 1.0], made.means[:, 0], [1 - share, share])
    return RemoteOutcome(fit, both, table.rename(columns={"moved": "share"}), checks_table([]))


def _places(
    places: object, prediction: str, weights: str | None, cluster: str | None
) -> tuple[npt.NDArray[Any], FloatArray, FloatArray, npt.NDArray[Any] | None]:
    """Return ids, predictions, weights and clusters of the places that are asked about."""
    if not isinstance(places, pd.DataFrame):
        fix = "a pandas DataFrame"
        if hasattr(places, "image_keys"):
            fix += ": units.frame.set_index(units.id)"
        raise DebiasError(explain(f"places is a {type(places).__name__}.", fix=fix))
    if len(places) < 2:
        raise DebiasError(explain(f"places is a DataFrame of {len(places)} rows.", rule="two or more"))
    named = [name for name in (prediction, weights, cluster) if name is not None]
    require_columns(places, named, table="places", error=DebiasError)
    ids = places.index.to_numpy()
    if places.index.has_duplicates:
        raise DebiasError(explain("Places share ids.", where=ids[places.index.duplicated()]))
    seen = read_numbers(places[prediction], ids, role="prediction")
    if np.isnan(seen).any():
        raise DebiasError(
            explain(f"Column {prediction!r} has missing values in the places.", where=ids[np.isnan(seen)])
        )
    clusters = read_clusters(places, cluster, ids, np.arange(ids.size))
    return ids, seen, read_weights(places, weights, ids), clusters


def _parts_of_labelled(
    sample: CalibrationSample, made: LevelMeans, codes: npt.NDArray[np.intp]
) -> FloatArray:
    """Return what labelled units add to the error of both parts of the ratio (m, 2)."""
    centred = made.shares * (sample.prediction - made.means[codes, 0])
    return np.column_stack(
        [np.where(codes == 0, -1.0, 0.0) * centred, np.where(codes == 1, 1.0, -1.0) * centred]
    )


def _estimate(
    ids: npt.NDArray[Any],
    values: FloatArray,
    scores: FloatArray,
    parts: FloatArray,
    units: PooledUnits,
    cluster: str | None,
) -> Estimate:
    """Return both parts of the ratio with their joint covariance."""
    more, second = units.by_sample(parts)
    plain = Estimate(
        estimand="mean of h less that of truth 0, difference of h by truth",
        method="rogan-gladen",
        terms=("mean of h", "h by truth"),
        values=values,
        ids=ids,
        score_values=scores + more,
        variance=Variance(np.eye(2), float(ids.size - 1), 1.0, None),
        groups={} if units.clusters is None else {str(cluster): units.clusters},
        second=second,
        assumptions=(ASSUMES,),
    )
    return plain.with_vcov("cluster" if plain.groups else "iid")


def _ratio(both: Estimate, truth: str) -> Estimate:
    top, bottom = both.values.tolist()
    by = ratio_loadings(top, bottom)
    made = replace(
        both,
        estimand=f"mean of {truth}",
        terms=(truth,),
        values=np.array([top / bottom]),
        score_values=both.score_values @ by,
        second=None if both.second is None else both.second.combined(by),
    )
    return made.with_vcov("cluster" if both.groups else "iid")


def _diagnostics(
    sample: CalibrationSample, made: LevelMeans, mean: float, units: PooledUnits
) -> dict[str, Any]:
    found = {"n_labelled": len(sample), "n_in_both": int((units.same >= 0).sum()), "mean_prediction": mean}
    if set(sample.prediction.tolist()) == {0.0, 1.0}:
        found |= {"sensitivity": float(made.means[1, 0]), "specificity": 1 - float(made.means[0, 0])}
    return found


def _provenance(
    ids: npt.NDArray[Any], seen: FloatArray, own: FloatArray, sample: CalibrationSample
) -> dict[str, Any]:
    gap = np.zeros(0) if sample.clusters is None else sample.clusters
    labelled = hash_arrays(sample.ids, sample.prediction, sample.truth, sample.weights, gap)
    return {"data_hash": hash_arrays(ids, seen, own), "labelled": labelled, "versions": versions()}
