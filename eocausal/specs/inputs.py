"""Whether the files that a specification names are there and hold the columns it names.

Only headers are read. Mistakes are told at their lines in the specification, all at once.
"""

from __future__ import annotations

import glob
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from eocausal._checks import did_you_mean, nearest
from eocausal.specs._encoder_names import is_encoder_file
from eocausal.specs._fields import POLYGON, is_address
from eocausal.specs.debias import DebiasSpec
from eocausal.specs.encoders import EncoderSpec, PretrainedSpec
from eocausal.specs.imagery import ImagerySpec
from eocausal.specs.load import LoadedSpec, spec_error
from eocausal.specs.models import EmbeddingsSpec
from eocausal.specs.yaml_text import Place

__all__ = ["check_inputs"]

Mistakes = Iterator[tuple[Place, str]]

# What a store of chips has in its folder.
_MANIFEST = "manifest.json"
# Tables that cannot hold geometry.
_FLAT = (".csv", ".dta")
_UNREADABLE = (OSError, ValueError, RuntimeError, zipfile.BadZipFile)


def check_inputs(loaded: LoadedSpec) -> None:
    """Check that files exist and that the columns a specification names are in them.

    Parameters
    ----------
    loaded : LoadedSpec
        From :func:`eocausal.specs.load.load_spec`.

    Raises
    ------
    SpecError
        One line for every file or column that is not there, with the nearest name there is.
    """
    mistakes = [*_units_mistakes(loaded)]
    if loaded.spec.imagery is not None:
        mistakes += _imagery_mistakes(loaded.spec.imagery)
        mistakes += _polygon_mistakes(loaded.spec.units.path, loaded.spec.imagery)
    if loaded.spec.encoder is not None:
        mistakes += _encoder_mistakes(loaded.spec.encoder, ("encoder",))
    if loaded.spec.embeddings is not None:
        mistakes += _embeddings_mistakes(loaded.spec.embeddings)
    if loaded.spec.debias is not None:
        mistakes += _debias_mistakes(loaded.spec.debias)
    if mistakes:
        raise spec_error(loaded.path, loaded.document, mistakes=mistakes)


def _units_mistakes(loaded: LoadedSpec) -> Mistakes:
    place = ("units", "path")
    path = loaded.spec.units.path
    missing = _missing_file(path)
    if missing:
        yield place, missing
        return
    try:
        columns = _columns_of(path)
    except _UNREADABLE as error:
        yield place, f"the table cannot be read: {error}"
        return
    if columns is not None:
        yield from _column_mistakes(_named_columns(loaded), columns=columns, table="units table")
    displaced = loaded.spec.units.displacement
    if displaced is not None and displaced.within is not None and (gone := _missing_file(displaced.within)):
        yield ("units", "displacement", "within"), gone


def _named_columns(loaded: LoadedSpec) -> Iterator[tuple[Place, str | None]]:
    """Return every column of the units table that the specification names, with its place."""
    units, design, truth = loaded.spec.units, loaded.spec.design, loaded.spec.truth
    for name in ("id", "lon", "lat", "image_key", "date"):
        yield ("units", name), getattr(units, name)
    if units.displacement is not None:
        yield ("units", "displacement", "urban"), units.displacement.urban
    for name in ("outcome", "treatment", "cluster", "weights"):
        yield ("design", name), getattr(design, name)
    for index, column in enumerate(design.covariates):
        yield ("design", "covariates", index), column
    if isinstance(design.propensity, str):
        yield ("design", "propensity"), design.propensity
    if truth is not None:
        yield ("truth", "effect_column"), truth.effect_column
    asked = loaded.spec.sensitivity
    if asked is not None:
        for index, column in enumerate(asked.outcomes):
            yield ("sensitivity", "outcomes", index), column
        yield ("sensitivity", "future"), asked.future
        yield ("sensitivity", "strata"), asked.strata


def _column_mistakes(
    named: Iterator[tuple[Place, str | None]], *, columns: list[str], table: str
) -> Mistakes:
    for place, column in named:
        if column is not None and column not in columns:
            yield place, f"column {column!r} is not in the {table}. {did_you_mean(column, columns)}"


def _imagery_mistakes(imagery: ImagerySpec) -> Mistakes:
    for index, raster in enumerate(imagery.rasters or ()):
        if is_address(raster):
            continue
        is_pattern = glob.has_magic(raster) and not Path(raster).exists()
        if is_pattern and not glob.glob(raster):
            yield ("imagery", "rasters", index), f"no file matches {raster!r}"
        elif not is_pattern and (missing := _missing_file(raster)):
            yield ("imagery", "rasters", index), missing
    if imagery.arrays is not None:
        yield from _array_mistakes(imagery, imagery.arrays)
    if imagery.store is not None and not (Path(imagery.store) / _MANIFEST).is_file():
        text = f"{imagery.store!r} is not a store of chips. Write one with eocausal chips, or Chips.write"
        yield ("imagery", "store"), text
    if imagery.cube is not None and not Path(imagery.cube.path).is_dir():
        yield from _told(("imagery", "cube", "path"), _missing_file(imagery.cube.path))
    if imagery.stac is not None and not is_address(imagery.stac.catalog):
        yield from _told(("imagery", "stac", "catalog"), _missing_file(imagery.stac.catalog))


