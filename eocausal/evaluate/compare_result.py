"""`SourceComparison`: how well effects learned from each source rank those who gain, all sources together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._figures import new_figure
from eocausal.evaluate.rate_result import Rate
from eocausal.inference.delegate import Delegated
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import jsonable
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Best:
    """The source with the largest rate, and how sure one can be that it is the best.

    Attributes
    ----------
    source : str
    estimate, ratio : float
        Its AUTOC or QINI, and that over its standard error.
    p_value, p_adjusted : float
        That it ranks better than chance: by itself, and with an allowance for how many sources were looked at.
    not_separated : tuple of str
        Sources whose difference to it has a simultaneous 95% interval that holds zero.
    statement : str
        What may be said; printing shows it.
    """

    source: str
    estimate: float
    ratio: float
    p_value: float
    p_adjusted: float
    not_separated: tuple[str, ...]
    statement: str

    def __str__(self) -> str:
        """Return the statement."""
        return self.statement


@result_type
@dataclass(frozen=True, eq=False)
class SourceComparison:
    """RATE of several sources on the same folds, with their joint covariance.

    Made by :func:`eocausal.compare_features`. ``estimate``, ``ci()`` and the other members of every result speak of
    the target that was declared, with one term for each source and then one for each difference of two.

    Attributes
    ----------
    rate : Rate
        Both targets, all sources, their differences and curves.
    columns : dict of str to str
        What each source holds, in words.
    reference : str
    splits : DataFrame
        ``seed source estimand estimate std_error ratio``: one row for each way of dealing the folds.
    ids, folds : array of shape (n,)
    effect_values, sequential_values : array of shape (n, sources)
        Predicted effects of the first split, from models of all other folds, and of earlier folds.
    """

    rate: Rate
    columns: Mapping[str, str]
    reference: str
    splits: pd.DataFrame = field(repr=False)
    ids: npt.NDArray[Any] = field(repr=False)
    folds: npt.NDArray[np.intp] = field(repr=False)
    effect_values: FloatArray = field(repr=False)
    sequential_values: FloatArray = field(repr=False)

    estimand = Delegated("rate")
    method = Delegated("rate")
    terms = Delegated("rate")
    n = Delegated("rate")
    n_clusters = Delegated("rate")
    estimate = Delegated("rate")
    std_error = Delegated("rate")
    ci = Delegated("rate")
    p_value = Delegated("rate")
    scores = Delegated("rate")
    assumptions = Delegated("rate")
    warnings = Delegated("rate")
    diagnostics = Delegated("rate")
    provenance = Delegated("rate")
    target = Delegated("rate")

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources."""
        return tuple(self.columns)

    @property
    def effects(self) -> pd.DataFrame:
        """Out-of-fold effects by unit id, a column for each source, and the fold.

        The table is marked as trained on its units, so that :func:`eocausal.rate` refuses it as a priority.
        """
        frame = pd.DataFrame(
            self.effect_values, index=pd.Index(self.ids, name="id"), columns=list(self.columns)
        )
        frame["fold"] = self.folds
        frame.attrs["trained_on"] = self.provenance["design_hash"]
        return frame

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return one row for each source.

        ``autoc``, ``qini`` with ``_std_error`` and ``_ratio``; ``p_adjusted``, that the source ranks better than
        chance by the declared target, allowing for how many sources there are; ``difference`` to the reference by
        the declared target, with intervals and p-values that hold for all differences in the table at once.
        """
        rates = self.rate.to_frame().set_index(["estimand", "term"])
        frame = pd.DataFrame({"source": list(self.columns), "columns": list(self.columns.values())})
        for target in ("AUTOC", "QINI"):
            own, name = rates.loc[target].loc[list(self.columns)], target.lower()
            frame[name], frame[f"{name}_std_error"] = own["estimate"].to_numpy(), own["std_error"].to_numpy()
            frame[f"{name}_ratio"] = own["statistic"].to_numpy(dtype=float)
        adjusted = self.rate.simultaneous(level, targets=[self.target]).set_index("term")["p_adjusted"]
        frame["p_adjusted"] = adjusted.loc[list(self.columns)].to_numpy()
        return frame.join(self.differences(level), on="source")

    def differences(self, level: float = 0.95, *, against: str | None = None) -> pd.DataFrame:
        """Return differences of the declared target to one source, by source, with simultaneous intervals.

        Parameters
        ----------
        level : float
        against : str, optional
            Default :attr:`reference`.
        """
        base = self.reference if against is None else against
        others = [name for name in self.columns if name != base]
        names = ("difference", "difference_std_error", "difference_low", "difference_high", "difference_p")
        if not others:
            return pd.DataFrame(columns=list(names))
        signed = {name: self._term(name, base) for name in others}
        table = self.rate.simultaneous(
            level, terms=[term for term, _ in signed.values()], targets=[self.target]
        )
        table = table.set_index("term")
        rows = []
        for term, sign in signed.values():
            own = table.loc[term]
            low, high = sorted((sign * own["conf_low"], sign * own["conf_high"]))
            # a source that is the reference by another name differs by nothing
            rows.append(
                (sign * own["estimate"] + 0.0, own["std_error"], low + 0.0, high + 0.0, own["p_adjusted"])
            )
        return pd.DataFrame(rows, columns=list(names), index=pd.Index(others, name="source"))

    @property
    def best(self) -> Best:
        """The source with the largest rate, with what its having been chosen among several leaves to be said."""
        rates = self.rate.simultaneous(targets=[self.target]).set_index("term").loc[list(self.columns)]
        numbers = ["estimate", "statistic", "p_value", "p_adjusted"]
        found = rates[numbers].to_numpy(dtype=float)
        place = int(found[:, 0].argmax())
        name, many = list(self.columns)[place], len(self.columns)
        value, ratio, alone, adjusted = (float(one) for one in found[place])
        near = self._not_separated(name)
        sure = value > 0 and adjusted < 0.05
        text = (
            f"{name!r} has the largest {self.target} of {many} sources ({value:.3g}, ratio {ratio:.2f}). It "
            f"{'ranks better' if sure else 'may rank no better'} than chance: p {adjusted:.3g} with an allowance "
            f"for {many} looks, {alone:.3g} without."
        )
        if near:
            text += f" It cannot be told from {', '.join(map(repr, near))}."
        elif many > 1:
            text += " Its differences to all others stay above zero when all pairs are looked at."
        return Best(name, value, ratio, alone, adjusted, near, text)

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same comparison with standard errors made another way; see :meth:`eocausal.Rate.with_vcov`."""
        return replace(self, rate=self.rate.with_vcov(vcov))

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        frame = self.to_frame().drop(columns=["columns", "difference_std_error", "p_adjusted"]).head(10)
        splits = self.splits["seed"].nunique()
        lines = [
            f"{self.target} by source  (n {self.n}, {splits} split{'s' * (splits > 1)}; differences to "
            f"{self.reference!r}, 95% intervals for all at once)",
            *frame.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3f}").splitlines(),
            str(self.best),
            f"nuisances see: {self.diagnostics['nuisance_columns']}",
            *[f"assumes: {text}" for text in self.assumptions[:2]],
            *[f"WARNING: {text}" for text in self.warnings[:5]],
        ]
        return "\n".join(lines[:25])

    def __repr__(self) -> str:
        """One line: rates by source."""
        frame = self.to_frame()
        shown = ", ".join(
            f"{name} {value:.3g}" for name, value in zip(frame["source"], frame[self.target.lower()])
        )
        return f"SourceComparison({self.target}: {shown}; n {self.n})"

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        content: dict[str, Any] = {
            "type": "SourceComparison",
            "rate": self.rate.to_dict(scores=scores),
            "columns": dict(self.columns),
            "reference": self.reference,
            "splits": jsonable(self.splits.to_dict(orient="list")),
        }
        if scores:
            content |= {name: jsonable(getattr(self, name)) for name in _UNIT_FIELDS}
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SourceComparison:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        return cls(
            rate=Rate.from_dict(content["rate"]),
            columns=dict(content["columns"]),
            reference=content["reference"],
            splits=pd.DataFrame(content["splits"]),
            ids=np.array(content["ids"]),
            folds=np.array(content["folds"]),
            effect_values=np.array(content["effect_values"], dtype=float),
            sequential_values=np.array(content["sequential_values"], dtype=float),
        )

    def plot(self) -> Figure:
        """Draw rates by source and differences to the reference, with simultaneous intervals; return the figure."""
        from eocausal.evaluate.compare_figure import draw_comparison

        figure = new_figure(8.6, 1.3 + 0.42 * len(self.columns))
        draw_comparison(figure, self)
        return figure

    def _term(self, first: str, second: str) -> tuple[str, float]:
        """Return the term that holds the difference of two sources, and the sign it has there."""
        order = list(self.columns)
        if order.index(first) < order.index(second):
            return f"{first} - {second}", 1.0
        return f"{second} - {first}", -1.0

    def _not_separated(self, name: str) -> tuple[str, ...]:
        """Return sources that all pairwise comparisons do not tell from one."""
        if len(self.columns) == 1:
            return ()
        pairs = list(dict.fromkeys(self._term(*pair)[0] for pair in permutations(self.columns, 2)))
        table = self.rate.simultaneous(terms=pairs, targets=[self.target]).set_index("term")
        others = [other for other in self.columns if other != name]
        found = table.loc[[self._term(name, other)[0] for other in others]]
        holds_zero = (found["conf_low"] <= 0) & (found["conf_high"] >= 0)
        return tuple(other for other, holds in zip(others, holds_zero) if holds)


_UNIT_FIELDS = ("ids", "folds", "effect_values", "sequential_values")
