"""`Transport`: effects of places beyond a study, how far they are from it, and their average."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EvaluationError, explain
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import interval_plot, jsonable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.inference.vcov import VcovChoice

FloatArray = npt.NDArray[np.float64]


@result_type
@dataclass(frozen=True, eq=False)
class Transport:
    """Effects carried from a study to a target.

    Made by :func:`eocausal.transport`. ``estimate``, ``std_error`` and the other members of every result speak of
    the average effect of the target, in its doubly robust form.

    Attributes
    ----------
    average : Estimate
        The average effect of the target, doubly robust.
    weighted : Estimate
        The same by inverse odds alone.
    study : Estimate
        The average effect of the study.
    ids, effect_values, effect_errors, weights : array of shape (m,)
        The places of the target: id, predicted effect and its standard error, what the place counts.
    ratios : array of shape (m,)
        How much likelier such a place is in the study than in the target, to a model that did not see it.
    distances : array of shape (m,)
        Distance to the nearest study unit, where 1 is what nearly all study units do not exceed.
    inside : boolean array of shape (m,)
        Whether the study has seen the like of the place.
    odds : Series
        What each study unit weighs, by id.
    balance : DataFrame
        Means of study and target by column, before and after weighting.
    by_support : DataFrame
        The average effect of all places, of those inside, and of those nearest to the study.
    classifier : Estimate
        Held-out AUC of a model that tells the study from the target, before and after weighting.
    coordinates : array of shape (m, 2) or None
    crs : str or None
        Reference system that the places were read in.
    """

    average: Estimate
    weighted: Estimate
    study: Estimate
    ids: npt.NDArray[Any]
    effect_values: FloatArray
    effect_errors: FloatArray
    ratios: FloatArray
    distances: FloatArray
    inside: npt.NDArray[np.bool_]
    weights: FloatArray
    odds: pd.Series
    balance: pd.DataFrame
    by_support: pd.DataFrame
    classifier: Estimate
    coordinates: FloatArray | None = None
    crs: str | None = None

    estimand = Delegated("average")
    method = Delegated("average")
    terms = Delegated("average")
    vcov = Delegated("average")
    n = Delegated("average")
    n_clusters = Delegated("average")
    estimate = Delegated("average")
    std_error = Delegated("average")
    ci = Delegated("average")
    p_value = Delegated("average")
    scores = Delegated("average")
    assumptions = Delegated("average")
    warnings = Delegated("average")
    diagnostics = Delegated("average")
    provenance = Delegated("average")

    @property
    def places(self) -> pd.DataFrame:
        """One row per place: effect, standard error, how far it is, whether the study has seen its like, weight.

        ``like_study`` is the probability that such a place is of the study, were study and target as large.
        """
        # a ratio may be infinite, and its share is then 1
        like = 1 - 1 / (1 + self.ratios)
        frame = pd.DataFrame(
            {
                "effect": self.effect_values, "std_error": self.effect_errors, "distance": self.distances,
                "like_study": like, "outside": ~self.inside, "weight": self.weights,
            },
            index=pd.Index(self.ids, name="id"),
        )  # fmt: skip
        if self.coordinates is not None:
            frame["lon"], frame["lat"] = self.coordinates.T
        frame.attrs["trained_on"] = self.provenance["design_hash"]
        return frame

    def difference(self) -> Estimate:
        """Return the average effect of the target less that of the study, with their joint standard error."""
        return self.average - self.study

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the result with other standard errors of the study's part, as :meth:`Estimate.with_vcov`.

        The target's part, where it is a sample, stays as it is. Bootstraps are refused then. ``by_support`` keeps
        the standard errors that it was made with.
        """
        from dataclasses import replace

        made = {name: getattr(self, name).with_vcov(vcov) for name in ("average", "weighted", "study")}
        return replace(self, **made)

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return a row each for the doubly robust estimate, that by inverse odds, and the study's own."""
        each = [one.to_frame(level) for one in (self.average, self.weighted, self.study)]
        return pd.concat(each, ignore_index=True)

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        frame = self.to_frame()[["estimand", "method", "estimate", "std_error", "conf_low", "conf_high"]]
        told = self.diagnostics
        lines = [
            f"average effect of {told['n_target']:,} places, carried from {self.n:,} study units",
            *frame.to_string(index=False, float_format=lambda value: f"{value:.4f}").splitlines(),
            f"predicted {told['predicted']:.4f}, corrected by {told['correction']:.4f}",
            f"standard errors: {self.average.vcov}, {self.average.variance.distribution}",
            f"study units are worth {told['ess_study']:.1f}; "
            f"{100 * told['share_outside']:.1f}% of the target outside",
            *self.by_support.to_string(index=False, float_format=lambda value: f"{value:.3f}").splitlines(),
            *[f"assumes: {text}" for text in self.assumptions],
            *[f"WARNING: {text}" for text in self.warnings],
        ]
        return "\n".join(lines[:25])

    def __repr__(self) -> str:
        """One line: the average, and how much of the target lies outside."""
        noted = f", {len(self.warnings)} warnings" if self.warnings else ""
        return (
            f"Transport({self.ids.size:,} places, {self.average.estimand} {self.estimate:.4g} (se "
            f"{self.std_error:.3g}), {100 * self.diagnostics['share_outside']:.1f}% outside{noted})"
        )

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; values of single units and places only when ``scores`` is true."""
        content: dict[str, Any] = {"type": "Transport"}
        content |= {name: getattr(self, name).to_dict(scores=scores) for name in _ESTIMATES}
        content |= {name: jsonable(getattr(self, name).to_dict(orient="list")) for name in _TABLES}
        if scores:
            content |= {name: getattr(self, name).tolist() for name in _BY_PLACE}
            content["coordinates"] = None if self.coordinates is None else self.coordinates.tolist()
            content["odds"] = {"ids": self.odds.index.tolist(), "values": self.odds.tolist()}
            content["crs"] = self.crs
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        places, odds = content["coordinates"], content["odds"]
        made: dict[str, Any] = {name: Estimate.from_dict(content[name]) for name in _ESTIMATES}
        for name in _TABLES:
            frame = pd.DataFrame(content[name])
            numbers = frame.columns.difference(["term", "kind", "places"])
            made[name] = frame.astype({column: float for column in numbers if column != "n_target"})
        made |= {name: np.array(content[name]) for name in _BY_PLACE}
        return cls(
            **made,
            odds=pd.Series(odds["values"], index=pd.Index(odds["ids"], name="id"), name="odds", dtype=float),
            coordinates=None if places is None else np.array(places, dtype=float),
            crs=content["crs"],
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the average effect of the target, by both methods, beside that of the study, and return the Axes."""
        frame = self.to_frame()
        frame["term"] = ["target, doubly robust", "target, inverse odds", "study"]
        return interval_plot(frame, ax=ax)

    def map(self, ax: Axes | None = None, *, show: str = "effect") -> Axes:
        """Draw the places where they are, grey where the study has seen no like of them, and return the Axes.

        Parameters
        ----------
        ax : Axes, optional
        show : {"effect", "std_error", "distance", "like_study"}
            What colours stand for.

        Raises
        ------
        EvaluationError
            The target knows no coordinates.
        """
        from eocausal.evaluate.transport_map import draw_places

        return draw_places(self, ax, show=show)

    def write_geoparquet(self, path: str | Path) -> Path:
        """Write :attr:`places` with their points as GeoParquet, atomically, and return the file.

        Raises
        ------
        EvaluationError
            The target knows no coordinates.
        """
        from eocausal.evaluate.transport_files import write_points

        return write_points(self, path)

    def write_geotiff(self, path: str | Path, *, crs: str | int | None = None) -> Path:
        """Write the places as a raster with bands ``effect std_error distance like_study outside``.

        Places are the centres of the cells of a regular lattice in ``crs``; cells without a place are NaN.

        Parameters
        ----------
        path : str or Path
        crs : str or int, optional
            Reference system of the lattice. Default: that in which the places were read.

        Raises
        ------
        EvaluationError
            The places are no lattice in this reference system, or the target knows no coordinates.
        """
        from eocausal.evaluate.transport_files import write_raster

        return write_raster(self, path, crs=crs)

    def known_places(self) -> FloatArray:
        """Return longitude and latitude (m, 2), or raise where they are not known."""
        if self.coordinates is None:
            raise EvaluationError(
                explain(
                    "The target knows no coordinates.",
                    fix="ec.Target(ec.read_units(table, id=..., lon=..., lat=...), features=...)",
                )
            )
        return self.coordinates


_ESTIMATES = ("average", "weighted", "study", "classifier")
_TABLES = ("balance", "by_support")
_BY_PLACE = ("ids", "effect_values", "effect_errors", "ratios", "distances", "inside", "weights")
