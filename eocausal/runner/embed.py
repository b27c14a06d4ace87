"""Chips in, a table of features out: fit the encoder, encode shard by shard, continue where a run died."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._device import resolve_device
from eocausal._feature_tables import as_keys
from eocausal._image_info import STATUSES
from eocausal._provenance import hash_arrays
from eocausal._threads import one_torch_thread
from eocausal.embeddings import Embeddings
from eocausal.encoding.multi_scale import MultiScale
from eocausal.encoding.protocol import ChipSource, Encoder, FittedEncoder, Keys, known_keys
from eocausal.encoding.registry import get_encoder
from eocausal.encoding.within import at_precision, check_chips
from eocausal.errors import EmbeddingsError, explain
from eocausal.runner.engines import Telling, check_workers, engine_for
from eocausal.runner.shards import Shard, Work, cut_shards, shard_size, versions
from eocausal.runner.store import Store

if TYPE_CHECKING:
    from distributed import Client

SHARD_ORDER = "reading_order"
"""Shards follow the order in which chips are read best, so that the chips of a shard lie near each other."""
_BATCH_BYTES, _MOST_IN_BATCH = 32 * 2**20, 64
_LAYOUT = ("chips_per_shard", "shard_order")


@dataclass(frozen=True)
class _Settings:
    """How a run is done; nothing here changes a feature but the device."""

    device: str
    batch: int | str
    workers: Any
    progress: bool


@dataclass(frozen=True, eq=False)
class _Job:
    """One run: what is encoded, by what, and how; ``run`` is all that determines the bytes."""

    chips: ChipSource
    keys: npt.NDArray[Any]
    encoder: Encoder
    fit_keys: npt.NDArray[Any]
    settings: _Settings
    run: dict[str, Any]

    def shards(self) -> list[Shard]:
        order = as_keys(self.chips.reading_order(), self.chips.key_name)
        return cut_shards(order, int(self.run["chips_per_shard"]))


def embed(
    chips: ChipSource,
    *,
    encoder: str | Encoder = "rcf",
    out: str | Path | None = None,
    fit_keys: Keys | None = None,
    precision: str | None = None,
    batch: int | str = "auto",
    device: str = "auto",
    workers: int | str | Client = "auto",
    progress: bool = True,
) -> Embeddings:
    """Turn chips into a table of features, one row per image key.

    Parameters
    ----------
    chips : Chips
        What :func:`eocausal.chips` or :func:`eocausal.chips_from_arrays` returns.
    encoder : str or Encoder
        ``"rcf"``, ``"image_stats"``, another name of :func:`encoders`, the path of a YAML file that describes
        an encoder, or a configuration such as ``RandomFeatures(n_features=1024)``,
        ``Pretrained("dinov2-base", white=0.3)`` for a published network, ``Sequence("rcf", pool="trend")`` for
        frames of several days, or ``MultiScale("rcf", size_m=[480, 7680])`` for some of the sizes of the chips.
    out : str or Path, optional
        Folder for the run. A run that was killed continues there, and a finished one is read back. Without
        it everything stays in memory.
    fit_keys : sequence, optional
        Image keys the encoder may learn from; all by default.
    precision : {"fp32", "bf16"}, optional
        Precision of networks; default as the encoder is configured, which is ``"fp32"`` unless it was asked for
        otherwise. On processors and GPUs with units for it, ``"bf16"`` can be several times as fast, and its
        features differ in the third digit. It is part of the recipe: the two are never mixed in one table.
    batch : int or "auto"
        Chips read and handed to the encoder at a time; features do not depend on it. ``"auto"`` takes as many as
        fill 32 MB, at most 64. Where memory runs out all the same, it goes on with half as many and says so.
    device : str
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    workers : int, "auto" or dask.distributed.Client
        Processes that encode, with one thread each. ``"auto"`` starts one for each core where a run takes longer
        than half a minute, and none on a GPU. A client of Dask encodes on its cluster. The features are the same
        to the last bit, and a run may be continued with another number of workers.
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    Embeddings
        Rows in the order of ``chips.keys``; blocks named after encoder and chip size. Chips that cannot be
        used keep their row, with NaN and their status.

    Raises
    ------
    EmbeddingsError
        When no chip can be used, the folder belongs to another run or is being written, or a setting is out
        of range.
    EncoderError
        When the encoder is unknown, cannot be fitted, or gives features that are not finite.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> places = pd.DataFrame({"village": [4, 9], "lon": [31.1, 31.2], "lat": [1.1, 1.2]})
    >>> units = ec.read_units(places, id="village", lon="lon", lat="lat")
    >>> pictures = np.random.default_rng(0).random((2, 16, 16, 3))
    >>> ec.embed(ec.chips_from_arrays(units, pictures), encoder="image_stats", progress=False)
    Embeddings(2 images by 'village', 24 features in 1 block (image_stats_16px), 0 without features)
    """
    settings = _Settings(device, batch, workers, bool(progress))
    job = _job(chips, get_encoder(encoder), fit_keys, precision, settings)
    store = None if out is None else Store(Path(out), job.run)
    finished = None if store is None else store.finished()
    if finished is not None:
        return finished
    with nullcontext() if store is None else store.writing():
        result = _stack(list(_parts(job, store)), job.keys)
        _check_usable(result)
        if store is not None:
            store.seal(result)
    return result


def _job(
    chips: ChipSource,
    config: Encoder,
    fit_keys: Keys | None,
    precision: str | None,
    settings: _Settings,
) -> _Job:
    if precision is not None:
        config = at_precision(config, precision)
    if isinstance(config, MultiScale):
        chips = config.select(chips)
    if not len(chips):
        raise EmbeddingsError(explain("There are no chips to embed.", fix="check the table of units"))
    check_chips(config, chips)
    _check_batch(settings.batch)
    fitted_on = np.unique(as_keys(known_keys(chips, fit_keys), chips.key_name))
    chosen = resolve_device(settings.device, error=EmbeddingsError)
    check_workers(settings.workers, device=chosen)
    keys = as_keys(chips.keys, chips.key_name)
    run = {
        "chips": chips.recipe(),
        "keys": {"name": chips.key_name, "count": len(keys), "hash": hash_arrays(keys)},
        "blocks": list(chips.blocks),
        "bands": list(chips.bands),
        "date": chips.date,
        "encoder": config.recipe(),
        "fit_keys": {"count": len(fitted_on), "hash": hash_arrays(fitted_on)},
        "device": chosen.split(":")[0],
        "versions": versions(),
        "chips_per_shard": shard_size(len(keys)),
        "shard_order": SHARD_ORDER,
    }
    return _Job(chips, keys, config, fitted_on, replace(settings, device=chosen), run)


def _check_batch(batch: int | str) -> None:
    if batch == "auto":
        return
    if isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1:
        raise EmbeddingsError(
            explain(f"batch={batch!r} cannot be used.", rule='a whole number, 1 or more, or "auto"')
        )


def _batch(job: _Job) -> int:
    """Return how many chips fill the memory that a batch may take, told from one chip."""
    if job.settings.batch != "auto":
        return int(job.settings.batch)
    first = next(iter(job.chips.batches(size=1, keys=job.chips.reading_order()[:1])))
    size = sum(pixels.nbytes for pixels in first.pixels.values())
    return max(1, min(_MOST_IN_BATCH, _BATCH_BYTES // max(size, 1)))


def _parts(job: _Job, store: Store | None) -> Iterator[Embeddings]:
    """Yield all shards in any order: those that are finished from the store, the others as they are encoded."""
    from tqdm import tqdm

    shards = job.shards()
    found = [] if store is None else [store.load_part(shard.number, shard.keys) for shard in shards]
    done = [part for part in found if part is not None]
    todo = shards if store is None else [shard for shard, part in zip(shards, found) if part is None]
    yield from done
    with tqdm(
        total=len(job.chips),
        initial=sum(len(part) for part in done),
        desc=f"embed {job.encoder.name}",
        unit="chip",
        disable=not job.settings.progress,
    ) as bar:

        def told(text: str) -> None:
            bar.write(text, file=sys.stderr)

        if store is not None and job.settings.progress:
            for note in store.notes:
                told(f"{store.folder}: {note}")
        for number, part in _encoded(job, store, todo, Telling(told, bar.update)):
            if store is not None:
                store.save_part(number, part)
            yield part


def _encoded(
    job: _Job, store: Store | None, todo: list[Shard], told: Telling
) -> Iterator[tuple[int, Embeddings]]:
    """Encode the shards that are not finished, wherever the run was asked to."""
    if not todo:
        return
    fitted = _fit(job, store)
    recipe = {name: part for name, part in job.run.items() if name not in _LAYOUT}
    work = Work(
        chips=job.chips,
        encoder=job.encoder,
        state=fitted.state(),
        device=job.settings.device,
        batch=_batch(job),
        recipe=recipe,
        token=uuid.uuid4().hex,
    )
    engine = engine_for(job.settings.workers, device=job.settings.device)
    yield from engine(work, fitted, todo, told)


def _fit(job: _Job, store: Store | None) -> FittedEncoder:
    """Fit the encoder, or restore what it learned before, with one thread as it encodes."""
    device = job.settings.device
    with one_torch_thread():
        state = None if store is None else store.load_state()
        if state is not None:
            return job.encoder.restore(state, chips=job.chips, device=device)
        fitted = job.encoder.fit(job.chips, keys=job.fit_keys, device=device)
    if store is not None:
        store.save_state(fitted.state())
    return fitted


def _stack(parts: list[Embeddings], keys: npt.NDArray[Any]) -> Embeddings:
    """Put all shards into one table, its rows in the order of ``keys``."""
    first = parts[0]
    found = np.concatenate([part.keys for part in parts])
    rows = pd.Index(found).get_indexer(pd.Index(keys))
    place = np.empty_like(rows)
    place[rows] = np.arange(len(rows))
    values = np.empty((len(keys), first.values.shape[1]), dtype=first.values.dtype)
    start = 0
    for part in parts:
        values[place[start : start + len(part)]] = part.values
        start += len(part)
    return Embeddings(
        keys=found[rows],
        key_name=first.key_name,
        values=values,
        columns=first.columns,
        blocks=first.blocks,
        info=pd.concat([part.info for part in parts], ignore_index=True).iloc[rows].reset_index(drop=True),
        date=first.date,
        recipe=first.recipe,
    )


def _check_usable(result: Embeddings) -> None:
    if np.isfinite(result.values).any():
        return
    counts = result.info["status"].value_counts().reindex(list(STATUSES)).dropna().astype(int)
    raise EmbeddingsError(
        explain(
            f"None of the {len(result)} chips can be used; by status: "
            f"{', '.join(f'{status} {count}' for status, count in counts.items())}.",
            where=result.keys,
            rule="at least one chip has valid pixels",
            fix="check that the rasters cover the units (order of lon and lat, CRS) and their nodata value",
        )
    )
