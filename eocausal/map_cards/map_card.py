"""`MapCard`: how one map is corrected, in a form that travels with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_units
from eocausal.debiasing.corrector import Corrector
from eocausal.errors import DebiasError, explain
from eocausal.inference.result_type import result_type
from eocausal.map_cards.content import VERSION, checked_content, sealed
from eocausal.map_cards.mapped_raster import (
    MappedRaster,
    one_band,
    require_grid,
    require_pixels,
    require_place,
)
from eocausal.map_cards.sampling import MapSample, sample_band
from eocausal.specs._periods import PERIOD, period_of
from eocausal.units import Units

Period = tuple[np.datetime64, np.datetime64]
Days = npt.NDArray[np.datetime64]

# Shares of units beyond what the calibration saw, from which on it is said.
MANY_OUTSIDE = 0.02


@dataclass(frozen=True, eq=False)
class CardedUnits:
    """Units with predictions of a map and their corrections. Made by a :class:`MapCard`.

    Attributes
    ----------
    frame : DataFrame
        One row for each unit: ``prediction``, the corrections as :meth:`eocausal.Corrector.apply` gives them
        (``lcc tweedie causal display in_support``), and where they were read from a map ``row column pixels``.
        NaN, and not in support, where a unit has no prediction.
    card : MapCard
    warnings : tuple of str
    """

    frame: pd.DataFrame
    card: MapCard
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """One line: how many units are corrected, and by what."""
        there = int(self.frame["prediction"].notna().sum())
        noted = f", {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}" if self.warnings else ""
        return f"CardedUnits({there} of {len(self.frame)} units, {self.card.corrector.method}{noted})"


@result_type
@dataclass(frozen=True, eq=False)
class MapCard:
    """How one map is corrected. Made by ``corrector.to_map_card(path)``, read by :func:`eocausal.read_map_card`.

    Attributes
    ----------
    map : MappedRaster
        Which map: its grid, and a hash of its pixels.
    corrector : Corrector
        Without any measured outcome.
    period : (datetime64, datetime64) or None
        First and last day that the map is of.
    unit, note : str or None
    radius_m : float or None
        How predictions of the calibration were read from the map, and so how those of units are:
        means of pixels within so many metres, or one pixel each.
    warnings : tuple of str
        What was found when map and calibration were put together.

    Examples
    --------
    See :func:`eocausal.read_map_card`.

    >>> MapCard.from_dict({"type": "Estimate"})
    Traceback (most recent call last):
    eocausal.errors.DebiasError: The content is no map card...
    """

    map: MappedRaster
    corrector: Corrector
    period: Period | None = None
    unit: str | None = None
    note: str | None = None
    radius_m: float | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def key(self) -> str:
        """What tells the corrector from others: a hash of its numbers."""
        return self.corrector.key

    def sample(
        self,
        path: str | Path,
        units: Units,
        *,
        outcome_date: str | None = None,
        missing: str = "error",
        progress: bool = True,
    ) -> CardedUnits:
        """Read the map at units, as it was read for the calibration, and correct what is found.

        Parameters
        ----------
        path : path
            The map. All its pixels are read to make sure that it is the one the card was made for.
        units : Units
            With coordinates. Where they have dates, those are of treatment, and units treated after the map's
            period began are told in ``warnings``.
        outcome_date : str, optional
            Column of the units with the day, month or year of which their outcome is wanted: 2015-06-30, 2015.
        missing : {"error", "keep"}
            What to do with units outside of the map, or on pixels without a value. ``keep``: NaN, and counted in
            ``warnings``.
        progress : bool
            Show a progress bar on standard error while the map is read.

        Returns
        -------
        CardedUnits

        Raises
        ------
        DebiasError
            The raster is another map, or was changed.
        ImageryError
            It cannot be read, or units have no prediction in it.
        """
        require_units(units, error=DebiasError)
        band = one_band(path, self.map.band)
        require_grid(self.map, band)
        spans = None if outcome_date is None else _spans(units.column(outcome_date), outcome_date, units.ids)
        sampled = sample_band(band, units, radius_m=self.radius_m, missing=missing)
        require_pixels(self.map, band, progress=progress)
        found = self._applied(sampled)
        told = self._out_of_period(spans, units.dates, units.ids)
        return replace(found, warnings=(*found.warnings, *told))

    def apply(self, predictions: npt.ArrayLike | pd.Series) -> CardedUnits:
        """Correct predictions that were read from the map before.

        Nothing tells whether they are of this map; :meth:`sample` does.

        Parameters
        ----------
        predictions : array of shape (n,) or Series

        Returns
        -------
        CardedUnits

        Raises
        ------
        DebiasError
            Predictions that are missing or infinite.
        """
        made = self.corrector.apply(predictions)
        return CardedUnits(
            made.rename(columns={"naive": "prediction"}), self, (*self.warnings, *self._out_of_support(made))
        )

    def _applied(self, sampled: MapSample) -> CardedUnits:
        """Correct the predictions that there are, and leave the others missing."""
        there = sampled.prediction.notna()
        made = self.corrector.apply(sampled.prediction[there])
        whole = made.drop(columns="naive").reindex(sampled.frame.index)
        whole["in_support"] = whole["in_support"].eq(True)
        frame = pd.concat([sampled.frame, whole], axis=1)
        return CardedUnits(frame, self, (*self.warnings, *sampled.warnings, *self._out_of_support(made)))

    def _out_of_support(self, made: pd.DataFrame) -> list[str]:
        outside = made.index[~made["in_support"]]
        if len(outside) <= MANY_OUTSIDE * len(made):
            return []
        density = self.corrector.density
        return [
            f"{len(outside)} of {len(made)} units have predictions outside of what the calibration saw "
            f"({density.low:.3g} to {density.high:.3g}; first: {_first(outside)}): there corrections extrapolate"
        ]

    def _out_of_period(
        self, spans: tuple[Days, Days] | None, treated: Days | None, ids: npt.NDArray[Any]
    ) -> list[str]:
        if self.period is None:
            asked = spans is not None
            return (
                ["the card does not say what period the map is of, so that days are not checked"]
                if asked
                else []
            )
        first, last = self.period
        told = []
        if spans is not None:
            outside = ids[(spans[1] < first) | (spans[0] > last)]
            if outside.size:
                told.append(
                    f"{outside.size} of {ids.size} units have an outcome_date outside of the map's period, {first} "
                    f"to {last} (first: {_first(outside)})"
                )
        if treated is not None:
            late = ids[treated > first]
            if late.size:
                told.append(
                    f"{late.size} of {ids.size} units were treated after {first}, where the map's period begins, "
                    f"so that it shows them at least partly before treatment (first: {_first(late)})"
                )
        return told

    def __repr__(self) -> str:
        """One line: which map, of when, and how it is corrected."""
        when = "" if self.period is None else f", {self.period[0]} to {self.period[1]}"
        noted = f", {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}" if self.warnings else ""
        fix = self.corrector
        return f"MapCard({self.map.name}{when}: {fix.method}, k {fix.k:.3f}, n {fix.n}{noted})"

    def summary(self) -> str:
        """Return a text of at most 25 lines: which map, and how it is corrected."""
        read = "one pixel" if self.radius_m is None else f"mean of pixels within {self.radius_m:g} m"
        grid = f"{self.map.height:,} x {self.map.width:,} pixels, {self.map.valid:,} with a value"
        lines = [
            repr(self),
            f"map: {grid}, {self.map.low:.4g} to {self.map.high:.4g}; read as {read}",
        ]
        lines += [f"{name}: {text}" for name, text in (("unit", self.unit), ("note", self.note)) if text]
        lines += [f"warning: {text}" for text in self.warnings]
        return "\n".join([*lines, *self.corrector.summary().splitlines()][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return the content of the card's file; ``scores`` changes nothing, since a card holds no places."""
        content = {
            "type": "MapCard",
            "card_version": VERSION,
            "map": self.map.to_dict(),
            "radius_m": self.radius_m,
            "period": None if self.period is None else [str(day) for day in self.period],
            "unit": self.unit,
            "note": self.note,
            "warnings": list(self.warnings),
            "corrector": self.corrector.to_dict(),
            "key": self.key,
        }
        return sealed(content)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, source: str = "The content") -> MapCard:
        """Rebuild the card that ``to_dict`` wrote.

        Raises
        ------
        DebiasError
            The content is no card, of a version that is not known, damaged, or changed by hand.
        """
        read = checked_content(content, source=source)
        try:
            corrector = Corrector.from_dict(content["corrector"])
            period = _period_of(read.period)
            place = MappedRaster(**{**read.map.model_dump(), "transform": tuple(read.map.transform)})
            require_place(place)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as cause:
            text = f"{source} holds a corrector, a period or a grid that cannot be read."
            raise DebiasError(explain(text, rule=str(cause)[:200])) from cause
        if corrector.key != read.key:
            text = f"{source} holds a corrector whose numbers do not match its key."
            raise DebiasError(explain(text, fix="update eocausal, or get the card again"))
        return cls(
            map=place,
            corrector=corrector,
            period=period,
            unit=read.unit,
            note=read.note,
            radius_m=read.radius_m,
            warnings=tuple(read.warnings),
        )


