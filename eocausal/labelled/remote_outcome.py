"""`remote_outcome`: the effect on an outcome measured elsewhere, from predictions of it in the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, whole_number
from eocausal._provenance import hash_arrays
from eocausal.debiasing.calibration_sample import uneven
from eocausal.effects.ate import ate
from eocausal.errors import DebiasError, explain
from eocausal.inference.contrast import combinations
from eocausal.inference.estimate import Estimate
from eocausal.labelled.efficient_function import Stacked, efficient_function
from eocausal.labelled.pooled_units import PooledUnits
from eocausal.labelled.remote_moments import Recovery, level_means, recovery
from eocausal.labelled.remote_result import RemoteOutcome, checks_table, levels_table, weak_denominator
from eocausal.labelled.remote_tests import DIRECT, MEANINGS, MIXTURE, direct_test, mixture_test
from eocausal.labelled.remote_trial import LEAST_IN_LEVEL, RemoteSamples, other_predictions, read_samples

if TYPE_CHECKING:
    import pandas

FloatArray = npt.NDArray[np.float64]

FUNCTIONS = ("prediction", "efficient")
# A test that rejects at this level is told of.
_LEVEL = 0.05

ASSUMES = (
    "given the truth, predictions do not depend on treatment (no direct effect on what is sensed)",
    "given the truth, predictions are spread alike in the study and in the labelled sample (stability)",
)
ASSUMES_LEVELS = (
    "predictions, bent so that their mean is right in each level of the truth, are right on average at every "
    "truth, or treatment moves units between levels alone"
)


@dataclass(frozen=True, eq=False)
class _Functions:
    """Functions of what was sensed, of units of the study (n, q) and labelled units (m, q)."""

    name: str
    trial: FloatArray
    labelled: FloatArray


def remote_outcome(
    design: Any,
    labelled: pandas.DataFrame,
    *,
    truth: str,
    prediction: str | Sequence[str] | None = None,
    h: str | Sequence[float] = "prediction",
    weights: str | None = None,
    cluster: str | None = None,
    method: str = "aipw",
    seed: int = 0,
) -> RemoteOutcome:
    """Estimate an effect on an outcome that the study has predictions of, and another sample has measured.

    The study knows treatment and prediction, the labelled sample truth and prediction. The effect on the
    prediction is divided by how much predictions differ between labelled units with truth 1 and 0.

    Parameters
    ----------
    design : Design
        Its outcome is the prediction, as the map gives it, or a score or class of a model.
    labelled : DataFrame
        Units with prediction and truth, the index their id. They may be units of the study or others: who is in
        both is known by the id, which clusters are by their labels.
    truth : str
        Column of 0 and 1; with cut points any number.
    prediction : str or list of str, optional
        Column of the labelled sample; default the name of the design's outcome. Of a list the first is the
        prediction, and the others are columns of both tables, such as bands or other maps, that
        ``h="efficient"`` reads too.
    h : {"prediction", "efficient"} or sequence of float
        The function of what was sensed that effects are estimated on. ``prediction``: as it is. ``efficient``:
        that of it, and of other columns, that makes the standard error smallest, learned out of fold with
        clusters kept whole. Both estimate the same effect. Cut points part a bounded or curved outcome, such as
        an index from 0 to 100, into levels: the function is the line with a bend at each inner level whose mean
        is right in every level of the truth. With classes from 0 to K - 1 as predictions it inverts the table of
        predicted by true classes.
    weights, cluster : str, optional
        Columns of the labelled sample; the design has its own.
    method : str
        Of :func:`eocausal.ate`, for the effect on predictions. ``difference`` is that of the paper.
    seed : int
        For folds.

    Returns
    -------
    RemoteOutcome

    Raises
    ------
    DebiasError
        A truth that is not 0 or 1 without cut points, few units in a level, predictions that do not tell the
        levels apart, units with one id and two predictions, missing
        values.
    EstimationError
        What :func:`eocausal.ate` raises.

    Notes
    -----
    Rambachan, Singh and Viviano (2024), arXiv 2411.10959: ``theta = mean(De h) / mean(Do h)``, with ``De = D Se
    / P(D=1, Se) - (1 - D) Se / P(D=0, Se)`` and ``Do`` likewise of the truth in the labelled sample. For a 0/1
    prediction it is Rogan and Gladen's (1978), ``difference / (sensitivity + specificity - 1)``, and for a 0/1
    truth it is LCC. Influence values hold the error of both samples; labelled units outside the study are a
    second sample (``fit.second``), whose clusters count with all their units.

    Examples
    --------
    Predictions that are right for 8 of 10 shrink an effect of -0.2 to -0.12, up to chance:

    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(1)
    >>> poor = np.repeat([0, 1], 1000)
    >>> seen = np.where(rng.uniform(size=2000) < 0.8, poor, 1 - poor)
    >>> survey = pd.DataFrame({"poor": poor, "seen": seen}, index=[f"survey {i}" for i in range(2000)])
    >>> grant = np.tile([0, 1], 2000)
    >>> poor = rng.uniform(size=4000) < 0.6 - 0.2 * grant
    >>> trial = pd.DataFrame({"grant": grant, "seen": np.where(rng.uniform(size=4000) < 0.8, poor, ~poor) * 1})
    >>> design = ec.Design(trial, outcome="seen", treatment="grant")
    >>> found = ec.remote_outcome(design, survey, truth="poor", method="difference")
    >>> float(found.parts.values[0].round(2)), round(found.estimate, 2)
    (-0.1, -0.18)
    """
    if isinstance(h, str):
        one_of(h, FUNCTIONS, argument="h", error=DebiasError)
    elif not isinstance(h, list | tuple | np.ndarray):
        text = f"h is a {type(h).__name__}."
        raise DebiasError(explain(text, fix="h='prediction', 'efficient', or cut points such as [40, 60]"))
    levels = None if isinstance(h, str) else tuple(h)
    h = h if levels is None else levels
    whole_number(seed, argument="seed", error=DebiasError)
    _require_one_column(h, prediction)
    samples = read_samples(
        design, labelled, prediction=prediction, truth=truth, weights=weights, cluster=cluster, levels=levels
    )
    units = PooledUnits.of(samples.trial.ids, samples.trial.clusters, samples.trial.outcome, samples.labelled)
    functions = _functions(samples, units, h, seed)
    effects = [ate(samples.with_outcome(one), method=method, seed=seed) for one in functions.trial.T]
    sample = samples.labelled
    made = recovery(
        np.array([float(one.values[0]) for one in effects]),
        functions.labelled, sample.truth, samples.levels, sample.weights,
    )  # fmt: skip
    checks = [] if levels is not None else _checks(samples, units, functions)
    fit, parts = _estimates(samples, functions, effects, made, binary=levels is None)
    told = [
        *weak_denominator(parts),
        *_rejected(checks),
        *other_predictions(samples.trial.outcome, sample.prediction, "the study"),
        *uneven(sample.weights),
        *([] if levels is not None else _untested(samples)),
    ]
    fit = replace(fit, warnings=tuple(dict.fromkeys([*told, *fit.warnings])))
    return RemoteOutcome(fit, parts, _levels(samples, made), checks_table(checks))


def _require_one_column(h: object, prediction: object) -> None:
    if h != "efficient" and isinstance(prediction, list | tuple) and len(prediction) > 1:
        raise DebiasError(
            explain(
                f"h={h!r} reads one column, and prediction= names {len(prediction)}.",
                fix="h='efficient', which reads them all",
            )
        )


def _functions(samples: RemoteSamples, units: PooledUnits, h: str | Sequence[float], seed: int) -> _Functions:
    """Return the functions of what was sensed that effects are estimated on."""
    if not isinstance(h, str):
        seen = samples.labelled.prediction
        bends = level_means(seen[:, None], samples.levels, samples.labelled.weights).means[1:-1, 0]
        return _Functions("levels", _bent(samples.trial.outcome, bends), _bent(seen, bends))
    if h == "prediction":
        return _Functions(h, samples.trial.outcome[:, None], samples.labelled.prediction[:, None])
    trial, sample = samples.trial, samples.labelled
    weights = [one / one.mean() for one in (trial.weights, sample.weights)]
    stacked = Stacked(
        np.concatenate([samples.trial_columns, samples.columns]),
        np.concatenate([trial.treatment.astype(np.intp), samples.levels + 2]),
        np.concatenate(weights),
        units.groups,
    )
    found = efficient_function(stacked, seed=seed)
    n = trial.ids.size
    return _Functions(h, found[:n, None], found[n:, None])


def _bent(values: FloatArray, bends: FloatArray) -> FloatArray:
    """Return values (n,) beside what of them lies above each of K - 2 bends (n, K - 1)."""
    return np.column_stack([values, np.maximum(values[:, None] - bends, 0.0)])


def _estimates(
    samples: RemoteSamples,
    functions: _Functions,
    effects: Sequence[Estimate],
    made: Recovery,
    *,
    binary: bool,
) -> tuple[Estimate, Estimate | None]:
    """Return the effect on the truth and, of a 0/1 truth, what it is the ratio of."""
    first, sample = effects[0], samples.labelled
    values = np.array([float(one.values[0]) for one in effects])
    scores = np.column_stack([one.score_values[:, 0] for one in effects])
    entered = pd.Index(samples.trial.ids).get_indexer(pd.Index(first.ids))
    clusters = first.groups.get(str(samples.design.cluster))
    units = PooledUnits.of(first.ids, clusters, samples.trial.outcome[entered], sample)
    found, moved = combinations(values, scores, made.loadings[:, None])
    step = level_means(functions.labelled, samples.levels, sample.weights)
    about = {
        "h": functions.name,
        "n_labelled": len(sample),
        "n_in_both": int((units.same >= 0).sum()),
        "effect_on_prediction": float(values[0]),
        **_accuracy(samples, functions, step.means),
    }
    named: dict[str, Any] = {
        "estimand": f"{first.estimand} on the truth",
        "method": f"{first.method}, remote outcome ({functions.name})",
        "assumptions": (*ASSUMES, *([] if binary else [ASSUMES_LEVELS]), *first.assumptions),
        "diagnostics": {**first.diagnostics, **about},
        "provenance": {**first.provenance, "labelled": _fingerprint(samples)},
    }
    fit = _with_labelled(
        replace(first, values=found, origin=None, **named), moved, made.parts[:, None], units
    )
    if not binary:
        return fit, None
    centred = functions.labelled[:, 0] - step.means[samples.levels, 0]
    by_truth = np.where(samples.levels == 1, 1.0, -1.0) * step.shares * centred
    bottom = float(step.means[1, 0] - step.means[0, 0])
    both = replace(
        first,
        **{**named, "estimand": "effect on h, difference of h by truth"},
        terms=("effect on h", "h by truth"),
        values=np.array([values[0], bottom]),
        origin=None,
    )
    zeros = np.zeros((first.n, 1))
    parts = np.column_stack([np.zeros(len(sample)), by_truth])
    return fit, _with_labelled(both, np.column_stack([scores, zeros]), parts, units)


def _with_labelled(estimate: Estimate, scores: FloatArray, parts: FloatArray, units: PooledUnits) -> Estimate:
    """Return an estimate with influence values (n, k) and what labelled units (m, k) add to its error."""
    more, second = units.by_sample(parts)
    choice = "cluster" if estimate.groups else "iid"
    return replace(estimate, score_values=scores + more, second=second).with_vcov(choice)


def _accuracy(samples: RemoteSamples, functions: _Functions, means: FloatArray) -> dict[str, float]:
    """Return by how much predictions differ by truth, and sensitivity and specificity of 0/1 predictions."""
    if functions.name == "levels":
        return {}
    found = {"h_by_truth": float(means[1, 0] - means[0, 0])}
    if functions.name == "prediction" and set(samples.labelled.prediction.tolist()) == {0.0, 1.0}:
        found |= {"sensitivity": float(means[1, 0]), "specificity": 1 - float(means[0, 0])}
    return found


def _checks(samples: RemoteSamples, units: PooledUnits, functions: _Functions) -> list[dict[str, Any]]:
    trial, sample, groups = samples.trial, samples.labelled, units.groups
    of_trial = {
        "prediction": trial.outcome, "weights": trial.weights, "level": trial.treatment.astype(np.intp)
    }  # fmt: skip
    of_labelled = {
        "prediction": sample.prediction, "weights": sample.weights, "level": samples.levels
    }  # fmt: skip
    found = [mixture_test(of_trial, of_labelled, groups)]
    given = None if _untested(samples) else _treated(samples)
    if given is not None:
        own = groups[trial.ids.size :]
        found.append(direct_test(functions.labelled[:, 0], sample.truth, given, sample.weights, own))
    return [one for one in found if one is not None]


def _treated(samples: RemoteSamples) -> FloatArray | None:
    """Return the treatment of labelled units (m,), NaN where it is no number; None without such a column."""
    sample, name = samples.labelled, samples.design.treatment
    if name not in sample.groups:
        return None
    return pd.to_numeric(sample.groups[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _untested(samples: RemoteSamples) -> list[str]:
    """Say where labelled units have a column of the treatment that tests nothing."""
    given = _treated(samples)
    if given is None:
        return []
    counts = [int((given == arm).sum()) for arm in (0, 1)]
    strange = int(given.size - sum(counts))
    if not strange and min(counts) >= LEAST_IN_LEVEL:
        return []
    return [
        f"whether treatment changes predictions beyond the truth is not tested: of the labelled units {counts[1]} "
        f"have {samples.design.treatment!r} 1, {counts[0]} have 0 and {strange} another value or none (at least "
        f"{LEAST_IN_LEVEL} of each arm, and nothing else)"
    ]


def _levels(samples: RemoteSamples, made: Recovery) -> pd.DataFrame:
    sample = samples.labelled
    means = level_means(
        np.column_stack([sample.truth, sample.prediction]), samples.levels, sample.weights
    ).means
    return levels_table(np.bincount(samples.levels), means[:, 0], means[:, 1], made.moved)


def _rejected(checks: list[dict[str, Any]]) -> list[str]:
    told = {
        MIXTURE: "what is sensed given the truth differs between the arms, or between study and labelled sample",
        DIRECT: "treatment changes predictions beyond the truth",
    }
    return [
        f"the data speak against an assumption ({one['test']}: p {one['p_value']:.2g}; {MEANINGS[one['test']]}): "
        f"{told[one['test']]}, and the estimate is biased"
        for one in checks
        if one["p_value"] < _LEVEL
    ]


def _fingerprint(samples: RemoteSamples) -> str:
    sample = samples.labelled
    clusters = np.zeros(0) if sample.clusters is None else sample.clusters
    return hash_arrays(sample.ids, samples.columns, sample.truth, sample.weights, clusters)
