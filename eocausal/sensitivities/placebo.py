"""Placebo tests: whether the estimate finds effects where there can be none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from eocausal._checks import some_of, whole_number
from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities import future_treatment, permuted_images, placebo_outcomes, shifted_treatment
from eocausal.sensitivities.panel_leads import panel_leads, why_no_leads
from eocausal.sensitivities.placebo_designs import given_beforehand, why_no_pictures
from eocausal.sensitivities.placebo_parts import COLUMNS, Part
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.subject import Subject, is_panel, origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

# Fewer draws than these have no spread worth telling.
FEWEST_DRAWS = 5


@dataclass(frozen=True)
class _Asked:
    """The options of the kind, read."""

    outcomes: tuple[str, ...]
    future: str | None
    draws: int | None
    shift_m: float | None


@dataclass(frozen=True)
class _Test:
    """Why a test cannot be run (empty where it can), and the test."""

    why_not: Callable[[Estimate, _Asked], str]
    run: Callable[[Estimate, Call, _Asked], Part]


def placebo(
    estimate: Estimate,
    call: Call,
    *,
    tests: str | Sequence[str] | None = None,
    outcomes: str | Sequence[str] = (),
    future: str | None = None,
    draws: int | None = None,
    shift_m: float | None = None,
) -> Sensitivity:
    """Estimate effects that are zero if the estimate is right: of other pictures, other treatments, other outcomes.

    All placebos are made by the method, folds, seed and kind of standard errors of the estimate.
    """
    _refuse_doses(estimate)
    asked = _read(outcomes, future, draws, shift_m)
    names = _chosen(estimate, tests, asked)
    _require_used(names, asked)
    parts, failed = _run(estimate, call, asked, names, by_name=tests is not None)
    return Sensitivity(
        kind="placebo",
        subject=Subject.of(estimate),
        sentence=" ".join(part.sentence for part in parts.values()),
        frame=pd.DataFrame([row for part in parts.values() for row in part.rows], columns=list(COLUMNS)),
        numbers={name: value for part in parts.values() for name, value in part.numbers.items()},
        curves={name: curve for part in parts.values() for name, curve in part.curves.items()},
        estimates={name: one for part in parts.values() for name, one in part.estimates.items()},
        assumptions=tuple(dict.fromkeys(text for part in parts.values() for text in part.assumptions)),
        warnings=tuple(
            dict.fromkeys([*failed, *(text for part in parts.values() for text in part.warnings)])
        ),
        diagnostics={"tests": list(parts)},
        provenance={
            **estimate.provenance,
            "placebo": {"seed": call.seed, **{name: dict(part.told) for name, part in parts.items()}},
        },
    )


def _run(
    estimate: Estimate, call: Call, asked: _Asked, names: Sequence[str], *, by_name: bool
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Return what tests found, and which of those that nobody asked for by name or option could not be run."""
    parts, failed = {}, []
    for name in names:
        unasked = not by_name and name in _OF_DRAWS and asked.shift_m is None and len(names) > 1
        try:
            parts[name] = _TESTS[name].run(estimate, call, asked)
        except SensitivityError as cause:
            if not unasked or (not parts and name == names[-1]):
                raise
            failed.append(f"{name} is left out: {str(cause).splitlines()[0]}")
    return parts, tuple(failed)


def _pictures(estimate: Estimate, asked: _Asked) -> str:
    return "a panel has unit effects in their place" if is_panel(estimate) else why_no_pictures(estimate)


def _places(estimate: Estimate, asked: _Asked) -> str:
    if is_panel(estimate):
        return "a panel's treatment is a path over time, which is not moved over the map"
    if origin_of(estimate).design.table.coordinates is None:
        return "the design has no coordinates"
    return "predictions were made beforehand, for treatment as it is" if given_beforehand(estimate) else ""


def _named_outcomes(estimate: Estimate, asked: _Asked) -> str:
    if not asked.outcomes:
        return 'no outcomes=["lagged outcome"] are named'
    return "the outcome was predicted beforehand" if "outcome" in given_beforehand(estimate) else ""


