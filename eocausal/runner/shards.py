"""The shards of a run: which keys are in which, and how one is encoded, in this process or in any other."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal import __version__
from eocausal._resumable import changes
from eocausal._threads import one_torch_thread
from eocausal.embeddings import Embeddings
from eocausal.encoding.protocol import ChipSource, Encoder, FittedEncoder, State
from eocausal.errors import EmbeddingsError, explain
from eocausal.runner.ahead import read_ahead
from eocausal.runner.encoding import Encoding

__all__ = [
    "Shard", "Work", "cut_shards", "encode_elsewhere", "encode_here", "encode_one", "shard_size", "versions",
]  # fmt: skip

_FEWEST, _MOST, _AT_LEAST = 32, 512, 64
"""Keys in one file: 512, or fewer where there would be fewer than 64 files, and never fewer than 32."""


class Shard(NamedTuple):
    """Some keys that lie next to each other in the order of reading, and which file they are."""

    number: int
    keys: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Work:
    """What is needed to encode any shard of a run, wherever: it can be sent to another process.

    ``token`` tells one run from another, so that a process that encodes many shards loads the encoder once.
    """

    chips: ChipSource
    encoder: Encoder
    state: State
    device: str
    batch: int
    recipe: Mapping[str, Any]
    token: str


def shard_size(count: int) -> int:
    """Return how many keys a file of the run holds.

    Examples
    --------
    >>> shard_size(300), shard_size(20_000), shard_size(1_000_000)
    (32, 313, 512)
    """
    return min(_MOST, max(_FEWEST, math.ceil(count / _AT_LEAST)))


def cut_shards(order: npt.NDArray[Any], size: int) -> list[Shard]:
    """Return all shards, in the order of reading."""
    starts = range(0, len(order), size)
    return [Shard(number, order[start : start + size]) for number, start in enumerate(starts)]


def encode_here(
    work: Work,
    fitted: FittedEncoder,
    shards: Sequence[Shard],
    *,
    told: Callable[[str], None],
    advance: Callable[[int], object],
) -> Iterator[tuple[int, Embeddings]]:
    """Yield the shards one after the other, all from one reading of the chips.

    Parameters
    ----------
    told : callable
        Called with a sentence when something has to be known, such as a batch that did not fit into memory.
    advance : callable
        Called with a number of chips when they are encoded.
    """
    blocks, columns = _layout(work, fitted)
    encoding = Encoding(fitted, work.encoder.name, dict(zip(work.chips.blocks, blocks.values())), told)
    waiting = list(reversed(shards))
    values, info = [], []
    batches = work.chips.batches(size=work.batch, keys=np.concatenate([shard.keys for shard in shards]))
    for batch in read_ahead(batches):
        with one_torch_thread():
            found = encoding.encode(batch)
        values.append(found[0])
        info.append(found[1])
        advance(len(batch.keys))
        # a batch may end one shard and begin the next
        while waiting and sum(map(len, values)) >= len(waiting[-1].keys):
            shard = waiting.pop()
            rows, about = np.concatenate(values), pd.concat(info, ignore_index=True)
            size = len(shard.keys)
            values, info = [rows[size:]], [about[size:]]
            yield shard.number, _table(work, shard.keys, rows[:size], about[:size], blocks, columns)


_kept: dict[str, FittedEncoder] = {}
_alone = threading.Lock()


def encode_one(work: Work, shard: Shard) -> tuple[int, Embeddings, list[str]]:
    """Encode one shard in a process that may do many: its number, its table, and what has to be told.

    One at a time in a process, because the number of threads is a setting of the whole process.
    """
    notes: list[str] = []
    with _alone:
        if work.token not in _kept:
            _kept.clear()
            with one_torch_thread():
                _kept[work.token] = work.encoder.restore(work.state, chips=work.chips, device=work.device)
        made = encode_here(work, _kept[work.token], [shard], told=notes.append, advance=int)
        ((number, table),) = made
    return number, table, notes


def encode_elsewhere(work: Work, shard: Shard) -> tuple[int, Embeddings, list[str]]:
    """Encode one shard on another machine, unless versions or weights there are others than where it was asked."""
    asked = {name: work.recipe[name] for name in ("versions", "encoder")}
    found = changes(asked, {"versions": versions(), "encoder": work.encoder.recipe()})
    if found:
        raise EmbeddingsError(
            explain(
                "A worker of the cluster would encode with something else than the process that asked.",
                where=found,
                rule="features of one table are made by the same versions and weights",
                fix="give all workers the same environment and the same files of weights",
            )
        )
    return encode_one(work, shard)


def versions() -> dict[str, str]:
    """Return the versions that features depend on, whatever encodes."""
    return {"eocausal": __version__, "torch": metadata.version("torch"), "numpy": np.__version__}


def _layout(work: Work, fitted: FittedEncoder) -> tuple[dict[str, tuple[int, int]], tuple[str, ...]]:
    """Return where each block's columns lie, and the names of all columns."""
    names = {block: fitted.columns(block) for block in work.chips.blocks}
    ends = np.cumsum([0, *(len(columns) for columns in names.values())]).tolist()
    blocks = {
        f"{work.encoder.name}_{block}": (start, stop)
        for block, start, stop in zip(names, ends[:-1], ends[1:])
    }
    return blocks, tuple(name for columns in names.values() for name in columns)


def _table(
    work: Work,
    keys: npt.NDArray[Any],
    values: npt.NDArray[np.float32],
    info: pd.DataFrame,
    blocks: dict[str, tuple[int, int]],
    columns: tuple[str, ...],
) -> Embeddings:
    return Embeddings(
        keys=keys,
        key_name=work.chips.key_name,
        values=values,
        columns=columns,
        blocks=blocks,
        info=info.astype({"valid_fraction": float}).assign(last_date=work.chips.last_dates(keys)),
        date=work.chips.date,
        recipe=dict(work.recipe),
    )
