"""The features of a specification as a job of their own: one table, from whatever environment its encoder needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eocausal.embeddings import Embeddings
from eocausal.imagery.asked import asked_units
from eocausal.runner.asked import asked_features
from eocausal.runner.asked_encoders import check_encoder
from eocausal.specs.inputs import check_inputs
from eocausal.specs.load import load_spec

__all__ = ["StoredFeatures", "store_features"]

RUN, TABLE = "features", "features.parquet"


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """What :func:`store_features` made: the table, and the file that holds it."""

    features: Embeddings
    table: Path


def store_features(
    spec: str | Path, *, out: str | Path | None = None, workers: Any = "auto", progress: bool = True
) -> StoredFeatures:
    """Make the features of a specification and write them as one table; no outcome or treatment is used.

    A run that was killed continues. The table is read by :func:`eocausal.read_embeddings`, and by the block
    ``embeddings`` of another specification, so that encoders whose libraries cannot live together meet there.

    Parameters
    ----------
    spec : path
        A YAML specification, as for :func:`eocausal.run`.
    out : path, optional
        Folder for the results, instead of the one named in the specification.
    workers : int, "auto" or dask.distributed.Client
        As of :func:`eocausal.embed`.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    StoredFeatures
        In ``out``: ``features.parquet``, and the shards of the run in ``features``, the same folder that
        :func:`eocausal.run` takes up.

    Raises
    ------
    SpecError
        The specification is wrong.
    EocausalError
        The data are not as described, or the encoder cannot be loaded here.

    Examples
    --------
    >>> store_features("no_such_folder/study.yaml", progress=False)
    Traceback (most recent call last):
    ...
    eocausal.errors.SpecError: There is no specification 'no_such_folder/study.yaml'.
      Mend: Name a YAML file.
    """
    loaded = load_spec(spec)
    check_inputs(loaded)
    check_encoder(loaded)
    asked = loaded.spec
    folder = Path(out if out is not None else asked.out)
    units = asked_units(asked.units)
    seen = asked_features(asked, units, folder=folder / RUN, workers=workers, progress=progress)
    return StoredFeatures(seen.features, seen.features.write(folder / TABLE))