def _later_treatment(estimate: Estimate, asked: _Asked) -> str:
    if not is_panel(estimate):
        if asked.future is None:
            return 'no future="column" of a later treatment is named'
        return (
            "predictions were made beforehand, for treatment as it is" if given_beforehand(estimate) else ""
        )
    if asked.future is not None:
        return "a panel holds the treatment of later periods itself: leave future= out"
    return why_no_leads(estimate)


def _of_later(estimate: Estimate, call: Call, asked: _Asked) -> Part:
    if is_panel(estimate):
        return panel_leads(estimate, call)
    return future_treatment.future_treatment(estimate, call, future=str(asked.future))


# A new test is one function and one row here; those that are quick to refuse what was asked stand first.
_TESTS: dict[str, _Test] = {
    placebo_outcomes.TEST: _Test(
        _named_outcomes,
        lambda one, call, asked: placebo_outcomes.placebo_outcomes(one, call, outcomes=asked.outcomes),
    ),
    future_treatment.TEST: _Test(_later_treatment, _of_later),
    shifted_treatment.TEST: _Test(
        _places,
        lambda one, call, asked: shifted_treatment.shifted_treatment(
            one, call, draws=asked.draws, shift_m=asked.shift_m
        ),
    ),
    permuted_images.TEST: _Test(
        _pictures, lambda one, call, asked: permuted_images.permuted_images(one, call, draws=asked.draws)
    ),
}
TESTS = tuple(_TESTS)
# Tests that are made of random draws.
_OF_DRAWS = (permuted_images.TEST, shifted_treatment.TEST)


def _refuse_doses(estimate: Estimate) -> None:
    if getattr(origin_of(estimate).design, "treatment_type", "binary") != "binary":
        raise SensitivityError(explain("Placebos are made of two arms, and the treatment is a dose."))


def _read(outcomes: object, future: object, draws: object, shift_m: float | None) -> _Asked:
    named = (outcomes,) if isinstance(outcomes, str) else outcomes
    listed = isinstance(named, Sequence) and all(isinstance(one, str) for one in named)
    if not isinstance(named, Sequence) or not listed:
        raise SensitivityError(explain(f"outcomes={outcomes!r}.", rule="names of columns"))
    if future is not None and not isinstance(future, str):
        raise SensitivityError(explain(f"future={future!r}.", rule="the name of a column"))
    if draws is not None:
        draws = whole_number(draws, argument="draws", error=SensitivityError, least=FEWEST_DRAWS)
    return _Asked(tuple(named), future, draws, shift_m)


def _chosen(estimate: Estimate, tests: str | Sequence[str] | None, asked: _Asked) -> tuple[str, ...]:
    """Return the tests that were named, each possible; or all that are possible."""
    reasons = {name: test.why_not(estimate, asked) for name, test in _TESTS.items()}
    if tests is None:
        able = tuple(name for name, reason in reasons.items() if not reason)
        if not able:
            raise SensitivityError(
                explain(
                    "No placebo test can be run.", where=[f"{name}: {why}" for name, why in reasons.items()]
                )
            )
        return able
    names = some_of(tests, TESTS, argument="tests", error=SensitivityError)
    for name in names:
        if reasons[name]:
            able = tuple(other for other, reason in reasons.items() if not reason)
            raise SensitivityError(
                explain(
                    f"The test {name!r} cannot be run: {reasons[name]}.",
                    fix=f"tests= some of {', '.join(able)}" if able else "",
                )
            )
    return names


def _require_used(names: Sequence[str], asked: _Asked) -> None:
    """Raise where an option was given that none of the tests has."""
    given = {
        "outcomes": (bool(asked.outcomes), (placebo_outcomes.TEST,)),
        "future": (asked.future is not None, (future_treatment.TEST,)),
        "draws": (asked.draws is not None, _OF_DRAWS),
        "shift_m": (asked.shift_m is not None, (shifted_treatment.TEST,)),
    }
    for option, (is_given, users) in given.items():
        if is_given and not set(users) & set(names):
            raise SensitivityError(
                explain(
                    f"{option}= was given, and none of the tests uses it.",
                    where=names,
                    rule=f"{option}= goes with {' and '.join(users)}",
                )
            )
