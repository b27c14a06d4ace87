"""What the unseen is measured against: a covariate, several together, all image features, or places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean
from eocausal.effects.restated import with_covariates
from eocausal.errors import SensitivityError, explain

if TYPE_CHECKING:
    from eocausal.design import Design

    Asked = str | Sequence[str] | Mapping[str, str | Sequence[str]] | None

FloatArray = npt.NDArray[np.float64]

# Words that stand for groups of columns, unless a covariate has the name.
FEATURES, COVARIATES, COORDINATES = "features", "covariates", "coordinates"


@dataclass(frozen=True)
class Benchmark:
    """Columns that an unobserved confounder is compared with.

    Attributes
    ----------
    name : str
    covariates : tuple of str
        Covariates by the names that the design was given.
    features : bool
        Whether all image features are among them.
    blocks : tuple of str
        Blocks of features that are among them.
    coordinates : bool
        Whether it is where units lie, which no estimate adjusts for: a smooth surface over longitude and latitude.
    all_covariates : bool
        Whether it is all covariates and nothing else.
    """

    name: str
    covariates: tuple[str, ...] = ()
    features: bool = False
    blocks: tuple[str, ...] = ()
    coordinates: bool = False
    all_covariates: bool = False

    @property
    def in_words(self) -> str:
        """How it is called in a sentence.

        Examples
        --------
        >>> Benchmark("features", features=True).in_words, Benchmark("female", ("female",)).in_words
        ('all image features', 'female')
        """
        if self.features and not (self.covariates or self.blocks) and self.name == FEATURES:
            return "all image features"
        if self.coordinates:
            return "where units lie"
        return "all covariates" if self.all_covariates and self.name == COVARIATES else self.name

    @property
    def plural(self) -> bool:
        """Whether a sentence speaks of it as of many."""
        return self.in_words in ("all image features", "all covariates")

    def without(self, design: Design) -> Design:
        """Return the same units without these columns."""
        return design.without(self.covariates, features=self.features, blocks=self.blocks)


def read_benchmarks(asked: Asked, design: Any) -> tuple[Benchmark, ...]:
    """Return what a user asked to compare with.

    Parameters
    ----------
    asked : str, sequence of str, mapping of str to (str or sequence of str), or None
        Names of covariates, ``"covariates"`` (all), ``"features"`` (all image features), names of blocks of
        features, or ``"coordinates"``. Each of a sequence by itself; of a mapping those of an entry together. None:
        all image features and all covariates, where there are any.
    design : Design or PanelDesign

    Raises
    ------
    SensitivityError
        Names that are not known, or nothing behind a name.
    """
    if asked is None:
        given = [FEATURES] if _blocks(design) else []
        asked = [*given, *([COVARIATES] if design.covariates else [])]
    entries = asked if isinstance(asked, Mapping) else {name: name for name in _names(asked)}
    return tuple(_one(str(name), _names(members), design) for name, members in entries.items())


def coordinate_columns(coordinates: FloatArray) -> FloatArray:
    """Return a smooth surface over places: longitude, latitude, their squares and product, (n, 5), standardised."""
    centred = coordinates - coordinates.mean(axis=0)
    east, north = (centred / np.where(centred.std(axis=0) > 0, centred.std(axis=0), 1.0)).T
    return np.column_stack([east, north, east**2, north**2, east * north])


def _names(given: Any) -> list[str]:
    """Return one name, or each of several, as a list."""
    names = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    strange = [one for one in names if not isinstance(one, str)]
    if strange:
        raise SensitivityError(
            explain(
                f"benchmark={given!r} holds what is no name.",
                where=[repr(one) for one in strange],
                rule="names as text, in a list, or lists of them by a name of their own",
                fix='benchmark=["features", "age"] or benchmark={"family": ["age", "children"]}',
            )
        )
    return names


def with_places(design: Design) -> Design:
    """Return the design with that surface among its covariates."""
    if design.table.coordinates is None:
        raise SensitivityError(explain("The design knows no coordinates.", fix="lon=, lat= in read_units"))
    surface = coordinate_columns(design.table.coordinates)
    names = [f"{COORDINATES} {place}" for place in range(1, surface.shape[1] + 1)]
    return with_covariates(design, surface, names)


def _one(name: str, wanted: list[str], design: Any) -> Benchmark:
    covariates: list[str] = []
    blocks: list[str] = []
    features = coordinates = every = False
    for one in wanted:
        if one in design.covariates:
            covariates.append(one)
        elif one == COVARIATES and design.covariates:
            covariates += design.covariates
            every = len(wanted) == 1
        elif one == FEATURES and _blocks(design):
            features = True
        elif one == COORDINATES and design.table.coordinates is not None:
            coordinates = True
        elif one in _blocks(design):
            blocks.append(one)
        else:
            raise _unknown(str(one), design)
    if coordinates and len(wanted) > 1:
        raise SensitivityError(
            explain(
                "Coordinates are compared with by themselves.", fix='benchmark=["features", "coordinates"]'
            )
        )
    if not wanted:
        raise SensitivityError(explain(f"The benchmark {name!r} is empty."))
    return Benchmark(name, tuple(dict.fromkeys(covariates)), features, tuple(blocks), coordinates, every)


def _blocks(design: Any) -> tuple[str, ...]:
    return tuple(getattr(design.table, "feature_blocks", {}))


def _unknown(name: str, design: Any) -> SensitivityError:
    known = [*design.covariates, *([COVARIATES] if design.covariates else [])]
    known += [FEATURES, *_blocks(design)] if _blocks(design) else []
    known += [COORDINATES] if design.table.coordinates is not None else []
    text = f"benchmark={name!r} is nothing that this estimate adjusts for."
    if not known:
        return SensitivityError(explain(text, rule="the design has no covariates, features or coordinates"))
    return SensitivityError(explain(text, rule=f"one of: {', '.join(known)}", fix=did_you_mean(name, known)))
