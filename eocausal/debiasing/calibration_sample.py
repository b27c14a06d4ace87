"""`CalibrationSample`: places where the outcome was both measured and predicted, read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns
from eocausal._study_columns import read_clusters, read_complete, read_weights
from eocausal.debiasing.changes import changes_of, measured_again, read_rounds
from eocausal.errors import DebiasError, explain
from eocausal.inference.panel_index import PanelIndex

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

# With fewer places than this no correction is worth its error.
LEAST = 30
# Differences smaller than this share are those of rounding.
_ROUNDING = 1e-12
# Fourth powers of numbers are within these still numbers.
_SMALLEST, _LARGEST = 1e-60, 1e60
# Weights under which fewer places than this count make no line.
_FEWEST = 5
# One value that is more quartile ranges from the median than this, with most of the variance, makes every slope.
_FAR, _RULES = 10.0, 0.5
# Predictions keep between this share and this multiple of the spread of the truth, or they are in other units.
SPREADS = (0.05, 2.0)


@dataclass(frozen=True)
class CalibrationColumns:
    """Names of the columns of a calibration table, as :func:`eocausal.debias` is given them."""

    prediction: str
    truth: str
    weights: str | None = None
    cluster: str | None = None
    groups: tuple[str, ...] = ()
    trained_on: str | None = None
    unit: str | None = None
    period: str | None = None
    table: str = "calibration"


@dataclass(frozen=True, eq=False)
class CalibrationSample:
    """Predictions and measured outcomes of the same places.

    Attributes
    ----------
    ids : array of shape (m,)
    prediction, truth, weights : array of shape (m,)
    clusters : array of shape (m,) or None
    groups : DataFrame with m rows
        Columns by which places differ.
    notes : tuple of str
        What a reader must know of the sample.
    panel : PanelIndex or None
        Unit and period of each row, where changes within places are asked for; rows are in that order.
    """

    ids: Labels
    prediction: FloatArray
    truth: FloatArray
    weights: FloatArray
    clusters: Labels | None = None
    groups: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()
    panel: PanelIndex | None = None

    def __len__(self) -> int:
        return int(self.ids.size)

    @property
    def n_drawn(self) -> int:
        """How many places, or clusters of them, were drawn independently."""
        return len(self) if self.clusters is None else int(np.unique(self.clusters).size)

    def take(self, rows: npt.NDArray[Any], weights: FloatArray | None = None) -> Self:
        """Return some of the places, by position, with their weights or others (len(rows),)."""
        return type(self)(
            self.ids[rows],
            self.prediction[rows],
            self.truth[rows],
            self.weights[rows] if weights is None else weights,
            None if self.clusters is None else self.clusters[rows],
            self.groups.iloc[rows] if len(self.groups.columns) else self.groups,
            self.notes,
            None if self.panel is None else self.panel.take(rows),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        return {
            "ids": self.ids.tolist(),
            "prediction": self.prediction.tolist(),
            "truth": self.truth.tolist(),
            "weights": self.weights.tolist(),
            "clusters": None if self.clusters is None else self.clusters.tolist(),
            "groups": {name: self.groups[name].tolist() for name in self.groups},
            "notes": list(self.notes),
            "panel": None if self.panel is None else self.panel.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild what ``to_dict`` wrote."""
        clusters = content["clusters"]
        return cls(
            _ids(content["ids"]),
            np.array(content["prediction"], dtype=float),
            np.array(content["truth"], dtype=float),
            np.array(content["weights"], dtype=float),
            None if clusters is None else np.array(clusters),
            pd.DataFrame(content["groups"]),
            tuple(content["notes"]),
            None if content["panel"] is None else PanelIndex.from_dict(content["panel"]),
        )


def _ids(written: Sequence[Any]) -> Labels:
    """Return ids (m,) as they were: of several levels they are written as lists, and known as tuples."""
    if not any(isinstance(one, list | tuple) for one in written):
        return np.array(written)
    made = np.empty(len(written), dtype=object)
    made[:] = [tuple(one) if isinstance(one, list) else one for one in written]
    return made