def _period_of(days: Sequence[str] | None) -> Period | None:
    if days is None:
        return None
    first, last = (np.datetime64(day, "D") for day in days)
    if first > last:
        raise ValueError(f"the period ends before it begins: {first} to {last}")
    return first, last


def _spans(values: pd.Series, name: str, ids: npt.NDArray[Any]) -> tuple[Days, Days]:
    """Return first and last days (n,) of dates, months or years, or raise DebiasError where there are none."""
    if pd.api.types.is_datetime64_any_dtype(values):
        values = values.dt.strftime("%Y-%m-%d")
    elif pd.api.types.is_float_dtype(values) and (values.isna() | (values % 1 == 0)).all():
        # years are floats where one of them is, or was, missing
        values = values.astype("Int64")
    texts = values.astype("string").fillna("")
    known = {text: period_of(text) for text in texts.unique().tolist()}
    bad = texts.map(lambda text: known[text] is None).to_numpy(dtype=bool)
    if bad.any():
        text = f"Column {name!r} is missing, or no period, in some rows."
        raise DebiasError(explain(text, where=ids[bad], rule=PERIOD))
    first, last = zip(*(known[text] or (None, None) for text in texts))
    return np.array(first, dtype="datetime64[D]"), np.array(last, dtype="datetime64[D]")


def _first(ids: Any) -> str:
    return ", ".join(str(one) for one in ids[:5])
