"""Average treatment effects: one verb, a table of methods, one way to standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.design import Design
from eocausal.effects.arms import ARM_METHODS
from eocausal.effects.balancing import entropy_balancing
from eocausal.effects.cbps import cbps
from eocausal.effects.doses import DOSE_METHODS
from eocausal.effects.ipw import horvitz_thompson, ipw
from eocausal.effects.least_squares import COEFFICIENT, ols
from eocausal.effects.methods import (
    LEADING,
    Asked,
    Fitted,
    Method,
    predicts_outcomes,
    predicts_propensity,
    require_answerable,
    require_for_type,
    require_repeatable,
)
from eocausal.effects.partially_linear import partially_linear
from eocausal.effects.predicted_design import predicted_study
from eocausal.effects.unweighted import difference, regression
from eocausal.effects.weighting import aipw
from eocausal.errors import EstimationError, explain
from eocausal.inference.assemble import assemble
from eocausal.inference.estimate import Estimate
from eocausal.inference.origin import Origin
from eocausal.inference.repeats import median_over
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.tilting import ESTIMANDS
from eocausal.inference.trim import Trim
from eocausal.inference.vcov import VcovChoice
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.learners import Learners
from eocausal.nuisance.settings import Settings, provenance, settings_for

if TYPE_CHECKING:
    from eocausal.debiasing.corrected_result import Corrected
    from eocausal.debiasing.corrector import Corrector

FloatArray = npt.NDArray[np.float64]

NO_OVERLAP = "the ato weighs units by their propensity, and this method has none"
NO_PROPENSITY = "uses no propensity to trim by"

# A new estimator is one function and one row here.
METHODS: dict[str, Method] = {
    "aipw": Method(aipw, still=predicts_outcomes),
    "difference": Method(
        difference,
        estimands=("ate",),
        why="the difference in means is right where all units had the same probability of treatment, and there "
        "all four averages are one",
        why_not_trimmed=NO_PROPENSITY,
    ),
    "regression": Method(
        regression, estimands=("ate", "att", "atc"), why=NO_OVERLAP, why_not_trimmed=NO_PROPENSITY
    ),
    "ols": Method(
        ols,
        estimands=(COEFFICIENT,),
        why="one coefficient averages effects by the variance of treatment that the columns leave; "
        "method='regression' has the average over all, over the treated or over the controls",
        why_not_trimmed=NO_PROPENSITY,
        learners=LEADING,
    ),
    "ipw": Method(ipw, still=predicts_propensity),
    "horvitz_thompson": Method(horvitz_thompson, still=predicts_propensity),
    "partially_linear": Method(
        partially_linear,
        estimands=("ato",),
        why="the coefficient of the partially linear model is the average effect in the overlap, and that of "
        "others only where effects are equal for all",
        still=predicts_outcomes,
    ),
    "entropy_balancing": Method(
        entropy_balancing,
        estimands=("ate", "att", "atc"),
        why=NO_OVERLAP,
        why_not_trimmed=NO_PROPENSITY,
        learners=LEADING,
    ),
    "cbps": Method(
        cbps,
        why_not_trimmed="chooses its propensity so that all units balance, and trimming would undo that",
        learners=LEADING,
    ),
}

METHODS_OF = {"binary": METHODS, "categorical": ARM_METHODS, "continuous": DOSE_METHODS}


@overload
def ate(
    design: Design,
    *,
    method: str = "aipw",
    estimand: str | None = None,
    trim: Trim | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    correct: None = None,
    vcov: VcovChoice | None = None,
    seed: int = 0,
) -> Estimate: ...
@overload
def ate(
    design: Design,
    *,
    method: str = "aipw",
    estimand: str | None = None,
    trim: Trim | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    correct: Corrector,
    vcov: VcovChoice | None = None,
    seed: int = 0,
) -> Corrected: ...
def ate(
    design: Design,
    *,
    method: str = "aipw",
    estimand: str | None = None,
    trim: Trim | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    correct: Corrector | None = None,
    vcov: VcovChoice | None = None,
    seed: int = 0,
) -> Estimate | Corrected:
    """Estimate the average treatment effect.

    Parameters
    ----------
    design : Design
    method : str
        ``aipw`` (default): augmented inverse-probability weighting with out-of-fold nuisances; adjusts for
        covariates and image features. ``partially_linear``: residuals of the outcome on residuals of the treatment,
        both out of fold. ``ipw``: weighting by the known, fitted or out-of-fold propensity, each arm to a mean of 1
        (Hajek); ``horvitz_thompson``: the same without that. With ``Learners(propensity="logit")`` or ``"probit"``
        the propensity is fitted to all units by maximum likelihood, and the standard error holds the error of its
        coefficients. ``cbps``: a logit whose coefficients are chosen so that the weights balance covariates and
        the leading 10 components of each block of features. ``entropy_balancing``: weights that make their means
        exactly equal; ``Learners(pca=)`` sets another number for both. ``regression``: covariates interacted with
        treatment (Lin 2013); image features are too many for it and do not enter. ``ols``: the coefficient of
        treatment in one regression on treatment, covariates and the leading 10 components of each block of
        features. ``difference``: difference of weighted means, of all units with an outcome.
    estimand : {"ate", "att", "atc", "ato"}, optional
        Whose average effect: of all units, of the treated, of the controls, or of the units that could have been
        in either arm (overlap weights; Li, Morgan and Zaslavsky 2018). Default ``ate``; ``ato`` with
        ``partially_linear``, which has no other, and the ``ols coefficient`` with ``ols``. ``difference`` has the
        first only, and ``regression`` and
        ``entropy_balancing`` have no ``ato``.
    trim : Trim, optional
        Units to leave out for want of overlap, with methods that compare by a propensity. The estimand is then
        called ``ate (trimmed)``, and the warnings count those left out by arm. Default: nobody is left out.
    folds : Folds, optional
        Default five folds with clusters and shared images kept whole. With ``Folds(repeats=5)`` units are dealt
        five times, by ``seed``, ``seed + 1`` and so on, and the estimate is the median: ``result.repeats``.
    learners : Learners, optional
    correct : Corrector, optional
        From :func:`eocausal.debias`, where the outcome was predicted from images: naive, LCC and Tweedie estimates
        side by side, with the error of the calibration in theirs. The design's outcome is the prediction as the map
        gives it.
    vcov : {"iid", "hetero", "cluster"} or mapping, optional
        As in :meth:`Estimate.with_vcov`: several kinds of clusters and Conley's standard errors too.
        Default: clustered when the design has a cluster or units share images, else ``iid``.
    seed : int
        For folds and learners.

    Returns
    -------
    Estimate
        With ``correct`` a :class:`eocausal.debiasing.corrected_result.Corrected`.

    Raises
    ------
    EstimationError
        Unknown method, several arms or repeated folds with ``correct``, an estimand or trimming that the method
        does not have, repeats of what is not random, collinear covariates (``regression``, ``cbps``, a logit or
        probit), arms that columns tell apart or means that no weights reach (these and ``entropy_balancing``), a
        fold without one arm, or a learned propensity of exactly 0 or 1.

    Notes
    -----
    AIPW: Robins, Rotnitzky and Zhao (1994), cross-fitted as in Chernozhukov et al. (2018), Econometrics Journal
    21, C1-C68, definition 3.1 with the scores of their equations (5.3) for the ``ate`` and (5.4) for the ``att``.
    For the ``ato`` the score is that of the partially linear model, their equation (4.4); ``partially_linear`` has
    the same with one model of the outcome over both arms. Repeats: their definition 3.3.

    Fitted propensities: stacked estimating equations of coefficients and effect (Lunceford and Davidian 2004,
    Statistics in Medicine 23). Balance: Imai and Ratkovic (2014), JRSS B 76; Hainmueller (2012), Political
    Analysis 20. These methods take the components of the features as given. Standard errors after trimming take the
    set of units kept as given; learned nuisances are those of all units, and a logit or probit is fitted again to
    the units kept.

    Of several arms (``treatment_type="categorical"``) there is a term for each against the control, by ``aipw``,
    ``ipw`` or ``difference``, for the ``ate`` or ``att``: Cattaneo (2010), Journal of Econometrics 155. Of a dose
    ``partially_linear`` has the slope. The page ``docs/treatments.md`` has more.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 50), "age": rng.normal(size=100)})
    >>> table["income"] = 2.0 * table["grant"] + table["age"] + rng.normal(size=100)
    >>> import eocausal as ec
    >>> result = ec.ate(ec.Design(table, outcome="income", treatment="grant", covariates=["age"]))
    >>> low, high = result.ci()
    >>> bool(low < 2.0 < high)
    True
    """
    if correct is not None:
        options = {"method": method, "estimand": estimand, "trim": trim, "folds": folds, "learners": learners}
        return _corrected(design, correct, {**options, "vcov": vcov, "seed": seed})
    one_of(method, tuple(METHODS), argument="method", error=EstimationError)
    methods = METHODS_OF[getattr(design, "treatment_type", "binary")]
    require_for_type(method, methods, design)
    row = methods[method]
    known = (*ESTIMANDS, *(name for name in row.estimands if name not in ESTIMANDS))
    estimand = one_of(estimand or row.estimands[0], known, argument="estimand", error=EstimationError)
    if trim is not None and not isinstance(trim, Trim):
        raise EstimationError(explain(f"trim is {trim!r}.", fix="pass ec.Trim('fixed', low=0.1, high=0.9)"))
    asked = Asked(estimand, trim)
    require_answerable(method, row, asked, methods)
    learners = row.learners if learners is None else learners
    settings = settings_for(design, folds=folds, learners=learners, seed=seed, repeatable=True)
    require_repeatable(method, row, asked, design, settings)
    seeds = [settings.seed + repeat for repeat in range(settings.folds.repeats)]
    called = {
        "method": method, "estimand": estimand, "trim": trim, "folds": settings.folds, "learners": learners,
        "vcov": vcov, "seed": seed,
    }  # fmt: skip
    results = [
        _result(row.fit(design, replace(settings, seed=one), asked), design, settings, asked, called)
        for one in seeds
    ]
    return results[0] if len(results) == 1 else median_over(results, seeds)


def _corrected(design: Design, corrector: object, options: Mapping[str, Any]) -> Corrected:
    """Return naive and corrected estimates of the effect on a predicted outcome."""
    from eocausal.debiasing.corrected import corrected, require_corrector

    known = require_corrector(corrector)
    if design.treatment_type == "categorical":
        text = "Effects of several arms are not corrected side by side."
        raise EstimationError(explain(text, fix="design.pair(arm) of one arm after another"))
    if options["method"] == "horvitz_thompson":
        text = (
            "The Horvitz-Thompson estimate depends on where the outcome is zero, and a correction moves that."
        )
        raise EstimationError(explain(text, fix="method='ipw', whose weights sum to one in each arm"))
    folds = options["folds"]
    if folds is not None and folds.repeats > 1:
        raise EstimationError(
            explain(
                "Medians over repeated folds are not corrected.",
                fix="Folds(k=...), and compare several seeds",
            )
        )

    # the difference in means leaves out columns, and so takes in units that miss some
    whole = design.unadjusted() if options["method"] == "difference" else design
    return corrected(known, predicted_study(whole, lambda other: ate(other, **options)))


def _result(
    fitted: Fitted,
    design: Design,
    settings: Settings,
    asked: Asked,
    called: Mapping[str, Any],
) -> Estimate:
    """Return what a method found as a result."""
    return assemble(
        fitted.design,
        [fitted.scored] if isinstance(fitted.scored, ScoredEstimate) else fitted.scored,
        estimand=asked.estimand if asked.trim is None else f"{asked.estimand} (trimmed)",
        method=called["method"],
        terms=fitted.terms or (design.treatment,),
        vcov=called["vcov"],
        assumptions=fitted.assumptions,
        warnings=fitted.warnings,
        diagnostics=fitted.diagnostics,
        weights=None if fitted.weights is None else _by_arm(fitted.weights, fitted.design),
        provenance=provenance(design, settings),
        origin=Origin(design, fitted.design, ate, called, (fitted.predicted,)),
    )


def _by_arm(weights: FloatArray, design: Design) -> FloatArray:
    """Return weights (n,) that are 1 on average in each arm, as stabilised weights are."""
    codes = design.table.alike
    return np.asarray(weights / (np.bincount(codes, weights=weights) / np.bincount(codes))[codes])
