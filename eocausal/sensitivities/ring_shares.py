"""How many of the units around each unit were treated, ring by ring, and which rings can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.near_places import ring_sums
from eocausal.sensitivities.spatial_parts import km

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]

# Exposure of which own treatment and controls leave a smaller share than this cannot be told apart from them.
NOTHING_LEFT = 1e-3


@dataclass(frozen=True, eq=False)
class RingsFit:
    """The regressions with and without rings, the edges of rings that entered, and units and share in them."""

    made: Estimate
    plain: Estimate
    edges: list[float]
    units: list[float]
    shares: list[float]
    columns: int
    warnings: tuple[str, ...] = ()


def share_treated(
    coordinates: FloatArray, values: FloatArray, edges: Sequence[float], apart: npt.NDArray[Any] | None
) -> tuple[FloatArray, FloatArray]:
    """Return means (n, b, m) of values (n, m) over other units in rings, and how many these are (n, b).

    Where nobody is the mean is 0. Units of the own cluster do not count: they got what they got together.
    """
    codes = None if apart is None else np.unique(apart, return_inverse=True)[1]
    sums = ring_sums(coordinates, np.column_stack([np.ones(len(values)), values]), edges, apart=codes)
    units = sums[:, :, :1].round()
    means = np.divide(sums[:, :, 1:], units, out=np.zeros_like(sums[:, :, 1:]), where=units > 0)
    return means, units[:, :, 0]


def ring_names(edges: Sequence[float], *, dose: bool = False) -> tuple[str, ...]:
    """Return what rings are called.

    Examples
    --------
    >>> ring_names([2500.0, 5000.0])
    ('share treated within 2.5 km', 'share treated from 2.5 km to 5 km')
    """
    what = "mean dose" if dose else "share treated"
    later = (f"{what} from {km(low)} to {km(high)}" for low, high in pairwise(edges))
    return (f"{what} within {km(edges[0])}", *later)


def apart_from(
    shares: FloatArray, others: FloatArray, names: Sequence[str]
) -> tuple[list[int], tuple[str, ...]]:
    """Return the rings whose shares others (n, c) and the rings before leave something of, and what to tell."""
    kept: list[int] = []
    held = np.column_stack([np.ones(len(shares)), others])
    for ring in range(shares.shape[1]):
        column = shares[:, ring]
        left = column - held @ np.linalg.lstsq(held, column, rcond=None)[0]
        total = float(np.sum((column - column.mean()) ** 2))
        if total > 0 and float(left @ left) > NOTHING_LEFT * total:
            kept.append(ring)
            held = np.column_stack([held, column])
    gone = [names[ring] for ring in range(len(names)) if ring not in kept]
    if not kept:
        raise SensitivityError(
            explain(
                "Own treatment and controls leave nothing of the share of treated units around.",
                where=gone,
                rule="some units have more treated units around than others that are like them",
                fix='other rings: rings=["5km", "10km"]',
            )
        )
    if not gone:
        return kept, ()
    return kept, (f"rings left out, as own treatment and controls leave nothing of them: {', '.join(gone)}",)
