"""Read what comes next while the model works on what came last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")

DEPTH = 2
"""Batches that are read ahead: one is ready and one is being read."""
_END: Any = object()


def read_ahead(items: Iterator[Item], *, depth: int = DEPTH) -> Iterator[Item]:
    """Yield what an iterator yields, taken from it by one thread, some items ahead.

    What the iterator raises is raised here, at the item that it was raised for. When the reader stops early,
    or an error stops it, nothing more is taken from the iterator, and it is closed.

    Parameters
    ----------
    items : iterator
        Used by one thread at a time.
    depth : int
        Items that may be waiting.

    Examples
    --------
    >>> list(read_ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read ahead") as pool:
        waiting = deque(pool.submit(next, items, _END) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(pool.submit(next, items, _END))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)
            close = getattr(items, "close", None)
            if close is not None:
                close()
