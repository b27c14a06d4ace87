"""Features of displaced draws, averaged back to one row per image, with how far the draws disagree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._image_info import STATUSES, worst_info
from eocausal.embeddings import Embeddings
from eocausal.errors import EmbeddingsError, UnitsError, explain
from eocausal.imagery.displacement import DRAW, FROM, LIMIT

if TYPE_CHECKING:
    from eocausal.units import Units

__all__ = ["average_draws"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DrawAverage:
    """Features averaged over the draws of each image, and how far draws disagree.

    Attributes
    ----------
    embeddings : Embeddings
        One row per image key before displacement: the mean over draws that could be used.
    spread : pandas.DataFrame
        One row per image: its key, ``draws_used``, and per block the root mean squared distance of its draws
        to their mean, in units of the block's standard deviation (root of the total variance over all
        draws). The mean of its square is the share of the variance that displacement makes up.
    warnings : tuple of str
        What a reader must know: chips too small for the displacement, draws that could not be used.
    """

    embeddings: Embeddings
    spread: pd.DataFrame = field(repr=False)
    warnings: tuple[str, ...] = ()


def average_draws(embeddings: Embeddings, *, units: Units) -> DrawAverage:
    """Average the features of displaced draws back to one row per image.

    Parameters
    ----------
    embeddings : Embeddings
        Features of the images of ``units``, one row per draw.
    units : Units
        What :func:`displace` returned.

    Returns
    -------
    DrawAverage
        Its ``embeddings`` carry the image keys that the units had before.

    Raises
    ------
    UnitsError
        When the units were not made by ``displace``.
    EmbeddingsError
        When draws have no row in the features.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> table = pd.DataFrame({"cluster": [1, 2], "lon": [33.0, 33.5], "lat": [1.0, 1.2], "type": ["U", "R"]})
    >>> units = ec.read_units(table, id="cluster", lon="lon", lat="lat")
    >>> moved = ec.displace(units, urban="type", draws=2)
    >>> features = pd.DataFrame({"cluster": moved.ids, "f": [1.0, 3.0, 5.0, 5.0]})
    >>> averaged = ec.average_draws(ec.read_embeddings(features, key="cluster"), units=moved)
    >>> averaged.embeddings.to_frame()[["cluster", "f"]]
       cluster    f
    0        1  2.0
    1        2  5.0
    """
    missing = sorted({FROM, DRAW, LIMIT} - {str(column) for column in units.frame.columns})
    if missing:
        fix = "average_draws(embeddings, units=moved), where moved = ec.displace(units, ...)"
        raise UnitsError(explain("The units are not displaced: they lack columns.", where=missing, fix=fix))
    row = embeddings.rows_for(units.image_keys)
    if (row < 0).any():
        text = "Draws have no row in the embeddings."
        fix = "embed chips that were cut with these displaced units"
        raise EmbeddingsError(explain(text, where=pd.unique(units.image_keys[row < 0]), fix=fix))
    keys, rows = _by_image(units, row)
    values = embeddings.values.astype(np.float64)[rows]
    used = np.isfinite(values)
    means = _mean(values, used)
    spread: dict[str, Any] = {embeddings.key_name: keys, "draws_used": used.all(axis=2).sum(axis=1)}
    for block, (start, stop) in embeddings.blocks.items():
        spread[block] = _spread(values[..., start:stop], means[:, start:stop])
    shares = {block: _share(spread[block]) for block in embeddings.blocks}
    averaged = Embeddings(
        keys=keys,
        key_name=embeddings.key_name,
        values=means.astype(np.float32),
        columns=embeddings.columns,
        blocks=embeddings.blocks,
        info=_info(embeddings.info, rows, used),
        date=embeddings.date,
        recipe={"averaged": dict(embeddings.recipe), "draws": int(rows.shape[1]), "within_share": shares},
    )
    warnings = (*_small_chips(embeddings.blocks, units), *_unused(spread["draws_used"], rows.shape[1]))
    return DrawAverage(averaged, pd.DataFrame(spread), warnings)


def _by_image(units: Units, row: npt.NDArray[np.intp]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Return the image keys before displacement, and the row of each of their draws, (images, draws)."""
    frame = pd.DataFrame({FROM: units.frame[FROM], DRAW: units.frame[DRAW], "row": row}).drop_duplicates(
        "row"
    )
    keys = pd.unique(frame[FROM])
    count = frame[FROM].value_counts()
    short = count[count < count.max()].index
    if len(short):
        rule = "each image has all draws that displace made of it"
        text = "Images lack some of their draws, so their mean would not follow the law."
        raise UnitsError(explain(text, where=short, rule=rule, fix="take units first, then displace them"))
    order = np.lexsort((frame[DRAW], pd.Index(keys).get_indexer(pd.Index(frame[FROM]))))
    rows: npt.NDArray[np.intp] = frame["row"].to_numpy()[order].reshape(len(keys), -1)
    return np.asarray(keys), rows


