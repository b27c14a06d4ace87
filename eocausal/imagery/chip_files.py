"""Chips that are files: one GeoTIFF for each picture and size, joined to units by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import as_folder, require_units
from eocausal._io import hash_file
from eocausal._provenance import hash_arrays
from eocausal.errors import ImageryError, explain
from eocausal.imagery._chip_headers import Header, check_alike, check_on_units, corners_of, read_header
from eocausal.imagery._chip_names import ChipNames, find_files
from eocausal.imagery.batches import ChipBatch, Keys, Rows, judge
from eocausal.imagery.chips import Bands, Chips
from eocausal.imagery.cut import check_date
from eocausal.imagery.origins import Origins, Scene
from eocausal.imagery.planning import block_name
from eocausal.imagery.radiometry import Radiometry
from eocausal.imagery.screening import as_radiometry, screened
from eocausal.imagery.sources import open_dataset
from eocausal.imagery.tiles import choose_bands

if TYPE_CHECKING:
    from eocausal.units import Units

__all__ = ["chips_from_files"]


@dataclass(frozen=True, eq=False)
class FileSource:
    """Chips in files of their own; ``files[block][i]`` is that of the i-th key, None where there is none."""

    keys: Keys
    files: Mapping[str, tuple[Path | None, ...]]
    header: Mapping[str, Header]
    bands: tuple[int, ...]
    found: Mapping[str, npt.NDArray[Any]]
    places_by_block: Mapping[str, Mapping[str, npt.NDArray[Any]]]
    without_unit: int

    @contextmanager
    def reading(self) -> Iterator[Callable[[Rows], ChipBatch]]:
        """Give the reader; each file is opened when its chip is asked for."""
        yield self._read

    def reading_order(self) -> Rows:
        """Files are read in any order."""
        return np.arange(len(self.keys))

    def places(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return where the units are, and the reference systems of the files."""
        return self.found

    def corners(self, block: str) -> Mapping[str, npt.NDArray[Any]] | None:
        """Return where the chips of a block lie, None when no file says."""
        return self.places_by_block.get(block)

    def origins(self) -> Origins:
        """Return each key's files as its scenes; all frames are in them."""
        scenes: dict[Path, int] = {}
        sets: dict[tuple[int, ...], int] = {(): 0}
        codes = np.zeros((len(self.keys), len(next(iter(self.header.values())).frames)), dtype=np.int32)
        for place, row in enumerate(zip(*self.files.values(), strict=True)):
            some = sorted({scenes.setdefault(file, len(scenes)) for file in row if file is not None})
            codes[place] = sets.setdefault(tuple(some), len(sets))
        return Origins(tuple(Scene(file.name) for file in scenes), tuple(sets), codes)

    def label(self) -> str:
        """Return the number of files, and of those that no unit has a use for."""
        count = sum(file is not None for files in self.files.values() for file in files)
        idle = f", {self.without_unit} more without a unit" if self.without_unit else ""
        return f"{count} file{'s' if count != 1 else ''}{idle}"

    def recipe(self) -> dict[str, Any]:
        """Return the hash of all files and how they are read."""
        header = self.header[next(iter(self.header))]
        return {
            "source": "files",
            "files": self._hash,
            "bands_of_files": list(header.names),
            "bands_read": list(self.bands),
            "frames_of_files": list(header.frames),
        }

    @cached_property
    def _hash(self) -> dict[str, str]:
        hashes = {b: ["" if f is None else hash_file(f) for f in files] for b, files in self.files.items()}
        return {block: hash_arrays(np.array(found), self.keys) for block, found in hashes.items()}

    def _read(self, rows: Rows) -> ChipBatch:
        pixels, mask, status, share = {}, {}, {}, {}
        for block, header in self.header.items():
            shape = (len(rows), len(header.frames), len(self.bands), header.height, header.width)
            chips = np.full(shape, np.nan, dtype=np.float32)
            there = np.zeros(len(rows), dtype=bool)
            for place, row in enumerate(rows.tolist()):
                file = self.files[block][row]
                if file is not None:
                    there[place] = True
                    chips[place] = _read_file(file, header, self.bands)
            valid = np.array(np.isfinite(chips).all(axis=2))
            chips[~np.broadcast_to(valid[:, :, None], shape)] = np.nan
            pixels[block], mask[block] = chips, valid
            status[block], share[block] = judge(valid, there, "missing")
        return ChipBatch(self.keys[rows], pixels, mask, status, share)


