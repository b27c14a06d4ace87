"""`group_means`: how far a map shrinks differences between districts, and their means corrected."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns
from eocausal._provenance import hash_arrays, versions
from eocausal._study_columns import read_complete, read_weights
from eocausal.debiasing.calibration_sample import SPREADS, require_varies
from eocausal.debiasing.group_means_result import GroupMeans
from eocausal.debiasing.group_moments import GroupLine, GroupSums, group_line, group_sums
from eocausal.errors import DebiasError, explain
from eocausal.inference.estimate import Estimate
from eocausal.inference.variance import FEW_CLUSTERS, Variance

if TYPE_CHECKING:
    import pandas

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

# With fewer groups no line is worth its error.
LEAST = 10
# A slope that is fewer standard errors than this above zero divides nothing.
WEAK = 3.0

ASSUMES = (
    "predictions of groups follow their true means by one line, the same where there are no measurements",
    "units were drawn at random within groups, independently of one another",
)
NO_SPREAD = (
    "predictions of groups are nearer to their line than errors of sampling alone would put them: these errors are "
    "taken as all there is"
)


def group_means(
    data: pandas.DataFrame,
    *,
    by: str,
    prediction: str,
    truth: str,
    noise_var: str | None = None,
    weights: str | None = None,
) -> GroupMeans:
    """Estimate how far a map shrinks differences between districts, or other groups, and correct their means.

    Means shrink less than units do, and the truth of a group is measured with error: that of sampling few
    units. This error is taken off, since it would pass for an error of the map.

    Parameters
    ----------
    data : DataFrame
        Measured units with their prediction; or, with ``noise_var``, one row for each group, with its means.
    by : str
        Column that names the group.
    prediction, truth : str
        Numeric columns, in the same unit. A prediction that is one number in each group, such as the mean of
        the map over the whole district, has no error of sampling; predictions of the measured units have one,
        which goes together with that of the truth.
    noise_var : str, optional
        Column with the variance of the error in each group's mean truth, where only means are known: the squared
        standard error of the survey. Default: from the variance between units of a group over their number.
    weights : str, optional
        Column of sampling weights of units. Groups count equally.

    Returns
    -------
    GroupMeans
        Its estimates are ``k`` and ``m`` of ``prediction = m + k truth``; ``table()`` has the groups, and
        ``correct(predictions)`` corrects others.

    Raises
    ------
    DebiasError
        Fewer than 10 groups, no group with two units, columns with missing values or one value alone, groups twice
        with ``noise_var``, as much error of sampling as variance between groups, or predictions that hardly follow
        the truth.

    Notes
    -----
    Method of moments with known error variances: Fuller (1987), Measurement Error Models, section 3.1. Where
    groups are the units of a study, ``ec.debias(means.calibration, prediction="prediction", truth="truth",
    label_noise_var=means.label_noise_var)`` makes the corrector with the same ``k``.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> district = np.repeat(np.arange(200), 8)
    >>> level = rng.normal(size=200)
    >>> units = pd.DataFrame({"district": district, "wealth": level[district] + rng.normal(size=1600)})
    >>> units["map"] = 0.8 * level[district]
    >>> found = ec.group_means(units, by="district", prediction="map", truth="wealth")
    >>> round(float(found.estimate[0]), 1)
    0.8
    """
    frame, labels, codes = _read(data, [by, prediction, truth, *_given(noise_var, weights)], by)
    p, t = (_complete(frame, name, labels[codes]) for name in (prediction, truth))
    for name, column in ((prediction, p), (truth, t)):
        require_varies(column, f"Column {name!r}")
    if noise_var is None:
        sums = group_sums(p, t, read_weights(frame, weights, frame.index.to_numpy()), codes)
    else:
        sums = _given_sums(frame, noise_var, weights, p, t, labels, codes)
    _require_enough(sums)
    made = group_line(sums)
    _require_signal(made, sums)
    estimate = _estimate(labels, made, sums)
    _require_followed(estimate)
    named = {"by": by, "prediction": prediction, "truth": truth, "noise_var": noise_var, "weights": weights}
    values = hash_arrays(labels, sums.prediction, sums.truth, sums.truth_var, sums.covariance)
    provenance = {"columns": named, "data_hash": values, "versions": versions()}
    return GroupMeans.of(estimate, made, sums, by=by, about=_about(p, t, sums), provenance=provenance)


def _given(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]


def _read(data: object, named: list[str], by: str) -> tuple[pd.DataFrame, Labels, npt.NDArray[np.intp]]:
    """Return the table, names of groups (G,) and the group of each row."""
    if not isinstance(data, pd.DataFrame):
        raise DebiasError(explain(f"data is a {type(data).__name__}.", fix="pass a pandas DataFrame"))
    require_columns(data, named, table="data", error=DebiasError)
    missing = data[by].isna().to_numpy()
    if missing.any():
        raise DebiasError(
            explain(
                f"The group {by!r} is missing in some rows.",
                where=data.index[missing],
                fix=f"data = data.dropna(subset=[{by!r}])",
            )
        )
    try:
        codes, labels = pd.factorize(data[by], sort=True)
    except TypeError as cause:
        text = f"The group {by!r} holds what cannot be told apart or sorted: {str(cause)[:80]}."
        fix = f"data[{by!r}] = data[{by!r}].astype(str)"
        raise DebiasError(explain(text, rule="all numbers or all text", fix=fix)) from cause
    return data, np.asarray(labels), np.asarray(codes, dtype=np.intp)


def _complete(frame: pd.DataFrame, name: str, groups: Labels) -> FloatArray:
    return read_complete(
        frame[name],
        groups,
        error=DebiasError,
        what=f"Column {name!r} is missing in some rows, of these groups.",
        fix=f"data = data.dropna(subset=[{name!r}])",
    )


def _given_sums(
    frame: pd.DataFrame,
    noise_var: str,
    weights: str | None,
    p: FloatArray,
    t: FloatArray,
    labels: Labels,
    codes: Any,
) -> GroupSums:
    """Return means of groups that were handed in with the variance of their error."""
    if weights is not None:
        text = "weights= are of units within groups, and with noise_var= each row is a group."
        raise DebiasError(explain(text, fix="leave weights out"))
    counts = np.bincount(codes)
    if (counts > 1).any():
        raise DebiasError(
            explain(
                "With noise_var= each row is a group, and some groups have several rows.",
                where=labels[counts > 1],
                fix="leave noise_var out, where rows are units",
            )
        )
    noise = _complete(frame, noise_var, labels[codes])
    if (noise < 0).any():
        raise DebiasError(
            explain("Variances are negative.", where=labels[codes][noise < 0], rule="0 or more")
        )
    order = np.argsort(codes)
    nothing = np.zeros(labels.size)
    return GroupSums(counts, p[order], t[order], nothing, noise[order], nothing)


def _require_enough(sums: GroupSums) -> None:
    if sums.n.size < LEAST:
        raise DebiasError(
            explain(f"There are {sums.n.size} groups.", rule=f"at least {LEAST}, and better 30")
        )
    if np.isnan(sums.truth_var).any():
        raise DebiasError(
            explain(
                "No group has two units, so that the error in means of the truth is not known.",
                fix="noise_var=, a column with the variance of the error of each mean",
            )
        )


def _require_signal(made: GroupLine, sums: GroupSums) -> None:
    if made.signal <= 0 or np.ptp(sums.truth) == 0:
        raise DebiasError(
            explain(
                f"Measured means vary by {sums.truth.var(ddof=1):.4g} between groups, and "
                f"{sums.truth_var.mean():.4g} "
                "of that is error of sampling.",
                rule="true means that differ",
                fix="more units in each group, or larger groups",
            )
        )


def _estimate(labels: Labels, made: GroupLine, sums: GroupSums) -> Estimate:
    plain = Estimate(
        estimand="line of group means",
        method="moments, sampling error taken off",
        terms=("k", "m"),
        values=np.array([made.k, made.m]),
        ids=labels,
        score_values=made.scores,
        variance=Variance(np.eye(2), float(labels.size - 2), 1.0, None),
        n_params=2,
        assumptions=ASSUMES,
    )
    few = f"{labels.size} groups: with fewer than {FEW_CLUSTERS} standard errors are too small"
    told = (
        *([few] if labels.size < FEW_CLUSTERS else []),
        *([NO_SPREAD] if made.spread < 0 else []),
        *_other_units(sums),
    )
    found = plain.with_vcov("hetero")
    return replace(found, warnings=(*told, *found.warnings))


def _other_units(sums: GroupSums) -> list[str]:
    """Return a warning where means of predictions and of the truth are hardly in one unit of measurement."""
    ratio = float(sums.prediction.std() / sums.truth.std())
    if SPREADS[0] <= ratio <= SPREADS[1]:
        return []
    return [
        f"the standard deviation of predictions of groups is {ratio:.3g} times that of their truth: are both in "
        "the same unit? Corrected means are in that of the truth"
    ]


def _require_followed(estimate: Estimate) -> None:
    k, error = float(estimate.values[0]), float(np.sqrt(estimate.variance.matrix[0, 0]))
    if k < WEAK * error:
        raise DebiasError(
            explain(
                f"Predictions of groups hardly follow their means: k is {k:.3g}, its standard error {error:.2g}.",
                rule=f"at least {WEAK:g} standard errors above zero",
                fix="more groups, or better predictions; there is nothing to correct with",
            )
        )


def _about(p: FloatArray, t: FloatArray, sums: GroupSums) -> dict[str, Any]:
    """Return what a reader compares k with: that of units, and that of means as they are."""
    plain = float(np.cov(sums.prediction, sums.truth)[0, 1] / sums.truth.var(ddof=1))
    found: dict[str, Any] = {"k_with_sampling_error": plain}
    if (sums.n > 1).any():
        found |= {"k_of_units": float(np.cov(p, t)[0, 1] / t.var(ddof=1)), "units": int(sums.n.sum())}
    return {**found, "reliability": float(1 - sums.truth_var.mean() / sums.truth.var(ddof=1))}
