"""What the spatial tests share: the parts of a table, distances as they are asked for and told, scales of a map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import whole_number
from eocausal.errors import EstimationError, SensitivityError, explain
from eocausal.inference.vcov import read_cutoff
from eocausal.sensitivities.near_places import (
    Places,
    distance_of_share,
    distance_to_nearest,
    nearest_neighbours,
    neighbours_within,
)

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.moran import Weights

    Distances = str | float | Iterable[str | float] | None

FloatArray = npt.NDArray[np.float64]

COLUMNS = (
    "test", "what", "distance_km", "estimate", "expected", "std_error", "conf_low", "conf_high", "p_value",
    "p_draws", "n_treated", "n_control",
)  # fmt: skip
# Cutoffs and classes of distance by default: so many steps, up to where a unit has this share of all in reach.
STEPS, FARTHEST_SHARE = 10, 0.1
RINGS = 3
_ROUND = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True, eq=False)
class Part:
    """What one of the tests found: rows of the table, numbers, further tables, estimates, and what to tell."""

    rows: tuple[Mapping[str, Any], ...]
    numbers: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


def table_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as the table of all tests, missing where a test has nothing to say."""
    frame = pd.DataFrame([{name: row.get(name, np.nan) for name in COLUMNS} for row in rows])
    return frame.astype(dict.fromkeys(COLUMNS[2:], float))


def row_of(estimate: Estimate, *, test: str, what: str, level: float, place: int = 0) -> dict[str, Any]:
    """Return the row of one term of an estimate."""
    told = estimate.to_frame(level).iloc[place]
    kept = ("estimate", "std_error", "conf_low", "conf_high", "p_value")
    return {"test": test, "what": what, **{name: float(told[name]) for name in kept}}


def counts_of(estimate: Estimate) -> dict[str, int]:
    """Return how many units are treated and control; of a panel how many ever and never are; nothing of a dose."""
    found = estimate.diagnostics
    if "ever_treated" in found:
        return {"n_treated": int(found["ever_treated"]), "n_control": int(found["never_treated"])}
    return {name: int(found[name]) for name in ("n_treated", "n_control") if name in found}


def read_distances(asked: Distances, *, argument: str) -> list[float]:
    """Return distances in metres, rising, from text such as ``"5km"`` or numbers of metres."""
    # what is no list is refused as the one distance that it would have to be
    listed = list(asked) if isinstance(asked, Iterable) and not isinstance(asked, str) else [asked]
    if not listed:
        raise SensitivityError(explain(f"{argument} is empty.", fix=f'{argument}=["5km", "10km"]'))
    try:
        return sorted({read_cutoff(one, what="a distance", fix=f'{argument}=["5km"]') for one in listed})
    except EstimationError as cause:
        raise SensitivityError(str(cause)) from None


def neighbour_weights(places: Places, neighbours: object) -> tuple[Weights, str]:
    """Return who is whose neighbour, from a number of neighbours or a distance, and how it is told.

    Raises
    ------
    SensitivityError
        All units are at one place, or there are too few for so many neighbours.
    """
    if len(places.points) < 2:
        raise SensitivityError(
            explain("All units are at one place.", rule="neighbours and others", fix="kind='placebo'")
        )
    if isinstance(neighbours, str):
        metres = read_distances(neighbours, argument="neighbours")[0]
        weights = neighbours_within(places, metres)
        if weights.total == 0:
            text = f"No unit has another one within {km(metres)}."
            raise SensitivityError(explain(text, fix="a longer distance, or neighbours=8"))
        return weights, f"units within {km(metres)}"
    count = whole_number(neighbours, argument="neighbours", error=SensitivityError, least=1)
    if places.of.size <= count:
        raise SensitivityError(
            explain(f"{places.of.size} units have no {count} neighbours each.", fix="neighbours=2, or fewer")
        )
    return nearest_neighbours(places, count), f"{count} nearest neighbours"


def steps_of(places: Places) -> list[float]:
    """Return distances in metres at even steps over the part of the map in which pairs of units still vary."""
    farthest = max(distance_of_share(places, FARTHEST_SHARE), 2 * _between_places(places, 1))
    step = rounded(farthest / STEPS, up=True)
    return [step * (one + 1) for one in range(STEPS)]


def ring_edges(places: Places, neighbours: object) -> list[float]:
    """Return edges of rings in metres: the first holds half of the neighbours that a place in the middle has."""
    count = max(neighbours // 2, 1) if isinstance(neighbours, int) else 4
    apart = float(np.median(distance_to_nearest(places, min(count, places.of.size - 1))))
    width = rounded(apart if apart > 0 else _between_places(places, count), up=True)
    return [width * (one + 1) for one in range(RINGS)]


def _between_places(places: Places, count: int) -> float:
    """Return the distance in metres to so many other places from a place in the middle."""
    alone = Places(np.arange(len(places.points)), places.points, np.ones(len(places.points)))
    return float(np.median(distance_to_nearest(alone, min(count, len(places.points) - 1))))


def rounded(metres: float, *, up: bool = False) -> float:
    """Return the nearest distance that is easy to say, or the next one above; at least a metre.

    Examples
    --------
    >>> rounded(4712.0), rounded(1130.0, up=True), rounded(0.2)
    (5000.0, 1500.0, 1.0)
    """
    metres = max(metres, 1.0)
    unit = 10.0 ** np.floor(np.log10(metres))
    nice = np.array(_ROUND) * unit
    place = np.searchsorted(nice, metres * (1 - 1e-9)) if up else np.argmin(np.abs(nice - metres))
    return float(nice[place])


def km(metres: float) -> str:
    """Return a distance in words.

    Examples
    --------
    >>> km(2500.0), km(120000.0), km(250.0)
    ('2.5 km', '120 km', '250 m')
    """
    return f"{metres / 1000:.4g} km" if metres >= 1000 else f"{metres:.4g} m"


def cluster_codes(estimate: Estimate) -> npt.NDArray[Any] | None:
    """Return the labels (n,) that the standard errors of an estimate sum by; None for several kinds, or none."""
    how = estimate.variance.how
    return estimate.groups[how.names[0]] if len(how.names) == 1 else None