def _read_file(file: Path, header: Header, bands: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return pixels (frames, bands, height, width), NaN where a band is nodata, masked or not finite."""
    from rasterio.errors import RasterioError

    each = len(header.names)
    chosen = [header.bands[frame * each + band] for frame in range(len(header.frames)) for band in bands]
    with open_dataset(file) as dataset:
        if dataset.shape != (header.height, header.width) or dataset.count < max(chosen):
            text = f"Chip {file.name!r} has changed since its header was read."
            raise ImageryError(explain(text, fix="make the chips anew: chips_from_files(units, folder)"))
        try:
            pixels: npt.NDArray[np.float32] = dataset.read(chosen, out_dtype="float32")
            lost = (dataset.read_masks(chosen) == 0) | ~np.isfinite(pixels)
        except RasterioError as cause:
            text = f"Chip {file.name!r} cannot be read: it is damaged."
            raise ImageryError(explain(text, rule=str(cause)[:300], fix="get the file again")) from cause
    pixels[lost] = np.nan
    return pixels.reshape(len(header.frames), len(bands), *pixels.shape[1:])


def chips_from_files(
    units: Units,
    folder: str | Path,
    *,
    name: str | None = None,
    bands: Bands = None,
    date: str | None = None,
    size_m: float | None = None,
    pixel_unit: str | Radiometry | None = None,
) -> Chips:
    """Take chips that are files, such as ``Chips.export`` writes: one for each image key and size.

    Headers are read at once, pixels file by file when chips are asked for. Frames of a sequence are known by the
    tag that ``Chips.export`` leaves; other files are one picture each.

    Parameters
    ----------
    units : Units
        The units; their ``image_keys`` say which file shows each.
    folder : path
        Where the files are.
    name : str, optional
        How files are called in the folder, with ``{key}`` once and perhaps ``{block}``, such as
        ``chip_{key}.tif`` or ``{block}/{key}.tif``. Default: ``{key}.tif`` when the folder has such files, else
        ``{block}/{key}.tif``. Characters that file names do not bear are percent-encoded (``a%2Fb.tif``).
    bands : sequence, optional
        Bands by 1-based number or by name (the files' descriptions); default all but alpha.
    date : str, optional
        Date of the imagery, ISO 8601.
    size_m : float, optional
        Side of a chip on the ground in metres; names the block (``960m``) of files that have none. Default:
        pixels (``35px``).
    pixel_unit : str or Radiometry, optional
        What a pixel value is, checked and converted as in :func:`eocausal.chips`.

    Returns
    -------
    Chips
        Keys without a file have status ``missing``. Files without a unit are counted in its repr.

    Raises
    ------
    ImageryError
        When no file has a key of the units, two files have the same, files differ in shape or bands, are unsafe
        or damaged, or lie elsewhere than their units; when pixels do not fit their unit.

    Examples
    --------
    >>> import pandas as pd, rasterio, tempfile, numpy as np, eocausal as ec
    >>> folder = tempfile.mkdtemp()
    >>> place = rasterio.transform.from_origin(500_000, 20_000, 30, 30)
    >>> with rasterio.open(folder + "/a.tif", "w", driver="GTiff", width=8, height=8, count=2, dtype="uint8",
    ...                    crs="EPSG:32636", transform=place) as out:
    ...     out.write(np.full((2, 8, 8), 7, dtype="uint8"))
    >>> table = pd.DataFrame({"village": ["a", "b"], "x": [500_100, 500_000], "y": [19_900, 18_500]})
    >>> units = ec.read_units(table, id="village", lon="x", lat="y", crs="EPSG:32636")
    >>> cut = ec.chips_from_files(units, folder)
    >>> cut
    Chips(2 keys, 8px, 2 bands, 1 file)
    >>> cut.table()[["village", "status"]]
      village   status
    0       a       ok
    1       b  missing
    """
    require_units(units, error=ImageryError)
    check_date(date)
    radiometry = as_radiometry(pixel_unit)
    keys = np.asarray(pd.unique(units.image_keys))
    names = find_files(as_folder(folder, error=ImageryError), name)
    files, without_unit = names.of_keys(keys, units.image_key)
    headers = {block: _headers(some) for block, some in files.items()}
    check_alike(headers)
    files, headers = _name_block(files, headers, size_m, names)
    check_on_units(units, keys, headers)
    header = {block: next(h for h in some if h is not None) for block, some in headers.items()}
    first = next(iter(header.values()))
    chosen = choose_bands(first.names, bands)
    source = FileSource(
        keys=keys,
        files=files,
        header=header,
        bands=chosen,
        found=_places(units, keys, headers),
        places_by_block=_corners(headers),
        without_unit=without_unit,
    )
    return Chips(
        keys=keys,
        key_name=units.image_key,
        blocks=tuple(header),
        bands=tuple(first.names[band] for band in chosen),
        date=date,
        frames=first.frames,
        units=units,
        pixel_unit=None if radiometry is None else radiometry.given_out,
        source=screened(source, radiometry, f"the files in {Path(folder).name}"),
        radiometry=radiometry,
    )


def _headers(files: Sequence[Path | None]) -> list[Header | None]:
    from tqdm import tqdm

    with tqdm(files, desc="reading headers", unit="file", disable=None, leave=False) as bar:
        return [None if file is None else read_header(file) for file in bar]


def _name_block(
    files: dict[str, tuple[Path | None, ...]],
    headers: dict[str, list[Header | None]],
    size_m: float | None,
    names: ChipNames,
) -> tuple[dict[str, tuple[Path | None, ...]], dict[str, list[Header | None]]]:
    """Name the only block of files that lie in no folder of a block by their size."""
    if names.blocks != ("",):
        if size_m is not None:
            text = f"size_m={size_m!r} names one block, but the files have theirs."
            raise ImageryError(explain(text, where=names.blocks, fix="leave out size_m="))
        return files, headers
    first = next(header for header in headers[""] if header is not None)
    block = block_name(first.height, first.width, size_m)
    return {block: files[""]}, {block: headers[""]}


def _places(
    units: Units, keys: Keys, headers: Mapping[str, Sequence[Header | None]]
) -> dict[str, npt.NDArray[Any]]:
    """Return the places of the units, and the reference system of each key's file."""
    found: dict[str, npt.NDArray[Any]] = {}
    if units.longitude is not None and units.latitude is not None:
        # keys are in the order in which units first name them
        first = np.sort(np.unique(units.image_keys, return_index=True)[1])
        found = {"longitude": units.longitude[first], "latitude": units.latitude[first]}
    systems = [
        next((h.crs for h in row if h is not None and h.crs is not None), None)
        for row in zip(*headers.values(), strict=True)
    ]
    return {**found, "crs": np.array(systems, dtype=object)} if any(systems) else found


def _corners(headers: Mapping[str, Sequence[Header | None]]) -> dict[str, Mapping[str, npt.NDArray[Any]]]:
    corners = {block: corners_of(some) for block, some in headers.items()}
    return {block: found for block, found in corners.items() if found is not None}
