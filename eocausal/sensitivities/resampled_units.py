"""Which units are drawn together in a bootstrap, by how the standard errors of an estimate are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.inference.blocks import cells
from eocausal.inference.how import distance_text
from eocausal.inference.variance import FEW_CLUSTERS

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

# Errors that reach as far as a cutoff are kept together by blocks of ground so many times as wide.
BLOCKS_A_CUTOFF = 2


class Resampled(NamedTuple):
    """Codes (n,) of what is drawn as one, what it is called, and what a reader must know of it."""

    codes: npt.NDArray[np.intp]
    name: str
    notes: tuple[str, ...]


def resampled_units(estimate: Estimate) -> Resampled:
    """Return what a bootstrap of an estimate draws: units, its clusters, or blocks of ground.

    With standard errors by distance it draws cells of a grid twice as wide as the cutoff. Of several kinds of
    clusters it draws that of which there are fewest.
    """
    how, notes = estimate.variance.how, []
    if how.block_m is not None or how.cutoff_m is not None:
        size = how.block_m if how.block_m is not None else BLOCKS_A_CUTOFF * float(how.cutoff_m or 0.0)
        labels: npt.NDArray[Any] = cells(np.asarray(estimate.coordinates), block_m=size)
        name = f"blocks of {distance_text(size)}"
        if how.cutoff_m is not None:
            notes.append(f"standard errors are by distance; the bootstrap draws {name} on the ground")
    elif how.names:
        counts = {one: np.unique(estimate.groups[one]).size for one in how.names}
        chosen = min(counts, key=lambda one: counts[one])
        labels, name = estimate.groups[chosen], f"clusters ({chosen})"
        if len(counts) > 1:
            notes.append(f"of several kinds of clusters the bootstrap draws that with the fewest: {chosen}")
    else:
        return Resampled(np.arange(estimate.n), "units", ())
    codes = np.unique(labels, return_inverse=True)[1].astype(np.intp)
    n_drawn = int(codes.max()) + 1
    if n_drawn < FEW_CLUSTERS:
        notes.append(
            f"the bootstrap draws {n_drawn} {name}: with fewer than {FEW_CLUSTERS} its intervals are too short"
        )
    return Resampled(codes, name, tuple(notes))
