"""What was handed to the report, sorted by kind, with the few facts that several sections need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal.errors import ReportError, explain

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.cate import Cate
    from eocausal.evaluate.assignment_result import Assignment
    from eocausal.evaluate.balance_result import Balance
    from eocausal.evaluate.overlap_result import Overlap
    from eocausal.evaluate.rate_result import Rate
    from eocausal.evaluate.sweep_result import Sweep
    from eocausal.imagery.chips import Chips
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.result import Sensitivity
    from eocausal.units import Units

__all__ = ["AVERAGE", "METHOD_NAMES", "Study", "read_items"]

# Results on outcomes predicted from images, in the order in which they are read, and the name of their warnings.
ON_OUTCOMES = {
    "Diagnosis": "Diagnosis of the map",
    "Corrected": "Corrected effects",
    "Ppi": "Predictions and labels",
    "PpiRegression": "Regression by predictions and labels",
    "RemoteOutcome": "Outcome measured elsewhere",
}
# Results on effects by unit, in the order in which they are read, and what their warnings are filed under.
ON_EFFECTS = {
    "SourceComparison": "Comparison of sources",
    "ScaleSearch": "Search of scales",
    "Calibration": "Test of calibration",
    "EffectGroups": "Groups by predicted effect",
    "EffectLosses": "Losses of predicted effects",
    "PolicyValue": "Value of a ranking",
    "MultiArmQini": "Gain by budget",
    "ImageTypes": "Types of images",
    "Transport": "Effects elsewhere",
}
ACCEPTED = (
    "Units", "Chips", "Design", "Balance", "Overlap", "Assignment", "Sweep", "Estimate", "Sensitivity", "Cate",
    "Rate", *ON_OUTCOMES, *ON_EFFECTS,
)  # fmt: skip
# Kinds of which a report can show several, side by side.
SEVERAL = ("Estimate", "Rate", "Sensitivity")

METHOD_NAMES = {
    "difference": "difference in means",
    "regression": "regression with interactions",
    "ols": "least squares",
    "ipw": "inverse-probability weighting",
    "horvitz_thompson": "Horvitz-Thompson weighting",
    "partially_linear": "partially linear model",
    "aipw": "doubly robust AIPW",
    "entropy_balancing": "entropy balancing",
    "cbps": "covariate-balancing propensity",
    "aipw (folds of effects)": "doubly robust AIPW, folds of the effects by unit",
}
AVERAGE = "Average effect"
TRIMMED = " (trimmed)"
AVERAGES = (
    *(f"{one}{kept}" for kept in ("", TRIMMED) for one in ("ate", "att", "atc", "ato")),
    "ols coefficient",
)


@dataclass(frozen=True)
class Study:
    """The results of one report.

    Attributes
    ----------
    estimates, rates, sensitivities : tuple
        In the order given; the first of each leads the summary.
    on_outcomes, on_effects : dict of str to result
        Results on predicted outcomes, and on effects by unit, by kind, in the order of ``ON_OUTCOMES`` and
        ``ON_EFFECTS``.
    truth : float or None
        The true average effect, where it is known by construction.
    """

    units: Units | None = None
    chips: Chips | None = None
    design: Design | None = None
    balance: Balance | None = None
    overlap: Overlap | None = None
    assignment: Assignment | None = None
    sweep: Sweep | None = None
    cate: Cate | None = None
    estimates: tuple[Estimate, ...] = ()
    rates: tuple[Rate, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()
    on_outcomes: Mapping[str, Any] = field(default_factory=dict)
    on_effects: Mapping[str, Any] = field(default_factory=dict)
    truth: float | None = None
    title: str | None = None
    question: str | None = None

    @property
    def averages(self) -> tuple[Estimate, ...]:
        """The average effects to show: the estimates, or else the average of the predicted effects' scores."""
        if self.estimates or self.cate is None:
            return self.estimates
        return (self.cate.average,)

    @property
    def headline(self) -> Estimate | None:
        """The estimate that the summary speaks of: the first average effect that was handed in."""
        proper = [one for one in self.averages if one.estimand in AVERAGES and len(one.terms) == 1]
        return proper[0] if proper else None

    @property
    def treatment(self) -> str:
        """Name of the treatment, as far as the results know it."""
        if self.design is not None:
            return self.design.treatment
        named = [*self.averages, *([] if self.overlap is None else [self.overlap.auc])]
        return named[0].terms[0] if named else "treatment"

    @property
    def outcome(self) -> str:
        """Name of the outcome, or "the outcome" when only a design would know it."""
        return "the outcome" if self.design is None else self.design.outcome

    @property
    def located(self) -> Units | None:
        """The units behind the results, or those of the chips when there are no results."""
        from eocausal.units import Units

        if self.units is not None:
            return self.units
        if self.design is not None and isinstance(self.design.data, Units):
            return self.design.data
        alone = self.chips is not None and self._entered() is None
        return self.chips.units if self.chips is not None and alone else None

    @property
    def results(self) -> list[tuple[str, Any]]:
        """Every statistical result with the name that warnings and provenance call it by."""
        found: list[tuple[str, Any]] = []
        if self.balance is not None:
            found.append(("Balance", self.balance))
        if self.overlap is not None:
            found.append(("Overlap", self.overlap))
        if self.assignment is not None:
            found.append(("Assignment", self.assignment))
        names = [METHOD_NAMES.get(one.method, one.method) for one in self.estimates]
        found += [(f"{AVERAGE} ({name})", one) for name, one in zip(names, self.estimates)]
        if self.sweep is not None:
            found.append(("Other pictures", self.sweep))
        found += [(ON_OUTCOMES[kind], result) for kind, result in self.on_outcomes.items()]
        found += [(f"Sensitivity ({one.kind})", one) for one in self.sensitivities]
        if self.cate is not None:
            found.append(("Predicted effects", self.cate))
        found += [(ON_EFFECTS[kind], result) for kind, result in self.on_effects.items()]
        return found + [(f"RATE ({one.target})", one) for one in self.rates]

    @property
    def rate_views(self) -> list[Rate]:
        """Every Rate once for each of its targets, that target in front; the same rate of the same ranking once."""
        found: dict[tuple[Any, ...], Rate] = {}
        for one in self.rates:
            for target in one.targets:
                view = one.of(target)
                found.setdefault((target, view.terms, tuple(view.rates.values.tolist())), view)
        return list(found.values())

    @cached_property
    def people(self) -> pd.DataFrame:
        """One row per unit id: ``arm`` (1, 0 or NaN), ``image_key``, ``cluster``, ``lon``, ``lat``, ``used``.

        Units that were read but did not enter the design are there with ``used`` False.
        """
        located = self.located
        frame = pd.DataFrame(columns=["image_key", "lon", "lat"])
        if located is not None:
            frame = pd.DataFrame({"image_key": located.image_keys}, index=pd.Index(located.ids, name="id"))
            frame["lon"] = np.nan if located.longitude is None else located.longitude
            frame["lat"] = np.nan if located.latitude is None else located.latitude
        entered = self._entered()
        if entered is None:
            return frame.assign(arm=np.nan, cluster=None, used=True)
        strangers = ~entered.index.isin(frame.index) if located is not None else np.zeros(len(entered), bool)
        if strangers.any():
            raise ReportError(
                explain(
                    "The results are of units that are not in the table of units.",
                    where=entered.index[strangers],
                    fix="hand in the Units that the Design was made of",
                )
            )
        if located is None:
            return entered.assign(used=True)
        joined = frame.join(entered[["arm", "cluster"]])
        return joined.assign(used=joined.index.isin(entered.index))

    def _entered(self) -> pd.DataFrame | None:
        """Return the units behind the results: of the design, else of overlap, else of the predicted effects."""
        if self.design is not None:
            table = self.design.table
            found = pd.DataFrame({"arm": table.treatment, "image_key": table.image_keys}, index=table.ids)
            places = table.coordinates
            found["cluster"] = table.clusters
        elif self.overlap is not None:
            labels = next(iter(self.overlap.auc.groups.values()), None)
            found = pd.DataFrame({"arm": self.overlap.treatment, "image_key": None}, index=self.overlap.ids)
            found["cluster"] = labels
            places = None
        elif self.cate is not None:
            found = pd.DataFrame({"arm": np.nan, "image_key": self.cate.image_keys}, index=self.cate.ids)
            found["cluster"] = next(iter(self.cate.average.groups.values()), None)
            places = self.cate.coordinates
        else:
            return None
        found["lon"], found["lat"] = (np.nan, np.nan) if places is None else places.T
        return found

    @property
    def used(self) -> pd.DataFrame:
        """The rows of :attr:`people` that entered the results."""
        return self.people[self.people["used"].astype(bool)]

    @property
    def has_arms(self) -> bool:
        """Whether it is known who is treated."""
        return bool(len(self.people)) and not bool(self.used["arm"].isna().any())


