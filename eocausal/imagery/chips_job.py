"""The chips of a specification as a job of their own: a store, the account of every picture, its figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from eocausal._io import write_atomically
from eocausal.errors import SpecError, explain
from eocausal.imagery.account_report import ChipsReport
from eocausal.imagery.asked import asked_chips, asked_places, asked_units
from eocausal.imagery.chips import Chips
from eocausal.imagery.store import open_chips
from eocausal.specs.inputs import check_inputs
from eocausal.specs.load import load_spec
from eocausal.units import Units

__all__ = ["StoredChips", "store_chips"]

STORE, ACCOUNT = "chips.zarr", "chips_account.csv"


@dataclass(frozen=True, eq=False)
class StoredChips:
    """What :func:`store_chips` made.

    Attributes
    ----------
    chips : Chips
        Opened from ``store``.
    report : ChipsReport
        What became of the units' pictures, by arm where the treatment is known of every unit.
    store, account : Path
        The Zarr store (the one that the specification names, if it does), and the table with a row for every
        picture and size.
    figures : tuple of Path
        One for each size.
    note : str
        Why the arms are not compared; empty where they are.
    """

    chips: Chips
    report: ChipsReport
    store: Path
    account: Path
    figures: tuple[Path, ...]
    note: str

    def summary(self) -> str:
        """Return the counts by arm and the warnings."""
        lines = [repr(self.chips), "", repr(self.report)]
        return "\n".join([*lines, self.note] if self.note else lines)


def store_chips(
    spec: str | Path, *, out: str | Path | None = None, append: bool = False, progress: bool = True
) -> StoredChips:
    """Cut the chips of a specification into a store, and write the account of them and its figures beside it.

    A run that was killed continues. Chips of displaced units are those of all draws.

    Parameters
    ----------
    spec : path
        A YAML specification with imagery, as for :func:`eocausal.run`.
    out : path, optional
        Folder for the results, instead of the one named in the specification.
    append : bool
        Add the keys that the store lacks, as ``Chips.write`` does.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    StoredChips
        In ``out``: ``chips.zarr``, ``chips_account.csv`` and ``chips_<size>.png``.

    Raises
    ------
    SpecError
        The specification is wrong, has no imagery, or names a store that keys would have to be added to.
    EocausalError
        The data are not as described.

    Examples
    --------
    >>> store_chips("no_such_folder/study.yaml", progress=False)
    Traceback (most recent call last):
    ...
    eocausal.errors.SpecError: There is no specification 'no_such_folder/study.yaml'.
      Mend: Name a YAML file.
    """
    loaded = load_spec(spec)
    check_inputs(loaded)
    asked = loaded.spec
    if asked.imagery is None:
        fix = "imagery: {rasters: scene.tif, size_m: [960]}"
        raise SpecError(explain(f"{loaded.path} has no imagery to cut chips from.", fix=fix))
    if append and asked.imagery.store is not None:
        text = f"{loaded.path} reads chips from a store, and keys can only be added to one that is written."
        raise SpecError(explain(text, fix="name the source of the chips, such as rasters, and keep out="))
    folder = Path(out if out is not None else asked.out)
    published = asked_units(asked.units)
    units = asked_places(asked.units, published)
    cut = asked_chips(asked.imagery, units)
    assert cut is not None  # there is imagery
    if asked.imagery.store is not None:
        # they are stored already
        store, chips = Path(asked.imagery.store), cut
    else:
        store = cut.write(folder / STORE, append=append, progress=progress)
        chips = open_chips(store, units)
    treatment, note = _treatment(units, asked.design.treatment)
    if units is not published:
        treatment, note = None, "Arms are not compared: the rows are draws of displaced places, not units."
    report = chips.report(treatment)
    account = write_atomically(folder / ACCOUNT, lambda path: report.table.to_csv(path, index=False))
    figures = tuple(_draw(report, block, folder) for block in chips.blocks)
    return StoredChips(chips, report, store, account, figures, note)


def _treatment(units: Units, column: str) -> tuple[str | None, str]:
    """Return the column of the treatment; None, and why, where it does not tell the arm of every unit."""
    values = units.frame[column]
    unknown = int(values.isna().sum())
    if unknown:
        return None, f"Arms are not compared: {column!r} has no value for {unknown} of {len(units)} units."
    if set(pd.unique(values)) != {0, 1}:
        return None, f"Arms are not compared: {column!r} is not 0 and 1."
    return column, ""


def _draw(report: ChipsReport, block: str, folder: Path) -> Path:
    figure = report.plot(block=block)
    return write_atomically(folder / f"chips_{block}.png", partial(figure.savefig, format="png", dpi=150))
