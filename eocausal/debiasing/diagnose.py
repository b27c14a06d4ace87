"""`diagnose`: how predictions shrink a measured outcome, and whether a correction would help or hurt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._provenance import hash_arrays, versions
from eocausal.debiasing.berkson import berkson_checks
from eocausal.debiasing.calibration_sample import CalibrationSample
from eocausal.debiasing.choice import weigh
from eocausal.debiasing.contrasts import Attenuation, Pairs, between_arms, between_groups, between_units
from eocausal.debiasing.diagnosis_result import Diagnosis
from eocausal.debiasing.given_numbers import require_noise
from eocausal.debiasing.label_tests import label_tests
from eocausal.debiasing.linear_fit import line
from eocausal.debiasing.paired_arrays import read_pairs

FloatArray = npt.NDArray[np.float64]


def diagnose(
    prediction: npt.ArrayLike | pd.Series,
    truth: npt.ArrayLike | pd.Series,
    *,
    treatment: npt.ArrayLike | pd.Series | None = None,
    groups: pd.DataFrame | pd.Series | npt.ArrayLike | None = None,
    weights: npt.ArrayLike | pd.Series | None = None,
    cluster: npt.ArrayLike | pd.Series | None = None,
    label_noise_var: float = 0.0,
) -> Diagnosis:
    """Find how predictions shrink the truth, at which level, and whether to undo it.

    Predictions that are learned shrink to the mean: over places their slope on the truth, ``k``, is below 1.
    Whether an *effect* shrinks as much is another question. It does where the error of predictions is the
    same in both arms for places of one truth; dividing by ``k`` is then right. It does not shrink at all
    where treatment is as visible in predictions as in the outcome; dividing by ``k`` then overshoots. Labels
    with a treatment tell the two apart. Without them, groups of places stand in for arms.

    Parameters
    ----------
    prediction, truth : Series or array of shape (n,)
        Of the same places, in the same unit; at least 30. Predictions must be of models that did not see the
        place. Series are joined by their index, here and below.
    treatment : Series or array of shape (n,), optional
        0 or 1, of labelled units of a trial.
    groups : DataFrame, Series or array of shape (n,), optional
        Columns by which places differ as a treatment might make them differ: town or country, region. Never
        cut from predictions: under any error that predictions do not know of, such groups keep all of their
        difference.
    weights : Series or array of shape (n,), optional
        Positive sampling weights.
    cluster : Series or array of shape (n,), optional
        Places that were drawn together; standard errors let them vary together.
    label_noise_var : float
        Variance of the error of one measured outcome, in its unit squared. Without it that noise passes for
        shrinkage over places; between groups it does not enter.

    Returns
    -------
    Diagnosis

    Raises
    ------
    DebiasError
        Other lengths, missing or infinite values, fewer than 30 places, one value everywhere, weights that
        are not positive, one group or one arm alone, groups that are measurements.

    Notes
    -----
    Between two groups the share that is left is the difference in mean predictions over that in
    truth. Between several it is taken from products of different units of one group, the
    instrumental-variable slope with groups as instruments, so that noise within groups does not count.

    Examples
    --------
    A map that loses three tenths of every difference, those between towns and villages too:

    >>> import numpy as np, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> town = np.tile([0, 1], 500)
    >>> wealth = town + rng.normal(size=1000)
    >>> mapped = 0.7 * wealth + 0.4 * rng.normal(size=1000)
    >>> ec.diagnose(mapped, wealth, groups=town).verdict
    'correct'

    One that knows towns by sight:

    >>> ec.diagnose(mapped + 0.3 * town, wealth, groups=town).verdict
    'do not correct'
    """
    require_noise(label_noise_var)
    sample, arms = read_pairs(
        prediction, truth, treatment=treatment, groups=groups, weights=weights, cluster=cluster
    )
    return diagnose_sample(sample, treatment=arms, label_noise_var=label_noise_var)


def diagnose_sample(
    sample: CalibrationSample, *, treatment: FloatArray | None = None, label_noise_var: float = 0.0
) -> Diagnosis:
    """Diagnose a sample that is read and checked; ``treatment`` (n,) of 0 and 1."""
    pairs = Pairs(sample.prediction, sample.truth, sample.weights, sample.clusters)
    unit = between_units(pairs, label_noise_var=label_noise_var)
    levels = [between_groups(pairs, sample.groups[name].to_numpy(), term=str(name)) for name in sample.groups]
    tests = None
    if treatment is not None:
        levels.append(between_arms(pairs, treatment))
        tests = label_tests(
            sample.prediction, sample.truth, treatment, weights=sample.weights, clusters=sample.clusters
        )
    r2 = unit.estimate * line(sample.truth, sample.prediction, sample.weights).slope
    found = weigh(unit, levels, tests, r2=r2)
    return Diagnosis(
        verdict=found.verdict,
        corrects=found.corrects,
        reasons=found.reasons,
        unit=unit,
        levels=tuple(levels),
        checks=berkson_checks(pairs),
        r2=r2,
        sample=sample,
        treatment=treatment,
        label_tests=tests,
        warnings=(*sample.notes, *_too_noisy(r2, label_noise_var), *_of_levels(levels), *found.warnings),
        provenance={
            "sample_hash": hash_arrays(sample.prediction, sample.truth, sample.weights),
            "label_noise_var": float(label_noise_var),
            "versions": versions(),
        },
    )


def _too_noisy(r2: float, label_noise_var: float) -> list[str]:
    if r2 <= 1 or label_noise_var == 0:
        return []
    return [
        f"with label_noise_var={label_noise_var:.4g} predictions would explain {r2:.0%} of the variance of the "
        "truth: measured outcomes hold less noise than that"
    ]


def _of_levels(levels: list[Attenuation]) -> list[str]:
    """Return what is wrong with columns of groups."""
    told = [
        f"groups {one.term!r} seem to be cut from the {one.formed_from}: they say nothing of whether to correct, "
        "and do not count"
        for one in levels
        if one.formed_from
    ]
    return told + [
        f"{one.left_out} places are alone in their group of {one.term!r} and do not count there"
        for one in levels
        if one.left_out
    ]