def _told(place: Place, text: str) -> Mistakes:
    if text:
        yield place, text


def _polygon_mistakes(units: str, imagery: ImagerySpec) -> Mistakes:
    if POLYGON in (imagery.size_m or ()) and Path(units).suffix.lower() in _FLAT:
        text = (
            f"{Path(units).name!r} holds no polygons. Name a GeoPackage, GeoParquet or GeoJSON as units.path"
        )
        yield ("imagery", "size_m"), text


def _encoder_mistakes(encoder: EncoderSpec, place: Place) -> Mistakes:
    """Tell files and folders of encoders that are not there, of each size where each has its own."""
    by_size = {} if encoder.multi_scale is None else encoder.multi_scale.encoders or {}
    for size, inner in by_size.items():
        yield from _encoder_mistakes(inner, (*place, "multi_scale", "encoders", size))
    if not isinstance(encoder, PretrainedSpec):
        return
    if is_encoder_file(encoder.name):
        yield from _told((*place, "name"), _missing_file(encoder.name))
    if encoder.weights is not None and not Path(encoder.weights).is_dir():
        yield (*place, "weights"), f"there is no folder {encoder.weights!r} with weights"


def _array_mistakes(imagery: ImagerySpec, path: str) -> Mistakes:
    if missing := _missing_file(path):
        yield ("imagery", "arrays"), missing
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except _UNREADABLE:
        yield ("imagery", "arrays"), f"{Path(path).name!r} is not an NPZ file. Save it with numpy.savez"
        return
    if imagery.keys not in names:
        text = f"there is no array {imagery.keys!r} in {Path(path).name!r}."
        yield ("imagery", "keys"), f"{text} {did_you_mean(str(imagery.keys), names)}"


def _embeddings_mistakes(embeddings: EmbeddingsSpec) -> Mistakes:
    missing = _missing_file(embeddings.path)
    if missing:
        yield ("embeddings", "path"), missing
        return
    try:
        columns = _columns_of(embeddings.path)
    except _UNREADABLE as error:
        yield ("embeddings", "path"), f"the table cannot be read: {error}"
        return
    if columns is None:
        return
    key = iter([(("embeddings", "key"), embeddings.key)])
    yield from _column_mistakes(key, columns=columns, table="embeddings table")
    wanted = embeddings.columns
    if isinstance(wanted, tuple):
        listed = iter([(("embeddings", "columns", index), name) for index, name in enumerate(wanted)])
        yield from _column_mistakes(listed, columns=columns, table="embeddings table")
    elif wanted is not None and not any(column.startswith(wanted) for column in columns):
        yield ("embeddings", "columns"), f"no column of the embeddings table begins with {wanted!r}"


def _debias_mistakes(debias: DebiasSpec) -> Mistakes:
    field = "corrector" if debias.calibration is None else "calibration"
    path = str(debias.corrector if debias.calibration is None else debias.calibration)
    if missing := _missing_file(path):
        yield ("debias", field), missing
        return
    if debias.calibration is None:
        return
    try:
        columns = _columns_of(path)
    except _UNREADABLE as error:
        yield ("debias", "calibration"), f"the table cannot be read: {error}"
        return
    if columns is None:
        return
    single = ("id", "prediction", "truth", "weights", "cluster", "trained_on")
    named: list[tuple[Place, str | None]] = [(("debias", name), getattr(debias, name)) for name in single]
    named += [(("debias", "groups", index), column) for index, column in enumerate(debias.groups)]
    yield from _column_mistakes(iter(named), columns=columns, table="calibration table")


def _missing_file(path: str) -> str:
    """Return what to tell about a file that is not there; nothing when it is."""
    target = Path(path)
    if target.is_file():
        return ""
    if target.is_dir():
        return f"{path!r} is a folder. Name a file in it"
    folder = target.parent
    if not folder.is_dir():
        return f"there is no folder {str(folder)!r}"
    close = nearest(target.name, [entry.name for entry in folder.iterdir()])
    return f"there is no file {path!r}." + (f" Did you mean {close!r}?" if close else "")


def _columns_of(path: str) -> list[str] | None:
    """Return the column names of a table, or None for a kind whose header is not known here."""
    reader = _HEADERS.get(Path(path).suffix.lower())
    return reader(path) if reader is not None else None


def _csv_columns(path: str) -> list[str]:
    return [str(column) for column in pd.read_csv(path, nrows=0).columns]


def _parquet_columns(path: str) -> list[str]:
    from pyarrow import parquet

    return [str(name) for name in parquet.read_schema(path).names]


def _stata_columns(path: str) -> list[str]:
    with pd.read_stata(path, iterator=True) as reader:
        return list(reader.variable_labels())


def _layer_columns(path: str) -> list[str]:
    import geopandas

    return [str(column) for column in geopandas.read_file(path, rows=0).columns]


_HEADERS: dict[str, Callable[[str], list[str]]] = {
    ".csv": _csv_columns,
    ".parquet": _parquet_columns,
    ".geoparquet": _parquet_columns,
    ".dta": _stata_columns,
    ".geojson": _layer_columns,
    ".gpkg": _layer_columns,
}
