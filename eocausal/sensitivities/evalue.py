"""``kind="evalue"``: how strong associations with an unseen confounder would have to be, as risk ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from eocausal._checks import finite_number, one_of
from eocausal.errors import EstimationError, SensitivityError, explain
from eocausal.sensitivities.association_ratios import (
    EValue,
    Ratio,
    evalue_of_interval,
    evalue_of_ratio,
    of_difference,
)
from eocausal.sensitivities.control_mean import Mean, mean_without_treatment
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.selection_moments import with_errors
from eocausal.sensitivities.subject import Subject, made_again, origin_of, outcome_sd

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.benchmarks import Benchmark
    from eocausal.sensitivities.kinds import Call

SCALES = ("auto", "risk_ratio", "difference")
ROUGH = (
    "the outcome is not 0/1: the risk ratio is exp(0.91 effect / sd), which is rough; kind='omitted' and "
    "kind='dml' say more, in shares of variance"
)
ASSUMED = (
    "the confounder's risk ratios with treatment and with outcome hold beyond the controls, and are as large as "
    "one another; where one is smaller the other has to be larger, as the figure shows",
)


class Scaled(NamedTuple):
    """An estimate as a risk ratio, and what made it one."""

    ratio: Ratio
    null: float
    control_mean: float = np.nan
    sd: float = np.nan
    errors: Estimate | None = None
    told: tuple[str, ...] = ()


class Left(NamedTuple):
    """What leaving out a benchmark does: the risk ratio without it, and by what factor that is another one."""

    name: str
    in_words: str
    ratio: float
    factor: float


def evalue(estimate: Estimate, call: Call, *, scale: str = "auto", null: float | None = None) -> Sensitivity:
    """Return E-values of an estimate and of the limit of its interval that is nearer to the null."""
    one_of(scale, SCALES, argument="scale", error=SensitivityError)
    as_ratio = _as_risk_ratio(estimate, scale)
    null = (1.0 if as_ratio else 0.0) if null is None else null
    null = finite_number(null, argument="null", error=SensitivityError)
    scaled = _ratio(estimate, call.level, null) if as_ratio else _difference(estimate, call.level, null)
    found = evalue_of_interval(scaled.ratio, scaled.null)
    compared, told = _left_out(estimate, call, scaled, as_ratio=as_ratio)
    return Sensitivity(
        kind="evalue",
        subject=Subject.of(estimate),
        sentence=sentence(scaled, found, compared, level=call.level, as_ratio=as_ratio),
        frame=_frame(scaled, found, compared),
        numbers={
            "estimate": float(estimate.values[0]),
            "null": scaled.null,
            "control_mean": scaled.control_mean,
            "sd": scaled.sd,
            "risk_ratio": scaled.ratio.value,
            "risk_ratio_low": scaled.ratio.low,
            "risk_ratio_high": scaled.ratio.high,
            "e_value": found.point,
            "e_value_limit": found.limit,
        },
        estimates={} if scaled.errors is None else {"log risk ratio": scaled.errors},
        assumptions=ASSUMED,
        warnings=(*scaled.told, *told),
        diagnostics={"scale": "risk_ratio" if as_ratio else "difference"},
        provenance=estimate.provenance,
    )


def _as_risk_ratio(estimate: Estimate, scale: str) -> bool:
    """Return whether the estimate is put as a risk ratio; raise where it cannot be and was asked to."""
    design = origin_of(estimate).entered
    outcome = np.asarray(design.table.outcome)
    why = ""
    if not np.isin(outcome, (0, 1)).all():
        why = f"{design.outcome!r} is not 0/1"
    elif getattr(design, "treatment_type", "binary") != "binary":
        why = "the treatment is a dose, and no one has none of it"
    if scale == "risk_ratio" and why:
        raise SensitivityError(explain(f"There is no risk ratio: {why}.", fix="scale='difference'"))
    return scale != "difference" and not why


def _ratio(estimate: Estimate, level: float, null: float) -> Scaled:
    """Return the risk ratio of a 0/1 outcome, with an interval that knows how effect and mean vary together."""
    if null <= 0:
        raise SensitivityError(explain(f"null={null!r}.", rule="a risk ratio above 0"))
    mean, effect = mean_without_treatment(estimate), float(estimate.values[0])
    if mean.value <= 0 or mean.value + effect <= 0:
        raise SensitivityError(
            explain(
                f"The mean outcome is {mean.value:.4g} without treatment and {mean.value + effect:.4g} with it.",
                rule="both above 0 for a risk ratio",
                fix="scale='difference'",
            )
        )
    value = (mean.value + effect) / mean.value
    if mean.scores is None:
        return _at_known_mean(estimate, level, null, mean)
    treated = mean.scores + estimate.score_values[:, 0]
    logs = treated / (mean.value + effect) - mean.scores / mean.value
    errors = with_errors(
        estimate, {"log risk ratio": (float(np.log(value)), logs)}, estimand="log risk ratio"
    )
    low, high = np.exp(np.ravel(errors.ci(level)))
    told: tuple[str, ...] = ()
    if estimate.repeats is not None:
        told = ("the interval of the risk ratio leaves out how much the dealing of folds matters",)
    return Scaled(Ratio(value, float(low), float(high)), null, mean.value, errors=errors, told=told)


def _at_known_mean(estimate: Estimate, level: float, null: float, mean: Mean) -> Scaled:
    """Return the risk ratio with the limits of the difference put on the mean as it was estimated."""
    low, high = (max(mean.value + float(one), 0.0) / mean.value for one in np.ravel(estimate.ci(level)))
    value = (mean.value + float(estimate.values[0])) / mean.value
    note = (
        f"limits of the risk ratio are those of the difference over a mean without treatment of {mean.value:.4g}, "
        "which they take as known: the mean of the rows that the effect is of less the effect"
    )
    return Scaled(Ratio(value, low, high), null, mean.value, told=(note,))


def _difference(estimate: Estimate, level: float, null: float) -> Scaled:
    """Return the risk ratio that a difference stands for, with the standard deviation taken as known."""
    sd = outcome_sd(estimate)
    low, high = (of_difference(float(one), sd) for one in np.ravel(estimate.ci(level)))
    ratio = Ratio(of_difference(float(estimate.values[0]), sd), low, high)
    return Scaled(ratio, of_difference(null, sd), sd=sd, told=(ROUGH,))


def _left_out(
    estimate: Estimate, call: Call, scaled: Scaled, *, as_ratio: bool
) -> tuple[list[Left], list[str]]:
    """Return what leaving out each benchmark does, and which could not be left out."""
    found, told = [], []
    for benchmark in call.benchmarks:
        design = _without(estimate, benchmark, named=call.named)
        if design is None:
            continue
        try:
            other = made_again(estimate, design)
        except EstimationError as cause:
            told.append(
                f"the effect without {benchmark.in_words} could not be estimated: {str(cause).splitlines()[0]}"
            )
            continue
        if as_ratio:
            mean = mean_without_treatment(other).value
            ratio = (mean + float(other.values[0])) / mean
        else:
            ratio = of_difference(float(other.values[0]), scaled.sd)
        if ratio <= 0:
            told.append(f"without {benchmark.in_words} there is no risk ratio above 0")
            continue
        factor = max(ratio / scaled.ratio.value, scaled.ratio.value / ratio)
        found.append(Left(benchmark.name, benchmark.in_words, ratio, factor))
    return found, told


def _without(estimate: Estimate, benchmark: Benchmark, *, named: bool) -> object | None:
    origin = origin_of(estimate)
    why = ""
    if benchmark.coordinates:
        why = "The estimate does not adjust for where units lie, so that it cannot be left out."
    elif not hasattr(origin.design, "without"):
        why = "Columns of a panel are not left out here."
    elif origin.options["method"] == "difference":
        why = "A difference in means adjusts for nothing that could be left out."
    if not why:
        return benchmark.without(origin.design)
    if named:
        raise SensitivityError(explain(why, fix="kind='omitted', which compares with it too"))
    return None


def _frame(scaled: Scaled, found: EValue, compared: list[Left]) -> pd.DataFrame:
    ratio = scaled.ratio
    near = ratio.low if ratio.value > scaled.null else ratio.high
    rows = [
        ("estimate", ratio.value, ratio.low, ratio.high, _away(ratio.value, scaled.null), found.point),
        ("limit nearer to the null", near, np.nan, np.nan, _away(near, scaled.null), found.limit),
    ]
    if ratio.low <= scaled.null <= ratio.high:
        rows[1] = (*rows[1][:4], 1.0, 1.0)
    rows += [
        (f"without {one.name}", one.ratio, np.nan, np.nan, one.factor, evalue_of_ratio(one.factor))
        for one in compared
    ]
    return pd.DataFrame(rows, columns=["what", "risk_ratio", "conf_low", "conf_high", "factor", "e_value"])


def _away(ratio: float, null: float) -> float:
    return max(ratio / null, null / ratio) if ratio > 0 else np.inf


def sentence(scaled: Scaled, found: EValue, compared: list[Left], *, level: float, as_ratio: bool) -> str:
    """Say in words what was found."""
    ratio, null = scaled.ratio, scaled.null
    called = "a risk ratio" if as_ratio else "roughly, as the outcome is not 0/1, a risk ratio"
    limits = f"{100 * level:.3g}% interval {ratio.low:.3g} to {ratio.high:.3g}"
    text = [
        f"The effect is {called} of {ratio.value:.3g} ({limits}).",
        f"To make it {null:.3g}, an unobserved confounder would have to go with both treatment and outcome, beyond "
        f"the controls, by risk ratios of {found.point:.3g} each.",
    ]
    if found.limit == 1.0:
        text.append(f"The interval holds {null:.3g} as it is.")
    else:
        text.append(f"For the interval to hold {null:.3g}, {found.limit:.3g} would do.")
    if compared:
        most = max(compared, key=lambda one: one.factor)
        text.append(
            f"Leaving out {most.in_words} changes the ratio as one of {evalue_of_ratio(most.factor):.3g} could."
        )
    return " ".join(text)
