"""Where shards are encoded: in this process, in processes of this machine, or on a cluster of Dask.

A shard is the unit of work everywhere, and is encoded by the same function with one thread, so that its bytes are
the same wherever it is made. Results come back in any order and are written by the process that asked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from eocausal.embeddings import Embeddings
from eocausal.encoding.protocol import FittedEncoder
from eocausal.errors import EmbeddingsError, explain
from eocausal.runner.shards import Shard, Work, encode_elsewhere, encode_here, encode_one

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Engine", "Parts", "Telling", "check_workers", "engine_for"]

Parts = Iterator[tuple[int, Embeddings]]


@dataclass(frozen=True)
class Telling:
    """Whom a run is told to: sentences that a user must know, and counts of chips that are done."""

    sentence: Callable[[str], None]
    count: Callable[[int], object]


Engine = Callable[[Work, FittedEncoder, Sequence[Shard], Telling], Parts]
"""From work, fitted encoder and shards to finished shards."""

_LOOK_S, _WORTH_S = 3.0, 30.0
"""After ``_LOOK_S`` it is seen how long the rest will take; one shorter than ``_WORTH_S`` stays in this process,
since others need some seconds to start."""


class _TakesLong(Exception):
    """The rest of a run takes long enough to start processes for it."""


def check_workers(workers: Any, *, device: str) -> None:
    """Refuse what is neither ``"auto"``, a number of processes nor a client of Dask, and processes on a GPU."""
    if workers == "auto" or is_client(workers):
        return
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise EmbeddingsError(
            explain(
                f"workers={workers!r} cannot be used.",
                rule='"auto", a number of processes (1 or more), or a dask.distributed.Client',
            )
        )
    if workers > 1 and device != "cpu":
        text = f"workers={workers} processes would share the GPU of device={device!r}."
        raise EmbeddingsError(explain(text, rule="one process feeds a GPU", fix="workers=1, or device='cpu'"))


def is_client(workers: Any) -> TypeGuard[Client]:
    """Whether this is a client of a cluster of Dask."""
    return all(hasattr(workers, name) for name in ("submit", "scheduler_info", "cancel"))


def engine_for(workers: Any, *, device: str) -> Engine:
    """Return what encodes shards; on a GPU that is this process, which feeds it."""
    if is_client(workers):
        return _on_cluster(workers)
    if device != "cpu":
        return _here
    if workers == "auto":
        return _as_it_pays
    return _here if workers == 1 else _in_processes(int(workers))


def _here(work: Work, fitted: FittedEncoder, shards: Sequence[Shard], told: Telling) -> Parts:
    return encode_here(work, fitted, shards, told=told.sentence, advance=told.count)


def _as_it_pays(work: Work, fitted: FittedEncoder, shards: Sequence[Shard], told: Telling) -> Parts:
    """Encode here, and in one process per core once the rest is seen to take long enough for it."""
    count = min(_cores(), len(shards))
    if count == 1:
        yield from _here(work, fitted, shards, told)
        return
    total, began = sum(len(shard.keys) for shard in shards), time.monotonic()
    seen, finished = 0, 0

    def watched(chips: int) -> None:
        nonlocal seen
        seen += chips
        told.count(chips)
        spent = time.monotonic() - began
        if spent > _LOOK_S and spent / seen * (total - seen) > _WORTH_S:
            raise _TakesLong

    try:
        for number, part in encode_here(work, fitted, shards, told=told.sentence, advance=watched):
            finished += 1
            yield number, part
    except _TakesLong:
        rest = shards[finished:]
        # the shard that was begun is encoded again, as a whole
        told.count(total - sum(len(shard.keys) for shard in rest) - seen)
        told.sentence(f"encoding in {count} processes with one thread each (workers=1 keeps to this one)")
        yield from _in_processes(count)(work, fitted, rest, told)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_processes(count: int) -> Engine:
    """Return an engine of ``count`` processes with one thread each."""

    def run(work: Work, fitted: FittedEncoder, shards: Sequence[Shard], told: Telling) -> Parts:
        import joblib
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        tasks = (joblib.delayed(encode_one)(work, shard) for shard in shards)
        with joblib.parallel_config(backend="loky", n_jobs=count, inner_max_num_threads=1):
            done = joblib.Parallel(return_as="generator_unordered", batch_size=1)(tasks)
        try:
            yield from _told(done, told)
        except TerminatedWorkerError as cause:
            raise EmbeddingsError(
                explain(
                    "A process that encoded chips was ended from outside, most often because memory ran out.",
                    rule="shards that were finished are kept where out= is given",
                    fix=f"run it again with fewer than workers={count}, or a smaller batch=",
                )
            ) from cause

    return run


def _on_cluster(client: Client) -> Engine:
    """Return an engine of the workers of a cluster; what a lost worker had is given to another."""

    def run(work: Work, fitted: FittedEncoder, shards: Sequence[Shard], told: Telling) -> Parts:
        from distributed import as_completed
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        # a task that gives back what it is given can be run again on another worker; scattered data would be lost
        shared = client.submit(_same, work, key=f"eocausal-work-{work.token}")
        tasks = [
            client.submit(encode_elsewhere, shared, shard, key=f"eocausal-shard-{work.token}-{shard.number}")
            for shard in shards
        ]
        try:
            yield from _told(_results(as_completed(tasks, with_results=True)), told)
        except (KilledWorker, FutureCancelledError) as cause:
            raise EmbeddingsError(
                explain(
                    f"The cluster lost its workers while chips were encoded: {str(cause)[:200]}",
                    rule="shards that were finished are kept where out= is given",
                    fix="look at the logs of the workers (memory?), and run it again",
                )
            ) from cause
        finally:
            client.cancel([*tasks, shared])

    return run


def _results(finished: Any) -> Iterator[Any]:
    """Yield results, and let the cluster forget each as soon as it is here."""
    for task, result in finished:
        task.release()
        yield result


def _same(work: Work) -> Work:
    return work


def _told(done: Iterator[tuple[int, Embeddings, list[str]]], told: Telling) -> Parts:
    for number, part, notes in done:
        for note in notes:
            told.sentence(note)
        told.count(len(part))
        yield number, part
