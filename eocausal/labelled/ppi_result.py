"""`Ppi`: an effect from predictions, from labels, and from both, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.debiasing.label_tests import words_of
from eocausal.inference.contrast import contrast
from eocausal.inference.delegate import Answering
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import interval_plot, jsonable
from eocausal.inference.variance import FEW_CLUSTERS
from eocausal.inference.vcov import VcovChoice
from eocausal.labelled.label_checks import COSTS, imprecise
from eocausal.labelled.ppi_words import LEVEL, sentences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BoolArray = npt.NDArray[np.bool_]

# Estimates in the order they are shown; the last is called by what it takes of the predictions.
NAIVE, CLASSICAL, PLAIN, POWERED = "naive", "classical", "ppi", "ppi++"
# What the warning of a naive estimate that labels contradict begins with.
CONTRADICTED = "labels contradict the chosen estimate"


@result_type
@dataclass(frozen=True, eq=False)
class Ppi(Answering):
    """An effect, or a mean, of an outcome that is predicted for all units and measured for some.

    Made by :func:`eocausal.ppi`. ``estimate``, ``std_error`` and the other members of every result are those of
    four estimates, in this order, with their joint covariance:

    ``naive``
        Of predictions alone, as if they were outcomes.
    ``classical``
        Of labelled units alone.
    ``ppi``
        Of predictions, put right by the error that labelled units show (lambda 1).
    ``ppi++``
        The same with as much of the predictions as makes its variance smallest; with a lambda of one's own it is
        called by it, such as ``ppi(0.5)``.

    Attributes
    ----------
    fit : Estimate
    chosen : str
        The term that :attr:`best` gives.
    power : DataFrame
        One row for each arm and stratum: ``arm stratum n n_labelled n_clusters share correlation lambda
        lambda_unbounded shift shift_error``. ``n_clusters`` counts those that hold labels, ``share`` is what a
        stratum counts for, ``shift`` the mean prediction of the reference units less that of labelled units.
    label_tests : DataFrame or None
        What labels say of estimates without labels: ``term hypothesis estimate std_error statistic p_value df n
        n_clusters``. None for a mean, and where labels cannot test anything.
    labelled : boolean array of shape (n,)
    label_free : Estimate or None
        Corrections that use no labels of this study, where a corrector was given.
    """

    fit: Estimate
    chosen: str
    power: pd.DataFrame
    label_tests: pd.DataFrame | None
    labelled: BoolArray
    label_free: Estimate | None = None

    @property
    def n_labelled(self) -> int:
        """How many units have a label."""
        return int(self.labelled.sum())

    @property
    def best(self) -> Estimate:
        """The chosen estimate alone."""
        return self._by_labels(contrast(self.fit, self.chosen))

    @property
    def judge(self) -> str:
        """The estimate from labels that others are compared with: the chosen one, if it uses labels."""
        return self.fit.terms[-1] if self.chosen == NAIVE else self.chosen

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """Return all estimates side by side.

        Columns ``term estimate std_error conf_low conf_high worth_labels difference difference_p``: how many labels
        alone would be as precise, and how far each is from the chosen estimate (from ``ppi++`` where ``naive`` was
        chosen), with the p-value of the hypothesis that they estimate the same. Corrections without labels stand
        below, where there are any.
        """
        frame = self.fit.to_frame(level)
        errors = frame["std_error"].to_numpy()
        alone = errors[self.fit.terms.index(CLASSICAL)]
        with np.errstate(divide="ignore", invalid="ignore"):
            worth = self.n_labelled * (alone / errors) ** 2
        frame["worth_labels"] = np.where(frame["term"] == NAIVE, np.nan, worth)
        gaps = [self._gap(term) for term in self.fit.terms]
        if self.label_free is not None:
            judge = contrast(self.fit, self.judge)
            kept = [term for term in self.label_free.terms if term != NAIVE]
            more = self.label_free.to_frame(level)
            more = more[more["term"].isin(kept)].assign(worth_labels=np.nan)
            frame = pd.concat([frame, more], ignore_index=True)
            gaps += [_tested(self._by_labels(contrast(self.label_free, one) - judge)) for one in kept]
        frame["difference"], frame["difference_p"] = zip(*gaps)
        shown = ["term", "estimate", "std_error", "conf_low", "conf_high", "worth_labels", "difference"]
        return frame[[*shown, "difference_p"]]

    def _gap(self, term: str) -> tuple[float, float]:
        """Return how far an estimate is from the judge, and how likely so far by chance."""
        if term == self.judge:
            return 0.0, float("nan")
        return _tested(self._by_labels(contrast(self.fit, term, against=self.judge)))

    def _by_labels(self, result: Estimate) -> Estimate:
        return by_labels(result, np.isin(result.ids, self.fit.ids[self.labelled]))

    def words(self) -> list[str]:
        """Return in sentences what labels add, what they say of estimates without labels, and which to believe."""
        told = None if self.label_tests is None else words_of(self.label_tests)
        return sentences(self.table(), self.judge, self.n_labelled, told)

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same estimates with standard errors made another way, as in :meth:`Estimate.with_vcov`.

        How much of the predictions is taken stays as it was, and so do the tests of labels.
        """
        free = None if self.label_free is None else self.label_free.with_vcov(vcov)
        changed = replace(self, fit=by_labels(self.fit.with_vcov(vcov), self.labelled), label_free=free)
        return changed.warned()

    def warned(self) -> Self:
        """Return the result with warnings of its standard errors: what predictions cost, what labels contradict."""
        kept = [text for text in self.fit.warnings if not text.startswith((COSTS, CONTRADICTED))]
        errors = dict(zip(self.fit.terms, np.sqrt(np.diag(self.fit.variance.matrix)).tolist()))
        told = (*self._contradicted(), *imprecise(errors), *kept)
        return replace(self, fit=replace(self.fit, warnings=told))

    def _contradicted(self) -> list[str]:
        """Return a warning where the naive estimate was chosen, and labels contradict it."""
        if self.chosen != NAIVE:
            return []
        _, p_value = self._gap(NAIVE)
        return [f"{CONTRADICTED}: {NAIVE} is not {self.judge} (p {p_value:.2g})"] if p_value < LEVEL else []

    def __repr__(self) -> str:
        """One line: the chosen estimate, and how many labels it rests on."""
        head = repr(self.best).replace("Estimate(", "Ppi(", 1)
        return head.replace(f"n {self.fit.n},", f"n {self.fit.n}, {self.n_labelled} labelled,", 1)

    def summary(self) -> str:
        """Return a text of at most 25 lines: all estimates, what labels say, assumptions and warnings."""
        own = [f"{self.estimand}, chosen: {self.chosen}  (n {self.n}, {self.n_labelled} labelled)"]
        own += self.table().to_string(index=False, float_format=lambda value: f"{value:.4f}").splitlines()
        own += self.words()
        rest = self.fit.summary().splitlines()
        table = 2 + len(self.fit.terms)
        return "\n".join([*own, *rest[table:]][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        tests, free = self.label_tests, self.label_free
        content = {
            "type": "Ppi",
            "fit": self.fit.to_dict(scores=scores),
            "chosen": self.chosen,
            "n_labelled": self.n_labelled,
            "power": jsonable(_listed(self.power)),
            "label_tests": None if tests is None else jsonable(_listed(tests)),
            "label_free": None if free is None else free.to_dict(scores=scores),
        }
        return {**content, "labelled": self.labelled.tolist()} if scores else content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Ppi:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        fit = Estimate.from_dict(content["fit"])
        tests, free = content["label_tests"], content["label_free"]
        return cls(
            fit,
            content["chosen"],
            _numeric(content["power"], ("arm", "stratum", "n", "n_labelled")),
            None if tests is None else _numeric(tests, ("term", "hypothesis", "n")),
            np.array(content["labelled"], dtype=bool),
            None if free is None else Estimate.from_dict(free),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw all estimates with 95% intervals, the chosen one in bold, and return the Axes."""
        frame = self.table()
        ax = interval_plot(frame, ax=ax)
        at = frame["term"].tolist().index(self.chosen)
        best, height = frame["estimate"][at], len(frame) - 1 - at
        ax.axvline(best, color="#c55a11", linestyle="--", linewidth=0.8, zorder=0)
        ax.plot([best], [height], "o", color="#c55a11", markersize=8, zorder=3)
        worth = frame["worth_labels"].to_numpy()
        labels = [
            term if np.isnan(count) else f"{term}\n(worth {count:.0f} labels)"
            for term, count in zip(frame["term"], worth)
        ]
        ax.set_yticks(np.arange(len(frame))[::-1], labels=labels)
        ax.set_xlabel(f"{self.estimand} with 95% interval; dashed: {self.chosen}")
        return ax


def by_labels(fit: Estimate, labelled: BoolArray) -> Estimate:
    """Return estimates with degrees of freedom of the labelled units, or of the clusters that hold them.

    Most units have no label, so that counting them all would make intervals from few labels too short.
    """
    made = fit.variance
    if made.reference is not None:
        return fit
    counts = [np.unique(fit.groups[name][labelled]).size for name in made.how.names]
    df = float(min(counts) - 1 if counts else int(labelled.sum()) - fit.n_params)
    notes = made.notes
    if counts and min(counts) < FEW_CLUSTERS:
        notes = (
            *notes,
            f"labels are in {min(counts)} clusters: with fewer than {FEW_CLUSTERS} clustered standard errors of "
            "estimates from labels are too small",
        )
    kept = [text for text in fit.warnings if text not in made.notes]
    made = replace(made, df=max(1.0, min(made.df, df)), notes=notes)
    return replace(fit, variance=made, warnings=(*kept, *notes))


def _tested(gap: Estimate) -> tuple[float, float]:
    return float(gap.values[0]), float(np.ravel(gap.p_value())[0])


def _listed(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return a table as lists, with None where a whole number is missing."""
    plain = frame.astype(object).where(frame.notna(), None)
    return {str(name): plain[name].tolist() for name in plain.columns}


def _numeric(content: Mapping[str, Any], others: tuple[str, ...]) -> pd.DataFrame:
    """Return lists as the table they were, whose columns are numbers but for a few."""
    frame = pd.DataFrame(content)
    kinds = {name: float for name in frame.columns if name not in (*others, "n_clusters")}
    return frame.astype({**kinds, "n_clusters": "Int64"})
