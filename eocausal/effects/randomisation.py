"""Randomisation inference: what the estimate would have been, had others been treated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, whole_number
from eocausal.design import Design
from eocausal.effects.permutations import all_ways, how_many, random_ways
from eocausal.effects.randomised import RandomisationTest
from eocausal.errors import EstimationError, explain
from eocausal.inference import scores
from eocausal.inference.reference import Reference

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]
Codes = npt.NDArray[np.intp]


def randomisation_test(
    design: Design,
    *,
    method: str = "difference",
    draws: int = 1999,
    strata: str | pd.Series | None = None,
    studentised: bool = True,
    seed: int = 0,
) -> RandomisationTest:
    """Test whether treatment changed anyone's outcome, by assigning it again as it was assigned.

    Under the sharp hypothesis that nobody's outcome depends on treatment, all outcomes are known for every other
    assignment, and so is the distribution of the statistic. The p-value is right however few clusters were treated,
    and whatever the outcomes look like. It needs an assignment that was random: for studies where officials chose,
    it answers another question.

    Parameters
    ----------
    design : Design
        Of two arms. With ``cluster=`` whole clusters are assigned, else units.
    method : {"difference", "regression"}
        Difference of weighted means, or the regression on covariates interacted with treatment (Lin 2013), fitted
        again for every assignment.
    draws : int
        Assignments drawn at random. Where there are no more than these, each is taken once and the test is exact.
    strata : str or Series, optional
        Column of the design's table, or labels by unit id, within which treatment was randomised: the number
        treated in each stays as it was.
    studentised : bool
        Whether the statistic is the estimate over its standard error (default) or the estimate. With the former the
        test is also right in large samples for the weaker hypothesis of no average effect (Chung and Romano 2013).
    seed : int

    Returns
    -------
    RandomisationTest
        With ``p_value(null)``, ``ci(level)``, ``statistic``, ``draws``, ``plot()`` and members of other results.

    Raises
    ------
    EstimationError
        Treatment varies within clusters, strata part clusters or hold only one arm each, labels are missing, or
        the known propensity varies within strata.
    DesignError
        The treatment has more than two arms.

    Notes
    -----
    Fisher (1935), The Design of Experiments; Chung and Romano (2013), Annals of Statistics 41. The interval holds
    the effects, the same for everyone, that the test does not reject.

    Examples
    --------
    Fisher's lady told all eight cups of tea right, four of them with the milk first:

    >>> import pandas as pd, eocausal as ec
    >>> cups = pd.DataFrame({"milk_first": [1, 0, 1, 0, 1, 0, 1, 0]})
    >>> cups["said_first"] = cups["milk_first"]
    >>> test = ec.randomisation_test(ec.Design(cups, outcome="said_first", treatment="milk_first"))
    >>> test.exact, test.p_value() == 2 / 70
    (True, True)
    """
    _require_design(design)
    design.require_binary("randomisation_test")
    one_of(method, tuple(_STATISTICS), argument="method", error=EstimationError)
    draws = whole_number(draws, argument="draws", error=EstimationError, least=99)
    seed = whole_number(seed, argument="seed", error=EstimationError)
    asked = design.unadjusted() if method == "difference" else design
    # units that share a picture were assigned one by one, unless the design says otherwise
    groups = _groups_of(asked, strata, cluster=design.cluster)
    statistic = _STATISTICS[method](asked, groups.codes)
    possible = how_many(groups.treated, groups.strata)
    exact = possible <= draws
    ways = (
        all_ways(groups.treated, groups.strata)
        if exact
        else random_ways(groups.treated, groups.strata, draws=draws, seed=seed)
    )
    estimate, error = statistic.found()
    reference = _reference(ways, statistic, estimate, exact=exact, studentised=studentised)
    test = RandomisationTest(
        term=design.treatment, method=method, value=estimate, error=error if studentised else 1.0,
        studentised=studentised, reference=reference, n=len(asked), n_groups=groups.treated.size,
        n_treated=int(groups.treated.sum()), assigned_by=design.cluster, possible=possible, seed=seed,
        n_strata=int(groups.strata.max()) + 1, warnings=(*asked.table.notes, *groups.warnings()),
    )  # fmt: skip
    return replace(test, warnings=(*test.warnings, *_too_few(test)))


def _too_few(test: RandomisationTest) -> tuple[str, ...]:
    """Say where there are so few assignments that effects however large are not rejected."""
    if not test.exact or np.isfinite(test.ci()).all():
        return ()
    return (
        f"there are {test.possible} assignments in all, too few for a p-value of 0.05 or less however large the "
        "effect, so that 95% intervals have no end",
    )


@dataclass(frozen=True, eq=False)
class _Groups:
    """What is assigned: codes (n,) of the groups, which were treated (G,), and their strata (G,)."""

    codes: Codes
    treated: FloatArray
    strata: Codes

    def warnings(self) -> tuple[str, ...]:
        share = np.bincount(self.strata, weights=self.treated) / np.bincount(self.strata)
        alone = int(((share == 0) | (share == 1)).sum())
        if not alone:
            return ()
        return (f"{alone} strata have one arm only: their assignment stays as it is and tells nothing",)


@dataclass(frozen=True, eq=False)
class _Difference:
    """Differences of weighted means for many assignments at once."""

    outcome: FloatArray
    treatment: FloatArray
    weights: FloatArray
    codes: Codes

    @property
    def factor(self) -> float:
        return _factor(self.codes, n_params=2)

    def found(self) -> tuple[float, float]:
        return _found(scores.difference(self.outcome, self.treatment, self.weights), self.codes)

    def drawn(self, ways: FloatArray, outcomes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return differences (b, m) of m outcomes (n, m), and products of their influence values (b, m, m)."""
        weight = np.bincount(self.codes, weights=self.weights)
        sums = np.column_stack([np.bincount(self.codes, weights=self.weights * one) for one in outcomes.T])
        values, products = np.zeros((len(ways), 2)), np.zeros((len(ways), 2, 2))
        for sign, arm in ((1.0, ways), (-1.0, 1 - ways)):
            inside = arm @ weight
            mean = (arm @ sums) / inside[:, None]
            # sum over the arm's groups of (sum - mean weight)(sum - mean weight)'
            crossed = (arm @ (sums[:, :, None] * sums[:, None, :]).reshape(len(sums), -1)).reshape(-1, 2, 2)
            mixed = arm @ (sums * weight[:, None])
            squared = (arm @ weight**2)[:, None, None]
            outer = mean[:, :, None] * mixed[:, None, :]
            spread = (
                crossed - outer - outer.transpose(0, 2, 1) + mean[:, :, None] * mean[:, None, :] * squared
            )
            values += sign * mean
            products += spread / inside[:, None, None] ** 2
        return values, products