def read_sample(calibration: object, columns: CalibrationColumns) -> CalibrationSample:
    """Read and check a table of places with predictions and measured outcomes.

    Raises
    ------
    DebiasError
        No table, too few places, rows that trained the map, missing values, columns that do not vary, or
        predictions that fall where the truth rises.
    DesignError
        Columns that are not numeric or infinite, weights that are not positive, missing clusters.
    """
    if not isinstance(calibration, pd.DataFrame):
        fix = "a pandas DataFrame with a column of predictions and one of measured outcomes"
        if hasattr(calibration, "image_keys"):
            fix += ": units.frame.set_index(units.id)"
        raise DebiasError(explain(f"The {columns.table} is a {type(calibration).__name__}.", fix=fix))
    optional = [name for name in (columns.weights, columns.cluster, columns.trained_on) if name is not None]
    optional += [name for name in (columns.unit, columns.period) if name is not None]
    named = [columns.prediction, columns.truth, *optional, *columns.groups]
    require_columns(calibration, named, table=columns.table, error=DebiasError)
    frame, notes = _held_out(calibration, columns.trained_on)
    frame, panel, ids = _by_round(frame, columns)
    prediction, truth = (
        _complete(frame, name, ids, columns.table) for name in (columns.prediction, columns.truth)
    )
    if ids.size < LEAST:
        told = "".join(f" ({text})" for text in notes)
        raise DebiasError(
            explain(
                f"The {columns.table} has {ids.size} places{told}.",
                rule=f"at least {LEAST}, and better 300",
                fix="more places where the outcome was measured",
            )
        )
    for name, values in ((columns.prediction, prediction), (columns.truth, truth)):
        require_varies(values, f"Column {name!r}")
    clusters = read_clusters(frame, columns.cluster, ids, np.arange(ids.size))
    if panel is not None:
        notes = (*notes, *measured_again(panel))
        clusters = panel.unit if clusters is None else clusters
    sample = CalibrationSample(
        ids,
        prediction,
        truth,
        read_weights(frame, columns.weights, ids),
        clusters,
        frame[list(columns.groups)].reset_index(drop=True),
        panel=panel,
    )
    far = [*_far(sample, prediction, columns.prediction), *_far(sample, truth, columns.truth)]
    notes = (*notes, *uneven(sample.weights), *_twice(frame.index, columns), *far)
    return CalibrationSample(**{**vars(sample), "notes": (*notes, *_suspicions(sample, columns))})


def _by_round(
    frame: pd.DataFrame, columns: CalibrationColumns
) -> tuple[pd.DataFrame, PanelIndex | None, Labels]:
    """Return the rows, with the unit and period of each and in their order where changes are asked for."""
    if columns.unit is None or columns.period is None:
        if isinstance(frame.index, pd.MultiIndex):
            return frame, None, np.array([str(one) for one in frame.index], dtype=object)
        return frame, None, frame.index.to_numpy()
    order, index, names = read_rounds(frame, columns.unit, columns.period)
    return frame.iloc[order], index, names.astype(object)


def require_varies(values: FloatArray, what: str) -> None:
    """Raise where values (n,) are all one but for rounding, or so large or small that their squares are lost."""
    size = float(np.abs(values).max())
    if np.ptp(values) <= _ROUNDING * size:
        raise DebiasError(
            explain(
                f"{what} has the same value everywhere: {values[0]:g}.", fix="a column that differs by place"
            )
        )
    if not _SMALLEST < np.ptp(values) <= size * 2 < _LARGEST:
        raise DebiasError(
            explain(
                f"{what} is up to {size:.3g}, where numbers are no longer exact.",
                rule=f"between {_SMALLEST:g} and {_LARGEST:g}",
                fix="another unit of measurement; or a mark for missing values that was taken for a number",
            )
        )


def uneven(weights: FloatArray) -> list[str]:
    """Raise or tell where few places carry nearly all of the weight (m,)."""
    count = float(weights.sum() ** 2 / (weights**2).sum())
    if count >= LEAST or np.ptp(weights) == 0:
        return []
    text = f"weights are so uneven that {weights.size} places count as {count:.1f}"
    if count < _FEWEST:
        heavy = [f"{weight:.4g}" for weight in np.sort(weights)[::-1]]
        fix = "look at the largest weights (above), and trim them if they are right"
        raise DebiasError(explain(f"The {text}.", where=heavy, rule=f"as many as {_FEWEST:g}", fix=fix))
    return [f"{text}: with fewer than {LEAST} no correction is worth its error"]


