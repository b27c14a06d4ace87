"""A design with other numbers in its table, such as other weights."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from eocausal.design import Design


def restated(design: Design, **columns: Any) -> Design:
    """Return the design with columns of its table replaced; units, levels and groups stay as they were read.

    Reading the design anew from its data would lose the columns of levels that ``take`` left without units.
    """
    other = copy(design)
    object.__setattr__(other, "table", replace(design.table, **columns))
    return other


def with_covariates(design: Design, columns: npt.NDArray[np.float64], names: Sequence[str]) -> Design:
    """Return the same units with more covariates (n, k), none of them missing."""
    table = design.table
    missing = table.missing
    if missing is not None:
        missing = np.column_stack([missing, np.zeros(columns.shape, dtype=bool)])
    other = restated(
        design,
        covariates=np.column_stack([table.covariates, columns]),
        covariate_names=(*table.covariate_names, *names),
        missing=missing,
    )
    object.__setattr__(other, "covariates", (*design.covariates, *names))
    return other
