"""Whether predictions are to be corrected, and by which correction: the evidence weighed.

A difference that keeps the share ``c`` of its true size is naively off by ``1 - c``. Divided by the slope
``k`` of units it is off by ``c / k - 1``. At ``c = k`` the correction is right, at ``c = 1`` the naive
difference is, and at ``c = 2 k / (1 + k)`` both are equally far off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal.debiasing.contrasts import GROUPS, LEAST_F, TREATMENT, Attenuation
from eocausal.debiasing.label_tests import (
    PREDICTION_ON_TREATMENT,
    RESIDUAL_ON_TREATMENT,
    differential,
    words_of,
)
from eocausal.inference.variance import score_variance

if TYPE_CHECKING:
    from eocausal.debiasing.calibration_sample import CalibrationSample
    from eocausal.debiasing.diagnosis_result import Diagnosis

FloatArray = npt.NDArray[np.float64]
Correct = Callable[[FloatArray, str], FloatArray]

CORRECT, DO_NOT, CANNOT_TELL = "correct", "do not correct", "cannot tell"
USE_LABELS, NOTHING, USELESS = "use labels", "nothing to correct", "predictions do not follow the truth"
NAIVE_NEARER, CORRECTION_NEARER = "naive is nearer", "correction is nearer"
TOO_ROUGH, HARDLY_DIFFER, CUT = "too rough to tell", "groups hardly differ in truth", "cut from the {}"
NO_SLOPE = "no slope to correct by"
TOO_FEW = "too few groups to vouch for a correction"

# A few countries or regions differ in much else at once. They can speak against a correction, and not for one.
FEW_GROUPS = 20

# Where predictions explain less than this of the truth, a correction that is wrong more than doubles an effect.
WEAK_R2 = 0.5
# How far it may then overshoot at most, by the level that shows it best.
MARGIN = 0.25
_ONE_SIDED = 0.95
FOLDS, TRUTH_BINS = 5, 10

STAND_IN = (
    "groups stand in for arms: treatment that follows something else that is seen from above may shrink less"
)
INTERVAL = "the interval from the naive to the corrected estimate holds both readings"


@dataclass(frozen=True)
class Weighed:
    """What evidence says: a verdict, whether the correction is the better guess, reasons and warnings."""

    verdict: str
    corrects: bool
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def threshold(k: float) -> float:
    """Return the share of a difference that predictions must keep for the naive difference to be nearer.

    Examples
    --------
    >>> threshold(1 / 3)
    0.5
    """
    return 2 * k / (1 + k)


def reading(level: Attenuation, k: float) -> str:
    """Return what one level says of a slope ``k`` of units.

    It can tell where it lies beyond the threshold by more than chance, or where its standard error is so
    small that, were either reading true, the other would be chosen in one of twenty samples at most. Groups
    that were cut from predictions keep all of their difference under any error that the prediction does not
    know of, and groups cut from the truth lose the share of units: neither says anything. Three to nineteen
    groups can show that a correction overshoots, and are too few to show that it does not; two are a contrast.
    """
    if k <= 0:
        return NO_SLOPE
    if level.formed_from:
        return CUT.format(level.formed_from)
    if level.strength < LEAST_F or not np.isfinite(level.estimate):
        return HARDLY_DIFFER
    middle = threshold(k)
    if _half(level) > max(abs(middle - k), abs(level.estimate - middle)):
        return TOO_ROUGH
    naive, corrected = abs(level.estimate - 1), abs(level.estimate / k - 1)
    if naive < corrected:
        return NAIVE_NEARER
    return TOO_FEW if level.kind == GROUPS and level.n_groups < FEW_GROUPS else CORRECTION_NEARER


def weigh(
    unit: Attenuation, levels: Sequence[Attenuation], tests: pd.DataFrame | None = None, *, r2: float
) -> Weighed:
    """Weigh the slope of units, what groups keep, and the tests that labels with a treatment allow.

    Parameters
    ----------
    unit : Attenuation
    levels : sequence of Attenuation
        Of groups, contrasts and the treatment.
    tests : DataFrame, optional
        Of :func:`eocausal.debiasing.label_tests.label_tests`.
    r2 : float
        Share of the variance of the truth that a line in the prediction explains.
    """
    k, half = unit.estimate, float(stats.t.ppf(0.975, unit.df)) * unit.std_error
    if k <= half:
        told = f"the slope of the prediction on the truth is {k:.3f} (se {unit.std_error:.2g}), "
        told += "not told from 0" if k > -half else "so that predictions fall as the truth rises"
        why = (
            "no correction brings back what is not there"
            if k > -half
            else "corrections need them to rise with it"
        )
        return Weighed(USELESS, False, (told,), (f"{told}: {why}",))
    if abs(k - 1) <= half:
        told = (
            f"the slope of the prediction on the truth is {k:.3f} (se {unit.std_error:.2g}), not told from 1"
        )
        return Weighed(NOTHING, False, (told,))
    if tests is not None and any(differential(tests)):
        return _by_labels(k, tests)
    beside = () if tests is None else (words_of(tests),)
    found = _by_levels(k, levels, r2)
    return Weighed(found.verdict, found.corrects, (*beside, *found.reasons), found.warnings)


def _by_labels(k: float, tests: pd.DataFrame) -> Weighed:
    """Let labels decide, where they reject one of the two readings, or both."""
    naive_wrong, correction_wrong = differential(tests)
    told = words_of(tests)
    if naive_wrong and not correction_wrong:
        return Weighed(CORRECT, True, (told,))
    if correction_wrong and not naive_wrong:
        warning = f"{told}: the correction would overshoot"
        return Weighed(DO_NOT, False, (told,), (warning,))
    found = tests.set_index("term")["estimate"]
    naive, corrected = abs(found[RESIDUAL_ON_TREATMENT]), abs(found[PREDICTION_ON_TREATMENT]) / k
    nearer = "corrected" if corrected < naive else "naive"
    sizes = f"by the labels the naive estimate is off by {naive:.3g} and the corrected one by {corrected:.3g}"
    warning = "neither the naive nor the corrected estimate is right: use the labels, by ec.ppi"
    return Weighed(USE_LABELS, nearer == "corrected", (told, f"{sizes}: {nearer} is nearer"), (warning,))


def _by_levels(k: float, levels: Sequence[Attenuation], r2: float) -> Weighed:
    """Let differences between groups decide: those that can tell; one that speaks for naive is enough."""
    said = [(level, reading(level, k)) for level in levels]
    reasons = tuple(sentence(level, k, what) for level, what in said)
    against = [level for level, what in said if what == NAIVE_NEARER]
    telling = [level for level, what in said if what in (NAIVE_NEARER, CORRECTION_NEARER)]
    if against:
        names = ", ".join(f"{level.term} ({level.estimate:.0%})" for level in against)
        warning = (
            f"predictions keep other shares of differences than their slope of {k:.2f} says ({names}): their "
            f"error is not the same for all places of one truth, and a correction is farther off; {INTERVAL}"
        )
        return Weighed(DO_NOT, False, reasons, (warning,))
    if not telling:
        return _unseen(k, reasons, any_levels=bool(levels))
    if r2 < WEAK_R2 and not _safe(telling, k):
        warning = (
            f"{_weak(k, r2)}, and groups do not show that it overshoots by less than {MARGIN:.0%}; {INTERVAL}"
        )
        return Weighed(DO_NOT, False, reasons, (warning,))
    arms = any(level.kind == TREATMENT for level in telling)
    return Weighed(CORRECT, True, reasons if arms else (*reasons, STAND_IN))


def _unseen(k: float, reasons: tuple[str, ...], *, any_levels: bool) -> Weighed:
    """Return the guess where nothing tells the two readings apart: to believe a correction takes evidence."""
    nothing = "no groups can tell" if any_levels else "without groups nothing tells"
    warning = (
        f"{nothing} whether the error of predictions depends on treatment given the truth: that it does not is an "
        f"assumption, and {INTERVAL}"
    )
    told = (
        f"left as it is: method='lcc' or 'tweedie' says that treatment makes places differ as they differ anyway, "
        f"and multiplies effects by about {1 / k:.2f}"
    )
    return Weighed(CANNOT_TELL, False, (*reasons, told), (warning,))


def _weak(k: float, r2: float) -> str:
    return (
        f"predictions explain {r2:.0%} of the variance of the truth, and a correction multiplies any other "
        f"error by {1 / k:.1f}"
    )


def _safe(telling: Sequence[Attenuation], k: float) -> bool:
    """Tell whether one level shows that a correction hardly overshoots, and none that it overshoots at all."""
    ends = [(level.estimate - _half(level), level.estimate + _half(level)) for level in telling]
    return all(low <= k for low, _ in ends) and any(high <= (1 + MARGIN) * k for _, high in ends)


def _half(level: Attenuation) -> float:
    return float(stats.t.ppf(_ONE_SIDED, level.df)) * level.std_error


def sentence(level: Attenuation, k: float, said: str) -> str:
    """Return in words how much predictions keep at one level, and what the two estimates would make of it."""
    what = "between arms" if level.kind == TREATMENT else f"by {level.term}"
    if said == HARDLY_DIFFER:
        told = f"differences {what} are small in the truth"
        return f"{told} (F {level.strength:.2g}, below {LEAST_F:g}): nothing to go by"
    if not np.isfinite(level.std_error):
        return (
            f"differences {what} are those of a single unit or cluster on one side: nothing tells their error"
        )
    kept = f"predictions keep {level.estimate:.0%} of differences {what} (se {level.std_error:.2g})"
    return (
        f"{kept}: naive off by {level.estimate - 1:+.0%}, corrected by {level.estimate / k - 1:+.0%}; {said}"
    )


def choose_method(
    diagnosis: Diagnosis, *, corrected: Callable[[str], FloatArray] | None = None
) -> tuple[str, tuple[str, ...]]:
    """Return the correction that a calibration speaks for, ``none``, ``lcc`` or ``tweedie``, and why.

    Parameters
    ----------
    diagnosis : Diagnosis
    corrected : callable, optional
        Given ``"lcc"`` or ``"tweedie"``, returns corrected predictions (n,) of the places of the diagnosis,
        each by a correction that was fitted without it, as :func:`held_out` makes them. Without it, and with fewer
        than five clusters, the linear correction is chosen.
    """
    if not diagnosis.corrects:
        return "none", diagnosis.reasons
    if corrected is None:
        return "lcc", diagnosis.reasons
    sample = diagnosis.sample
    if sample.n_drawn < FOLDS:
        few = f"{sample.n_drawn} clusters are too few to hold some out: lcc, which assumes less than tweedie"
        return "lcc", (*diagnosis.reasons, few)
    made = {name: corrected(name) for name in ("lcc", "tweedie")}
    name, why = nearer_at_each_truth(sample, made)
    return name, (*diagnosis.reasons, why)


def held_out(
    sample: CalibrationSample, fit: Callable[[CalibrationSample], Correct]
) -> Callable[[str], FloatArray]:
    """Return corrected predictions by method, each place by what was fitted to the four fifths without it.

    Clusters stay whole. Places are dealt by rank of their truth, those of one truth by their prediction, so that
    folds are alike and no order of rows counts.

    Parameters
    ----------
    sample : CalibrationSample
    fit : callable
        From a sample to a function of predictions and a method.
    """
    labels = np.arange(len(sample)) if sample.clusters is None else sample.clusters
    codes = np.unique(labels, return_inverse=True)[1]
    size = np.bincount(codes)
    keys = [np.bincount(codes, one) / size for one in (sample.weights, sample.prediction, sample.truth)]
    rank = np.empty(size.size, dtype=np.intp)
    rank[np.lexsort(keys)] = np.arange(size.size)
    fold = (rank % FOLDS)[codes]
    parts = [(np.flatnonzero(fold == one), np.flatnonzero(fold != one)) for one in range(FOLDS)]
    fitted: list[tuple[npt.NDArray[np.intp], Correct]] = []

    def corrected(method: str) -> FloatArray:
        if not fitted:
            fitted.extend((rows, fit(sample.take(others))) for rows, others in parts if rows.size)
        made = np.empty(len(sample))
        for rows, correct in fitted:
            made[rows] = correct(sample.prediction[rows], method)
        return made

    return corrected


def nearer_at_each_truth(sample: CalibrationSample, made: dict[str, FloatArray]) -> tuple[str, str]:
    """Return which of two corrections has less bias at given truth, and that in words.

    The bias is the mean of corrected less truth in a tenth of the truth; squared, averaged, less what noise
    adds. Error of single places is no guide: a right correction makes it larger. Tweedie is chosen where its
    bias is smaller by more than chance (one-sided, 5%), since the linear correction needs fewer assumptions.
    """
    edges = np.unique(np.quantile(sample.truth, np.linspace(0, 1, TRUTH_BINS + 1)[1:-1]))
    codes = np.unique(np.searchsorted(edges, sample.truth, side="left"), return_inverse=True)[1]
    share = sample.weights / sample.weights.sum()
    total = np.bincount(codes, share)
    scores: dict[str, FloatArray] = {}
    sizes: dict[str, float] = {}
    for name, values in made.items():
        off = values - sample.truth
        mean = np.bincount(codes, share * off) / total
        apart = off - mean[codes]
        noise = np.bincount(codes, (share * apart) ** 2) / total**2
        sizes[name] = float(total @ (mean**2 - noise))
        # d of the sum over bins of total * mean**2
        scores[name] = codes.size * 2 * share * mean[codes] * apart
    gain = sizes["lcc"] - sizes["tweedie"]
    how = "hetero" if sample.clusters is None else "cluster"
    moved = (scores["lcc"] - scores["tweedie"])[:, None]
    error = float(np.sqrt(score_variance(moved, vcov=how, clusters=sample.clusters).matrix[0, 0]))
    shown = {name: np.sqrt(max(size, 0.0)) for name, size in sizes.items()}
    chosen = "tweedie" if gain > stats.norm.ppf(_ONE_SIDED) * error else "lcc"
    return chosen, (
        f"at given truth the root mean square bias, held out, is {shown['lcc']:.3g} with lcc and "
        f"{shown['tweedie']:.3g} with tweedie: {chosen}"
    )
