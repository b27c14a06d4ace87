"""Reading ahead: the same items, at most so many of them early, and nothing left running or open."""

from __future__ import annotations

import threading
import time

import pytest

from eocausal.runner.ahead import read_ahead


class Counted:
    """An iterator that knows what was taken from it, by which threads, and whether it was closed."""

    def __init__(self, stop: int, fails_at: int | None = None):
        self.taken, self.stop, self.fails_at = 0, stop, fails_at
        self.threads: set[str] = set()
        self.closed = False

    def __iter__(self):
        return self

    def __next__(self) -> int:
        self.threads.add(threading.current_thread().name)
        if self.taken == self.fails_at:
            raise OSError("the disk is gone")
        if self.taken >= self.stop:
            raise StopIteration
        self.taken += 1
        return self.taken

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("stop", [0, 1, 2, 7])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_items_come_in_order_and_all(stop, depth):
    items = Counted(stop)
    assert list(read_ahead(items, depth=depth)) == list(range(1, stop + 1))
    assert items.closed


def test_no_more_than_depth_items_are_taken_early_and_by_one_thread():
    items = Counted(100)
    ahead = read_ahead(items, depth=3)
    assert next(ahead) == 1
    deadline = time.monotonic() + 5
    while items.taken < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    # the one in hand and three more
    assert items.taken == 4
    ahead.close()
    assert items.closed
    assert len(items.threads) == 1
    assert threading.current_thread().name not in items.threads


def test_an_error_comes_at_its_item_and_not_before():
    ahead = read_ahead(Counted(9, fails_at=3), depth=2)
    assert [next(ahead) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_nothing_runs_on_when_the_reader_stops():
    before = threading.active_count()
    for item in read_ahead(Counted(50), depth=2):
        if item == 5:
            break
    # a generator that is let go of is closed at once
    assert threading.active_count() == before
