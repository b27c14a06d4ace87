"""Keep linear algebra on one thread where its matrices are small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
