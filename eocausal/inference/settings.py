"""How an estimator may predict, checked once, and what made a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eocausal._checks import whole_number
from eocausal._provenance import versions
from eocausal.design import Design
from eocausal.errors import EstimationError, explain
from eocausal.inference.components import components_asked
from eocausal.inference.folds import Folds
from eocausal.inference.nuisance import Learners


@dataclass(frozen=True)
class Settings:
    """How a method may predict: folds, learners, seed."""

    folds: Folds
    learners: Learners
    seed: int


def settings_for(design: Design, *, folds: Folds | None, learners: Learners | None, seed: int) -> Settings:
    """Return checked settings with defaults filled in; shared by every verb that takes a design."""
    folds = Folds() if folds is None else folds
    learners = Learners() if learners is None else learners
    for name, value, kind, fix in (
        ("design", design, Design, "ec.Design(table, outcome=..., treatment=...)"),
        ("folds", folds, Folds, "ec.Folds(k=5)"),
        ("learners", learners, Learners, "ec.Learners(outcome=..., propensity=...)"),
    ):
        if not isinstance(value, kind):
            raise EstimationError(explain(f"{name} is {_kind_of(value)}.", fix=f"pass {fix}"))
    return Settings(folds, learners, whole_number(seed, argument="seed", error=EstimationError))


def provenance(design: Design, settings: Settings) -> dict[str, Any]:
    """Return what made a result: data and feature hashes, folds, seed, versions."""
    features = design.features
    asked, given = components_asked(features), settings.learners.given()
    return {
        "design": repr(design),
        "design_hash": design.fingerprint,
        "features_hash": None if features is None else features.recipe_hash,
        **({"components_asked": asked} if asked else {}),
        **({"predictions_given": given} if given else {}),
        "folds": {"kind": settings.folds.kind, "k": settings.folds.k},
        "seed": settings.seed,
        "versions": versions(),
    }


def _kind_of(value: object) -> str:
    return f"a {type(value).__name__}" if not isinstance(value, int | float | str) else repr(value)
