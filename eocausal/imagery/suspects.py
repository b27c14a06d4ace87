"""Warnings of pixels that are likely not what they seem: silent zeros, one value everywhere, lost digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from eocausal.imagery.arrays import ArraySource
from eocausal.imagery.files import in_a_shell
from eocausal.imagery.origins import Origins, innermost
from eocausal.imagery.zeros import SUSPECT_SHARE

if TYPE_CHECKING:
    from eocausal.imagery.chips import Chips
    from eocausal.imagery.tally import Tally

__all__ = ["suspects"]

# Whole numbers beyond this are not all float32, in which pixels are handed out.
_WHOLE_UP_TO = 2**24
_SHOWN = 3


def suspects(chips: Chips, block: str, origins: Origins | None) -> Iterator[str]:
    """Yield what is suspect about the pixels of one block."""
    seen = chips.tallies[block]
    yield from _silent_zeros(chips, block, seen, origins)
    alike = chips.keys[seen.constant]
    if len(alike):
        number = f"{len(alike):,} of the {len(chips):,} {block} chips hold"
        yield f"{number} one value everywhere, and tell nothing apart: {_listed(alike.tolist())}"
    # the first number that it cannot hold is rounded to this one
    if seen.largest >= _WHOLE_UP_TO:
        yield (
            f"values of {block} chips reach {seen.largest:.6g}: pixels are handed out as float32, where whole "
            f"numbers beyond {_WHOLE_UP_TO:,} are rounded, so that codes and counts lose digits"
        )


def _silent_zeros(chips: Chips, block: str, seen: Tally, origins: Origins | None) -> Iterator[str]:
    if seen.zeros <= SUSPECT_SHARE * seen.valid:
        return
    inner = innermost(chips.source)
    if isinstance(inner, ArraySource) and inner.nodata is None:
        who, mend = "the array does", "nodata=0"
    elif origins is not None and (silent := origins.silent):
        who = f"{_listed(silent)} {'do' if len(silent) > 1 else 'does'}"
        mend = f"gdal_edit.py -a_nodata 0 {in_a_shell(silent[0])}"
    else:
        return
    share = f"{seen.zeros / seen.valid:.1%} of the valid pixels of {block} chips are zero in all bands"
    yield f"{share}, and {who} not say what stands for no data: if zero does, {mend}"


def _listed(names: list[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more
