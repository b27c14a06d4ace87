"""Chips that are changed after they are read: checked, resampled, cut down to polygons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from eocausal.imagery.batches import ChipBatch, ChipSource, Rows

Corners = Mapping[str, npt.NDArray[Any]]
Work = Callable[[ChipBatch, Rows], ChipBatch]


class Change(Protocol):
    """What is done to every batch of a source of chips."""

    def start(self, source: ChipSource) -> Work:
        """Return the work for one reading of a source; it is given each batch with its positions."""

    def corners(self, corners: Corners, block: str) -> Corners:
        """Return where the changed chips of a block lie, from where they lay."""

    def recipe(self) -> dict[str, Any]:
        """Return what determines the change, JSON-like."""


@dataclass(frozen=True, eq=False)
class ChangedSource:
    """A source of chips with a change; in all else it is the source itself."""

    inner: ChipSource
    change: Change

    @contextmanager
    def reading(self) -> Iterator[Callable[[Rows], ChipBatch]]:
        """Keep the source open and give the reader."""
        work = self.change.start(self.inner)
        with self.inner.reading() as read:
            yield lambda rows: work(read(rows), rows)

    def reading_order(self) -> Rows:
        """Return the order of the source itself."""
        return self.inner.reading_order()

    def places(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return where the chips are."""
        return self.inner.places()

    def corners(self, block: str) -> Corners | None:
        """Return where the changed chips of a block lie."""
        found = self.inner.corners(block)
        return None if found is None else self.change.corners(found, block)

    def label(self) -> str:
        """Return the words of the source itself."""
        return self.inner.label()

    def recipe(self) -> dict[str, Any]:
        """Return what determines the pixels, the change among it."""
        return {**self.inner.recipe(), **self.change.recipe()}
