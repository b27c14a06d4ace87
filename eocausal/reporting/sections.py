"""What stands where in the report: one function a section, in a fixed reading order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal.reporting import deals, diagnostics, figures, maps, pictures, tables, words
from eocausal.reporting.blocks import (
    Block,
    Facts,
    Figure,
    Gallery,
    Heading,
    Picture,
    Section,
    Text,
)
from eocausal.reporting.origins import gather, provenance_section, warnings_section
from eocausal.reporting.study import Study
from eocausal.reporting.told_items import TOLD_ITEMS
from eocausal.reporting.unseen import sensitivity_blocks

if TYPE_CHECKING:
    from eocausal.effects.cate import Cate
    from eocausal.imagery.chips import Chips

__all__ = ["SECTIONS", "build_section"]

# Thumbnails in the contact sheet, and in each of the two galleries.
CONTACT_SHEET = 12
GALLERY = 6

# Added under a picture that shows nothing.
NEARLY_FLAT = ", nearly one colour"

NOISY = (
    "Predicted effects of single units and images are noisy. The map and the pictures show what the model "
    "predicts, not what happened to these units; whether the ranking holds is for RATE to say, not for the eye."
)


def build_section(anchor: str, study: Study) -> Section | None:
    """Return a section, or None when the results do not allow one."""
    heading, build = SECTIONS[anchor]
    blocks = build(study)
    return Section(anchor, heading, tuple(blocks)) if blocks else None


def _summary(study: Study) -> list[Block]:
    notes = gather(study, "warnings")
    answer = words.answer(study)
    told = [answer, *_said(study.on_outcomes)] if answer else _said({**study.on_outcomes, **study.on_effects})
    told += [one.sentence for one in study.sensitivities[:1]]
    return [*(Text(text, "lead") for text in told), Facts(words.facts(study, len(notes)))]


def _said(results: Mapping[str, Any]) -> list[str]:
    """Return what was found, in a sentence for each result."""
    return [TOLD_ITEMS[kind].sentence(result) for kind, result in results.items()]


def _data(study: Study) -> list[Block]:
    blocks: list[Block] = []
    used = study.used
    if len(used):
        blocks.append(tables.arms_table(study))
    people = study.people
    placed = people[people[["lon", "lat"]].notna().all(axis=1)]
    if len(placed):
        blocks.append(_units_figure(study, placed))
    if study.chips is not None:
        blocks += _chips_blocks(study, study.chips)
    return blocks


def _units_figure(study: Study, placed: pd.DataFrame) -> Figure:
    left_out = int((~placed["used"].astype(bool)).sum())
    shown = f"{words.plural(len(placed) - left_out, 'unit')} of the study"
    more = (
        f"; {words.plural(left_out, 'unit')} that did not enter the results are crosses" if left_out else ""
    )
    colours = "orange points are treated, blue points control; " if study.has_arms else ""
    return Figure(
        maps.units_map(placed, has_arms=study.has_arms),
        f"Map of the {shown}{', coloured by arm' if study.has_arms else ''}{more}.",
        "Where the units are",
        f"Each point is a place; {colours}a larger point holds more units. North is up. Look for parts of the map "
        "with one colour only: there, treated and control units are not neighbours.",
    )


def _chips_blocks(study: Study, chips: Chips) -> list[Block]:
    from eocausal.imagery.batches import STATUSES

    table = chips.table()
    blocks: list[Block] = [
        Heading("Satellite chips"),
        Text(f"{words.chips_sentence(table)} A chip is the square picture around a unit."),
        tables.chips_table(table, STATUSES),
    ]
    block = pictures.widest_block(chips)
    images = pictures.usable_images(study, chips, block)
    keys = pictures.spread_out(images, CONTACT_SHEET)
    if not keys:
        return blocks
    shown = []
    for key, thumbnail in zip(keys, pictures.thumbnails(chips, keys, block=block)):
        row = images.loc[key]
        arm = _arm(row["share_treated"])
        about = ", ".join(part for part in (arm, words.plural(int(row["n_units"]), "unit")) if part)
        about += NEARLY_FLAT * thumbnail.flat
        alt = f"Satellite chip of image {key}: {about}"
        shown.append(Picture(thumbnail.source, alt, f"Image {key}", about, arm))
    blocks.append(
        Gallery(
            f"{len(shown)} chips spread over the study area ({block})",
            tuple(shown),
            "A look at what the pictures can show at all: each is centred on its units, and all share one stretch "
            "of brightness, so that they can be compared.",
        )
    )
    return [*blocks, *_flat_warning(shown)]


def _flat_warning(shown: Sequence[Picture]) -> list[Block]:
    """Say how many of the chips shown are of nearly one colour, which is often a gap that no one declared."""
    flat = sum(NEARLY_FLAT in picture.detail for picture in shown)
    if not flat:
        return []
    told = f"{flat} of these {len(shown)} chips {'is' if flat == 1 else 'are'} of nearly one colour."
    return [
        Text(
            f"{told} That can be water or cloud, or a part of the scene without data that is not marked as such; "
            "what is predicted from an empty picture means nothing.",
            "caution",
        )
    ]


def _arm(share_treated: float) -> str:
    if not np.isfinite(share_treated):
        return ""
    return {0.0: "control", 1.0: "treated"}.get(float(share_treated), "both arms")


def _comparability(study: Study) -> list[Block]:
    blocks: list[Block] = []
    if study.balance is not None:
        blocks += diagnostics.balance_blocks(study.balance)
    if study.overlap is not None:
        blocks += diagnostics.overlap_blocks(study.overlap)
    if study.assignment is not None:
        blocks += diagnostics.assignment_blocks(study.assignment)
    return blocks


def _average(study: Study) -> list[Block]:
    blocks = _averages(study) if study.averages else []
    return blocks if study.sweep is None else [*blocks, *diagnostics.sweep_blocks(study.sweep)]


def _averages(study: Study) -> list[Block]:
    rows = tables.estimate_rows(study.averages)
    headline = study.headline
    decimals = tables.decimals_for(rows["std_error"])
    told = "; ".join(
        f"{row.label} {tables.number(row.estimate, decimals)} "
        f"({tables.interval(row.conf_low, row.conf_high, decimals)})"
        for row in tables.rows_of(rows)
    )
    blocks: list[Block] = []
    if headline is not None:
        sentences = (words.average_sentence(study, headline), words.scale_sentence(study, headline))
        blocks.append(Text(" ".join(sentence for sentence in sentences if sentence)))
    if study.truth is not None:
        blocks.append(Text(_truth_sentence(rows, study.truth)))
    blocks += [
        Figure(
            figures.forest_plot(rows, outcome=study.outcome, truth=study.truth),
            f"Estimates with 95% intervals: {told}.",
            "Average effects by method",
            "Each dot is an estimate and its line the range of values that the data do not speak against; a line "
            "that crosses zero leaves open whether there is an effect.",
        ),
        tables.estimates_table(rows, truth=study.truth),
        tables.errors_table(rows),
    ]
    return blocks


def _truth_sentence(rows: pd.DataFrame, truth: float) -> str:
    inside = int(((rows["conf_low"] <= truth) & (truth <= rows["conf_high"])).sum())
    return (
        f"The true average effect is known here: {tables.number(truth)}. It lies inside {inside} of "
        f"{words.plural(len(rows), 'interval')}."
    )


def _predicted(study: Study) -> list[Block]:
    return [block for kind, result in study.on_outcomes.items() for block in TOLD_ITEMS[kind].blocks(result)]


def _heterogeneity(study: Study) -> list[Block]:
    blocks: list[Block] = []
    if study.rates:
        blocks += _rate_blocks(study)
    for kind, result in study.on_effects.items():
        blocks += TOLD_ITEMS[kind].blocks(result)
    if study.cate is not None:
        blocks += _effects_blocks(study, study.cate)
    return blocks


def _rate_blocks(study: Study) -> list[Block]:
    rows = tables.rate_rows(study)
    sentences = words.rate_sentences(study)
    # one ranking has one curve, whatever the target
    drawn: dict[tuple[float, ...], tuple[str, pd.DataFrame]] = {}
    for rate in study.rates:
        drawn.setdefault(tuple(rate.toc["estimate"]), (f"{rate.target}, {rate.terms[0]}", rate.toc))
    ratios = "; ".join(f"{row.target} {row.statistic:.2f} ({row.term})" for row in rows.itertuples())
    return [
        Heading("Does the ranking find those who gain more?"),
        *[Text(sentence) for sentence in sentences],
        Figure(
            figures.toc_plot(list(drawn.values()), outcome=study.outcome),
            f"TOC curves with 95% bands. {sentences[0]}",
            "Gain from treating those ranked highest (TOC curve)",
            "At 20% the curve shows how much more the top fifth of the ranking gains than the average unit; a "
            "curve on the zero line means that the ranking is no better than a lottery; the band is the 95% "
            f"range at each share. RATE ratios, estimate over standard error: {ratios}.",
        ),
        tables.rate_table(rows),
        *(block for rate in study.rates for block in deals.deals_blocks(rate)),
    ]


def _effects_blocks(study: Study, cate: Cate) -> list[Block]:
    effects = cate.effects.assign(group=cate.group_codes)
    low, high = (float(bound) for bound in np.ravel(cate.ci()))
    tenth, ninetieth = np.quantile(cate.effect_values, [0.1, 0.9])
    decimals = tables.decimals_for(np.ravel(cate.average.std_error))
    spread = (
        f"Predicted effects run from {tables.number(tenth, decimals)} (10th percentile) to "
        f"{tables.number(ninetieth, decimals)} (90th percentile). Each comes from a model that saw neither the "
        "unit nor its cluster or image."
    )
    blocks: list[Block] = [
        Heading("Predicted effects"),
        Text(spread),
        Text(NOISY, "caution"),
        Figure(
            figures.effects_histogram(
                cate.effect_values,
                cate.weights,
                average=(float(cate.estimate), low, high),
                outcome=study.outcome,
            ),
            f"Histogram of predicted effects. {spread}",
            "How predicted effects spread",
            "The wider the bars spread, the more the model thinks that effects differ; some of the "
            "spread is noise.",
        ),
    ]
    people = study.people
    places = people.loc[people.index.isin(effects.index), ["lon", "lat"]].reindex(effects.index)
    known = places.notna().all(axis=1).to_numpy()
    if known.any():
        source = maps.effects_map(places[known], cate.effect_values[known], outcome=study.outcome)
        blocks.append(
            Figure(
                source,
                f"Map of predicted effects at {words.plural(int(known.sum()), 'unit')}. {spread}",
                "Where the model predicts larger and smaller effects",
                "Each point is a place and its colour the mean predicted effect there. Look for regions of one "
                "colour; single points that stand out are most likely noise.",
            )
        )
    if study.chips is not None:
        blocks += _galleries(study, study.chips, effects, decimals)
    return blocks


def _galleries(study: Study, chips: Chips, effects: pd.DataFrame, decimals: int | None) -> list[Block]:
    block = pictures.widest_block(chips)
    images = pictures.usable_images(study, chips, block)
    most, least = pictures.most_and_least(effects, images, GALLERY)
    if not len(most):
        return []
    keys = [*most.index, *least.index]
    thumbnails = pictures.thumbnails(chips, keys, block=block)
    found: list[Block] = []
    shown: list[Picture] = []
    parts = ((most, "most", thumbnails[: len(most)]), (least, "least", thumbnails[len(most) :]))
    for rows, name, some in parts:
        gallery = tuple(
            Picture(
                thumbnail.source,
                f"Satellite chip of image {key}, predicted effect {tables.number(row.effect, decimals)}",
                tables.number(row.effect, decimals),
                f"image {key}, {words.plural(int(row.n_units), 'unit')}{NEARLY_FLAT * thumbnail.flat}",
            )
            for key, row, thumbnail in zip(rows.index, tables.rows_of(rows), some)
        )
        shown += gallery
        note = (
            "Under each chip stands the mean predicted effect of its units, then its image key. Ask what these "
            "places have in common, and whether the other gallery lacks it; both are the extremes of noisy "
            "predictions. Where there are enough, no two pictures are from one cluster."
        )
        found.append(
            Gallery(
                f"Images of the units predicted to gain {name} ({block})",
                gallery,
                note if name == "most" else "",
            )
        )
    return [*found, *_flat_warning(shown)]


# The reading order: anchor, then heading and the function that builds the section.
SECTIONS: dict[str, tuple[str, Callable[[Study], list[Block]]]] = {
    "summary": ("Summary", _summary),
    "data": ("Data", _data),
    "comparability": ("Balance and overlap", _comparability),
    "average": ("Average effects", _average),
    "predicted": ("Outcomes predicted from images", _predicted),
    "sensitivity": ("How sure of the cause?", lambda study: sensitivity_blocks(study.sensitivities)),
    "heterogeneity": ("Who gains more", _heterogeneity),
    "warnings": ("Warnings and assumptions", warnings_section),
    "provenance": ("Provenance", provenance_section),
}
