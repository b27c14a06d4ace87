"""`predict_then_debias`: any estimator on predictions, put right by labels, with a bootstrap of all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, require_columns
from eocausal._study_columns import read_numbers
from eocausal._threads import one_blas_thread
from eocausal.errors import DebiasError, EstimationError, explain
from eocausal.labelled.asked import Labelling, labelling_of
from eocausal.labelled.bootstrap_result import DebiasedBootstrap
from eocausal.labelled.label_checks import table_warnings
from eocausal.labelled.labelled_table import LabelledTable, Roles, read_labelled
from eocausal.labelled.resampling import Drawn, Resampling, what_is_drawn

if TYPE_CHECKING:
    from eocausal.units import Units

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
Labels = npt.NDArray[Any]
# From rows of the table, the outcome (m,) and weights (m,) to coefficients.
Estimator = Callable[[pd.DataFrame, FloatArray, FloatArray], Any]

TUNINGS = ("diagonal", "full", "none")
# More draws without an answer than this share are no bootstrap.
_MOST_FAILED = 0.05
ASSUMES = (
    "units have labels at random, or with the given probabilities",
    "predictions were made without the labels: by a model trained elsewhere, or out of fold",
    "the estimator is smooth enough for a bootstrap and heeds its weights",
)


@dataclass(frozen=True, eq=False)
class _Study:
    """The table by units with labels and without, with what each unit weighs."""

    table: LabelledTable
    estimator: Estimator
    weights: FloatArray

    def parts(self, times: Codes | None) -> FloatArray | None:
        """Return coefficients (3, k) of the truth and of predictions with labels, and of predictions without.

        ``times`` (n,) is how often each unit comes up; a unit that does so twice is there twice. None where one
        side has no unit, or the estimator no answer.
        """
        table, found = self.table, []
        for side in (table.labelled, ~table.labelled):
            rows = np.flatnonzero(side)
            rows = rows if times is None else np.repeat(rows, times[rows])
            if rows.size == 0:
                return None
            frame, weights = table.frame.iloc[rows], self.weights[rows]
            outcomes = [table.truth, table.prediction] if side is table.labelled else [table.prediction]
            for outcome in outcomes:
                try:
                    answer = self.estimator(frame, outcome[rows], weights)
                except (EstimationError, np.linalg.LinAlgError):
                    if times is None:
                        raise
                    return None
                found.append(_numbers_of(answer))
        if len({one.size for one in found}) > 1:
            if times is None:
                raise DebiasError(
                    explain(
                        f"The estimator gave {[one.size for one in found]} numbers with and without labels.",
                        rule="as many coefficients of the truth as of predictions, in one order",
                        fix="levels of categories that occur on both sides",
                    )
                )
            return None
        made = np.array(found)
        return made if np.isfinite(made).all() else None


def predict_then_debias(
    data: Units | pd.DataFrame,
    *,
    estimator: Estimator,
    prediction: str,
    truth: str,
    labelled: str | None = None,
    labelling: float | str | Labelling | None = None,
    weights: str | None = None,
    tuning: Literal["diagonal", "full", "none"] = "diagonal",
    resampling: Resampling | None = None,
) -> DebiasedBootstrap:
    """Run any estimator on predictions, put it right by units with labels, and bootstrap all of it.

    The answer is that of the truth where there are labels, less Omega times the gap between answers of predictions
    with labels and without. Omega is chosen so that the variance of the draws is smallest.

    Parameters
    ----------
    data : Units or pandas.DataFrame
        The index of a plain DataFrame is the unit id.
    estimator : callable
        ``estimator(table, outcome, weights)`` gives a number, an array, or a Series whose index names the terms. It
        is called hundreds of times with rows of the data, an outcome and weights (both arrays, one value a row). A
        unit that is drawn twice is there twice, so that an estimator without weights is right where they are equal.
    prediction, truth : str
        Numeric columns. The prediction is there for every unit, the truth for those with a label.
    labelled : str, optional
        Column that says whose truth may be used. Default: where the truth is there.
    labelling : float, str or Labelling, optional
        How it was decided who has a label. With a known probability, below 1, or a column of them, units with
        labels weigh one over it, those without one over what is left to 1. Clusters that were labelled whole and
        strata, in :class:`Labelling`, are drawn as such unless ``resampling`` names others. Default: at random.
    weights : str, optional
        Column of positive sampling weights.
    tuning : {"diagonal", "full", "none"}
        Omega: one number for each coefficient, a whole matrix, or 1, which uses all of the predictions.
    resampling : Resampling, optional
        Draws, clusters, strata, seed, progress. Default 999 draws of single units.

    Returns
    -------
    DebiasedBootstrap

    Raises
    ------
    DebiasError
        Columns missing, no labels, probabilities outside 0 to 1, an estimator that gives no finite numbers or not
        as many each time, or one that fails in more than 5% of draws.

    Notes
    -----
    Kluger, Lu, Zrnic, Wang and Bates (2025), arXiv 2501.18577. Omega is ``cov(t, d) var(d)^-1`` over draws, with
    ``t`` the answers of the truth and ``d`` the gaps; it has no bounds. Where labels are drawn apart from the other
    units it is theirs, and with clusters that hold both it counts what these share. Standard errors are of the
    draws with the degrees of freedom of Omega taken off, times ``G / (G - H)`` for G clusters in H strata.

    Examples
    --------
    A median, of which no formula is needed:

    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> wealth = pd.Series(rng.gamma(2, size=2000))
    >>> table = pd.DataFrame({"predicted": 0.7 * wealth + rng.normal(scale=0.2, size=2000)})
    >>> table["wealth"] = wealth.where(table.index < 200)
    >>> found = ec.predict_then_debias(
    ...     table, estimator=lambda rows, outcome, weights: np.median(outcome), prediction="predicted",
    ...     truth="wealth", resampling=ec.Resampling(draws=199))
    >>> bool(found.std_error < 0.7 * found.table()["std_error"][1])
    True
    """
    one_of(tuning, TUNINGS, argument="tuning", error=DebiasError)
    decided = labelling_of(labelling)
    resampling = _checked(estimator, resampling, decided)
    roles = Roles(prediction, truth, labelled, resampling.cluster, weights)
    table = read_labelled(data, roles)
    study = _Study(table, estimator, _weights(table, decided.probability))
    drawn = _drawn(table, resampling)
    with one_blas_thread():
        parts = study.parts(None)
        if parts is None:
            raise DebiasError(
                explain(
                    "The estimator gave values that are not finite.", rule="finite coefficients for all units"
                )
            )
        draws, failed = _draws(study, drawn, resampling, parts.shape[1])
        at_random = decided.probability is None and resampling.strata is None
        seen = table_warnings(table, at_random=at_random)
        told = (*table.warnings, *seen, *_unheeded(study, parts), *_failed(failed, resampling))
    terms = _terms(study, parts.shape[1])
    omega = _omega(draws, tuning)
    return DebiasedBootstrap(
        estimand=f"coefficients of {truth}",
        terms=terms,
        parts=parts,
        draws=draws,
        omega=omega,
        tuned=0 if tuning == "none" else 1 if tuning == "diagonal" else len(terms),
        factor=drawn.factor,
        n=int(table.ids.size),
        n_clusters=None if resampling.cluster is None else drawn.n_clusters,
        assumptions=ASSUMES,
        warnings=told,
        diagnostics={**table.counts, "draws": len(draws), "tuning": tuning},
        provenance=table.provenance(roles, resampling=vars(resampling), labelling=vars(decided)),
    )


def _checked(estimator: object, resampling: object, labelling: Labelling) -> Resampling:
    if not callable(estimator):
        raise DebiasError(
            explain(
                f"estimator is a {type(estimator).__name__}.",
                rule="a function of rows of the table, the outcome and weights",
                fix="estimator=lambda table, outcome, weights: np.average(outcome, weights=weights)",
            )
        )
    resampling = Resampling() if resampling is None else resampling
    if not isinstance(resampling, Resampling):
        raise DebiasError(
            explain(f"resampling is a {type(resampling).__name__}.", fix="ec.Resampling(draws=999, seed=0)")
        )
    if labelling.trained_on is not None:
        raise DebiasError(
            explain(
                f"Labelling(trained_on={labelling.trained_on!r}) leaves units out, and draws are of all units.",
                fix=f"data = data[~data[{labelling.trained_on!r}]]",
            )
        )
    return replace(
        resampling,
        cluster=resampling.cluster or labelling.cluster,
        strata=resampling.strata or labelling.strata,
    )


def _weights(table: LabelledTable, probability: str | float | None) -> FloatArray:
    """Return what each unit weighs (n,): its sampling weight over the probability of being on its side."""
    if probability is None:
        return table.weights
    if isinstance(probability, str):
        require_columns(table.frame, [probability], table="data", error=DebiasError)
        chance = read_numbers(table.frame[probability], table.ids, role="probability of a label")
    else:
        chance = np.full(table.ids.size, float(probability))
    bad = ~((chance > 0) & (chance < 1))
    if bad.any():
        raise DebiasError(
            explain(
                f"The probability of a label {probability!r} is not strictly between 0 and 1.",
                where=table.ids[bad] if isinstance(probability, str) else (),
                rule="every unit could have had a label, and could have been without",
                fix="leave out units that could not; a share such as 0.1, not a percentage",
            )
        )
    return np.asarray(table.weights / np.where(table.labelled, chance, 1 - chance))


def _drawn(table: LabelledTable, resampling: Resampling) -> Drawn:
    strata = None
    if resampling.strata is not None:
        require_columns(table.frame, [resampling.strata], table="data", error=DebiasError)
        strata = table.frame[resampling.strata]
    labels = _sortable(table.ids) if table.clusters is None else table.clusters
    return what_is_drawn(labels, strata, labelled=table.labelled, name=resampling.cluster)


def _sortable(ids: Labels) -> Labels:
    """Return ids (n,) as labels that have an order, as ids of several types have as text; each stays one."""
    if ids.dtype != object:
        return ids
    texts = ids.astype(str)
    return texts if np.unique(texts).size == ids.size else np.array([repr(one) for one in ids.tolist()])


def _draws(study: _Study, drawn: Drawn, resampling: Resampling, width: int) -> tuple[FloatArray, int]:
    """Return coefficients (draws, 3, k) of the draws that have an answer, and how many have none."""
    from tqdm import tqdm

    bar = tqdm(
        drawn.times(resampling.draws, resampling.seed), desc="predict, then debias", unit="draw",
        total=resampling.draws, disable=not resampling.progress,
    )  # fmt: skip
    found = [parts for times in bar if (parts := study.parts(times)) is not None and parts.shape[1] == width]
    failed = resampling.draws - len(found)
    if failed > _MOST_FAILED * resampling.draws:
        raise DebiasError(
            explain(
                f"{failed} of {resampling.draws} draws have no answer: no unit with a label, none without, or an "
                "estimator that found nothing.",
                rule=f"at most {_MOST_FAILED:.0%} of draws",
                fix="Resampling(strata=...) where labels were drawn by stratum, or a simpler estimator",
            )
        )
    return np.array(found), failed


def _omega(draws: FloatArray, tuning: str) -> FloatArray:
    """Return Omega (k, k), which makes variances of ``truth - Omega gap`` over the draws smallest."""
    truth, gap = draws[:, 0], draws[:, 1] - draws[:, 2]
    width = truth.shape[1]
    if tuning == "none":
        return np.eye(width)
    truth, gap = truth - truth.mean(axis=0), gap - gap.mean(axis=0)
    if tuning == "diagonal":
        together, alone = (truth * gap).sum(axis=0), (gap**2).sum(axis=0)
        return np.diag(np.divide(together, alone, out=np.zeros(width), where=alone > 0))
    return np.asarray(np.linalg.lstsq(gap, truth, rcond=None)[0].T)


def _terms(study: _Study, width: int) -> tuple[str, ...]:
    """Return names of the terms: those of a Series, else numbers."""
    rows = study.table.labelled
    answer = study.estimator(study.table.frame[rows], study.table.truth[rows], study.weights[rows])
    if isinstance(answer, pd.Series):
        return tuple(str(name) for name in answer.index)
    return ("estimate",) if width == 1 else tuple(f"term {number + 1}" for number in range(width))


def _numbers_of(answer: Any) -> FloatArray:
    """Return what an estimator gave as numbers (k,), or raise DebiasError where it gave something else."""
    values = answer.to_numpy() if isinstance(answer, pd.Series) else answer
    try:
        numbers = np.atleast_1d(np.asarray(values, dtype=float))
    except (TypeError, ValueError) as cause:
        raise DebiasError(_no_numbers(type(answer).__name__)) from cause
    if numbers.ndim > 1:
        raise DebiasError(_no_numbers(f"{type(answer).__name__} of {numbers.ndim} dimensions"))
    return numbers


def _no_numbers(what: str) -> str:
    return explain(
        f"The estimator gave a {what}.",
        rule="a number, an array of one dimension, or a Series of numbers",
        fix="such as result.params of statsmodels",
    )


def _unheeded(study: _Study, parts: FloatArray) -> tuple[str, ...]:
    """Say where weights differ and the estimator gives the same without them."""
    if np.ptp(study.weights[study.table.labelled]) == 0 and np.ptp(study.weights[~study.table.labelled]) == 0:
        return ()
    even = _Study(study.table, study.estimator, np.ones_like(study.weights)).parts(None)
    if even is None or not np.array_equal(even, parts):
        return ()
    return ("weights differ, but the estimator gives the same without them: it does not heed its weights",)


def _failed(failed: int, resampling: Resampling) -> tuple[str, ...]:
    if failed == 0:
        return ()
    return (f"{failed} of {resampling.draws} draws have no answer and do not count",)
