"""`ppi`: effects on an outcome that is predicted for all units and measured for some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal._provenance import hash_arrays, versions
from eocausal.debiasing.label_tests import label_tests
from eocausal.design import Design
from eocausal.effects.ate import ate
from eocausal.errors import DebiasError, explain
from eocausal.inference.arms import nested
from eocausal.inference.assemble import assemble
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.vcov import VcovChoice, resolve_vcov
from eocausal.labelled.asked import Aipw, Labelling, PowerTuning, adjusting_of, labelling_of, tuning_of
from eocausal.labelled.averaged import Averaged, doubly_robust, plain
from eocausal.labelled.label_checks import label_warnings
from eocausal.labelled.labels import Labelled, read_labels
from eocausal.labelled.powered import Powered, powered
from eocausal.labelled.ppi_result import CLASSICAL, NAIVE, PLAIN, POWERED, Ppi, by_labels

if TYPE_CHECKING:
    from eocausal.debiasing.corrector import Corrector
    from eocausal.inference.estimate import Estimate

Labels = npt.NDArray[Any]

# What warnings of corrections without labels begin with.
CORRECTED = "corrected without labels"
METHODS = (POWERED, PLAIN, CLASSICAL, NAIVE)
ESTIMANDS = ("ate", "mean")
ASSUMES = (
    "labelled units are a random sample of the units of their arm and stratum, or were drawn with the known "
    "probabilities",
    "predictions were made without the outcomes of these units",
)


def ppi(
    design: Design,
    *,
    truth: str,
    prediction: str | None = None,
    labelled: str | None = None,
    method: str | float | PowerTuning = POWERED,
    estimand: str = "ate",
    adjust: str | Aipw = "difference",
    labelling: float | str | Labelling | None = None,
    correct: Corrector | None = None,
) -> Ppi:
    """Estimate an effect on an outcome that is predicted for all units and was measured for some.

    Predictions of all units are put right by the error that labelled units show. Whatever the predictions are
    worth, the estimate is one of the effect on the true outcome; the better they are, the smaller its standard
    error.

    Parameters
    ----------
    design : Design
        With the prediction as its outcome; or with any other and ``prediction=`` here.
    truth : str
        Column of the outcome as it was measured, missing where it was not.
    prediction : str, optional
        Column of predictions, there for every unit. Default: the outcome of the design.
    labelled : str, optional
        Boolean column: whose truth is used. Default: all units that have one.
    method : {"ppi++", "ppi", "classical", "naive"}, float or PowerTuning
        Which of the estimates is the chosen one; all are in the result. ``ppi++`` (default) takes as much of the
        predictions as makes the variance smallest, by arm and stratum, between none (lambda 0) and all (lambda 1).
        ``ppi`` takes all, and with bad predictions is less precise than labels alone. A number is a lambda of one's
        own.
    estimand : {"ate", "mean"}
        The effect of treatment, or the mean outcome of all units.
    adjust : {"difference", "aipw"} or Aipw
        Difference in means, which needs equal probabilities of treatment; or doubly robust scores out of fold,
        which adjust for covariates and image features.
    labelling : float, str or Labelling, optional
        How it was decided who is labelled: a known probability, a column of them, or with strata, clusters and
        units that trained the model in :class:`Labelling`. Default: at random within each arm.
    correct : Corrector, optional
        From :func:`eocausal.debias`: its corrections, which use no labels of this study, stand beside the others,
        each with the p-value that labels contradict it, and ``words()`` say which to believe.

    Returns
    -------
    Ppi

    Raises
    ------
    DebiasError
        Columns missing, not numeric or contradicting each other, an arm without two labels, probabilities outside
        0 to 1, or settings that do not go together.
    EstimationError
        Doubly robust scores that cannot be made.

    Notes
    -----
    Angelopoulos, Bates, Fannjiang, Jordan and Zrnic (2023), Science 382; Angelopoulos, Duchi and Zrnic (2023),
    arXiv 2311.01453. For each arm ``a``

    ``mean_a = mean of truths of labelled + lambda_a (mean prediction of others - mean prediction of labelled)``

    with the labelled of unequal chances weighted by their inverse. Doubly robust scores of truths and predictions
    take the place of both for ``adjust="aipw"``. Variances are over ``m - 1``, intervals from the t distribution
    with the labelled units, or the clusters that hold them, as its degrees of freedom.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(1)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 500), "wealth": rng.normal(size=1000)})
    >>> table["wealth"] += table["grant"]
    >>> table["mapped"] = 0.6 * table["wealth"] + 0.4 * rng.normal(size=1000)
    >>> table["surveyed"] = table["wealth"].where(rng.random(1000) < 0.2)
    >>> design = ec.Design(table, outcome="mapped", treatment="grant")
    >>> found = ec.ppi(design, truth="surveyed")
    >>> found.to_frame()[["term", "estimate", "std_error"]].round(2).to_dict("list")
    {'term': ['naive', 'classical', 'ppi', 'ppi++'], 'estimate': [0.63, 0.98, 1.07, 1.06],
     'std_error': [0.05, 0.13, 0.09, 0.09]}
    """
    one_of(estimand, ESTIMANDS, argument="estimand", error=DebiasError)
    chosen, tuning = tuning_of(method, METHODS)
    asked, drawn = adjusting_of(adjust), labelling_of(labelling)
    _require_arms(design, estimand, asked, correct)
    study = read_labels(
        design, prediction=prediction, truth=truth, labelled=labelled, labelling=drawn, plain=asked is None
    )
    vcov, clusters = _dependence(study)
    _require_goes_together(study, tuning, asked, clusters)
    averaged = plain(study, estimand) if asked is None else doubly_robust(study, asked)
    made = powered(study, averaged.blocks, tuning, clusters=clusters)
    terms = (NAIVE, CLASSICAL, PLAIN, chosen if chosen not in METHODS else POWERED)
    tests, untested = _tested(study, estimand, clusters)
    free = None if correct is None else _without_labels(study, correct, asked, vcov)
    fit = _assembled(study, made, averaged, estimand, terms, vcov, untested, asked)
    if free is not None:
        more = [text for text in free.warnings if text not in fit.warnings]
        fit = replace(fit, warnings=(*fit.warnings, *(f"{CORRECTED}: {text}" for text in more)))
    return Ppi(by_labels(fit, study.labelled), chosen, made.power, tests, study.labelled, free).warned()


def _require_arms(design: object, estimand: str, asked: Aipw | None, correct: object) -> None:
    """Raise where effects are asked of a treatment without two arms, or what needs arms of a mean."""
    if estimand == "mean":
        needs_arms = {"adjust='aipw'": asked is not None, "correct=": correct is not None}
        found = [name for name, there in needs_arms.items() if there]
        if found:
            text = f"{found[0]} compares two arms, and estimand='mean' has none."
            raise DebiasError(explain(text, fix="estimand='ate', or leave it out"))
    elif isinstance(design, Design):
        design.require_binary("ppi")


def _without_labels(
    study: Labelled, correct: Corrector, asked: Aipw | None, vcov: VcovChoice | None
) -> Estimate:
    """Return naive and corrected estimates of the same effect."""
    if asked is None:
        return ate(study.design, method="difference", correct=correct, vcov=vcov).fit
    return ate(
        study.design,
        method="aipw",
        folds=asked.folds,
        learners=asked.learners,
        seed=asked.seed,
        correct=correct,
        vcov=vcov,
    ).fit


def _dependence(study: Labelled) -> tuple[VcovChoice | None, Labels | None]:
    """Return how standard errors are made, and by which clusters (n,) predictions are tuned.

    Labels that were drawn by groups of their own tie units together as the clusters of the treatment do.
    """
    own, ids = study.design.cluster_labels(), study.design.table.ids
    vcov: VcovChoice | None = None
    if study.drawn_by is not None:
        drawn = study.drawn_by
        first = next(iter(own), None)
        inside = first is not None and nested(drawn.to_numpy(), own[first])
        if first is None or (nested(own[first], drawn.to_numpy()) and not inside):
            vcov = {"cluster": drawn}
        elif not inside:
            vcov = {"cluster": [first, drawn]}
    if vcov is None and not own:
        return None, None
    how, groups = resolve_vcov("cluster" if vcov is None else vcov, groups=own, ids=ids)
    # of two kinds of clusters, tuning takes the one with fewer
    fewest = min(how.names, key=lambda name: np.unique(groups[name]).size)
    return vcov, groups[fewest]


def _require_goes_together(
    study: Labelled, tuning: PowerTuning, asked: Aipw | None, clusters: Labels | None
) -> None:
    """Raise where predictions are to be tuned as one sample, and units are not alike."""
    if not tuning.pooled:
        return
    reasons = {
        "clusters": clusters is not None,
        "weights": bool(np.ptp(study.design.table.weights) > 0),
        "probabilities of being labelled": study.probability is not None,
        "doubly robust scores": asked is not None,
        "average='all'": tuning.average == "all",
    }
    found = [name for name, there in reasons.items() if there]
    if found:
        text = "PowerTuning(pooled=True) takes units as independent and equally weighted."
        raise DebiasError(explain(text, where=found, fix="leave pooled=True out"))


def _tested(
    study: Labelled, estimand: str, clusters: Labels | None
) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """Return what labels say of estimates without labels, or why they say nothing."""
    if estimand == "mean":
        return None, ()
    rows, table = study.labelled, study.design.table
    try:
        tests = label_tests(
            study.prediction[rows],
            study.truth[rows],
            table.treatment[rows],
            weights=table.weights[rows] * study.chances[rows],
            clusters=None if clusters is None else clusters[rows],
        )
    except DebiasError as cause:
        return None, (f"the error of predictions could not be tested: {str(cause).splitlines()[0]}",)
    return tests, ()


def _assembled(
    study: Labelled,
    made: Powered,
    averaged: Averaged,
    estimand: str,
    terms: tuple[str, ...],
    vcov: VcovChoice | None,
    untested: Sequence[str],
    asked: Aipw | None,
) -> Estimate:
    n_params = 1 if estimand == "mean" else 2
    scored = [
        ScoredEstimate(float(value), scores, n_params) for value, scores in zip(made.values, made.scores.T)
    ]
    return assemble(
        study.design,
        scored,
        vcov=vcov,
        estimand=estimand,
        method="ppi (difference)" if asked is None else "ppi (aipw)",
        terms=terms,
        assumptions=(*ASSUMES, *averaged.assumptions),
        warnings=[*study.notes, *label_warnings(study, made.power), *untested, *averaged.warnings],
        diagnostics={
            **_counts(study, estimand),
            "lambda_tuned_by": made.tuned_by,
            **(averaged.diagnostics or {}),
        },
        weights=study.design.table.weights if asked is None else None,
        provenance=_provenance(study, averaged),
    )


def _counts(study: Labelled, estimand: str) -> dict[str, int]:
    rows = study.labelled
    found = {"n_labelled": int(rows.sum())}
    if estimand == "ate":
        treatment = study.design.table.treatment
        found |= {
            "n_labelled_treated": int((rows & (treatment == 1)).sum()),
            "n_labelled_control": int((rows & (treatment == 0)).sum()),
        }
    return found


def _provenance(study: Labelled, averaged: Averaged) -> dict[str, Any]:
    design = study.design
    gap = np.zeros(0)
    chances = gap if study.probability is None else study.probability
    made = averaged.provenance or {
        "design": repr(design),
        "design_hash": design.fingerprint,
        "features_hash": None,
        "versions": versions(),
    }
    return {**made, "labels_hash": hash_arrays(study.truth, study.labelled, chances, study.strata)}
