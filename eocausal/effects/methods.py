"""What a method of average effects is asked, hands back, and can answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.tilting import ESTIMANDS
from eocausal.nuisance.cross_fit import LEADING_COMPONENTS
from eocausal.nuisance.learners import Learners, OutOfFold

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.scores import ScoredEstimate
    from eocausal.inference.trim import Trim
    from eocausal.nuisance.settings import Settings

# Where a model has coefficients, features enter as their leading components.
LEADING = Learners(pca=LEADING_COMPONENTS)
RANDOMISED = "treatment was randomised with the same probability for all units"
# What the arms must have in common for each average to be defined.
OVERLAP = {
    "ate": "both arms are possible",
    "att": "every treated unit could have been a control",
    "atc": "every control could have been treated",
    "ato": "some units could have been in either arm",
}


@dataclass(frozen=True)
class Asked:
    """Whose average effect is asked for, and which units are left out."""

    estimand: str
    trim: Trim | None = None


@dataclass(frozen=True)
class Fitted:
    """What a method hands back: what it estimated, the units it is for, and what a reader must know of it.

    Of several estimates ``terms`` holds their names; one alone is called as the treatment is. ``weights`` (n,) are
    what each unit weighs in the mean of its arm, on any scale; None where no arm is weighed. ``predicted`` are the
    predictions (n,) of these units that entered, by the names of :class:`eocausal.inference.origin.Origin`.
    """

    design: Design
    scored: ScoredEstimate | tuple[ScoredEstimate, ...]
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    weights: npt.NDArray[np.float64] | None = None
    terms: tuple[str, ...] = ()
    predicted: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)


def no_predictions(design: Design, learners: Learners) -> str:
    """Return why a method that predicts nothing out of fold is the same for every seed."""
    return "makes no out-of-fold predictions"


def predicts_outcomes(design: Design, learners: Learners) -> str:
    """Return nothing: outcomes are predicted out of fold."""
    return ""


def predicts_propensity(design: Design, learners: Learners) -> str:
    """Return why a method whose only prediction is the propensity is the same for every seed, where it is."""
    if design.table.propensity is not None:
        return "with a known propensity predicts nothing"
    return f"with a {learners.parametric} fits it to all units at once" if learners.parametric else ""


@dataclass(frozen=True)
class Method:
    """A method, the estimands it has, why it has no others, and the learners it uses by default.

    The first of the estimands is the one meant when none is named. ``why_not_trimmed`` is empty where units can be
    left out for want of overlap. ``still`` says of a design and learners why nothing in the method is random, and
    nothing where out-of-fold predictions are.
    """

    fit: Callable[[Design, Settings, Asked], Fitted]
    estimands: tuple[str, ...] = ESTIMANDS
    why: str = ""
    why_not_trimmed: str = ""
    still: Callable[[Design, Learners], str] = no_predictions
    learners: Learners = field(default_factory=Learners)


def ignorability(design: Design, known: bool, learners: Learners, estimand: str = "ate") -> str:
    """Return what must hold of the assignment for an adjusted estimate to be causal."""
    if known:
        return "treatment was assigned with the known propensity"
    used = ["covariates"] if design.table.covariate_names and learners.columns != "features" else []
    used += ["image features"] if design.table.features.shape[1] and learners.columns != "covariates" else []
    made_before = [isinstance(one, OutOfFold) for one in (learners.outcome, learners.propensity)]
    used += ["pictures"] if any(made_before) else []
    if not used:
        return RANDOMISED
    return f"given the {_listed(used)}, treatment is as good as random, and {OVERLAP[estimand]}"


def _listed(words: list[str]) -> str:
    """Return words as a list in a sentence.

    Examples
    --------
    >>> _listed(["covariates", "image features", "pictures"])
    'covariates, image features and pictures'
    """
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), words[-1]])


def require_for_type(name: str, methods: Mapping[str, Method], design: Design) -> None:
    """Raise where a method is not one for the treatment of a design: two arms, several, or a dose."""
    if name in methods:
        return
    several = design.treatment_type == "categorical"
    others = "design.pair(arm) compares two arms by every method" if several else "ec.dose_response(design)"
    raise EstimationError(
        explain(
            f"method={name!r} is not defined for a treatment that is {design.treatment_type}.",
            rule=f"methods that are: {', '.join(methods)}",
            fix=f"method={next(iter(methods))!r}; {others}",
        )
    )


def require_answerable(name: str, method: Method, asked: Asked, methods: Mapping[str, Method]) -> None:
    """Raise where a method does not have the estimand, or cannot trim as asked."""
    if asked.estimand not in method.estimands:
        able = [other for other, row in methods.items() if asked.estimand in row.estimands]
        raise EstimationError(
            explain(
                f"method={name!r} has no estimand={asked.estimand!r}.",
                rule=method.why,
                fix=f"estimand={method.estimands[0]!r}"
                + (f", or method= one of {', '.join(able)}" if able else ""),
            )
        )
    if asked.trim is None:
        return
    if method.why_not_trimmed:
        able = [other for other, row in methods.items() if not row.why_not_trimmed]
        raise EstimationError(
            explain(
                f"method={name!r} {method.why_not_trimmed}.",
                fix=f"leave trim= out, or method= one of {', '.join(able)}",
            )
        )
    if asked.trim.rule == "crump" and asked.estimand != "ate":
        raise EstimationError(
            explain(
                f"Trim('crump') is the best trimming for the ate, not for the {asked.estimand}.",
                fix="Trim('fixed', low=0.1, high=0.9)",
            )
        )


def require_repeatable(name: str, method: Method, asked: Asked, design: Design, settings: Settings) -> None:
    """Raise where repeated cross-fitting was asked for and there is nothing to repeat, or other units each time."""
    if settings.folds.repeats == 1:
        return
    still = method.still(design, settings.learners)
    if still:
        raise EstimationError(
            explain(
                f"Folds(repeats={settings.folds.repeats}), but method={name!r} {still}: it has nothing random to "
                "repeat.",
                fix="leave repeats out, or method='aipw'",
            )
        )
    if asked.trim is not None:
        raise EstimationError(
            explain(
                f"Folds(repeats={settings.folds.repeats}) with trim=: each repeat would leave out other units.",
                rule="a median is of estimates on the same units",
                fix="trim once without repeats, then design.take() the units of its scores",
            )
        )
    given = [
        role for role in ("outcome", "propensity") if isinstance(getattr(settings.learners, role), OutOfFold)
    ]
    if given:
        raise EstimationError(
            explain(
                f"Folds(repeats={settings.folds.repeats}) with predictions that were made beforehand, for one set "
                "of folds.",
                where=given,
                fix="leave repeats out",
            )
        )
