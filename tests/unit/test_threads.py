"""One BLAS thread inside the block, as many as before after it."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from eocausal import _threads
from eocausal._threads import one_blas_thread


def _threads_now() -> set[int]:
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}


def test_one_thread_inside_and_as_many_as_before_outside() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    for _ in range(2):
        with threadpool_limits(2, user_api="blas"):
            with one_blas_thread():
                assert _threads_now() == {1}
                with one_blas_thread():
                    assert _threads_now() == {1}
                assert _threads_now() == {1}
            assert _threads_now() == {2}


def test_libraries_are_looked_for_again_once_modules_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_blas_thread():
        before = _threads._libraries(len(sys.modules))
    with one_blas_thread():
        assert _threads._libraries(len(sys.modules)) is before
    monkeypatch.setitem(sys.modules, "a_module_that_brings_a_library", types.ModuleType("it"))
    with one_blas_thread():
        assert _threads._libraries(len(sys.modules)) is not before
