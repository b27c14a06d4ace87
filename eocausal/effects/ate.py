"""Average treatment effects: one verb, a table of methods, one way to standard errors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.design import Design
from eocausal.effects.balancing import entropy_balancing
from eocausal.effects.methods import Asked, Method, require_answerable
from eocausal.effects.unweighted import difference, regression
from eocausal.effects.weighting import aipw, ipw
from eocausal.errors import EstimationError, explain
from eocausal.inference.assemble import assemble
from eocausal.inference.estimate import Estimate
from eocausal.inference.folds import Folds
from eocausal.inference.nuisance import LEADING_COMPONENTS, Learners
from eocausal.inference.settings import provenance, settings_for
from eocausal.inference.tilting import ESTIMANDS
from eocausal.inference.trim import Trim
from eocausal.inference.vcov import VcovChoice

NO_OVERLAP = "the ato weighs units by their propensity, and this method has none"

# A new estimator is one function and one row here.
METHODS: dict[str, Method] = {
    "aipw": Method(aipw, trims=True),
    "difference": Method(
        difference,
        estimands=("ate",),
        why="the difference in means is right where all units had the same probability of treatment, and there "
        "all four averages are one",
    ),
    "regression": Method(regression, estimands=("ate", "att", "atc"), why=NO_OVERLAP),
    "ipw": Method(ipw, trims=True),
    "entropy_balancing": Method(
        entropy_balancing,
        estimands=("ate", "att", "atc"),
        why=NO_OVERLAP,
        learners=Learners(pca=LEADING_COMPONENTS),
    ),
}


def ate(
    design: Design,
    *,
    method: str = "aipw",
    estimand: str = "ate",
    trim: Trim | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    vcov: VcovChoice | None = None,
    seed: int = 0,
) -> Estimate:
    """Estimate the average treatment effect.

    Parameters
    ----------
    design : Design
    method : {"aipw", "difference", "regression", "ipw", "entropy_balancing"}
        ``aipw`` (default): augmented inverse-probability weighting with out-of-fold nuisances; adjusts for
        covariates and image features. ``difference``: difference of weighted means, of all units with an
        outcome. ``regression``: covariates interacted with treatment (Lin 2013); image features are too many
        for it and do not enter. ``ipw``: Hajek-normalised weighting by the known or out-of-fold propensity.
        ``entropy_balancing``: weights that make the means of covariates and of the leading 10 components of each
        block of features exactly equal (Hainmueller 2012); ``Learners(pca=)`` sets another number.
    estimand : {"ate", "att", "atc", "ato"}
        Whose average effect: of all units, of the treated, of the controls, or of the units that could have been
        in either arm (overlap weights; Li, Morgan and Zaslavsky 2018). ``difference`` has the first only, and
        ``regression`` and ``entropy_balancing`` have no ``ato``.
    trim : Trim, optional
        Units to leave out for want of overlap, with ``aipw`` and ``ipw``. The estimand is then called
        ``ate (trimmed)``, and the warnings count those left out by arm. Default: nobody is left out.
    folds : Folds, optional
        Default five folds with clusters and shared images kept whole.
    learners : Learners, optional
    vcov : {"iid", "hetero", "cluster"} or mapping, optional
        As in :meth:`Estimate.with_vcov`: several kinds of clusters and Conley's standard errors too.
        Default: clustered when the design has a cluster or units share images, else ``iid``.
    seed : int
        For folds and learners.

    Returns
    -------
    Estimate

    Raises
    ------
    EstimationError
        Unknown method, an estimand or trimming that the method does not have, covariates collinear within an arm
        (``regression``), means that no weights reach (``entropy_balancing``), a fold without one arm, or a learned
        propensity of exactly 0 or 1.

    Notes
    -----
    AIPW: Robins, Rotnitzky and Zhao (1994), cross-fitted as in Chernozhukov et al. (2018), Econometrics Journal
    21, C1-C68, definition 3.1 with the scores of their equations (5.3) for the ``ate`` and (5.4) for the ``att``.
    For the ``ato`` the score is that of the partially linear model, their equation (4.4).

    ``entropy_balancing`` takes the components of the features as given. Standard errors after trimming take the
    set of units kept as given, and the nuisances are those learned on all units.

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
    one_of(method, tuple(METHODS), argument="method", error=EstimationError)
    one_of(estimand, ESTIMANDS, argument="estimand", error=EstimationError)
    if trim is not None and not isinstance(trim, Trim):
        raise EstimationError(explain(f"trim is {trim!r}.", fix="pass ec.Trim('fixed', low=0.1, high=0.9)"))
    row, asked = METHODS[method], Asked(estimand, trim)
    require_answerable(method, row, asked, METHODS)
    learners = row.learners if learners is None else learners
    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    fitted = row.fit(design, settings, asked)
    return assemble(
        fitted.design,
        [fitted.scored],
        estimand=estimand if trim is None else f"{estimand} (trimmed)",
        method=method,
        terms=(design.treatment,),
        vcov=vcov,
        assumptions=fitted.assumptions,
        warnings=fitted.warnings,
        diagnostics=fitted.diagnostics,
        weights=None if fitted.weights is None else _by_arm(fitted.weights, fitted.design),
        provenance=provenance(design, settings),
    )


def _by_arm(weights: npt.NDArray[np.float64], design: Design) -> npt.NDArray[np.float64]:
    """Return weights (n,) that are 1 on average in each arm, as stabilised weights are."""
    treated = design.table.treatment == 1
    return np.asarray(weights / np.where(treated, weights[treated].mean(), weights[~treated].mean()))
