"""The account of chips: what became of every unit's picture, and what it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, require_columns
from eocausal.errors import ImageryError, explain
from eocausal.imagery.clouded import clouded
from eocausal.imagery.origins import Origins, offset_added, origins_of

if TYPE_CHECKING:
    from eocausal.imagery.chips import Chips
    from eocausal.imagery.tally import Tally

__all__ = ["BY", "COLUMNS", "account", "arms_of"]

BY = ("chip", "frame")
# All that a row may say after its key, in this order.
COLUMNS = (
    "block", "frame", "status", "valid_fraction", "frames", "observations", "n_units", "longitude", "latitude",
    "crs", "n_scenes", "scenes", "first_date", "last_date", "sensors", "pixel_unit", "stored_unit", "offset_added",
)  # fmt: skip
_DAYS = ("first_date", "last_date")


def account(chips: Chips, treatment: pd.Series | str | None = None, *, by: str = "chip") -> pd.DataFrame:
    """Return one row per image key and block, or per image key, block and frame."""
    one_of(by, BY, argument="by", error=ImageryError)
    origins = origins_of(chips.source)
    blocks = [_by_chip(chips, b) if by == "chip" else _by_frame(chips, origins, b) for b in chips.blocks]
    table = pd.concat(blocks, ignore_index=True)
    for name, values in _said(chips, origins, by).items():
        table[name] = np.tile(values, len(chips.blocks))
    unit = chips.radiometry
    table["pixel_unit"], table["stored_unit"] = chips.pixel_unit, None if unit is None else unit.unit
    table = table[[chips.key_name, *(name for name in COLUMNS if name in table)]]
    if treatment is None:
        return table
    arm = arms_of(chips, treatment)
    treated = pd.Series(arm).groupby(chips.units.image_keys).sum()
    n_treated = treated.reindex(table[chips.key_name]).to_numpy().astype(int)
    return table.assign(n_treated=n_treated, n_control=table["n_units"] - n_treated)


def _by_chip(chips: Chips, block: str) -> pd.DataFrame:
    table, seen = chips.table(), chips.tallies[block]
    table = table[table["block"] == block].assign(frames=(seen.by_frame > 0).sum(axis=1))
    return table if seen.observations is None else table.assign(observations=seen.observations.mean(axis=1))


def _by_frame(chips: Chips, origins: Origins | None, block: str) -> pd.DataFrame:
    seen, frames = chips.tallies[block], len(chips.frames)
    table = chips.table()
    table = table[table["block"] == block]
    row: dict[str, Any] = {chips.key_name: np.repeat(chips.keys, frames), "block": block}
    row["frame"] = np.tile(np.array(chips.frames, dtype=object), len(chips))
    row["status"] = _frame_statuses(chips, seen, origins, block).ravel()
    row["valid_fraction"] = seen.by_frame.ravel()
    if seen.observations is not None:
        row["observations"] = seen.observations.ravel()
    for name in ("n_units", "longitude", "latitude", "crs"):
        if name in table:
            row[name] = np.repeat(table[name].to_numpy(), frames)
    return pd.DataFrame(row)


def _frame_statuses(chips: Chips, seen: Tally, origins: Origins | None, block: str) -> npt.NDArray[np.str_]:
    """Return what became of each frame of each chip, (chips, frames).

    A frame with a valid pixel is ``ok`` or ``partial``. Of the others, those without a scene are ``missing``
    (``outside`` where the chip is), and those with one ``cloudy`` where the scene holds data.
    """
    chip = np.broadcast_to(seen.status[:, None], seen.by_frame.shape)
    empty = np.where(np.isin(chip, ("ok", "partial")), "nodata", chip)
    if origins is not None:
        unseen = origins.codes == 0
        empty = np.where(unseen & (chip != "outside"), "missing", empty)
        doubtful = (seen.by_frame == 0) & ~unseen
        # where the whole chip shows nothing, its own status has told why
        doubtful &= np.isin(chip, ("ok", "partial", "cloudy"))
        places = np.argwhere(doubtful)
        hidden = clouded(chips.source, block, places) if len(places) else None
        if hidden is not None:
            empty = empty.astype(object)
            empty[tuple(places.T)] = np.where(hidden, "cloudy", "nodata")
    found = np.select([seen.by_frame == 1, seen.by_frame > 0], ["ok", "partial"], default=empty.astype(str))
    return found.astype(str)


def _said(chips: Chips, origins: Origins | None, by: str) -> dict[str, npt.NDArray[Any]]:
    """Return what is known of the scenes of each row of a block."""
    frames = len(chips.frames) if by == "frame" else 1
    declared = 0.0 if chips.radiometry is None else offset_added(chips.radiometry)
    if origins is None:
        # pictures without scenes were taken on the day that was said of all
        day = np.full(len(chips) * frames, chips.date if len(chips.frames) == 1 else None, dtype=object)
        return {**dict.fromkeys(_DAYS, day), "offset_added": np.full(len(day), declared)}
    parts = [(origins if by == "frame" else origins.whole()).columns(frame) for frame in range(frames)]
    found = {name: np.stack([part[name] for part in parts], axis=1).ravel() for name in parts[0]}
    nothing = found["n_scenes"] == 0
    found["offset_added"] = np.where(nothing, declared, found["offset_added"])
    if len(chips.frames) == 1 and all(scene.date is None for scene in origins.scenes):
        day = np.full(len(nothing), chips.date, dtype=object)
        day[nothing] = None
        found |= dict.fromkeys(_DAYS, day)
    return found


def arms_of(chips: Chips, treatment: object) -> npt.NDArray[np.intp]:
    """Return 0 or 1 for each unit, from a column of the units or a series by unit id."""
    units = chips.units
    if isinstance(treatment, str):
        require_columns(units.frame, [treatment], table="units", error=ImageryError)
        values = units.frame[treatment]
    elif isinstance(treatment, pd.Series):
        if treatment.index.has_duplicates:
            twice = treatment.index[treatment.index.duplicated()]
            raise ImageryError(explain("The index of treatment holds duplicates.", where=twice.tolist()))
        values = treatment.reindex(units.ids)
    else:
        fix = "pd.Series(values, index=units.ids), or the name of a column of the units"
        raise ImageryError(explain(f"treatment is a {type(treatment).__name__}.", fix=fix))
    absent = values.isna().to_numpy()
    if absent.any():
        raise ImageryError(
            explain(
                f"treatment has no value for {int(absent.sum())} of {len(units)} units.",
                where=units.ids[absent].tolist(),
                rule="0 = control, 1 = treated, for every unit, found by unit id",
                fix=f"treatment = frame.set_index({units.id!r})['treated']",
            )
        )
    if set(values.unique().tolist()) != {0, 1}:
        shown = sorted(values.unique().tolist(), key=str)
        raise ImageryError(explain("treatment is not 0 and 1.", where=shown, rule="0 = control, 1 = treated"))
    return values.to_numpy().astype(np.intp)