@dataclass(frozen=True, eq=False)
class _Regression:
    """The interacted regression, fitted for one assignment after another."""

    outcome: FloatArray
    treatment: FloatArray
    weights: FloatArray
    covariates: FloatArray
    codes: Codes

    @property
    def factor(self) -> float:
        return _factor(self.codes, n_params=2 * (1 + self.covariates.shape[1]))

    def found(self) -> tuple[float, float]:
        return _found(self._fitted(self.outcome, self.treatment), self.codes)

    def drawn(self, ways: FloatArray, outcomes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return coefficients (b, m) of m outcomes (n, m), and products of their influence values (b, m, m)."""
        values, products = [], []
        for way in ways:
            treatment = way[self.codes]
            made = [self._fitted(one, treatment) for one in outcomes.T]
            sums = np.column_stack([np.bincount(self.codes, weights=one.scores) for one in made])
            values.append([one.estimate for one in made])
            products.append(sums.T @ sums / len(outcomes) ** 2)
        return np.array(values), np.array(products)

    def _fitted(self, outcome: FloatArray, treatment: FloatArray) -> scores.ScoredEstimate:
        try:
            return scores.regression(outcome, treatment, self.weights, covariates=self.covariates)
        except np.linalg.LinAlgError as cause:
            raise EstimationError(
                explain(
                    "With some of the assignments covariates are collinear within an arm.",
                    rule="covariates have full rank in each arm, however treatment is assigned",
                    fix="leave covariates out that few units have, or method='difference'",
                )
            ) from cause


_Statistic = _Difference | _Regression


def _difference(design: Design, codes: Codes) -> _Statistic:
    table = design.table
    return _Difference(table.outcome, table.treatment, table.weights, codes)


def _regression(design: Design, codes: Codes) -> _Statistic:
    table = design.table
    return _Regression(table.outcome, table.treatment, table.weights, table.covariates, codes)


_STATISTICS: dict[str, Callable[[Design, Codes], _Statistic]] = {
    "difference": _difference,
    "regression": _regression,
}


def _reference(
    ways: Iterator[FloatArray], statistic: _Statistic, estimate: float, *, exact: bool, studentised: bool
) -> Reference:
    """Return the distribution of the statistic over assignments, for every effect that is the same for all.

    Were the effect off by ``gap``, outcomes without treatment would be ``outcome - (estimate - gap) treatment``:
    those of an effect of the estimate plus ``gap`` times the treatment that was given. Both are linear in outcomes.
    """
    untreated = statistic.outcome - estimate * statistic.treatment
    # a constant changes no statistic, but a large one would drown the differences
    untreated = untreated - np.average(untreated, weights=statistic.weights)
    outcomes = np.column_stack([untreated, statistic.treatment])
    rises, squares = [], []
    for some in ways:
        values, products = statistic.drawn(some, outcomes)
        square = np.column_stack([products[:, 0, 0], 2 * products[:, 0, 1], products[:, 1, 1]])
        even = np.tile([1.0, 0.0, 0.0], (len(some), 1))
        rises.append(values)
        squares.append(statistic.factor * square if studentised else even)
    return Reference(np.concatenate(rises)[:, None, :], np.concatenate(squares)[:, None, :], exact)


def _found(made: scores.ScoredEstimate, codes: Codes) -> tuple[float, float]:
    sums = np.bincount(codes, weights=made.scores)
    error = np.sqrt(_factor(codes, n_params=made.n_params) * sums @ sums) / codes.size
    return made.estimate, float(error)


def _factor(codes: Codes, *, n_params: int) -> float:
    """Return the factor of clustered standard errors; with groups of one unit that of HC1."""
    n, n_groups = codes.size, int(codes.max()) + 1
    return n_groups / (n_groups - 1) * (n - 1) / (n - n_params)


def _require_design(design: object) -> None:
    if not isinstance(design, Design):
        fix = "ec.randomisation_test(ec.Design(table, outcome=..., treatment=...))"
        raise EstimationError(explain(f"randomisation_test() got a {type(design).__name__}.", fix=fix))


def _groups_of(design: Design, strata: str | pd.Series | None, *, cluster: str | None) -> _Groups:
    table = design.table
    labels = table.ids if cluster is None or table.clusters is None else table.clusters
    codes = np.unique(labels, return_inverse=True)[1]
    share = np.bincount(codes, weights=table.treatment) / np.bincount(codes)
    mixed = (share > 0) & (share < 1)
    if mixed.any():
        where = np.unique(labels)[mixed]
        raise EstimationError(
            explain(
                f"Treatment varies within clusters of {cluster!r}, so they are not what was assigned.",
                where=where,
                rule="all units of a cluster have one treatment",
                fix="name in Design(cluster=) what was assigned, or nothing if units were, and with strata= the "
                "groups within which",
            )
        )
    by = np.zeros(codes.size, dtype=np.intp) if strata is None else _strata_of(design, strata)
    first = np.zeros(share.size, dtype=np.intp)
    first[codes] = by
    parted = first[codes] != by
    if parted.any():
        raise EstimationError(
            explain(
                "Strata part clusters.",
                where=np.unique(labels[parted]),
                rule="a cluster lies in one stratum",
                fix="strata= the groups that clusters were drawn from, or name in Design(cluster=) what was drawn",
            )
        )
    groups = _Groups(codes, share, first)
    _require_equal_chances(table.propensity, by)
    if how_many(share, first) < 2:
        raise EstimationError(
            explain(
                "Every stratum has one arm only, so nothing could have been assigned otherwise.",
                fix="strata=None",
            )
        )
    return groups


def _strata_of(design: Design, strata: str | pd.Series) -> Codes:
    table = design.table
    if isinstance(strata, pd.Series):
        if strata.index.has_duplicates:
            again = strata.index[strata.index.duplicated()]
            raise EstimationError(explain("strata has several labels for some units.", where=again))
        labels = strata.reindex(table.ids)
    else:
        frame = design.frame
        if not isinstance(strata, str) or strata not in frame:
            raise EstimationError(
                explain(
                    f"strata={strata!r} is not a column of the table.",
                    fix="the name of a column, or a Series of labels by unit id",
                )
            )
        labels = frame[strata].iloc[table.rows]
    missing = labels.isna().to_numpy()
    if missing.any():
        raise EstimationError(explain("Some units have no stratum.", where=table.ids[missing]))
    return np.asarray(pd.factorize(labels, sort=False)[0], dtype=np.intp)


def _require_equal_chances(propensity: FloatArray | None, strata: Codes) -> None:
    if propensity is None:
        return
    low = np.full(int(strata.max()) + 1, np.inf)
    high = np.zeros_like(low)
    np.minimum.at(low, strata, propensity)
    np.maximum.at(high, strata, propensity)
    if (high - low > 1e-9).any():
        raise EstimationError(
            explain(
                f"The known propensity varies within {int((high - low > 1e-9).sum())} strata.",
                rule="within a stratum everyone had the same chance of treatment",
                fix="strata= a column within which it is the same",
            )
        )