def read_items(
    items: Sequence[Any], *, title: str | None, question: str | None, truth: float | None
) -> Study:
    """Sort what was handed in by its type.

    Raises
    ------
    ReportError
        Nothing to report, something that is no result, two of a kind that a report has one of, or a truth that
        is not a number.
    """
    _check_texts(title=title, question=question)
    found = _by_kind(_as_list(items))
    twice = [kind for kind, members in found.items() if len(members) > 1 and kind not in SEVERAL]
    if twice:
        raise ReportError(
            explain(
                "A report speaks of one study, and was given more than one of a kind.",
                where=[f"{len(found[kind])} {kind}" for kind in twice],
                rule=f"several only of: {', '.join(SEVERAL)}",
                fix="write one report for each",
            )
        )
    single = {kind: members[0] for kind, members in found.items() if kind not in SEVERAL}
    return Study(
        **{
            kind.lower(): result
            for kind, result in single.items()
            if kind not in {**ON_OUTCOMES, **ON_EFFECTS}
        },
        on_outcomes={kind: single[kind] for kind in ON_OUTCOMES if kind in single},
        on_effects={kind: single[kind] for kind in ON_EFFECTS if kind in single},
        estimates=tuple(found.get("Estimate", ())),
        rates=tuple(found.get("Rate", ())),
        sensitivities=tuple(found.get("Sensitivity", ())),
        truth=_check_truth(truth),
        title=title,
        question=question,
    )


