"""Which scenes each picture was made from: a number for each set of scenes, so that a million chips stay small."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.imagery.batches import ChipSource, Rows
from eocausal.imagery.mosaic import RasterSource
from eocausal.imagery.screening import said_of
from eocausal.imagery.sources import RasterFile
from eocausal.imagery.timeline import days_of

if TYPE_CHECKING:
    from eocausal.imagery.radiometry import Radiometry
    from eocausal.imagery.tiles import Tile

__all__ = ["Origins", "Scene", "innermost", "joined", "origins_of"]

Codes = npt.NDArray[np.int32]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Scene:
    """One scene: its day as ISO text, what was added to its stored pixels, and whether it is silent.

    A scene is ``silent`` when its file has no way of saying which pixels are not valid.
    """

    name: str
    date: str | None = None
    sensor: str | None = None
    offset_added: float | None = None
    silent: bool = False


@dataclass(frozen=True, eq=False)
class Origins:
    """The scenes of each picture: those of days that its frame asks for which the chip's largest window touches.

    ``codes``, shape (chips, frames), say which of ``sets`` made a picture; set 0 is empty. The numbers in a set
    are positions in ``scenes``, earliest day first where frames are of days.
    """

    scenes: tuple[Scene, ...]
    sets: tuple[tuple[int, ...], ...]
    codes: Codes

    def whole(self) -> Origins:
        """Return the scenes of each chip, of all its frames together."""
        if self.codes.shape[1] == 1:
            return self
        pool = _Pool()
        rows, back = np.unique(self.codes, axis=0, return_inverse=True)
        unions = [pool.code({n for code in row for n in self.sets[code]}) for row in rows.tolist()]
        codes = np.array(unions, dtype=np.int32)[back.reshape(-1)]
        return Origins(self.scenes, pool.sets, codes[:, None])

    def some(self, rows: Rows) -> Origins:
        """Return those of some chips, none for -1; what is not used is left out and numbers follow first use."""
        chosen = np.where((rows >= 0)[:, None], self.codes[np.maximum(rows, 0)], 0)
        used, first = np.unique(chosen, return_index=True)
        in_order = used[np.argsort(first)].tolist()
        numbers = sorted({number for code in in_order for number in self.sets[code]})
        place = {number: place for place, number in enumerate(numbers)}
        pool, renamed = _Pool(), np.zeros(len(self.sets), dtype=np.int32)
        for code in in_order:
            renamed[code] = pool.code({place[number] for number in self.sets[code]})
        scenes = tuple(self.scenes[number] for number in numbers)
        return Origins(scenes, pool.sets, renamed[chosen])

    def columns(self, frame: int = 0) -> Columns:
        """Return ``n_scenes scenes first_date last_date sensors offset_added`` of one frame's pictures.

        The offset is NaN where there is no scene, and where scenes of one picture differ in it.
        """
        codes = self.codes[:, frame]
        return {name: values[codes] for name, values in self._of_sets.items()}

    def shares(self, sensor: str, frame: int = 0) -> npt.NDArray[np.float64]:
        """Return the share of each picture's scenes that are of a sensor, NaN without a scene."""
        found = [
            np.mean([self.scenes[number].sensor == sensor for number in some]) if some else np.nan
            for some in self.sets
        ]
        shares: npt.NDArray[np.float64] = np.array(found)[self.codes[:, frame]]
        return shares

    @property
    def sensors(self) -> list[str]:
        """Names of the sensors of all scenes that serve a picture."""
        used = {number for code in np.unique(self.codes).tolist() for number in self.sets[code]}
        return sorted({name for number in used if (name := self.scenes[number].sensor) is not None})

    @property
    def silent(self) -> list[str]:
        """Names of the files that serve a picture and cannot say which of their pixels are not valid."""
        used = {number for code in np.unique(self.codes).tolist() for number in self.sets[code]}
        return [self.scenes[number].name for number in sorted(used) if self.scenes[number].silent]

    @cached_property
    def _of_sets(self) -> Columns:
        found: dict[str, list[Any]] = {
            "n_scenes": [], "scenes": [], "first_date": [], "last_date": [], "sensors": [], "offset_added": [],
        }  # fmt: skip
        for some in self.sets:
            scenes = [self.scenes[number] for number in some]
            days = sorted(scene.date for scene in scenes if scene.date is not None)
            sensors = sorted({scene.sensor for scene in scenes if scene.sensor is not None})
            offsets = {scene.offset_added for scene in scenes}
            offset = offsets.pop() if len(offsets) == 1 else None
            found["n_scenes"].append(len(scenes))
            found["scenes"].append("; ".join(dict.fromkeys(scene.name for scene in scenes)))
            found["first_date"].append(days[0] if days else None)
            found["last_date"].append(days[-1] if days else None)
            found["sensors"].append("; ".join(sensors) or None)
            found["offset_added"].append(np.nan if offset is None else offset)
        kinds = {"n_scenes": np.int64, "offset_added": np.float64}
        return {name: np.array(values, dtype=kinds.get(name, object)) for name, values in found.items()}

    def written(self) -> dict[str, Any]:
        """Return scenes and sets, JSON-like; ``codes`` are kept beside them."""
        return {
            "scenes": [asdict(scene) for scene in self.scenes],
            "sets": [list(some) for some in self.sets],
        }

    @classmethod
    def read(cls, written: Mapping[str, Any], codes: Codes) -> Origins:
        """Return what was written."""
        scenes = tuple(Scene(**scene) for scene in written["scenes"])
        return cls(scenes, tuple(tuple(some) for some in written["sets"]), codes)