def _twice(index: pd.Index, columns: CalibrationColumns) -> list[str]:
    """Say where rows share an id and nothing says that they belong together."""
    if columns.cluster is not None or columns.unit is not None or not index.has_duplicates:
        return []
    again = index[index.duplicated()]
    first = ", ".join(map(repr, again[:5].tolist()))
    return [
        f"{len(again)} rows have the id of a row before them (first: {first}): all rows count as places drawn "
        "independently; cluster= names what belongs together"
    ]


def _held_out(calibration: pd.DataFrame, trained_on: str | None) -> tuple[pd.DataFrame, Sequence[str]]:
    """Leave out places that the map was trained on, and say how many."""
    if trained_on is None:
        return calibration, ()
    seen = calibration[trained_on]
    strange = seen.isna().to_numpy() | ~seen.isin([True, False]).to_numpy()
    if strange.any():
        raise DebiasError(
            explain(
                f"Column {trained_on!r} is to say which places the map was trained on.",
                where=calibration.index[strange],
                rule="true or false",
            )
        )
    rows = seen.astype(bool).to_numpy()
    if rows.all():
        raise DebiasError(
            explain(
                "The map was trained on all places of the calibration.",
                rule="errors of a map are smaller where it was trained, and a correction by them too small",
                fix="predictions out of fold: each place by a model that was trained on others",
            )
        )
    told = [f"{int(rows.sum())} places that the map was trained on are left out of the calibration"]
    return calibration[~rows], told if rows.any() else []


def _complete(frame: pd.DataFrame, name: str, ids: Labels, table: str) -> FloatArray:
    return read_complete(
        frame[name],
        ids,
        error=DebiasError,
        what=f"Column {name!r} has missing values in the {table}.",
        fix=f"{table.split()[0]} = {table.split()[0]}.dropna(subset=[{name!r}])",
    )


def _far(sample: CalibrationSample, column: FloatArray, name: str) -> list[str]:
    """Say where one value far from all others has most of the variance of a column (m,)."""
    lower, median, upper = np.quantile(column, [0.25, 0.5, 0.75])
    squares = sample.weights * (column - np.average(column, weights=sample.weights)) ** 2
    found, codes = np.unique(column, return_inverse=True)
    shares = np.bincount(codes, weights=squares) / squares.sum()
    value = float(found[shares.argmax()])
    if shares.max() <= _RULES or abs(value - median) <= _FAR * (upper - lower) or upper == lower:
        return []
    places = sample.ids[column == value]
    count = f"{len(places)} of {len(sample)} places (first: {places[0]})"
    return [
        f"{shares.max():.0%} of the variance of {name!r} is that of {value:g} at {count}, far "
        "from all others: slopes follow it alone. Is it a mark for missing values?"
    ]


def _suspicions(sample: CalibrationSample, columns: CalibrationColumns) -> list[str]:
    """Raise where predictions fall as the truth rises; say where the two seem to be in different units."""
    named = f"{columns.prediction!r} and {columns.truth!r}"
    prediction, truth = sample.prediction, sample.truth
    if sample.panel is not None:
        found = changes_of(sample, sample.panel)
        prediction, truth = found.prediction, found.truth
    together = float(np.corrcoef(prediction, truth)[0, 1])
    if together < -2 / np.sqrt(len(sample)):
        raise DebiasError(
            explain(
                f"{named} go in opposite directions: their correlation is {together:.2f}.",
                rule="predictions rise with the truth",
                fix=f"if the sign is turned: calibration[{columns.prediction!r}] *= -1",
            )
        )
    ratio = float(prediction.std() / truth.std())
    if SPREADS[0] <= ratio <= SPREADS[1]:
        return []
    return [
        f"the standard deviation of {columns.prediction!r} is {ratio:.3g} times that of {columns.truth!r}: are "
        "both in the same unit? A change of unit is undone by the correction, but the naive estimate is in "
        "another unit than the corrected ones"
    ]