def _as_list(items: Any) -> list[Any]:
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise ReportError(
            explain(f"report() got a {type(items).__name__}, not a list.", fix="ec.report([result], path)")
        )
    listed = list(items)
    if not listed:
        raise ReportError(
            explain(
                "There is nothing to report: the list is empty.", fix=f"Give some of: {', '.join(ACCEPTED)}."
            )
        )
    return listed


def _by_kind(items: list[Any]) -> dict[str, list[Any]]:
    kinds = _kinds()
    strangers = [type(item).__name__ for item in items if type(item) not in kinds]
    if strangers:
        raise ReportError(
            explain(
                "The list holds what a report cannot show.",
                where=strangers,
                fix=f"Give only: {', '.join(ACCEPTED)}.",
            )
        )
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(kinds[type(item)], []).append(item)
    return found


def _kinds() -> dict[type, str]:
    """Return the table that says which type is what; imported here, so that importing the report is cheap."""
    from eocausal.debiasing.corrected_result import Corrected
    from eocausal.debiasing.diagnosis_result import Diagnosis
    from eocausal.design import Design
    from eocausal.effects.cate import Cate
    from eocausal.effects.image_types_result import ImageTypes
    from eocausal.evaluate.assignment_result import Assignment
    from eocausal.evaluate.balance_result import Balance
    from eocausal.evaluate.calibration_result import Calibration
    from eocausal.evaluate.compare_result import SourceComparison
    from eocausal.evaluate.effect_groups_result import EffectGroups
    from eocausal.evaluate.effect_losses_result import EffectLosses
    from eocausal.evaluate.multi_arm_qini_result import MultiArmQini
    from eocausal.evaluate.overlap_result import Overlap
    from eocausal.evaluate.policy_result import PolicyValue
    from eocausal.evaluate.rate_result import Rate
    from eocausal.evaluate.scale_result import ScaleSearch
    from eocausal.evaluate.sweep_result import Sweep
    from eocausal.evaluate.transport_result import Transport
    from eocausal.imagery.chips import Chips
    from eocausal.inference.estimate import Estimate
    from eocausal.labelled.ppi_result import Ppi
    from eocausal.labelled.regression_result import PpiRegression
    from eocausal.labelled.remote_result import RemoteOutcome
    from eocausal.sensitivities.result import Sensitivity
    from eocausal.units import Units

    types = (
        Units, Chips, Design, Balance, Overlap, Assignment, Sweep, Estimate, Cate, Rate, SourceComparison,
        ScaleSearch, Calibration, EffectGroups, EffectLosses, PolicyValue, MultiArmQini, ImageTypes, Transport,
        Diagnosis, Corrected, Ppi, PpiRegression, RemoteOutcome, Sensitivity,
    )  # fmt: skip
    return {one: one.__name__ for one in types}


def _check_texts(**texts: str | None) -> None:
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise ReportError(explain(f"{name}={text!r} is not text.", fix=f'{name}="..."'))


def _check_truth(truth: Any) -> float | None:
    if truth is None:
        return None
    is_number = isinstance(truth, int | float | np.floating | np.integer) and not isinstance(truth, bool)
    if not is_number or not np.isfinite(truth):
        raise ReportError(
            explain(
                f"truth={truth!r} is not a number.", rule="the true average effect, finite", fix="truth=0.5"
            )
        )
    return float(truth)
