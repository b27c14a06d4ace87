"""Chips in, a table of features out: fit the encoder, encode shard by shard, continue where a run died."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal import __version__
from eocausal._feature_tables import as_keys
from eocausal._image_info import STATUSES
from eocausal._provenance import hash_arrays
from eocausal.embeddings import Embeddings
from eocausal.encoding.multi_scale import MultiScale
from eocausal.encoding.protocol import ChipSource, Encoder, FittedEncoder, Keys, known_keys
from eocausal.encoding.registry import get_encoder
from eocausal.errors import EmbeddingsError, explain
from eocausal.runner.ahead import read_ahead
from eocausal.runner.encoding import Encoding
from eocausal.runner.store import Store

if TYPE_CHECKING:
    from tqdm import tqdm

CHIPS_PER_SHARD = 512
"""Keys in one file of a store. It is part of the run key: other ranges would be other files."""
SHARD_ORDER = "reading_order"
"""Shards follow the order in which chips are read best, so that the chips of a shard lie near each other."""
_LAYOUT = ("chips_per_shard", "shard_order")


@dataclass(frozen=True, eq=False)
class _Job:
    """One run: what is encoded, by what, and how; ``run`` is all that determines the bytes."""

    chips: ChipSource
    keys: npt.NDArray[Any]
    encoder: Encoder
    fit_keys: npt.NDArray[Any]
    device: str
    batch_size: int
    progress: bool
    run: dict[str, Any]

    def shards(self) -> list[npt.NDArray[Any]]:
        size = int(self.run["chips_per_shard"])
        keys = as_keys(self.chips.reading_order(), self.chips.key_name)
        return [keys[start : start + size] for start in range(0, len(keys), size)]


def embed(
    chips: ChipSource,
    *,
    encoder: str | Encoder = "rcf",
    out: str | Path | None = None,
    fit_keys: Keys | None = None,
    batch_size: int = 64,
    device: str = "auto",
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
    batch_size : int
        Chips read and encoded at a time; features do not depend on it.
    device : str
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
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
    job = _job(chips, encoder, fit_keys, batch_size, device, progress)
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
    encoder: str | Encoder,
    fit_keys: Keys | None,
    batch_size: int,
    device: str,
    progress: bool,
) -> _Job:
    config = get_encoder(encoder)
    if isinstance(config, MultiScale):
        chips = config.select(chips)
    if not len(chips):
        raise EmbeddingsError(explain("There are no chips to embed.", fix="check the table of units"))
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise EmbeddingsError(
            explain(f"batch_size={batch_size!r} cannot be used.", rule="a whole number, 1 or more")
        )
    fitted_on = np.unique(as_keys(known_keys(chips, fit_keys), chips.key_name))
    chosen = _resolve(device)
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
        "versions": {"eocausal": __version__, "torch": metadata.version("torch"), "numpy": np.__version__},
        "chips_per_shard": CHIPS_PER_SHARD,
        "shard_order": SHARD_ORDER,
    }
    return _Job(chips, keys, config, fitted_on, chosen, int(batch_size), progress, run)


def _resolve(device: str) -> str:
    if device == "cpu":
        return device
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cuda(:\d+)?", str(device)):
        raise EmbeddingsError(
            explain(f"device={device!r} is not known.", fix="device='auto', 'cpu', 'cuda' or 'cuda:1'")
        )
    index = int(device.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise EmbeddingsError(
            explain(
                f"device={device!r} is not there: PyTorch finds {torch.cuda.device_count()} GPUs.",
                fix="device='auto' or 'cpu'",
            )
        )
    return device


def _parts(job: _Job, store: Store | None) -> Iterator[Embeddings]:
    """Yield all shards in order: those that are finished from the store, the others encoded now."""
    from tqdm import tqdm

    shards = job.shards()
    done = {}
    if store is not None:
        found = {number: store.load_part(number, keys) for number, keys in enumerate(shards)}
        done = {number: part for number, part in found.items() if part is not None}
    fitted = _fit(job, store) if len(done) < len(shards) else None
    before = sum(len(part) for part in done.values())
    with tqdm(
        total=len(job.chips),
        initial=before,
        desc=f"embed {job.encoder.name}",
        unit="chip",
        disable=not job.progress,
    ) as bar:
        if store is not None and job.progress:
            for note in store.notes:
                bar.write(f"{store.folder}: {note}", file=sys.stderr)
        todo = [keys for number, keys in enumerate(shards) if number not in done]
        encoded = iter(()) if fitted is None else _encoded(job, fitted, todo, bar)
        for number in range(len(shards)):
            if number in done:
                yield done.pop(number)
                continue
            part = next(encoded)
            if store is not None:
                store.save_part(number, part)
            yield part


def _fit(job: _Job, store: Store | None) -> FittedEncoder:
    state = None if store is None else store.load_state()
    if state is not None:
        return job.encoder.restore(state, chips=job.chips, device=job.device)
    fitted = job.encoder.fit(job.chips, keys=job.fit_keys, device=job.device)
    if store is not None:
        store.save_state(fitted.state())
    return fitted


def _encoded(
    job: _Job, fitted: FittedEncoder, todo: list[npt.NDArray[Any]], bar: tqdm[Any]
) -> Iterator[Embeddings]:
    """Yield the shards of these keys one after the other, all from one reading of the chips."""
    blocks, columns = _layout(job, fitted)
    encoding = Encoding(
        fitted,
        job.encoder.name,
        dict(zip(job.chips.blocks, blocks.values())),
        lambda text: bar.write(text, file=sys.stderr),
    )
    waiting = list(reversed(todo))
    values, info = [], []
    batches = job.chips.batches(size=job.batch_size, keys=np.concatenate(todo))
    for batch in read_ahead(batches):
        found = encoding.encode(batch)
        values.append(found[0])
        info.append(found[1])
        bar.update(len(batch.keys))
        # a batch may end one shard and begin the next
        while waiting and sum(map(len, values)) >= len(waiting[-1]):
            keys = waiting.pop()
            rows, told = np.concatenate(values), pd.concat(info, ignore_index=True)
            size = len(keys)
            values, info = [rows[size:]], [told[size:]]
            yield _shard(job, keys, rows[:size], told[:size], blocks, columns)


def _shard(
    job: _Job,
    keys: npt.NDArray[Any],
    values: npt.NDArray[np.float32],
    info: pd.DataFrame,
    blocks: dict[str, tuple[int, int]],
    columns: tuple[str, ...],
) -> Embeddings:
    recipe = {name: part for name, part in job.run.items() if name not in _LAYOUT}
    return Embeddings(
        keys=keys,
        key_name=job.chips.key_name,
        values=values,
        columns=columns,
        blocks=blocks,
        info=info.astype({"valid_fraction": float}).assign(last_date=job.chips.last_dates(keys)),
        date=job.chips.date,
        recipe=recipe,
    )


def _layout(job: _Job, fitted: FittedEncoder) -> tuple[dict[str, tuple[int, int]], tuple[str, ...]]:
    """Return where each block's columns lie, and the names of all columns."""
    names = {block: fitted.columns(block) for block in job.chips.blocks}
    ends = np.cumsum([0, *(len(columns) for columns in names.values())]).tolist()
    blocks = {
        f"{job.encoder.name}_{block}": (start, stop) for block, start, stop in zip(names, ends[:-1], ends[1:])
    }
    return blocks, tuple(name for columns in names.values() for name in columns)


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
