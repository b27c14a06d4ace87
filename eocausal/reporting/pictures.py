"""Chips in the report: which to show, and thumbnails small enough for a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import ReportError, explain
from eocausal.reporting.figures import data_address

if TYPE_CHECKING:
    from eocausal.imagery.chips import Chips
    from eocausal.reporting.study import Study

__all__ = ["Thumbnail", "most_and_least", "spread_out", "thumbnails", "usable_images", "widest_block"]

# Pixels of a thumbnail's side; larger chips are averaged down to it.
LARGEST_SIDE = 160
USABLE = ("ok", "partial")
# A picture whose brightness spreads less than this (of 255) in every colour shows nothing.
FLAT = 12.0


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data address; ``flat`` when it is of nearly one colour."""

    source: str
    flat: bool


def widest_block(chips: Chips) -> str:
    """Return the name of the size with the most pixels: it shows the others in their surroundings."""
    if len(chips.blocks) == 1:
        return chips.blocks[0]
    sides = {block: chips.thumbnails(chips.keys[:1], block=block).shape[1] for block in chips.blocks}
    return max(chips.blocks, key=lambda block: sides[block])


def usable_images(study: Study, chips: Chips, block: str) -> pd.DataFrame:
    """Return the images that can be shown, by key: ``lon lat share_treated n_units status``."""
    table = chips.table()
    table = table[table["block"] == block].set_index(chips.key_name)
    used = study.used
    if not used["image_key"].notna().any():
        # results that do not know their images: all chips can be shown, without arm or place
        keyless = table.assign(lon=np.nan, lat=np.nan, share_treated=np.nan)
        return keyless[keyless["status"].isin(USABLE)]
    images = used.groupby("image_key", sort=False).agg(
        lon=("lon", "mean"), lat=("lat", "mean"), share_treated=("arm", "mean"), n_units=("arm", "size")
    )
    if not images.index.isin(table.index).any():
        raise ReportError(
            explain(
                "Chips and results have no image key in common.",
                where=list(images.index[:3]) + list(table.index[:3]),
                fix="hand in the chips of the same units",
            )
        )
    images = images.join(table[["status"]], how="inner")
    return images[images["status"].isin(USABLE)]


def spread_out(images: pd.DataFrame, how_many: int) -> list[Any]:
    """Return keys of images far from one another, half of them from each arm where arms are known.

    Chips with all pixels are taken before chips with some. Without coordinates the images are taken at even
    steps.
    """
    if not len(images):
        return []
    whole = images[images["status"] == "ok"]
    pool = whole if len(whole) >= how_many else images
    share = pool["share_treated"]
    if share.isna().any():
        return _far_apart(pool, how_many)
    # pictures of one arm only, unless there are too few of these
    pure = all((share == arm).sum() >= how_many // 2 for arm in (0, 1))
    treated = pool[share == 1] if pure else pool[share >= 0.5]
    control = pool[share == 0] if pure else pool[share < 0.5]
    first = min(max(how_many // 2, how_many - len(control)), len(treated))
    return _far_apart(treated, first) + _far_apart(control, how_many - first)


def most_and_least(
    effects: pd.DataFrame, images: pd.DataFrame, how_many: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images whose units are predicted to gain most, and least: ``effect n_units group`` by key.

    Parameters
    ----------
    effects : DataFrame
        Columns ``effect``, ``image_key`` and ``group`` (which units share a cluster or an image), one row per unit.
    images : DataFrame
        By key; only these can be shown.
    how_many : int
        At most so many of each, from different groups where there are enough, so that neighbours do not fill the
        gallery; never the same image in both.
    """
    found = effects.groupby("image_key").agg(
        effect=("effect", "mean"), n_units=("effect", "size"), group=("group", "first")
    )
    found = found[found.index.isin(images.index)].sort_values("effect", ascending=False, kind="stable")
    apart = found["group"].nunique() >= 2 * how_many
    each = min(how_many, len(found) // 2)
    most = (found.drop_duplicates("group") if apart else found).iloc[:each]
    rest = found[~found.index.isin(most.index)][::-1]
    if apart:
        rest = rest[~rest["group"].isin(most["group"])].drop_duplicates("group")
    return most, rest.iloc[:each]


def thumbnails(chips: Chips, keys: Sequence[Any], *, block: str) -> list[Thumbnail]:
    """Return PNG thumbnails, stretched together so that they compare."""
    from matplotlib import image

    found = []
    for picture in chips.thumbnails(np.asarray(list(keys)), block=block):
        stream = io.BytesIO()
        image.imsave(stream, _smaller(picture), format="png")
        flat = bool((picture.std(axis=(0, 1)) < FLAT).all())
        found.append(Thumbnail(data_address(stream.getvalue(), "image/png"), flat))
    return found


def _smaller(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Average whole blocks of pixels until the picture fits."""
    step = -(-max(picture.shape[:2]) // LARGEST_SIDE)
    if step == 1:
        return np.ascontiguousarray(picture)
    height, width = (side // step * step for side in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // step, step, width // step, step, 3)
    return np.ascontiguousarray(blocks.mean(axis=(1, 3)).round().astype(np.uint8))


def _far_apart(images: pd.DataFrame, how_many: int) -> list[Any]:
    """Take the image nearest the middle, then again and again the one farthest from all taken."""
    how_many = min(how_many, len(images))
    if how_many <= 0:
        return []
    if images[["lon", "lat"]].isna().any(axis=None):
        return images.index[np.linspace(0, len(images) - 1, how_many).round().astype(int)].tolist()
    scale = np.array([np.cos(np.radians(images["lat"].mean())), 1.0])
    places = images[["lon", "lat"]].to_numpy(dtype=float) * scale
    taken = [int(np.argmin(((places - np.median(places, axis=0)) ** 2).sum(axis=1)))]
    nearest = np.full(len(places), np.inf)
    while len(taken) < how_many:
        nearest = np.minimum(nearest, ((places - places[taken[-1]]) ** 2).sum(axis=1))
        nearest[taken] = -1.0
        taken.append(int(np.argmax(nearest)))
    return images.index[taken].tolist()
