"""Whether the features of two tables were made alike, so that what one taught can be asked of the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._image_info import days_shown
from eocausal.errors import EmbeddingsError, explain

if TYPE_CHECKING:
    from eocausal.embeddings import Embeddings

# Encoders that learn nothing from the chips that they are fitted on.
_LEARN_NOTHING = ("image_stats", "pixel_mean")
# Of the recipe of chips: what makes a pixel mean something else, whatever files it came from.
_OF_CHIPS = ("sizes", "sides_px", "pixel_m", "resampling", "radiometry", "bands", "pixel_unit")
_DAYS_APART = 366
_TOGETHER = "ec.embed(chips_of_study_and_target, fit_keys=keys_of_the_study), and .take() the rows of each"


def require_made_alike(study: Embeddings, target: Embeddings) -> list[str]:
    """Raise unless the features of a target are the columns of the study, made by one recipe; return warnings.

    Raises
    ------
    EmbeddingsError
        Other columns or blocks, another encoder, another size or unit of pixels, or an encoder that learned from
        other pictures.
    """
    _require_columns(study, target)
    if study.recipe_hash == target.recipe_hash:
        return []
    one, other = study.recipe, target.recipe
    differing = _differing(one, other)
    if differing:
        raise EmbeddingsError(
            explain(
                "The target's features were made in another way than the study's.",
                where=differing,
                rule="effects were learned on features of one recipe, and mean nothing for those of another",
                fix=_TOGETHER,
            )
        )
    return _not_known(one, other)


def dates_apart(study: npt.NDArray[Any], target: npt.NDArray[Any]) -> list[str]:
    """Return a warning where pictures of the target are more than a year before or after those of the study.

    Both are last days of images, ISO text or None.
    """
    seen, asked = days_shown(study), days_shown(target)
    if np.isnat(seen).all() or np.isnat(asked).all():
        return []
    first, last = np.nanmin(seen), np.nanmax(seen)
    span = np.timedelta64(_DAYS_APART, "D")
    far = (asked < first - span) | (asked > last + span)
    if not far.any():
        return []
    shown = np.unique(asked[far])
    when = str(shown[0]) if shown.size == 1 else f"{shown[0]} to {shown[-1]}"
    return [
        f"pictures of {int(far.sum()):,} target units are of {when}, more than a year from those of the study "
        f"({first} to {last}): effects are predicted as if the places had looked so then"
    ]


def _require_columns(study: Embeddings, target: Embeddings) -> None:
    if study.columns == target.columns and dict(study.blocks) == dict(target.blocks):
        return
    lacking = [name for name in study.columns if name not in target.columns]
    more = [name for name in target.columns if name not in study.columns]
    told = f"{len(lacking)} are lacking, {len(more)} are others" if lacking or more else "their order differs"
    raise EmbeddingsError(
        explain(
            f"The target's features have other columns or blocks than the study's: {told}.",
            where=[*lacking, *more] or list(target.blocks),
            rule=f"blocks {dict(study.blocks)} with the same columns in the same order",
            fix=_TOGETHER,
        )
    )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return what differs of two recipes that changes what a feature means."""
    if ("encoder" in one) != ("encoder" in other):
        return ["one table was made by ec.embed, the other elsewhere"]
    found = [name for name in ("encoder", "bands") if one.get(name) != other.get(name)]
    first, second = one.get("chips", {}), other.get("chips", {})
    found += [f"chips: {name}" for name in _OF_CHIPS if first.get(name) != second.get(name)]
    learns = "encoder" in one and not _learns_nothing(one["encoder"])
    if learns and not _published(one["encoder"]) and _hash_of(one) != _hash_of(other):
        found.append("fit_keys: the encoder learned from other pictures")
    return found


def _hash_of(recipe: Mapping[str, Any]) -> Any:
    return recipe.get("fit_keys", {}).get("hash")


def _learns_nothing(encoder: Mapping[str, Any]) -> bool:
    return all(one.get("encoder") in _LEARN_NOTHING for one in _innermost(encoder))


def _published(encoder: Mapping[str, Any]) -> bool:
    return all("hub_id" in one or one.get("encoder") in _LEARN_NOTHING for one in _innermost(encoder))


def _innermost(encoder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the encoders that read pixels, of encoders within encoders."""
    inner = encoder.get("frames", encoder.get("scales"))
    if not isinstance(inner, Mapping):
        return [encoder]
    each = [inner] if "encoder" in inner else list(inner.values())
    return [one for part in each for one in _innermost(part)]


def _not_known(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    if "encoder" not in one:
        return [
            "features of study and target come from two tables made elsewhere; nothing tells whether they were "
            "made alike"
        ]
    if not _learns_nothing(one["encoder"]) and _hash_of(one) != _hash_of(other):
        return [
            "the encoder was given other pictures for the target than for the study; one that learns means of "
            "bands from its chips makes other features of the same place"
        ]
    return []
