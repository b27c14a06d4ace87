"""Is something left that neighbours share? Moran's I, errors by cutoff, buffers and rings for spillovers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eocausal._checks import some_of
from eocausal.errors import EocausalError, SensitivityError, explain
from eocausal.sensitivities.buffers import buffers_part
from eocausal.sensitivities.exposure_rings import rings_part
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.spatial_entries import influence
from eocausal.sensitivities.spatial_errors import errors_part
from eocausal.sensitivities.spatial_moran import moran_part
from eocausal.sensitivities.spatial_parts import Part, neighbour_weights, table_of
from eocausal.sensitivities.spatial_sentence import alike, rings_find_too_much, sentence_of
from eocausal.sensitivities.subject import Subject, is_panel, origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call
    from eocausal.sensitivities.spatial_parts import Distances

# Influence values of less than this share of the range of the outcome are rounding.
_ROUNDING = 1e-9
# Measured by tests/simulation/test_sensitivity_spatial.py.
TOO_OFTEN = (
    "Of 300 units on 220 x 220 km with shocks alike up to 25 km and no spillovers their joint test at 5% rejected "
    "in 17% to 31% of draws, whether treatment was alike too or drawn by lot: a sign, no proof"
)
TESTS = ("moran", "conley", "buffers", "rings")


def spatial(
    estimate: Estimate,
    call: Call,
    *,
    tests: str | Sequence[str] | None = None,
    neighbours: int | str = 8,
    cutoffs: Distances = None,
    buffers: Distances = None,
    rings: Distances = None,
) -> Sensitivity:
    """Say what an estimate leaves that neighbours share, and whether treated units reach others.

    Tests that were not asked for by name and that the study does not allow are told of and left out.
    """
    by_name = tests is not None
    asked = _read_tests(tests, {"conley": cutoffs, "buffers": buffers, "rings": rings})
    _require_map(estimate, neighbours)
    runs: dict[str, Callable[[], Part]] = {
        "moran": lambda: moran_part(estimate, neighbours, seed=call.seed),
        "conley": lambda: errors_part(estimate, cutoffs, level=call.level),
        "buffers": lambda: buffers_part(estimate, buffers, level=call.level, progress=call.progress),
        "rings": lambda: rings_part(estimate, rings, neighbours, level=call.level),
    }
    given = {"conley": cutoffs, "buffers": buffers, "rings": rings}
    parts: dict[str, Part] = {}
    left_out: list[str] = []
    for name in asked:
        try:
            parts[name] = runs[name]()
        except EocausalError as cause:
            if by_name or given.get(name) is not None:
                raise
            left_out.append(f"{name}: not run. {str(cause).splitlines()[0]}")
    if not parts:
        raise SensitivityError(explain("None of the tests can be run on this result.", where=left_out))
    return _result(estimate, call, parts, left_out)


def _result(estimate: Estimate, call: Call, parts: dict[str, Part], left_out: Sequence[str]) -> Sensitivity:
    subject, how = Subject.of(estimate), estimate.variance.how
    numbers = _merged(part.numbers for part in parts.values())
    dose = not is_panel(estimate) and origin_of(estimate).entered.treatment_type == "continuous"
    return Sensitivity(
        kind="spatial",
        subject=subject,
        sentence=sentence_of(subject, numbers, how=how.kind, level=call.level, names=how.names, dose=dose),
        frame=table_of(row for part in parts.values() for row in part.rows),
        numbers=numbers,
        curves=_merged(part.curves for part in parts.values()),
        estimates=_merged(part.estimates for part in parts.values()),
        assumptions=tuple(text for part in parts.values() for text in part.assumptions),
        warnings=(
            *left_out,
            *(text for part in parts.values() for text in part.warnings),
            *_unseen(estimate, parts),
            *_too_sure(estimate, parts, numbers, call.level),
        ),
        diagnostics={"tests": list(parts), **_merged(part.diagnostics for part in parts.values())},
        provenance=estimate.provenance,
    )


def _unseen(estimate: Estimate, parts: dict[str, Part]) -> list[str]:
    """Return a warning of units that the design left out: nobody has them for a neighbour."""
    design = origin_of(estimate).design
    out = len(design.data) - len(design)
    if out <= 0 or not {"buffers", "rings"} & set(parts):
        return []
    what = "rows of the panel" if is_panel(estimate) else "units"
    return [
        f"{out} {what} that the design left out count for nobody: neither buffers nor rings know of treated ones"
    ]


def _too_sure(
    estimate: Estimate, parts: dict[str, Part], numbers: dict[str, float], level: float
) -> list[str]:
    """Return warnings where buffers and rings were judged by errors that Moran's test belies, or that it could."""
    how = estimate.variance.how
    told = []
    independent = how.kind in ("iid", "hetero")
    better = ""
    if independent and "conley_cutoff_km" in numbers:
        better = f"; ask again of result.with_vcov({{'conley': '{numbers['conley_cutoff_km']:.4g}km'}})"
    if (
        "buffers" in parts
        and how.kind != "conley"
        and _own_kind_tested(estimate, numbers)
        and alike(numbers, level)
    ):
        of = "units" if independent else "clusters"
        told.append(
            f"buffers are judged by standard errors that take {of} as independent, and neighbours are alike: their "
            f"p-values are too small{better}"
        )
    if "rings" not in parts:
        return told
    if rings_find_too_much(numbers, level):
        told.append(
            "rings are found too often: what is left of outcomes is alike among neighbours, and so is who is "
            f"treated around them. {TOO_OFTEN}{better}"
        )
    elif independent and "moran" not in parts:
        told.append(
            "rings: the estimate's standard errors take units as independent, and whether they are was not asked. "
            f"Where neighbours are alike, rings are found too often. {TOO_OFTEN}; tests= with 'moran' tells"
        )
    return told


def _own_kind_tested(estimate: Estimate, numbers: dict[str, float]) -> bool:
    """Tell whether Moran's test was of what standard errors take as independent.

    Few clusters, and those of several kinds, are not tested: units of one may be alike and do no harm.
    """
    units = estimate.n if estimate.panel is None else np.unique(estimate.panel.unit).size
    return "moran_clusters" in numbers or estimate.n_clusters in (None, units)


def _merged(several: Any) -> dict[str, Any]:
    return {name: value for one in several for name, value in one.items()}


def _read_tests(tests: str | Sequence[str] | None, options: dict[str, object]) -> tuple[str, ...]:
    """Return the tests asked for, in their order; raise for an option of a test that was not."""
    listed = TESTS if tests is None else some_of(tests, TESTS, argument="tests", error=SensitivityError)
    idle = [name for name, given in options.items() if given is not None and name not in listed]
    if idle:
        option = {"conley": "cutoffs"}.get(idle[0], idle[0])
        raise SensitivityError(explain(f"{option}= was given, but {idle[0]!r} is not among tests."))
    return tuple(name for name in TESTS if name in listed)


def _require_map(estimate: Estimate, neighbours: object) -> None:
    """Raise unless it is known where units are, there are neighbours, and one treatment."""
    design = origin_of(estimate).entered
    entries = influence(estimate)
    neighbour_weights(entries.places, neighbours)
    if np.abs(entries.values).max() <= _ROUNDING * np.ptp(design.table.outcome):
        raise SensitivityError(
            explain(
                "The estimate leaves nothing of the outcome that neighbours could share.",
                rule="influence values that are more than rounding",
            )
        )
