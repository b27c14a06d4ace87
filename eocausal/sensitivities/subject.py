"""The estimate that is put to the test: which one, made from what, with which standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from eocausal._checks import did_you_mean
from eocausal.debiasing.corrected import estimate_of_kind
from eocausal.debiasing.corrected_result import Corrected
from eocausal.errors import SensitivityError, explain
from eocausal.inference.contrast import combined
from eocausal.inference.estimate import Estimate
from eocausal.inference.origin import Origin
from eocausal.nuisance.settings import Settings, settings_for
from eocausal.panels.design import PanelDesign

if TYPE_CHECKING:
    from eocausal.inference.vcov import VcovChoice

NO_ORIGIN = "This result does not hold what it was made from"


@dataclass(frozen=True)
class Subject:
    """What a reader must know of the estimate that is put to the test.

    Attributes
    ----------
    term, outcome, estimand, method, vcov : str
    errors : str
        How standard errors are made, as it is said in a sentence.
    estimate, std_error, conf_low, conf_high, df : float
        The interval is the 95% one.
    n : int
    """

    term: str
    outcome: str
    estimand: str
    method: str
    vcov: str
    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    df: float
    n: int
    errors: str = ""

    @classmethod
    def of(cls, estimate: Estimate) -> Self:
        """Return what is to be said of an estimate of one term."""
        low, high = np.ravel(estimate.ci())
        return cls(
            term=estimate.terms[0],
            outcome="the outcome" if estimate.origin is None else str(estimate.origin.design.outcome),
            estimand=estimate.estimand,
            method=estimate.method,
            vcov=estimate.vcov,
            errors=estimate.variance.how.in_words,
            estimate=float(estimate.values[0]),
            std_error=float(np.ravel(estimate.std_error)[0]),
            conf_low=float(low),
            conf_high=float(high),
            df=float(estimate.variance.df),
            n=estimate.n,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild what ``to_dict`` wrote."""
        return cls(**content)


def one_estimate(result: object, term: str | None) -> Estimate:
    """Return the estimate that a result is asked about, of one term, with what it was made from.

    Of effects on a predicted outcome it is the one that the corrector believes, with the errors of the calibration.

    Raises
    ------
    SensitivityError
        No result of ``ec.ate`` or ``ec.panel``, one that was read from a file, one of several arms, or several
        terms and none named.
    """
    estimate = _believed(result) if isinstance(result, Corrected) else result
    if not isinstance(estimate, Estimate):
        fix = "ec.sensitivity(ec.ate(design)); a Cate is judged by ec.calibration and ec.rate"
        raise SensitivityError(explain(f"result is a {type(result).__name__}.", fix=fix))
    if estimate.origin is None:
        raise SensitivityError(
            explain(
                f"{NO_ORIGIN}: it was read from a file, or made of other results.",
                rule="what ec.ate, ec.panel or their correct= return, in the session that made it",
                fix="ec.ate(design, ...) again",
            )
        )
    if getattr(estimate.origin.design, "treatment_type", "binary") == "categorical":
        raise SensitivityError(
            explain(
                "The treatment has several arms.",
                rule="two arms, or a dose: one treatment against its absence",
                fix="ec.ate(design.pair(arm)) of one arm after another",
            )
        )
    return _of_term(estimate, term)


def origin_of(estimate: Estimate) -> Origin:
    """Return what an estimate was made from; :func:`one_estimate` gives none without."""
    if estimate.origin is None:
        raise SensitivityError(explain(f"{NO_ORIGIN}."))
    return estimate.origin


def settings_of(origin: Origin) -> Settings:
    """Return folds, learners and seed that an estimate was made with."""
    options = origin.options
    made = settings_for(
        origin.design,
        folds=options["folds"],
        learners=options["learners"],
        seed=options["seed"],
        repeatable=True,
    )
    return replace(made, seed=int(options["seed"]))


def is_panel(estimate: Estimate) -> bool:
    """Tell whether an estimate is of units that are seen in several periods."""
    return isinstance(origin_of(estimate).design, PanelDesign)


def outcome_sd(estimate: Estimate) -> float:
    """Return the weighted SD of the outcome over the units, or rows of a panel, that entered."""
    table = origin_of(estimate).entered.table
    share = table.weights / table.weights.sum()
    return float(np.sqrt(share @ (table.outcome - share @ table.outcome) ** 2))


def made_again(estimate: Estimate, design: Any, **changes: Any) -> Estimate:
    """Return the same estimate on another design, with standard errors made as those of the estimate are.

    Of several terms it is the one that the estimate is of, where the other design has it.
    """
    # clusters that the call named, such as shared images, may be none of the other design
    other = origin_of(estimate).again(design, **{"vcov": "iid", **changes})
    how: VcovChoice = estimate.variance.how
    missing = [name for name in estimate.variance.how.names if name not in other.groups]
    if missing:
        # labels that were given to with_vcov afterwards are known by unit
        given = {name: pd.Series(estimate.groups[name], index=estimate.ids) for name in missing}
        found = {name: labels.reindex(other.ids) for name, labels in given.items()}
        strangers = next((labels.isna().to_numpy() for labels in found.values() if labels.isna().any()), None)
        if strangers is not None:
            raise SensitivityError(
                explain(
                    "Clusters that were given to with_vcov are not known for other units.",
                    where=other.ids[strangers],
                    fix="cluster= in Design",
                )
            )
        named = {name: labels.to_numpy() for name, labels in found.items()}
        other = replace(other, groups={**other.groups, **named})
    other = other.with_vcov(how)
    return _of_term(other, estimate.terms[0] if estimate.terms[0] in other.terms else None)


def _of_term(estimate: Estimate, term: str | None) -> Estimate:
    """Return the estimate with one of its terms alone."""
    if len(estimate.terms) == 1 and term in (None, estimate.terms[0]):
        return estimate
    if term not in estimate.terms:
        named = did_you_mean(str(term), estimate.terms) if term is not None else f"term={estimate.terms[0]!r}"
        raise SensitivityError(
            explain(
                f"The result has {len(estimate.terms)} term{'s' * (len(estimate.terms) > 1)}.",
                where=estimate.terms,
                fix=named,
            )
        )
    weights = (np.array(estimate.terms) == term).astype(float)[:, None]
    return replace(combined(estimate, weights, (str(term),)), origin=estimate.origin)


def _believed(result: Corrected) -> Estimate:
    """Return the estimate that a corrector believes, made from the design with the outcome corrected."""
    if result.source is None:
        raise SensitivityError(
            explain(
                "This result was read from a file and holds no study.",
                fix="ec.ate(design, correct=corrector) again",
            )
        )
    made = estimate_of_kind(*result.source, result.chosen)
    # of one term alone the corrected result says which kind it is, not what it is of
    return replace(
        result.best, terms=made.terms, origin=made.origin, method=f"{result.method}, {result.chosen}"
    )
