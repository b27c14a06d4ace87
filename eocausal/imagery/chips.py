"""Chips: the pictures of the places where units are, read when asked for and never before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal._provenance import hash_arrays
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import STATUSES, ChipBatch, ChipSource, Keys, Rows
from eocausal.imagery.changed import ChangedSource
from eocausal.imagery.gallery import contact_sheet, natural_bands, stretch
from eocausal.imagery.radiometry import Radiometry
from eocausal.imagery.tally import Tally, tally
from eocausal.imagery.tiles import choose_bands

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from eocausal.imagery.account_report import ChipsReport
    from eocausal.units import Units

__all__ = ["STATUSES", "ChipBatch", "ChipSource", "Chips"]

Bands = Sequence[int | str] | int | str | None
# Chips that are read at a time where nothing is said: so many first, then as many as so many bytes hold.
_FIRST_BATCH, _BATCH_BYTES, _LARGEST_BATCH = 64, 16 * 2**20, 512


@dataclass(frozen=True, eq=False)
class Chips:
    """One chip per image key and size. Made by :func:`chips` or ``chips_from_arrays``; reads lazily.

    Attributes
    ----------
    keys : numpy.ndarray
        Image keys, in the order in which units first name them, shape (n,).
    key_name : str
        Name of the units' column that holds the keys.
    blocks : tuple of str
        Names of the sizes, such as ``960m`` or ``32px``.
    bands : tuple of str
        Names of the bands.
    date : str or None
        Last day of the imagery, ISO 8601.
    units : Units
        The units whose places the chips show.
    pixel_unit : str or None
        What a pixel value is as handed out, such as ``reflectance``.
    source : ChipSource
        Where the pixels come from.
    radiometry : Radiometry or None
        What the stored pixels are and how they are converted.
    frames : tuple of str
        Names of the pictures of each place, in order of time; one empty name where there is one.
    """

    keys: Keys
    key_name: str
    blocks: tuple[str, ...]
    bands: tuple[str, ...]
    date: str | None
    units: Units
    pixel_unit: str | None
    source: ChipSource
    radiometry: Radiometry | None = None
    frames: tuple[str, ...] = ("",)

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        blocks, bands = " ".join(self.blocks), len(self.bands)
        return f"Chips({len(self)} keys, {blocks}, {bands} band{'s' if bands > 1 else ''}, {self.source.label()})"

    def batches(
        self, *, size: int | None = None, keys: npt.ArrayLike | None = None, order: str = "keys"
    ) -> Iterator[ChipBatch]:
        """Read chips in batches.

        Parameters
        ----------
        size : int, optional
            Chips in a batch; the last may be smaller. Default: 64, and from the second batch on as many as
            16 MiB hold, 1 to 512.
        keys : array_like, optional
            Image keys to read, in this order; default all.
        order : {"keys", "reading"}
            Without ``keys``: the order of ``self.keys``, or that of :meth:`reading_order`, which is the fast
            one for many chips of large rasters.

        Yields
        ------
        ChipBatch
        """
        wrong = isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1
        if size is not None and wrong:
            raise ImageryError(explain(f"size={size!r} is not a number of chips.", rule="size >= 1"))
        one_of(order, ("keys", "reading"), argument="order", error=ImageryError)
        if keys is not None:
            return self._read(self._rows(keys), size)
        if order == "reading":
            return self._read(self.source.reading_order(), size)
        return self._read(np.arange(len(self)), size)

    def reading_order(self) -> Keys:
        """Return all keys in the order in which reading costs least.

        Rasters are decoded in blocks. In this order chips that share a block follow each other, and each
        block is decoded about once, however many chips there are.

        Returns
        -------
        numpy.ndarray
            ``self.keys`` in another order, shape (n,).
        """
        keys: Keys = self.keys[self.source.reading_order()]
        return keys

    def last_dates(self, keys: npt.ArrayLike | None = None) -> npt.NDArray[np.object_]:
        """Return the last day that each picture may show, ISO text, None where it is not known.

        Parameters
        ----------
        keys : array_like, optional
            Image keys; default all.

        Returns
        -------
        numpy.ndarray
            object, shape (n,).
        """
        days = self._last_dates
        rows = slice(None) if keys is None else self._rows(keys)
        found: npt.NDArray[np.object_] = days[rows]
        return found

    @cached_property
    def _last_dates(self) -> npt.NDArray[np.object_]:
        known = self.source.places().get("last_date")
        return (
            np.full(len(self), self.date, dtype=object) if known is None else np.asarray(known, dtype=object)
        )

    def recipe(self) -> dict[str, Any]:
        """Return what determines the pixels: files by name and content, sizes, bands, grid, keys."""
        places = self.source.places()
        return {
            **self.source.recipe(),
            "bands": list(self.bands),
            "date": self.date,
            "pixel_unit": self.pixel_unit,
            "keys": {"name": self.key_name, "count": len(self), "hash": hash_arrays(self.keys)},
            "places": hash_arrays(*(places[column] for column in sorted(places))),
        }

    @cached_property
    def sides(self) -> dict[str, int]:
        """Pixels along the chips of each block (their height)."""
        (batch,) = self._read(np.zeros(1, dtype=np.intp), 1)
        return {block: int(pixels.shape[3]) for block, pixels in batch.pixels.items()}

    def resampled(self, side: int | Mapping[str, int], *, categorical: bool = False) -> Chips:
        """Bring square chips to another number of pixels, anti-aliased, such as the 224 that an encoder reads.

        Parameters
        ----------
        side : int or dict
            Pixels along a side of the result, for all blocks or by block.
        categorical : bool
            Whether pixels are classes: then the one under each pixel's centre is taken, and none are averaged.

        Returns
        -------
        Chips
            Shrunk by the mean over covered area, enlarged bilinearly, among valid pixels only; a pixel is valid
            where at least half of what it covers is.

        Raises
        ------
        ImageryError
            When a side is not a number of pixels, or names no block.
        """
        from eocausal.imagery.outlines import Outlines
        from eocausal.imagery.resample import Resampling

        wanted = dict(side) if isinstance(side, Mapping) else dict.fromkeys(self.blocks, side)
        resampling = Resampling(self.sides, wanted, categorical=categorical)
        outlined = isinstance(self.source, ChangedSource) and isinstance(self.source.change, Outlines)
        if not (isinstance(self.source, ChangedSource) and outlined):
            return replace(self, source=ChangedSource(self.source, resampling))
        # a polygon is laid on the pixels that are handed out, not on those that they were made from
        return replace(self, source=replace(self.source, inner=ChangedSource(self.source.inner, resampling)))

    def table(self) -> pd.DataFrame:
        """Read every chip once and return one row per key and block.

        Returns
        -------
        pandas.DataFrame
            ``<key_name>``, ``block``, ``status``, ``valid_fraction``, ``n_units``; from rasters also
            ``longitude``, ``latitude`` and ``crs`` (the system of the chip's grid). Kept after the first
            call.
        """
        return self._table.copy()

    def account(self, treatment: pd.Series | str | None = None, *, by: str = "chip") -> pd.DataFrame:
        """Return what became of every picture and what it was made from; columns are in docs/imagery.md.

        Parameters
        ----------
        treatment : Series or str, optional
            0 or 1 by unit id, or the name of a column of the units; adds ``n_treated`` and ``n_control``.
        by : {"chip", "frame"}
            One row per image key and block, or one for each frame of it.

        Returns
        -------
        pandas.DataFrame
            The columns of :meth:`table` (by frame also ``frame``) with ``frames observations n_scenes scenes
            first_date last_date sensors pixel_unit stored_unit offset_added``, as far as they are known.
        """
        from eocausal.imagery.account import account

        return account(self, treatment, by=by)

    def report(self, treatment: pd.Series | str | None = None) -> ChipsReport:
        """Return the account with counts by arm, tests of differences between arms, warnings and a plot.

        Parameters
        ----------
        treatment : Series or str, optional
            As for :meth:`account`. The arms are compared by what they lost and by the days and sensors of their
            scenes, with standard errors clustered by image; see ``ChipsReport`` for the terms and for what is
            a warning.

        Returns
        -------
        ChipsReport
        """
        from eocausal.imagery.account_report import report

        return report(self, treatment)

    def thumbnails(
        self,
        keys: npt.ArrayLike,
        *,
        block: str | None = None,
        bands: Bands = None,
        frame: str | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Return chips as pictures that can be compared with one another.

        Parameters
        ----------
        keys : array_like
            Image keys.
        block : str, optional
            The size; default the first.
        bands : sequence, optional
            One band or three (red, green, blue), by 1-based number or name. Default: bands named red, green
            and blue (or B04, B03, B02), else the first three, else the first.
        frame : str, optional
            The picture of a sequence; default the last.

        Returns
        -------
        numpy.ndarray
            uint8, shape (n, height, width, 3): per band one stretch from the 2nd to the 98th percentile
            over all chips asked for; pixels that are not valid are light grey (235).
        """
        block = self.blocks[0] if block is None else self._block(block)
        chosen = natural_bands(self.bands) if bands is None else choose_bands(self.bands, bands)
        if len(chosen) not in (1, 3):
            raise ImageryError(explain(f"bands={bands!r} are {len(chosen)} bands.", rule="one band or three"))
        name = one_of(frame or self.frames[-1], self.frames, argument="frame", error=ImageryError)
        turn = self.frames.index(name)
        read = list(self._read(self._rows(keys), None))
        pixels = np.concatenate([batch.pixels[block][:, turn, list(chosen)] for batch in read])
        return stretch(pixels, np.concatenate([batch.mask[block][:, turn] for batch in read]))

    def plot(
        self,
        keys: npt.ArrayLike | None = None,
        *,
        block: str | None = None,
        frame: str | None = None,
        columns: int = 6,
    ) -> Figure:
        """Draw a contact sheet of chips (default: the first 24), ``columns`` in a row, the key above each.

        Returns
        -------
        matplotlib.figure.Figure
        """
        shown = self.keys[:24] if keys is None else np.atleast_1d(np.asarray(keys))
        pictures = self.thumbnails(shown, block=block, frame=frame)
        return contact_sheet(pictures, shown.tolist(), columns=columns)

    def write(self, path: str | Path, *, append: bool = False, progress: bool = True) -> Path:
        """Write the chips into a Zarr v3 store that ``open_chips`` reads; needs ``eocausal[cubes]``.

        Called again after a run was killed, it goes on with the first range of keys that is not whole, and
        ends with the same bytes; on a damaged store it writes what is damaged again.

        Parameters
        ----------
        path : str or Path
            Folder of the store, its own.
        append : bool
            Add the keys that a finished store lacks, such as those of a second survey wave. Chips that are
            stored stay as they are and must agree: the same rasters, sizes, bands and radiometry, and keys in
            both at the same place (chips from arrays or files: with the same pixels). Until all are written the
            store opens as before. The new chips are a Zarr hierarchy of their own, ``<path>/part00001``.
        progress : bool
            Whether to show a progress bar on standard error.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ImageryError
            When the folder holds other chips (naming what changed) or something else, another process is
            writing there, or zarr is not installed.
        """
        from eocausal.imagery.store import write_chips

        return write_chips(self, path, append=append, progress=progress)

    def export(self, folder: str | Path, *, format: str = "geotiff") -> Path:
        """Write one file per image key and block, ``<folder>/<block>/<key>.tif``; ``chips_from_files`` reads them.

        Every file is written anew, also after a run that died: to write once and continue, use :meth:`write`.

        Parameters
        ----------
        folder : str or Path
            Where the files go; those of the same name are replaced.
        format : {"geotiff", "cog"}
            GeoTIFF: float32, NaN where not valid, with reference system, transform and names of bands. Cloud
            Optimized GeoTIFF: the same, tiled and with overviews where a chip exceeds 256 pixels.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ImageryError
            When the chips do not say where they are, as those from arrays do not.
        """
        from eocausal.imagery.export import export_chips

        return export_chips(self, folder, format=format)

    @cached_property
    def tallies(self) -> dict[str, Tally]:
        """What was counted of each block while every chip was read, once."""
        from tqdm import tqdm

        order = self.source.reading_order()
        with tqdm(total=len(self), desc="reading chips", unit="chip", disable=None, leave=False) as bar:
            return tally(self._read(order, None), order, told=bar.update)

    @cached_property
    def _table(self) -> pd.DataFrame:
        counts = pd.Series(self.units.image_keys).value_counts()
        tables = []
        for block, seen in self.tallies.items():
            row = {self.key_name: self.keys, "block": block}
            row |= {"status": seen.status, "valid_fraction": seen.valid_fraction}
            row["n_units"] = counts.reindex(self.keys).to_numpy()
            tables.append(pd.DataFrame({**row, **self.source.places()}))
        return pd.concat(tables, ignore_index=True)

    def _read(self, rows: Rows, size: int | None) -> Iterator[ChipBatch]:
        start, step = 0, _FIRST_BATCH if size is None else int(size)
        with self.source.reading() as read:
            while start < len(rows):
                batch = read(rows[start : start + step].astype(np.intp))
                start += step
                if size is None:
                    one = sum(pixels.nbytes for pixels in batch.pixels.values()) / len(batch)
                    step = int(np.clip(_BATCH_BYTES / one, 1, _LARGEST_BATCH))
                yield batch

    @cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self.keys)

    def _rows(self, keys: npt.ArrayLike) -> Rows:
        asked = np.atleast_1d(np.asarray(keys))
        if asked.size == 0:
            raise ImageryError(explain("No keys are asked for."))
        rows = self._index.get_indexer(pd.Index(asked))
        if (rows < 0).any():
            fix = f"Keys look like {self.keys[0].item()!r} ({self.keys.dtype}); see chips.keys."
            raise ImageryError(explain("There are no chips with these keys.", where=asked[rows < 0], fix=fix))
        return rows

    def _block(self, block: str) -> str:
        return one_of(block, self.blocks, argument="block", error=ImageryError)
