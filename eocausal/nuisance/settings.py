"""How an estimator may predict, checked once, and what made a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eocausal._checks import whole_number
from eocausal._provenance import versions
from eocausal.design import Design
from eocausal.errors import EstimationError, explain
from eocausal.nuisance.components import components_asked
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.learners import Learners


@dataclass(frozen=True)
class Settings:
    """How a method may predict: folds, learners, seed."""

    folds: Folds
    learners: Learners
    seed: int


def settings_for(
    design: Design, *, folds: Folds | None, learners: Learners | None, seed: int, repeatable: bool = False
) -> Settings:
    """Return checked settings with defaults filled in; shared by every verb that takes a design.

    Verbs that take no median over repeated folds (``repeatable`` is false) refuse ``Folds(repeats=)``.
    """
    folds = Folds() if folds is None else folds
    learners = Learners() if learners is None else learners
    for name, value, kind, fix in (
        ("design", design, Design, "ec.Design(table, outcome=..., treatment=...)"),
        ("folds", folds, Folds, "ec.Folds(k=5)"),
        ("learners", learners, Learners, "ec.Learners(outcome=..., propensity=...)"),
    ):
        if not isinstance(value, kind):
            raise EstimationError(explain(f"{name} is {_kind_of(value)}.", fix=f"pass {fix}"))
    if folds.repeats > 1 and not repeatable:
        raise EstimationError(
            explain(
                f"Folds(repeats={folds.repeats}), but only average effects are a median over repeated folds.",
                fix="leave repeats out here, and keep it in ec.ate",
            )
        )
    return Settings(folds, learners, whole_number(seed, argument="seed", error=EstimationError))


def dealt(design: Design, settings: Settings) -> dict[str, Any]:
    """Return what makes out-of-fold predictions: folds, learners, seed, and what inner splits keep whole."""
    return {
        "folds": settings.folds.assign(design, seed=settings.seed),
        "learners": settings.learners,
        "seed": settings.seed,
        "groups": settings.folds.groups(design),
    }


def provenance(design: Design, settings: Settings, *, known: bool = True) -> dict[str, Any]:
    """Return what made a result: data and feature hashes, folds, seed, versions.

    With ``known`` a propensity that the design knows was used, and no prediction of it.
    """
    features = design.features
    asked, given = components_asked(features), settings.learners.given()
    if known and design.table.propensity is not None:
        given.pop("propensity", None)
    return {
        "design": repr(design),
        "design_hash": design.fingerprint,
        "features_hash": None if features is None else features.recipe_hash,
        **({"components_asked": asked} if asked else {}),
        **({"predictions_given": given} if given else {}),
        "folds": _dealt(design, settings.folds),
        "seed": settings.seed,
        "versions": versions(),
    }


def _dealt(design: Design, folds: Folds) -> dict[str, Any]:
    """Return the scheme of the folds, with the cells and the groups that they make where there are cells."""
    scheme: dict[str, Any] = {"kind": folds.kind, "k": folds.k}
    if folds.block_m is not None:
        scheme |= {"block_m": folds.block_m, "groups": int(folds.groups(design).max()) + 1}
    return scheme | ({"repeats": folds.repeats} if folds.repeats > 1 else {})


def _kind_of(value: object) -> str:
    return f"a {type(value).__name__}" if not isinstance(value, int | float | str) else repr(value)
