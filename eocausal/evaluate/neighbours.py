"""Which pictures an encoder finds alike: the nearest of each, compared between encoders, and looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import whole_number
from eocausal._figures import new_figure
from eocausal.embeddings import Embeddings
from eocausal.errors import EmbeddingsError, explain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Neighbours", "neighbours"]

Floats = npt.NDArray[np.float64]


class Pictures(Protocol):
    """Chips that can be looked at."""

    def thumbnails(self, keys: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Return pictures (n, height, width, 3) of these keys."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest images of every image, by encoder.

    Attributes
    ----------
    nearest : dict of str to array of shape (images, n)
        By name of the table of features: keys of the nearest images, the nearest first; rows are ``keys``.
    keys : array of shape (images,)
        Images that have features in every table.
    agreement : pandas.DataFrame
        Names by names: mean share of the ``n`` nearest that two tables have in common, 1 on the diagonal.
    by_chance : float
        That share between two tables that have nothing in common.
    """

    nearest: Mapping[str, npt.NDArray[Any]] = field(repr=False)
    keys: npt.NDArray[Any] = field(repr=False)
    agreement: pd.DataFrame
    by_chance: float

    def plot(self, chips: Pictures, keys: Sequence[Any] | None = None, *, shown: int = 5) -> Figure:
        """Draw images with their nearest, one row for each table of features and image.

        Parameters
        ----------
        chips : Chips
            Where the pictures come from.
        keys : sequence, optional
            Images to look at; default the first.
        shown : int
            How many of the nearest.

        Returns
        -------
        matplotlib.figure.Figure
        """
        asked = list(self.keys[:1] if keys is None else keys)
        rows = pd.Index(self.keys).get_indexer(pd.Index(np.asarray(asked)))
        if (rows < 0).any():
            where = [key for key, row in zip(asked, rows) if row < 0]
            raise EmbeddingsError(explain("These images have no features in every table.", where=where))
        found = {
            (key, name): [key, *nearest[row][:shown].tolist()]
            for key, row in zip(asked, rows)
            for name, nearest in self.nearest.items()
        }
        wanted = list(dict.fromkeys(key for line in found.values() for key in line))
        # one call, so that all pictures have the same stretch
        pictures = dict(zip(wanted, chips.thumbnails(np.asarray(wanted))))
        return _sheet(found, pictures)


def neighbours(features: Mapping[str, Embeddings], *, n: int = 5) -> Neighbours:
    """Find the nearest images of each image in several tables of features, and how far the tables agree.

    Columns are brought to mean 0 and standard deviation 1 and distances are Euclidean. Encoders that agree little
    see different things in the same pictures; which of these matters for an outcome is another question.

    Parameters
    ----------
    features : dict of str to Embeddings
        Tables of features of the same images, by the name they shall have. Images that lack features in one of them
        are left out.
    n : int
        How many of the nearest images.

    Returns
    -------
    Neighbours
        ``nearest``, ``keys``, ``agreement``, ``by_chance`` and ``plot(chips)``.

    Raises
    ------
    EmbeddingsError
        When tables do not share their images, or fewer than ``n + 1`` have features in all of them.

    Examples
    --------
    >>> import pandas as pd, eocausal as ec
    >>> table = pd.DataFrame({"village": ["a", "b", "c", "d"], "green": [0.0, 0.1, 5.0, 5.2]})
    >>> found = neighbours({"one": ec.read_embeddings(table, key="village")}, n=1)
    >>> found.nearest["one"].ravel().tolist()
    ['b', 'a', 'd', 'c']
    """
    from sklearn.neighbors import NearestNeighbors

    whole_number(n, argument="n", error=EmbeddingsError, least=1)
    keys = _shared_keys(features, n)
    nearest: dict[str, npt.NDArray[Any]] = {}
    for name, table in features.items():
        values = _standardised(table.take(keys).values)
        found = NearestNeighbors(n_neighbors=n + 1).fit(values).kneighbors(values, return_distance=False)
        nearest[name] = keys[_without_self(found, n)]
    names = list(features)
    shares = [[_common(nearest[a], nearest[b]) for b in names] for a in names]
    agreement = pd.DataFrame(shares, index=names, columns=names)
    return Neighbours(nearest, keys, agreement, n / (len(keys) - 1))


def _shared_keys(features: Mapping[str, Embeddings], n: int) -> npt.NDArray[Any]:
    """Return the images with features in every table, in the order of the first."""
    if not features:
        raise EmbeddingsError(explain("There is no table of features.", fix='neighbours({"rcf": features})'))
    first, *others = features.values()
    known = first.keys[np.isfinite(first.values).all(axis=1)]
    for table in others:
        known = known[np.isin(known, table.keys[np.isfinite(table.values).all(axis=1)])]
    if len(known) <= n:
        raise EmbeddingsError(
            explain(
                f"{len(known)} images have features in all {len(features)} tables.",
                rule=f"more than n={n}",
                fix="make the tables from the same chips",
            )
        )
    return known


def _standardised(values: npt.NDArray[np.float32]) -> Floats:
    spread = values.std(axis=0, dtype=float)
    centred = values.astype(float) - values.mean(axis=0, dtype=float)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


def _without_self(found: npt.NDArray[Any], n: int) -> npt.NDArray[np.intp]:
    """Drop each image from its own nearest, where it may stand anywhere among images just like it."""
    own = found == np.arange(len(found))[:, None]
    own[:, -1] |= ~own.any(axis=1)
    return np.asarray(found[~own].reshape(len(found), n), dtype=np.intp)


def _common(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Return the mean share of neighbours that two tables have in common."""
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(one, other)]) / one.shape[1])


def _sheet(
    found: Mapping[tuple[Any, str], list[Any]], pictures: Mapping[Any, npt.NDArray[np.uint8]]
) -> Figure:
    columns = max(len(line) for line in found.values())
    figure = new_figure(1.35 * columns + 1.2, 1.5 * len(found))
    axes = figure.subplots(len(found), columns, squeeze=False)
    for line, ((_, name), keys) in zip(axes, found.items()):
        for place, (ax, key) in enumerate(zip(line, keys)):
            ax.imshow(pictures[key], interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            for side in ax.spines.values():
                side.set_linewidth(1.6 if place == 0 else 0.4)
            ax.set_title(str(key), fontsize=7)
        line[0].set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
    return figure
