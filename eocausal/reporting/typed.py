"""Types of images: who gains what by the kind of place, where the types are, and pictures of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eocausal.reporting import figures
from eocausal.reporting.blocks import Block, Figure
from eocausal.reporting.frames import frame_table
from eocausal.reporting.phrases import first_of, from_zero, with_interval
from eocausal.reporting.plots import plot_svg

if TYPE_CHECKING:
    from eocausal.effects.image_types_result import ImageTypes

__all__ = ["types_blocks", "types_sentence"]


def types_sentence(found: ImageTypes) -> str:
    """Say what units of the first and the last type gain, and whether that differs."""
    how = (
        ""
        if found.choice is None
        else ", as many as predict outcomes of other units best, give or take one error"
    )
    last = with_interval(*first_of(found.by_type, found.k - 1))
    if found.k == 1:
        return f"The images are of one type{how}; the average effect is {last}."
    value, error, low, high = first_of(found.difference())
    verdict = from_zero(
        low, high,
        above="the data show that places of different types gain differently",
        below="the data show that types differ the other way round than in the units they were learned from",
        neither="the data do not show that places of different types gain differently",
    )  # fmt: skip
    shares = found.model["share"].to_numpy(dtype=float)
    return (
        f"The images fall into {found.k} types{how}. Units of {found.terms[-1]} ({100 * shares[-1]:.0f}% of units) "
        f"gain {last}, those of {found.terms[0]} ({100 * shares[0]:.0f}%) "
        f"{with_interval(*first_of(found.by_type))}. The difference is {with_interval(value, error, low, high)}: "
        f"{verdict}."
    )


def types_blocks(found: ImageTypes, sentence: str) -> list[Block]:
    """Return effects by type, their map where places are known, and how the number of types was chosen."""
    blocks: list[Block] = [
        Figure(
            plot_svg(lambda figure: found.plot(figure.subplots()), height=1.6 + 0.6 * found.k),
            f"Effects by type of image. {sentence}",
            "Average effect by type of image",
            "Lines that hardly overlap belong to types that gain differently. Circles average over units as their "
            "images seem to be; squares are what a unit gains whose type is certain.",
        )
    ]
    if found.images[["lon", "lat"]].notna().all(axis=None):
        term = found.terms[-1]
        blocks.append(
            Figure(
                figures.as_png(lambda figure: found.map(figure.subplots(), term=term), height=4.4),
                f"Map of images, coloured by the probability of {term}. {sentence}",
                "Where the types are",
                "Each point is an image. Bright points are likely of the type with the larger effect; those "
                "between cannot be told.",
            )
        )
    table = found.table.drop(columns=["posterior_sd", "variance_of_gain"])
    note = (
        "The probability of a type comes from a model that saw neither the unit nor its image; effects by the "
        "model are those of the model that saw all."
    )
    blocks.append(frame_table(table, "Effects by type of image", note=note))
    if found.choice is not None:
        note = "Chosen is the least number within one standard error of the best."
        blocks.append(frame_table(found.choice, "How many types", note=note))
    return blocks