def joined(parts: Sequence[Origins]) -> Origins:
    """Return the origins of several groups of chips, one after the other.

    Examples
    --------
    >>> one = Origins((Scene("a.tif"),), ((), (0,)), np.array([[1], [0]], dtype=np.int32))
    >>> joined([one, one]).columns()["scenes"].tolist()
    ['a.tif', '', 'a.tif', '']
    """
    scenes: dict[Scene, int] = {}
    pool, codes = _Pool(), []
    for part in parts:
        place = [scenes.setdefault(scene, len(scenes)) for scene in part.scenes]
        renamed = [pool.code({place[number] for number in some}) for some in part.sets]
        codes.append(np.array(renamed, dtype=np.int32)[part.codes])
    return Origins(tuple(scenes), pool.sets, np.concatenate(codes))


def innermost(source: ChipSource) -> Any:
    """Return the source that pixels come from, beneath those that screen or change them."""
    found: Any = source
    while hasattr(found, "inner"):
        found = found.inner
    return found


def origins_of(source: ChipSource) -> Origins | None:
    """Return the scenes of each picture, None where the source does not tell of any, as arrays do not."""
    inner = innermost(source)
    if isinstance(inner, RasterSource):
        return _of_rasters(inner)
    tell = getattr(inner, "origins", None)
    found: Origins | None = None if tell is None else tell()
    return found


class _Pool:
    """Numbers for sets of scenes, in order of first use; the empty set is 0."""

    def __init__(self) -> None:
        self._codes: dict[tuple[int, ...], int] = {(): 0}

    def code(self, numbers: set[int]) -> int:
        """Return the number of a set."""
        return self._codes.setdefault(tuple(sorted(numbers)), len(self._codes))

    @property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        return tuple(self._codes)


def _of_rasters(source: RasterSource) -> Origins:
    plan = source.plan
    by_day = source.timeline.windows is not None
    number_of_tile, scenes = _scenes(plan.tiles, source.screen.radiometry, by_day=by_day)
    touched = number_of_tile[plan.touches.tiles]
    pool = _Pool()
    codes = [_codes(pool, *part) for part in _by_frame(source, touched)]
    return Origins(scenes, pool.sets, np.stack(codes, axis=1))


def _scenes(
    tiles: Sequence[Tile], radiometry: Radiometry | None, *, by_day: bool
) -> tuple[Codes, tuple[Scene, ...]]:
    """Return the scene of each tile, and the scenes; a raster seen from two turns of longitude is one."""
    first = {tile.raster: tile for tile in reversed(tiles)}
    rasters = list(dict.fromkeys(tile.raster for tile in tiles))
    if by_day:
        rasters.sort(key=lambda raster: (str(first[raster].date), first[raster].sensor or ""))
    number = {raster: place for place, raster in enumerate(rasters)}
    numbers = np.array([number[tile.raster] for tile in tiles], dtype=np.int32)
    return numbers, tuple(_scene(first[raster], radiometry) for raster in rasters)


def _scene(tile: Tile, radiometry: Radiometry | None) -> Scene:
    raster = tile.raster
    silent = isinstance(raster, RasterFile) and raster.nodata is None and not raster.masked
    return Scene(
        name=tile.name,
        date=None if tile.date is None else str(tile.date),
        sensor=tile.sensor,
        offset_added=0.0 if radiometry is None else offset_added(said_of(radiometry, tile)),
        silent=silent and not tile.categorical,
    )


def offset_added(said: Radiometry) -> float:
    """Return what is added to a stored pixel before it is scaled; NaN where each scene has its own.

    Examples
    --------
    >>> from eocausal.imagery.radiometry import Radiometry
    >>> offset_added(Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied=False))
    -1000.0
    >>> offset_added(Radiometry("s2_l2a_dn", offset_applied=False))
    0.0
    """
    return 0.0 if said.given_out == said.unit else said.subtracted


def _by_frame(source: RasterSource, touched: Codes) -> Iterator[tuple[Codes, npt.NDArray[np.integer[Any]]]]:
    """Yield the scenes of all chips one after the other, and where those of each begin, frame by frame."""
    touches, windows = source.plan.touches, source.timeline.windows
    if windows is None:
        yield touched, touches.starts
        return
    chip = np.repeat(np.arange(len(touches.starts) - 1), touches.counts())
    days = days_of(source.plan.tiles)[touches.tiles]
    alike = windows.which is None or len(windows.firsts) == 1
    kind = 0 if alike or windows.which is None else windows.which[chip]
    for frame in range(len(windows)):
        first, after = windows.firsts[kind, frame], windows.afters[kind, frame]
        inside = (days >= first) & (days < after)
        counts = np.bincount(chip[inside], minlength=len(touches.starts) - 1)
        yield touched[inside], np.concatenate([[0], np.cumsum(counts)])


def _codes(pool: _Pool, numbers: Codes, starts: npt.NDArray[np.integer[Any]]) -> Codes:
    """Return the set of each chip, whose scenes are ``numbers[starts[i]:starts[i + 1]]``."""
    content, size = np.ascontiguousarray(numbers).tobytes(), numbers.itemsize
    edges = (starts.astype(np.int64) * size).tolist()
    # chips of one place share their sets, so most are looked up by their bytes alone
    known: dict[bytes, int] = {b"": 0}
    codes = np.zeros(len(edges) - 1, dtype=np.int32)
    for chip, (begin, end) in enumerate(itertools.pairwise(edges)):
        if begin == end:
            continue
        some = content[begin:end]
        code = known.get(some)
        if code is None:
            code = known[some] = pool.code(set(np.frombuffer(some, dtype=numbers.dtype).tolist()))
        codes[chip] = code
    return codes
