"""Keep linear algebra on one thread where its matrices are small."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run the block, or the decorated function, with one BLAS thread; the setting comes back afterwards.

    Hundreds of fits on a few hundred columns are slower with several threads, which spend twice the processor time
    waiting for one another, and sums that do not depend on the number of cores give the same bytes everywhere.

    Examples
    --------
    >>> with one_blas_thread():
    ...     total = sum(range(3))
    >>> total
    3
    """
    with _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> Any:
    """Return the libraries of linear algebra that are loaded; looked for again once more modules are imported.

    To look takes longer than a fit on a few hundred rows.
    """
    del n_modules
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Run the block with one thread of BLAS and of PyTorch, where it is loaded; both settings come back afterwards.

    A sum that several threads share is added in another order, so that features would depend on the machine.

    Examples
    --------
    >>> import torch
    >>> with one_torch_thread():
    ...     torch.get_num_threads()
    1
    """
    torch = sys.modules.get("torch")
    before = 1 if torch is None else torch.get_num_threads()
    with one_blas_thread():
        if torch is not None and before != 1:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch is not None and before != 1:
                torch.set_num_threads(before)
