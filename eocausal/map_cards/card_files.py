"""Map cards as files: `write_map_card`, which `Corrector.to_map_card` hands on to, and `read_map_card`."""

from __future__ import annotations

import json
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eocausal._checks import positive_metres
from eocausal._io import write_atomically, write_json
from eocausal._tables import missing_file
from eocausal.debiasing.corrector import Corrector
from eocausal.debiasing.corrector_content import content_of_file
from eocausal.errors import DebiasError, ImageryError, explain
from eocausal.imagery.files import DRIVERS, in_a_shell, raster_files
from eocausal.imagery.sources import open_dataset
from eocausal.map_cards.content import LONGEST
from eocausal.map_cards.map_card import MANY_OUTSIDE, MapCard, Period
from eocausal.map_cards.mapped_raster import OneBand, PixelCount, look_at, one_band
from eocausal.specs._periods import PERIOD, period_of

ENDING = ".card.json"
TAG_DOMAIN, TAG = "EOCAUSAL", "MAP_CARD"
# Cards are small; what is larger is something else.
LARGEST = 16 * 2**20


def write_map_card(
    corrector: Corrector,
    path: str | Path,
    *,
    period: str | int | None = None,
    unit: str | None = None,
    note: str | None = None,
    band: int | str = 1,
    radius_m: float | None = None,
    card: str | Path | None = None,
    tags: bool = False,
    progress: bool = True,
) -> MapCard:
    """Write a card beside a map; see :meth:`eocausal.Corrector.to_map_card`."""
    known = None if period is None else _period(period)
    for name, text in (("unit", unit), ("note", note)):
        if text is not None and not (isinstance(text, str) and text.isprintable() and len(text) <= LONGEST):
            rule = f"one line of text, at most {LONGEST:,} characters"
            raise DebiasError(explain(f"{name}={text!r:.60} is no line of text.", rule=rule))
    radius = None
    if radius_m is not None:
        radius = positive_metres(radius_m, what=f"radius_m={radius_m!r}.", error=DebiasError)
    if corrector.level != "levels":
        text = f"This corrector is of {corrector.level}, and a card corrects the levels of one map."
        raise DebiasError(explain(text, fix="a calibration of places, without unit and period"))
    _require_lines(corrector)
    opened = one_band(path, band)
    _require_tiff(opened, tags=tags)
    target = _card_path(card, opened)
    density = corrector.density
    found = look_at(opened, within=(density.low, density.high), progress=progress)
    made = MapCard(
        map=found.raster,
        corrector=replace(corrector, sample=None),
        period=known,
        unit=unit,
        note=note,
        radius_m=radius,
        warnings=_told(found, corrector),
    )
    write_json(target, made.to_dict())
    if tags:
        _write_tags(opened.file, made)
    return made


def read_map_card(path: str | Path) -> MapCard:
    """Read how a map is corrected, from the card beside it or from its tags.

    Parameters
    ----------
    path : path
        The card that ``corrector.to_map_card`` wrote, or a GeoTIFF that it wrote its card into (``tags=True``).

    Returns
    -------
    MapCard
        ``card.sample(map, units)`` gives corrected predictions; ``card.corrector`` goes into
        ``ec.ate(design, correct=...)``.

    Raises
    ------
    DebiasError
        No such file, no card, damaged, changed by hand, or of a version that is not known.
    ImageryError
        A raster that may not be opened.

    Examples
    --------
    >>> import numpy as np, pandas as pd, rasterio, tempfile
    >>> import eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> wealth = rng.normal(size=(40, 40)).astype("float32")
    >>> file = f"{tempfile.mkdtemp()}/wealth_2015.tif"
    >>> place = rasterio.transform.from_origin(30.0, 2.0, 0.01, 0.01)
    >>> with rasterio.open(file, "w", driver="GTiff", width=40, height=40, count=1, dtype="float32",
    ...                    crs="EPSG:4326", transform=place) as out:
    ...     out.write(wealth[None])
    >>> places = pd.DataFrame({"map": wealth.ravel().astype(float)})
    >>> places["survey"] = places["map"] + 0.7 * rng.normal(size=1600)
    >>> fix = ec.debias(places, prediction="map", truth="survey", method="lcc")
    >>> fix.to_map_card(file, period=2015, unit="wealth index")
    MapCard(wealth_2015.tif, 2015-01-01 to 2015-12-31: lcc, k 0.662, n 1600)
    >>> card = ec.read_map_card(file.replace(".tif", ".card.json"))
    >>> trial = pd.DataFrame({"village": ["a", "b"], "lon": [30.1, 30.2], "lat": [1.9, 1.8]})
    >>> card.sample(file, ec.read_units(trial, id="village", lon="lon", lat="lat"))
    CardedUnits(2 of 2 units, lcc)
    """
    if not isinstance(path, (str, Path)):
        raise DebiasError(
            explain(f"A card cannot be read from a {type(path).__name__}.", fix="the path of its file")
        )
    file = Path(path)
    if file.is_dir():
        raise DebiasError(explain(f"{str(file)!r} is a folder.", fix=f"the path of a card in it, *{ENDING}"))
    if not file.is_file():
        raise DebiasError(missing_file(file))
    if file.suffix.lower() in DRIVERS:
        return MapCard.from_dict(_parsed(_tag_of(file), file.name), source=f"The tag in {file.name!r}")
    if file.stat().st_size > LARGEST:
        raise DebiasError(
            explain(f"{file.name!r} is too large to be a map card.", rule=f"at most {LARGEST:,} bytes")
        )
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as cause:
        raise DebiasError(_no_json(file.name, str(cause))) from cause
    return MapCard.from_dict(_parsed(text, file.name), source=f"{file.name!r}")


