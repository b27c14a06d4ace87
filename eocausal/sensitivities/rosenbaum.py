"""Hidden bias within matched pairs or strata: by how much the odds of treatment could differ (Rosenbaum 2002)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal.sensitivities.bias_inversion import (
    amplification,
    by_gamma,
    equal_amplification,
    estimate_alone,
    gamma_at,
)
from eocausal.sensitivities.hidden_bias_benchmarks import odds_within
from eocausal.sensitivities.matched_sets import Compared, Sets, compared, given_strata, matched_pairs
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.result_outcome import expected_of, uneven_by
from eocausal.sensitivities.result_propensity import logit_of
from eocausal.sensitivities.rosenbaum_checks import (
    cross_section,
    read_gammas,
    require_adjust,
    require_caliper,
    require_enough,
)
from eocausal.sensitivities.rosenbaum_sentence import Said, sentence
from eocausal.sensitivities.strata_bounds import Strata
from eocausal.sensitivities.strata_tests import (
    AUTO,
    STATISTICS,
    Comparison,
    chosen_statistic,
    comparison_of,
    informative_strata,
    is_binary,
    smaller_arms,
)
from eocausal.sensitivities.subject import Subject, origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

GAMMAS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0)
CALIPER = 0.2
# Fewer treated units or fewer controls, in strata that say something, are too few for a normal distribution.
FEW = 20
# A difference of expected outcomes within strata that is told of, in standard errors.
UNEVEN = 0.5
# Points of the curve of p-values.
POINTS = 61


@dataclass(frozen=True, eq=False)
class _Study:
    """Who is compared with whom by which test, the outcome turned so that the estimate is positive.

    ``adjusted`` says by what the outcome is predicted whose residuals are tested; empty where they are not.
    """

    estimate: Estimate
    subjects: Compared
    sets: Sets
    matched: bool
    statistic: str
    n_informative: int
    n_smaller: int
    sign: float
    comparison: Comparison
    adjusted: str
    in_vain: bool
    uneven: float

    @property
    def kind(self) -> str:
        """Pairs or strata."""
        return "pairs" if self.sets.strata.paired else "strata"


def rosenbaum(
    estimate: Estimate,
    call: Call,
    *,
    gammas: Sequence[float] = GAMMAS,
    strata: str | pd.Series | None = None,
    statistic: str = AUTO,
    caliper: float | None = CALIPER,
    adjust: bool | None = None,
) -> Sensitivity:
    """Return p-values, estimates and intervals by how much the odds of treatment differ within pairs or strata.

    Parameters
    ----------
    estimate : Estimate
    call : Call
    gammas : sequence of float
        Largest odds ratios of treatment within a pair or stratum, at least 1.
    strata : str or Series, optional
        Strata by a column of the data or by unit id. Default: pairs matched on the propensity of the estimate.
    statistic : {"auto", "signed_rank", "mcnemar", "aligned_rank", "mean", "mantel_haenszel"}
    caliper : float or None
        Largest distance within a pair, in standard deviations of the logit of the propensity; None for none.
    adjust : bool, optional
        Whether the test is of what covariates and features leave of the outcome, out of fold. Default: of pairs
        that are matched here, where the outcome is not 0/1.

    Raises
    ------
    SensitivityError
        No treatment of two arms, a panel, options out of bounds, or fewer than two pairs or strata that differ.
    """
    gammas = read_gammas(gammas)
    require_caliper(caliper)
    require_adjust(adjust)
    study = _study(estimate, strata, statistic, caliper, adjust)
    subjects, sets, comparison = study.subjects, study.sets, study.comparison

    def without(logit: Any) -> Strata:
        return matched_pairs(subjects, logit, caliper=caliper).strata if study.matched else sets.strata

    benchmarks = odds_within(estimate, subjects, call.benchmarks, without)
    numbers = _numbers(study, call.level)
    return Sensitivity(
        kind="rosenbaum",
        subject=Subject.of(estimate),
        sentence=sentence(_with_benchmark(_said(study, numbers, call.level), benchmarks)),
        frame=_table(comparison, gammas, call.level, study.sign),
        numbers=numbers,
        curves={
            "p_values": _p_curve(comparison, gammas, numbers["gamma"]),
            "benchmarks": benchmarks,
            **({"amplification": amplification(numbers["gamma"])} if sets.strata.paired else {}),
        },
        assumptions=_assumptions(study, call.level),
        warnings=_warnings(study),
        diagnostics={
            "statistic": study.statistic,
            "level": call.level,
            "n_informative": study.n_informative,
            "sets": study.kind,
            "compared": sets.how,
            "n_compared": int(sets.strata.members.size),
            "adjusted": bool(study.adjusted),
            "expected_gap": study.uneven,
            **sets.diagnostics,
        },
        provenance={**estimate.provenance, "caliper": caliper if study.matched else None},
    )


def _study(
    estimate: Estimate,
    strata: str | pd.Series | None,
    statistic: str,
    caliper: float | None,
    adjust: bool | None,
) -> _Study:
    """Return who is compared, and the test."""
    design = cross_section(estimate)
    subjects = compared(design)
    sets = _sets(estimate, subjects, strata, caliper)
    n_informative = informative_strata(subjects.outcome, sets.strata)
    require_enough(n_informative)
    expected = expected_of(estimate)
    of_outcome = np.zeros(subjects.outcome.size) if expected is None else subjects.mean_of(expected.outcome)
    asked = adjust is not None and bool(adjust)
    if adjust is None:
        binary = statistic in STATISTICS and STATISTICS[statistic].binary
        adjust = strata is None and not binary and not is_binary(subjects.outcome)
    outcome, treatment = subjects.outcome, subjects.treated.astype(float)
    adjusted = ""
    if adjust and expected is not None:
        adjusted = expected.by
        outcome = outcome - of_outcome
        treatment = treatment - subjects.mean_of(expected.treatment)
    name = chosen_statistic(statistic, outcome, sets.strata, residuals=bool(adjusted))
    sign = -1.0 if estimate.values[0] < 0 else 1.0
    # an outcome of 0 and 1 is turned into its opposite, so that it stays one
    turned = 1 - outcome if STATISTICS[name].binary and sign < 0 else sign * outcome
    return _Study(
        estimate,
        subjects,
        sets,
        strata is None,
        name,
        n_informative,
        smaller_arms(outcome, sets.strata),
        sign,
        comparison_of(name, turned, treatment, sets.strata),
        adjusted,
        asked and not adjusted,
        0.0 if adjusted else uneven_by(of_outcome, subjects, sets.strata),
    )


def _sets(
    estimate: Estimate, subjects: Compared, strata: str | pd.Series | None, caliper: float | None
) -> Sets:
    if strata is not None:
        return given_strata(subjects, origin_of(estimate).entered, strata)
    logit, source = logit_of(estimate)
    sets = matched_pairs(subjects, subjects.mean_of(logit), caliper=caliper)
    return replace(sets, diagnostics={**sets.diagnostics, "matched_on": source})


def _table(comparison: Comparison, gammas: tuple[float, ...], level: float, sign: float) -> pd.DataFrame:
    """Return one row for each gamma; estimates and limits only where an effect can be taken off the outcome."""
    rows = []
    for gamma in gammas:
        row = {"gamma": gamma, "p_upper": comparison.largest(gamma), "p_lower": comparison.smallest(gamma)}
        if comparison.compare is not None:
            found = by_gamma(comparison.compare, gamma, span=comparison.span, level=level)
            estimates = sorted((sign * found.estimate_low, sign * found.estimate_high))
            limits = sorted((sign * found.conf_low, sign * found.conf_high))
            names = ("estimate_low", "estimate_high", "conf_low", "conf_high")
            row |= dict(zip(names, map(float, [*estimates, *limits])))
        rows.append(row)
    return pd.DataFrame(rows)


def _numbers(study: _Study, level: float) -> dict[str, float]:
    largest, compare = study.comparison.largest, study.comparison.compare
    numbers = {
        "gamma": gamma_at(largest, 1 - level),
        "gamma_two_sided": gamma_at(largest, (1 - level) / 2),
        "p_value": largest(1.0),
        "n_sets": float(study.sets.strata.n_strata),
    }
    if compare is not None:
        numbers["estimate"] = study.sign * estimate_alone(compare, span=study.comparison.span)
    if study.sets.strata.paired:
        numbers["equal_amplification"] = equal_amplification(numbers["gamma"])
    return numbers


def _p_curve(comparison: Comparison, gammas: tuple[float, ...], gamma: float) -> pd.DataFrame:
    last = max(*gammas, 1.2 * gamma if np.isfinite(gamma) else 1.0, 1.5)
    grid = np.exp(np.linspace(0.0, np.log(last), POINTS))
    values = [(one, comparison.largest(one), comparison.smallest(one)) for one in grid.tolist()]
    return pd.DataFrame(values, columns=["gamma", "p_upper", "p_lower"])


def _said(study: _Study, numbers: dict[str, float], level: float) -> Said:
    n, word = study.sets.strata.n_strata, study.subjects.word
    paired = f"{n} pairs of a treated and a control {word}"
    test = STATISTICS[study.statistic].words
    return Said(
        compared=paired if study.kind == "pairs" else f"{n} strata of treated and control {word}s",
        sets=study.kind,
        outcome=Subject.of(study.estimate).outcome,
        up=study.sign > 0,
        test=f"{test} of residuals from predictions by {study.adjusted}" if study.adjusted else test,
        p_value=numbers["p_value"],
        alpha=1 - level,
        gamma=numbers["gamma"],
        amplified=numbers.get("equal_amplification", np.nan),
    )


def _with_benchmark(said: Said, benchmarks: pd.DataFrame) -> Said:
    """Return what is said with the benchmark that would have been the most hidden bias."""
    if benchmarks.empty:
        return said
    most = benchmarks.iloc[int(benchmarks["percentile_95"].argmax())]
    return replace(
        said,
        benchmark=str(most["in_words"]),
        median=float(most["median"]),
        percentile_95=float(most["percentile_95"]),
    )


def _assumptions(study: _Study, level: float) -> tuple[str, ...]:
    kind, word, sets = study.kind, study.subjects.word, study.sets
    whose = (
        f"the {sets.diagnostics['smaller_arm']} {word}s that have a partner"
        if study.matched
        else f"the {word}s in strata with both arms"
    )
    return (
        f"within {kind} the odds of treatment differ by at most gamma, and {kind} are independent",
        f"they speak of {whose} ({sets.how}); the estimate is of the {study.estimate.estimand}",
        "p-values are of no effect on anyone, estimates and limits of an effect that is the same for all",
        *(_of_residuals(study) if study.adjusted else ()),
        f"the direction tested is that of the estimate; who would have looked in both compares p with "
        f"{(1 - level) / 2:.3g}, as gamma_two_sided does",
    )


def _of_residuals(study: _Study) -> tuple[str, ...]:
    outcome = Subject.of(study.estimate).outcome
    return (
        f"residuals are {outcome} less what {study.adjusted} predict of it out of fold: with no effect on anyone "
        "they are the same whoever is treated, and p-values need no right prediction; estimates and limits take an "
        "effect off as a multiple of what the same leave of the treatment",
    )


def _warnings(study: _Study) -> tuple[str, ...]:
    estimate, design = study.estimate, origin_of(study.estimate).entered
    of_estimate = [text for text in estimate.warnings if text not in estimate.variance.notes]
    told = [*design.table.notes, *of_estimate, *study.sets.warnings]
    if abs(study.uneven) > UNEVEN:
        told.append(
            f"within {study.kind} what covariates and features predict of the outcome differs by "
            f"{study.uneven:.1f} standard errors between treated and controls, which p-values and estimates hold; "
            "adjust=True takes it off" + (", a smaller caliper= lessens it" if study.matched else "")
        )
    if np.ptp(design.table.weights) > 0:
        told.append(
            "sampling weights do not enter: every pair or stratum counts as its units do"
            if study.subjects.word == "unit"
            else "sampling weights enter the means of clusters alone"
        )
    if study.subjects.word == "cluster":
        told.append(
            f"treatment is the same within {design.cluster}: what is compared are the means of "
            f"{study.subjects.ids.size} clusters, each counted once"
        )
    elif estimate.vcov not in ("iid", "hetero"):
        told.append(
            f"the estimate's standard error is {estimate.vcov}; here pairs and strata are taken as independent, so "
            "p-values may be too small"
        )
    if estimate.second is not None:
        told.append("the outcome is a corrected prediction, and the error of its calibration does not enter")
    if study.statistic != "mcnemar" and study.n_smaller < FEW:
        told.append(
            f"{study.n_smaller} {study.subjects.word}s of the smaller arm, in {study.kind} with different "
            "outcomes, are few for the normal distribution that p-values and limits rest on"
        )
    if study.in_vain:
        told.append("nothing predicts the outcome, so that outcomes are compared as they are")
    return tuple(dict.fromkeys(told))
