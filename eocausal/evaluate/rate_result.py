"""The result of RATE: rank-weighted average effects of all targets with their curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, require_level
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.splits_table import splits_figure, splits_frame
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.simultaneous import band_factor, step_down_p
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]


ONE_DEAL = explain("This result is of one deal of the units.", fix="ec.rate_over_splits(design, ...)")


@result_type
@dataclass(frozen=True, eq=False)
class Rate:
    """Rank-weighted average treatment effects, AUTOC, QINI or another, with the TOC curve of each ranking.

    Made by :func:`eocausal.rate`. ``estimate``, ``std_error``, ``ci()`` and ``p_value()`` speak of the target that
    was declared beforehand, with one term for each priority and then one for each difference of two;
    ``to_frame()`` has all targets.

    Attributes
    ----------
    joint : Estimate
        All targets with their joint covariance; terms are ``AUTOC: name``.
    target : str
        ``"AUTOC"``, ``"QINI"`` or the name of a :class:`eocausal.Weighting`: the target declared beforehand.
    toc : DataFrame
        Columns ``priority q estimate std_error conf_low conf_high band_low band_high``: intervals hold at one share
        each, bands at all shares at once.
    by_fold : DataFrame
        Columns ``priority estimand fold n n_clusters estimate std_error``: the parts that were averaged.
    """

    joint: Estimate
    target: str
    toc: pd.DataFrame
    by_fold: pd.DataFrame

    estimand = Delegated("rates")
    method = Delegated("joint")
    terms = Delegated("rates")
    n = Delegated("joint")
    n_clusters = Delegated("joint")
    estimate = Delegated("rates")
    std_error = Delegated("rates")
    ci = Delegated("rates")
    p_value = Delegated("rates")
    scores = Delegated("rates")
    assumptions = Delegated("joint")
    warnings = Delegated("joint")
    diagnostics = Delegated("joint")
    provenance = Delegated("joint")
    summary = Delegated("joint")

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets that are held, that declared beforehand first."""
        held = dict.fromkeys(term.split(": ", 1)[0] for term in self.joint.terms)
        return (self.target, *[one for one in held if one != self.target])

    @property
    def rates(self) -> Estimate:
        """The estimates of the target declared beforehand."""
        return self._of(self.target)

    @property
    def ratio(self) -> float | FloatArray:
        """The RATE ratio, estimate over standard error: the statistic by which papers compare sources of images.

        A float for one term, else an array; the column ``statistic`` of ``to_frame()`` holds it for all targets.
        """
        found = self.rates.to_frame()["statistic"].to_numpy(dtype=float)
        return float(found[0]) if found.size == 1 else found

    @property
    def splits(self) -> pd.DataFrame:
        """Each deal: ``seed estimand term estimate std_error ratio p_value``; empty where there was one."""
        return splits_frame(self.joint)

    def p_over_splits(self) -> float | FloatArray:
        """Return twice the median over deals of the p-values, at most 1, of the target declared beforehand.

        It is valid however the deals depend on one another. A float for one term, else an array.

        Raises
        ------
        EvaluationError
            There is one deal only.
        """
        frame = self.splits
        if frame.empty:
            raise EvaluationError(ONE_DEAL)
        own = frame[frame["estimand"] == self.target].groupby("term", sort=False)["p_value"]
        found = np.minimum(1.0, 2 * own.median().reindex(list(self.terms)).to_numpy(dtype=float))
        return float(found[0]) if found.size == 1 else found

    def plot_splits(self, term: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw the RATE ratio of every deal of the units, one row a target, and return the Axes.

        Parameters
        ----------
        term : str, optional
            Default the first.
        ax : Axes, optional

        Raises
        ------
        EvaluationError
            There is one deal only, or no such term.
        """
        frame, chosen = self.splits, self.terms[0] if term is None else term
        if frame.empty:
            raise EvaluationError(ONE_DEAL)
        one_of(chosen, self.terms, argument="term", error=EvaluationError)
        return splits_figure(frame, chosen, ax=ax)

    def of(self, target: str) -> Self:
        """Return the same result with another target in front.

        Which target is judged by is to be declared before looking: ``ec.rate(..., target=)``.

        Raises
        ------
        EvaluationError
            A target that it does not hold.
        """
        one_of(target, self.targets, argument="target", error=EvaluationError)
        return replace(self, target=target)

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same rates with standard errors made from their influence values, at no new draws of halves.

        The bands of the TOC curve and the table of folds keep their standard errors.

        Parameters
        ----------
        vcov : {"iid", "hetero", "cluster"} or mapping
            As in :meth:`eocausal.Estimate.with_vcov`: ``{"conley": "50km"}`` or ``{"bootstrap": "block", "block":
            "50km"}`` where units near one another vary together.

        Raises
        ------
        EstimationError
            As there.
        """
        return replace(self, joint=self.joint.with_vcov(vcov))

    def simultaneous(
        self,
        level: float = 0.95,
        *,
        terms: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Return intervals that hold for all at once, and p-values that allow for how many there are.

        Parameters
        ----------
        level : float
            How often all intervals hold the truth together.
        terms : sequence of str, optional
            Which of :attr:`terms`. Default: every priority, and no difference.
        targets : sequence of str, optional
            Default: all.
        seed : int
            Of the draws of all t statistics together, which vary with one another as the estimates do.

        Returns
        -------
        DataFrame
            Columns ``term estimand estimate std_error statistic p_value p_adjusted conf_low conf_high``.
            ``p_value`` is that of the term alone; intervals are as wide as the largest absolute t of all asks for,
            and ``p_adjusted`` are Romano and Wolf's step-down p-values, which the probability of any false
            rejection stays below.

        Raises
        ------
        EvaluationError
            Unknown terms or targets, or a level that is not between 0 and 1.

        Examples
        --------
        >>> import numpy as np, eocausal as ec
        >>> rng = np.random.default_rng(0)
        >>> gain = rng.normal(size=300)
        >>> noise = {f"noise {k}": rng.normal(size=300) for k in range(3)}
        >>> found = ec.rate_from_scores(gain + rng.normal(size=300), {"gain": gain, **noise})
        >>> table = found.simultaneous(targets=["AUTOC"])
        >>> table.loc[table["p_adjusted"] < 0.05, "term"].tolist()
        ['gain']
        """
        require_level(level, error=EvaluationError)
        rows = self._rows(terms, targets)
        frame = self.to_frame().iloc[rows].reset_index(drop=True)
        matrix, df = self.joint.variance.matrix[np.ix_(rows, rows)], self.joint.variance.df
        half = band_factor(matrix, df=df, level=level, seed=seed) * frame["std_error"]
        adjusted = step_down_p(frame["estimate"].to_numpy(), matrix, df=df, seed=seed)
        # a bootstrap has a p-value of its own, and many looks make none smaller
        frame["p_adjusted"] = np.maximum(adjusted, frame["p_value"])
        frame["conf_low"], frame["conf_high"] = frame["estimate"] - half, frame["estimate"] + half
        return frame[
            ["term", "estimand", "estimate", "std_error", "statistic", "p_value", "p_adjusted", "conf_low",
             "conf_high"]
        ]  # fmt: skip

    def __repr__(self) -> str:
        """One line: the rates of the target declared beforehand."""
        return repr(self.rates).replace("Estimate(", "Rate(", 1)

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return one row for each target and term with broom's columns; ``statistic`` is the RATE ratio.

        The target declared beforehand comes first.
        """
        frame = self.joint.to_frame(level)
        split = [term.split(": ", 1) for term in self.joint.terms]
        frame["estimand"], frame["term"] = [one[0] for one in split], [one[1] for one in split]
        return frame.iloc[self._rows(list(self.terms), None)].reset_index(drop=True)

    def to_latex(self) -> str:
        """Return the table as LaTeX, escaped."""
        return self.joint.to_latex()

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "Rate",
            "target": self.target,
            "joint": self.joint.to_dict(scores=scores),
            "toc": self.toc.to_dict(orient="list"),
            "by_fold": self.by_fold.to_dict(orient="list"),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Rate:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        return cls(
            joint=Estimate.from_dict(content["joint"]),
            target=content["target"],
            toc=pd.DataFrame(content["toc"]),
            by_fold=pd.DataFrame(content["by_fold"]),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the TOC curves with pointwise 95% intervals and uniform bands, and return the Axes.

        The legend holds the estimates of all targets and their ratios.
        """
        from eocausal.evaluate.toc_figure import toc_figure

        return toc_figure(self, ax=ax)

    def _rows(self, terms: Sequence[str] | None, targets: Sequence[str] | None) -> list[int]:
        """Return the positions in ``joint`` of some terms of some targets; default priorities of all."""
        chosen = self.targets if targets is None else tuple(targets)
        for target in chosen:
            one_of(target, self.targets, argument="targets", error=EvaluationError)
        known = self.terms
        wanted = tuple(dict.fromkeys(self.toc["priority"])) if terms is None else tuple(terms)
        for term in wanted:
            one_of(term, known, argument="terms", error=EvaluationError)
        place = {term: row for row, term in enumerate(self.joint.terms)}
        return [place[f"{target}: {term}"] for target in chosen for term in wanted]

    def _of(self, target: str) -> Estimate:
        """Return the estimates of one target, their terms named after the priorities alone."""
        start = f"{target}: "
        rows = [row for row, term in enumerate(self.joint.terms) if term.startswith(start)]
        variance, repeats = self.joint.variance, self.joint.repeats
        reference = variance.reference
        if reference is not None:
            reference = replace(reference, rise=reference.rise[:, rows], square=reference.square[:, rows])
        terms = tuple(self.joint.terms[row].removeprefix(start) for row in rows)
        if repeats is not None:
            repeats = replace(
                repeats,
                terms=terms,
                values=repeats.values[:, rows],
                score_values=repeats.score_values[:, :, rows],
                std_errors=repeats.std_errors[:, rows],
            )
        return replace(
            self.joint,
            estimand=target,
            terms=terms,
            repeats=repeats,
            values=self.joint.values[rows],
            score_values=self.joint.score_values[:, rows],
            variance=replace(variance, matrix=variance.matrix[np.ix_(rows, rows)], reference=reference),
        )