def read_corrector(path: str | Path) -> Corrector:
    """Read a corrector from its own file, or from the card of a map with what the card warns of.

    Raises
    ------
    DebiasError
        Neither of them, damaged, or not there.
    """
    file = Path(path)
    if file.suffix.lower() not in DRIVERS:
        content = content_of_file(file)
        if not (isinstance(content, dict) and content.get("type") == "MapCard"):
            return Corrector.from_dict(content)
    card = read_map_card(file)
    return replace(card.corrector, warnings=(*card.corrector.warnings, *card.warnings))


def _require_lines(corrector: Corrector) -> None:
    """Raise where names of columns would put into a card what no card may hold, before all pixels are read."""
    told = (corrector.prediction, corrector.truth, *corrector.reasons, *corrector.warnings)
    strange = [text for text in told if any(unicodedata.category(one) == "Cc" for one in text)]
    if strange:
        rule = "a card is read by others, and its text moves nobody's cursor"
        fix = "rename columns of the calibration whose names have line breaks or tabs"
        text = "The corrector's names or texts have line breaks or other control characters."
        raise DebiasError(explain(text, where=strange, rule=rule, fix=fix))


def _card_path(card: str | Path | None, opened: OneBand) -> Path:
    """Return where the card goes: beside the map, or where it is asked for, and never in the place of a raster."""
    if card is None:
        return opened.file.with_name(opened.file.stem + ENDING)
    if not isinstance(card, (str, Path)):
        raise DebiasError(explain(f"card is a {type(card).__name__}.", fix='card="wealth_2015.card.json"'))
    target = Path(card)
    if target.is_dir():
        fix = f"card={str(target / (opened.file.stem + ENDING))!r}"
        raise DebiasError(explain(f"card={str(card)!r} is a folder.", fix=fix))
    if target.suffix.lower() in DRIVERS or (target.exists() and target.samefile(opened.file)):
        text = f"card={str(card)!r} would take the place of a raster."
        raise DebiasError(
            explain(text, rule="a card is a file of JSON beside the map", fix="tags=True, or leave it out")
        )
    return target


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as cause:
        raise DebiasError(_no_json(name, str(cause)[:200])) from cause


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _no_json(name: str, why: str) -> str:
    fix = "get it again from where it was published"
    return explain(
        f"{name!r} cannot be read as a map card: it is not JSON, or was cut off.", rule=why, fix=fix
    )


def _tag_of(file: Path) -> str:
    raster_files(file)
    with open_dataset(file) as dataset:
        text = dataset.tags(ns=TAG_DOMAIN).get(TAG)
    if text is None:
        raise DebiasError(
            explain(
                f"Raster {file.name!r} has no card among its tags.",
                fix=f"the card beside it: {file.stem + ENDING}; corrector.to_map_card(..., tags=True) writes tags",
            )
        )
    return str(text)


def _period(period: object) -> Period:
    text = str(period) if isinstance(period, int) and not isinstance(period, bool) else period
    days = period_of(text) if isinstance(text, str) else None
    if days is None:
        raise DebiasError(explain(f"period={period!r} is not a period.", rule=PERIOD))
    return np.datetime64(days[0], "D"), np.datetime64(days[1], "D")


def _told(found: PixelCount, corrector: Corrector) -> tuple[str, ...]:
    """Raise where the calibration was of another map, and tell where it saw only part of this one."""
    density, map_ = corrector.density, found.raster
    seen = f"{density.low:.3g} to {density.high:.3g}"
    if not found.within:
        raise DebiasError(
            explain(
                f"No pixel of {map_.name!r} has a value that the calibration saw ({seen}): its values are from "
                f"{map_.low:.3g} to {map_.high:.3g}.",
                rule="the calibration is of predictions of this map, in the map's unit",
                fix="another band, or a calibration with ec.sample_map(map, units)",
            )
        )
    outside = 1 - found.within / map_.valid
    if outside <= MANY_OUTSIDE:
        return ()
    return (
        f"{outside:.0%} of the map's pixels have values outside of what the calibration saw ({seen}): there "
        "corrections extrapolate",
    )


def _require_tiff(opened: OneBand, *, tags: bool) -> None:
    if not tags:
        return
    text = f"Tags cannot be written into {opened.file.name!r}."
    if DRIVERS[opened.file.suffix.lower()] != "GTiff":
        raise ImageryError(explain(text, rule="tags are written into GeoTIFF", fix="leave out tags=True"))
    with open_dataset(opened.file) as dataset:
        layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
    if layout == "COG":
        rule = "a cloud optimised GeoTIFF would be one no longer"
        raise ImageryError(explain(text, rule=rule, fix="leave out tags=True; the card lies beside the map"))


def _write_tags(file: Path, card: MapCard) -> None:
    """Write a card into the tags of a GeoTIFF: into a copy, which then takes its place."""
    import rasterio
    from rasterio.errors import RasterioError

    text = json.dumps(card.to_dict(), allow_nan=False)

    def write(temporary: Path) -> None:
        shutil.copyfile(file, temporary)
        try:
            with rasterio.open(temporary.absolute(), "r+", driver="GTiff") as dataset:
                dataset.update_tags(ns=TAG_DOMAIN, **{TAG: text})
        except RasterioError as cause:
            raise ImageryError(
                explain(
                    f"Tags cannot be written into {file.name!r}.",
                    rule=str(cause)[:200],
                    fix=f"gdal_translate {in_a_shell(file.name)} plain.tif; the card beside the map is written",
                )
            ) from cause

    write_atomically(file, write)
