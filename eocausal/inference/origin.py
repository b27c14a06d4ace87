"""What an estimate was made from, so that it can be made again from other data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Origin:
    """The design that an estimate is of, and the verb and options that made it.

    It stays with the estimate in memory and is not part of ``to_dict``: a result read from a file has none.

    Attributes
    ----------
    design : Design or PanelDesign
        As it was handed in.
    entered : Design or PanelDesign
        The units that entered, in the order of the estimate's influence values: without those trimmed.
    verb : callable
        Takes a design and the options, and returns an estimate.
    options : mapping
        Of the verb, as it was called.
    predicted : tuple of mapping of str to array of shape (n,)
        Predictions of the units that entered, one mapping for each repeat of the folds: ``propensity``,
        ``outcome_control`` and ``outcome_treated``, or ``treatment_mean`` and ``outcome_mean``. Empty mappings
        where the method predicts nothing.
    """

    design: Any
    entered: Any
    verb: Callable[..., Estimate]
    options: Mapping[str, Any]
    predicted: tuple[Mapping[str, FloatArray], ...] = field(default=(), repr=False)

    def again(self, design: Any, **changes: Any) -> Estimate:
        """Return the estimate on another design, by the same verb with the same options but for ``changes``."""
        return self.verb(design, **{**self.options, **changes})


def of_repeats(results: Sequence[Estimate]) -> Origin | None:
    """Return the origin of the median of results that differ in how units were dealt into folds, if known."""
    origins = [one.origin for one in results if one.origin is not None]
    if len(origins) < len(results):
        return None
    return replace(origins[0], predicted=tuple(one for origin in origins for one in origin.predicted))
