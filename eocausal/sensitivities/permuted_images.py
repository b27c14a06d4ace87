"""Pictures dealt anew among units: what is left of an adjustment when pictures show nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from eocausal.sensitivities.placebo_designs import (
    difference_of,
    estimate_or_none,
    require_most,
    with_pictures_dealt_anew,
    without_pictures,
)
from eocausal.sensitivities.placebo_parts import (
    BIASED,
    CLEAN,
    LITTLE,
    Part,
    bounds_of,
    digits,
    judged,
    p_text,
    row_from,
    size_text,
)
from eocausal.sensitivities.subject import origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

TEST = "permuted_images"
DRAWS = 20
# A bias of a tenth of a standard error takes a tenth of a point off the 95% that an interval covers.
NEGLIGIBLE = 0.1

ASSUMES = (
    "images dealt anew: whole images change places among all units, so what neighbours or clusters have in common "
    "in their images is lost too"
)


def permuted_images(estimate: Estimate, call: Call, *, draws: int | None) -> Part:
    """Estimate with images dealt anew among units, and compare with the estimate without images.

    The difference of the mean over draws and the estimate without images has the standard error of both together,
    and that of a mean over so many draws.
    """
    many = DRAWS if draws is None else draws
    design = origin_of(estimate).design
    made, generator = [], np.random.default_rng([call.seed, 1])
    for _ in tqdm(range(many), desc="images dealt anew", unit="draw", disable=not call.progress):
        made.append(estimate_or_none(estimate, with_pictures_dealt_anew(design, generator)))
    found = [one for one in made if one is not None]
    warnings = require_most(len(found), many, what="images dealt anew")
    values = np.array([one.values[0] for one in found])
    errors = np.array([float(np.ravel(one.std_error)[0]) for one in found])
    plain = without_pictures(estimate)
    by_draws = float(values.std(ddof=1) / np.sqrt(values.size))
    draws_made = {f"draw {place}": one for place, one in enumerate(found)}
    share = 1 / len(found)
    gap, told_of_gap = difference_of(
        {**draws_made, "plain": plain},
        [*[share] * len(found), -1.0],
        "images dealt anew, less without images",
    )
    moved, told_of_moved = difference_of(
        {**draws_made, "estimate": estimate},
        [*[-share] * len(found), 1.0],
        "estimate, less images dealt anew",
    )
    row, gap_error = _row(estimate, gap, by_draws, abs(float(moved.values[0])), level=call.level)
    moved_error = float(np.hypot(np.ravel(moved.std_error)[0], by_draws))
    numbers = {
        "permuted_images_draws": float(values.size),
        "permuted_images_mean": float(values.mean()),
        "permuted_images_sd": float(values.std(ddof=1)),
        "without_images": float(plain.values[0]),
        "permuted_images_difference": float(gap.values[0]),
        "permuted_images_std_error": gap_error,
        "moved_by_images": float(moved.values[0]),
        "moved_by_images_std_error": moved_error,
        "moved_by_images_p_value": bounds_of(
            float(moved.values[0]), moved_error, moved.variance.df, level=call.level
        )[1],
    }
    return Part(
        rows=(row,),
        sentence=sentence(float(estimate.values[0]), numbers, verdict=row["verdict"], level=call.level),
        numbers=numbers,
        estimates={"without_images": plain, "permuted_images_difference": gap},
        curves={
            TEST: pd.DataFrame({"draw": np.arange(values.size), "estimate": values, "std_error": errors})
        },
        assumptions=(ASSUMES,),
        warnings=(*warnings, *told_of_gap, *told_of_moved),
        told={"draws": many},
    )


def _row(
    estimate: Estimate, gap: Estimate, by_draws: float, moved: float, *, level: float
) -> tuple[dict[str, Any], float]:
    """Return the row of the difference from the estimate without images, and its standard error.

    It says little where it could be as large as the estimate and as what images move.
    """
    value, effect = float(gap.values[0]), float(estimate.values[0])
    error = float(np.hypot(np.ravel(gap.std_error)[0], by_draws))
    bounds, p_value = bounds_of(value, error, gap.variance.df, level=level)
    reach = max(map(abs, bounds))
    small = reach < NEGLIGIBLE * float(np.ravel(estimate.std_error)[0])
    row = row_from(
        TEST, "images dealt anew, less the estimate without images", (value, error), bounds,
        p_value=p_value, effect=effect, level=level,
        verdict=CLEAN if small else judged(p_value, reach, max(abs(effect), moved), level=level),
    )  # fmt: skip
    return row, error


def sentence(estimate: float, numbers: dict[str, float], *, verdict: str, level: float) -> str:
    """Say how much of an adjustment is what images show."""
    told = (
        f"With images dealt anew the estimate is {digits(numbers['permuted_images_mean'])} on average, without "
        f"images {digits(numbers['without_images'])}"
    )
    moved, p_value = numbers["moved_by_images"], numbers["moved_by_images_p_value"]
    shown = f"{digits(moved)} ({p_text(p_value)})"
    gap = numbers["permuted_images_difference"]
    if verdict == BIASED:
        share = f" ({size_text(gap / estimate)})" if estimate else ""
        return (
            f"{told}: columns that show nothing move it by {digits(gap)}{share}, what images show by {shown}."
        )
    more = "no more than chance, by " if p_value >= 1 - level else "by "
    told = f"{told}: what images show moves it {more}{shown}"
    return f"{told}, and columns that show nothing may too." if verdict == LITTLE else f"{told}."
