"""A design with other numbers in its table, such as other weights."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eocausal.design import Design


def restated(design: Design, **columns: Any) -> Design:
    """Return the design with columns of its table replaced; units, levels and groups stay as they were read.

    Reading the design anew from its data would lose the columns of levels that ``take`` left without units.
    """
    other = copy(design)
    object.__setattr__(other, "table", replace(design.table, **columns))
    return other
