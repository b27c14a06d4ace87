"""How much a covariate, a group or a block of features explains in a regression, to measure the unseen by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import stats

from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.linear_model import LinearModel
from eocausal.sensitivities.strengths import Yardstick
from eocausal.sensitivities.subject import origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.benchmarks import Benchmark
    from eocausal.sensitivities.kinds import Call

FloatArray = npt.NDArray[np.float64]

# A share that columns of noise reach in more than this share of samples says nothing of the columns.
BY_CHANCE = 0.05


@dataclass(frozen=True)
class Measured:
    """A benchmark with what it explains.

    Attributes
    ----------
    benchmark : Benchmark
    yardstick : Yardstick
    columns : int
        Columns of the regression that it is made of.
    p_treatment, p_outcome : float
        Of the F tests that the columns explain nothing, as if units were independent.
    """

    benchmark: Benchmark
    yardstick: Yardstick
    columns: int
    p_treatment: float
    p_outcome: float

    @property
    def by_chance(self) -> list[str]:
        """Which of treatment and outcome the columns explain no more of than noise might."""
        return [
            what
            for what, p in (("treatment", self.p_treatment), ("outcome", self.p_outcome))
            if p > BY_CHANCE
        ]

    @property
    def warning(self) -> str:
        """What must be said of the benchmark, or nothing."""
        name, plural, chance = self.benchmark.in_words, self.columns > 1, self.by_chance
        if self.yardstick.empty:
            return f"{name}: explains nothing of treatment or of outcome, so that no multiple of it is a bias"
        if not chance:
            return ""
        return (
            f"{name}: explains no more of {' and of '.join(chance)} than {self.columns} "
            f"column{'s' * plural} of noise might (F test, p > {BY_CHANCE}), so multiples of it are not reliable"
        )


def measured(estimate: Estimate, model: LinearModel, call: Call) -> tuple[list[Measured], list[str]]:
    """Return what each benchmark explains, and what must be said of those that do not enter the regression.

    Raises
    ------
    SensitivityError
        A benchmark that was asked for by name does not enter.
    """
    found, told = [], []
    for benchmark in call.benchmarks:
        if benchmark.coordinates:
            found.append(_outside(estimate, model, benchmark))
            continue
        blocks = getattr(origin_of(estimate).design.table, "feature_blocks", {})
        members = model.members(benchmark, tuple(blocks))
        if members.any():
            found.append(_measure(model, benchmark, members, inside=True))
            told += _left_in_the_unseen(model, benchmark, blocks)
        elif call.named:
            raise SensitivityError(
                explain(
                    f"benchmark {benchmark.name!r} is no part of the regression by method={estimate.method!r}.",
                    fix="ec.ate(design, method='ols'), which takes in covariates and image features",
                )
            )
        else:
            verb = "are" if benchmark.plural else "is"
            told.append(f"{benchmark.in_words} {verb} no part of this regression and cannot be compared with")
    return found, told


def _left_in_the_unseen(
    model: LinearModel, benchmark: Benchmark, blocks: Mapping[str, tuple[int, int]]
) -> list[str]:
    """Return what to say of image features that a benchmark names and of which the regression sees a part."""
    names = tuple(blocks) if benchmark.features else benchmark.blocks
    width = sum(blocks[name][1] - blocks[name][0] for name in names)
    taken = sum(one in names for one in model.of)
    if taken >= width:
        return []
    return [
        f"{benchmark.in_words}: of {width} columns {taken} leading components are in the regression and compared "
        "with, and what else images show counts as unseen"
    ]


def _outside(estimate: Estimate, model: LinearModel, benchmark: Benchmark) -> Measured:
    """Return what a surface over places would explain if it were added."""
    if model.absorbed:
        raise SensitivityError(
            explain(
                "Where units lie does not change over time, so unit effects hold it already.",
                rule="benchmark='coordinates' goes with regressions without unit effects",
                fix="benchmark= a covariate",
            )
        )
    wider = model.with_coordinates()
    members = np.arange(wider.columns.shape[1]) >= model.columns.shape[1]
    return _measure(wider, benchmark, members, inside=False)


def _measure(
    model: LinearModel, benchmark: Benchmark, members: npt.NDArray[np.bool_], *, inside: bool
) -> Measured:
    """Return partial R2 of columns by what residuals they leave, with F tests."""
    both = np.column_stack([model.treatment, model.outcome])
    treated, made = model.residuals(both, ~members).T
    treated_left, made_left = model.residuals(both).T
    shares = (
        _explained(treated @ treated, treated_left @ treated_left),
        _explained(_given(made, treated), _given(made_left, treated_left)),
    )
    columns = int(members.sum())
    tests = (_f_test(shares[0], columns, model.df + 1), _f_test(shares[1], columns, model.df))
    return Measured(benchmark, Yardstick(*shares, inside=inside), columns, *tests)


def _given(values: FloatArray, column: FloatArray) -> float:
    """Return the squares that a column leaves of values."""
    return float(values @ values - (values @ column) ** 2 / (column @ column))


def _explained(without: float, left: float) -> float:
    return float(min(max(1 - left / without, 0.0), 1.0))


def _f_test(share: float, columns: int, df: int) -> float:
    if share >= 1 or df < 1:
        return 0.0
    return float(stats.f.sf(share / columns / ((1 - share) / df), columns, df))
