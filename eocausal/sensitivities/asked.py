"""What a specification asks to be put to the test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eocausal.sensitivities.benchmarks import COORDINATES, COVARIATES, FEATURES
from eocausal.sensitivities.kinds import KINDS, sensitivity, usual_kind
from eocausal.specs.load import LoadedSpec, spec_error

if TYPE_CHECKING:
    from eocausal.debiasing.corrected_result import Corrected
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.result import Sensitivity
    from eocausal.specs.models import AnalysisSpec
    from eocausal.specs.sensitivity import SensitivitySpec

# Fields of the block that are options of one kind.
OF_KIND = {"outcomes": "placebo", "future": "placebo", "strata": "rosenbaum"}


def asked_sensitivities(
    spec: AnalysisSpec, estimate: Estimate | Corrected, *, progress: bool
) -> Mapping[str, Sensitivity]:
    """Return the analyses that a specification asks for, by kind, of its first average effect."""
    asked = spec.sensitivity
    if asked is None:
        return {}
    return {
        kind: sensitivity(
            estimate,
            kind=kind,
            benchmark=(list(asked.benchmark) or None) if KINDS[kind].measured else None,
            seed=spec.seed,
            progress=progress,
            **_options(asked, kind),
        )
        for kind in _kinds(asked, spec.effects.ate[0].method)
    }


def check_sensitivities(loaded: LoadedSpec) -> None:
    """Raise where an option goes with no kind, or a benchmark is none of the design, before anything is read."""
    asked, spec = loaded.spec.sensitivity, loaded.spec
    if asked is None:
        return
    kinds = _kinds(asked, spec.effects.ate[0].method)
    mistakes: list[tuple[tuple[str | int, ...], str]] = [
        (("sensitivity", field), f"{field} goes with {kind}. Add {kind} to kinds")
        for field, kind in OF_KIND.items()
        if getattr(asked, field) and kind not in kinds
    ]
    known = (*spec.design.covariates, COVARIATES, FEATURES, COORDINATES)
    mistakes += [
        (("sensitivity", "benchmark"), f"{name!r} is none of: {', '.join(known)}")
        for name in asked.benchmark
        if name not in known
    ]
    if mistakes:
        raise spec_error(loaded.path, loaded.document, mistakes=mistakes)


def _kinds(asked: SensitivitySpec, method: str) -> tuple[str, ...]:
    return asked.kinds or (usual_kind(method),)


def _options(asked: SensitivitySpec, kind: str) -> dict[str, Any]:
    return {
        field: value for field, whose in OF_KIND.items() if whose == kind and (value := getattr(asked, field))
    }