def _mean(values: Floats, used: Bools) -> Floats:
    """Return the mean over usable draws, axis 1; NaN where none is."""
    count = used.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(used, values, 0.0).sum(axis=1) / np.where(count > 0, count, np.nan))


def _spread(values: Floats, means: Floats) -> Floats:
    """Return each image's root mean squared distance of draws to their mean over the block's SD.

    Examples
    --------
    >>> draws = np.array([[[1.0], [3.0]], [[5.0], [5.0]]])
    >>> np.round(_spread(draws, draws.mean(axis=1)), 3)  # SD 1.658
    array([0.603, 0.   ])
    """
    usable = np.isfinite(values).all(axis=2)
    distances = np.where(usable, np.square(values - means[:, None]).sum(axis=2), 0.0)
    count = usable.sum(axis=1)
    total = float(np.var(values[usable], axis=0).sum()) if usable.any() else 0.0
    within = distances.sum(axis=1) / np.maximum(count, 1) / (total if total > 0 else 1.0)
    # One draw says nothing about how far draws disagree.
    return np.where(count > 1, np.sqrt(within), np.nan)


def _share(spread: Floats) -> float | None:
    known = spread[np.isfinite(spread)]
    return round(float(np.mean(np.square(known))), 6) if len(known) else None


def _info(info: pd.DataFrame, rows: npt.NDArray[np.intp], used: Bools) -> pd.DataFrame:
    """Return ok where all draws are, partial where some draw could be used, else the best of what was said."""
    ranks = pd.Index(STATUSES).get_indexer(pd.Index(info["status"]))[rows]
    some = used.any(axis=(1, 2))
    rank = np.where(ranks.max(axis=1) == 0, 0, np.where(some, 1, ranks.min(axis=1)))
    fraction = info["valid_fraction"].to_numpy(dtype=float)[rows].mean(axis=1)
    return pd.DataFrame(
        {
            "status": np.asarray(STATUSES, dtype=object)[rank],
            "valid_fraction": fraction,
            "last_date": worst_info([info.iloc[draw] for draw in rows.T])["last_date"],
        }
    )


def _small_chips(blocks: Mapping[str, tuple[int, int]], units: Units) -> list[str]:
    """Warn of blocks whose chips, wherever they are cut, may miss the true point."""
    limit = units.frame[LIMIT].to_numpy(dtype=float)
    found = []
    for block in blocks:
        size = re.search(r"(?:^|_)(\d+(?:\.\d+)?)m$", block)
        if size is None or float(size[1]) >= 2 * limit.max():
            continue
        small = pd.unique(units.frame[FROM][2 * limit > float(size[1])])
        found.append(
            f"Chips of block {block} are smaller than twice the displacement ({2 * limit.max():,.0f} m) for "
            f"{len(small)} images: a chip around one draw need not show the true place."
        )
    return found


def _unused(used: npt.NDArray[Any], draws: int) -> list[str]:
    short = int(np.count_nonzero(used < draws))
    return [f"{short} images have draws without features; their mean is over the others."] if short else []
