"""Features as a specification asks for them: of its pictures, of tables made elsewhere, or of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eocausal._image_info import days_shown
from eocausal.embeddings import Embeddings, read_embeddings
from eocausal.errors import LeakError, explain
from eocausal.imagery.asked import asked_chips, asked_places
from eocausal.imagery.chips import Chips
from eocausal.imagery.draw_average import DrawAverage, average_draws
from eocausal.runner.asked_encoders import asked_encoder
from eocausal.runner.embed import embed
from eocausal.units import Units

if TYPE_CHECKING:
    from eocausal.specs.models import AnalysisSpec, EmbeddingsSpec

__all__ = ["AskedFeatures", "asked_features"]


@dataclass(frozen=True, eq=False)
class AskedFeatures:
    """Features of the units of a study.

    Attributes
    ----------
    units : Units
        The units; when they are displaced, with notes that say what was done about it.
    chips : Chips or None
        The pictures that features were made from; of displaced units, those of all draws.
    features : Embeddings
        One row for each image key of the units.
    displacement : DrawAverage or None
        Of displaced units: how far draws disagree.
    """

    units: Units
    chips: Chips | None
    features: Embeddings
    displacement: DrawAverage | None = None


def asked_features(
    spec: AnalysisSpec, units: Units, *, folder: Path, progress: bool, workers: Any = "auto"
) -> AskedFeatures:
    """Return the features of a specification; those of pictures are kept in a folder and continue there."""
    elsewhere = [] if spec.embeddings is None else [_read(spec.embeddings)]
    places = asked_places(spec.units, units)
    cut = asked_chips(spec.imagery, places)
    if cut is None:
        return AskedFeatures(units, None, _side_by_side(elsewhere))
    _refuse_late(spec, places, cut)
    encoder = asked_encoder(spec.encoder)
    made = embed(cut, encoder=encoder, out=folder, workers=workers, progress=progress)
    if places is units:
        return AskedFeatures(units, cut, _side_by_side([made, *elsewhere]))
    averaged = average_draws(made, units=places)
    features = _side_by_side([averaged.embeddings, *elsewhere])
    return AskedFeatures(_with_notes(units, places, averaged), cut, features, averaged)


def _refuse_late(spec: AnalysisSpec, places: Units, cut: Chips) -> None:
    """Raise LeakError where a design would refuse pictures for their day, before hours are spent on them."""
    if places.dates is None:
        return
    shown = days_shown(cut.last_dates(places.image_keys))
    used = [places.column(name).notna() for name in (spec.design.outcome, *spec.design.covariates)]
    late = (shown >= places.dates) & np.logical_and.reduce(used)
    if late.any():
        first, last = shown[late].min(), shown[late].max()
        span = str(first) if first == last else f"{first} to {last}"
        raise LeakError(
            explain(
                f"The imagery of {span} was taken on or after treatment.",
                where=places.ids[late],
                rule="images that adjust or explain an effect come from before treatment",
                fix="earlier pictures: frames: {before: 1Y} in imagery, or leave these units out",
            )
        )


def _read(asked: EmbeddingsSpec) -> Embeddings:
    columns = list(asked.columns) if isinstance(asked.columns, tuple) else asked.columns
    date = None if asked.date is None else str(asked.date)
    return read_embeddings(asked.path, key=asked.key, columns=columns, date=date)


def _side_by_side(tables: list[Embeddings]) -> Embeddings:
    first, *others = tables
    for other in others:
        first = first.with_block(other.take(first.keys))
    return first


def _with_notes(units: Units, places: Units, averaged: DrawAverage) -> Units:
    """Return units whose notes, which stand among the report's warnings, tell of displacement."""
    told = (
        "Features are means over these draws, and the report shows no chips: none is known to show the place."
    )
    shares = averaged.embeddings.recipe["within_share"].items()
    within = ", ".join(f"{share:.0%} in {block}" for block, share in shares if share is not None)
    spread = [f"Share of the variance of features that lies between draws of one image: {within}."]
    drawn = places.notes[len(units.notes) :]
    return replace(units, notes=(*units.notes, *drawn, told, *(spread if within else ()), *averaged.warnings))
