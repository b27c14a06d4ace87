"""Treatment moved over the map: what an unrelated treatment, just as clumped, would be estimated to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from tqdm.auto import tqdm

from eocausal._checks import positive_metres
from eocausal.errors import SensitivityError, explain
from eocausal.inference.how import distance_text
from eocausal.sensitivities.map_moves import Moved, flat_map, independent_moves, random_moves, sides_of
from eocausal.sensitivities.placebo_designs import base_of, estimate_or_none, require_most, with_treatment
from eocausal.sensitivities.placebo_parts import Part, digits, p_text, row_from
from eocausal.sensitivities.subject import made_again

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

TEST = "shifted_treatment"
DRAWS = 99
# By default the map is moved by at least this share of its shorter side, at most by that share of its longer one.
LEAST_SHARE, MOST_SHARE = 0.1, 0.25
# With fewer unrelated moves than the first p-values are rough, with fewer than the second somewhat too small, where
# that is for clumps and not for how few places there are.
FEWEST_MOVES, FEW_MOVES = 20, 50

# Standard errors are called too small where chance lets so many moves reject less often than this.
CERTAIN = 0.01

STANDS = "farther from zero than placebos"
ALIKE = "no farther from zero than placebos"
FEW = "says little: too few draws"

ASSUMES = (
    "treatment moved over the map: under the hypothesis that outcomes have nothing to do with treatment, treatment "
    "could as well have lain elsewhere, or turned by half (its field is stationary: as dense and as clumped in all "
    "parts of the map). A small p-value speaks against that hypothesis, and not for adjustment being enough: those "
    "treated by need are not found by moving a map"
)


@dataclass(frozen=True, eq=False)
class _Field:
    """What is moved: values of units, or of the clusters that treatment was assigned by.

    Attributes
    ----------
    places : array of shape (g, 2)
    treatment : array of shape (g,)
    propensity : array of shape (g,) or None
    codes : array of shape (n,)
        Which of them each unit has its treatment from.
    cluster : str or None
    """

    places: FloatArray
    treatment: FloatArray
    propensity: FloatArray | None
    codes: npt.NDArray[np.intp]
    cluster: str | None


def shifted_treatment(estimate: Estimate, call: Call, *, draws: int | None, shift_m: float | None) -> Part:
    """Estimate with treatment moved over the map, and compare the t statistic with those.

    Every place takes the treatment of the place nearest to where the move comes from; where treatment was assigned
    to clusters, every cluster that of the nearest cluster.
    """
    many = DRAWS if draws is None else draws
    design = base_of(estimate)
    field = _field(design)
    least = _least(field.places, shift_m)
    moves = random_moves(field.places, draws=many, shift_m=least, seed=call.seed)
    made = [
        estimate_or_none(estimate, _moved(design, field, sources))
        for sources in tqdm(moves.sources, desc="treatment moved", unit="draw", disable=not call.progress)
    ]
    kept = np.array([one is not None for one in made])
    found = [one for one in made if one is not None]
    failed = require_most(len(found), many, what="treatment moved")
    drawn = pd.DataFrame(
        {
            "draw": np.flatnonzero(kept),
            "estimate": [float(one.values[0]) for one in found],
            "std_error": [float(np.ravel(one.std_error)[0]) for one in found],
            "p_value": [float(np.ravel(one.p_value())[0]) for one in found],
            "turned": moves.turned[kept],
        }
    )
    # of a corrected outcome placebos know no error of the calibration, and so neither may what they are held to
    own = estimate if estimate.second is None else made_again(estimate, design)
    fields = field.treatment[moves.sources[kept]]
    numbers = _numbers(own, drawn, fields, level=call.level)
    numbers |= {"shift_m": least, "shifted_gap_m": float(np.median(moves.gaps_m))}
    return Part(
        rows=(_row(drawn, numbers, float(estimate.values[0]), level=call.level),),
        sentence=sentence(numbers, level=call.level),
        numbers=numbers,
        curves={TEST: drawn},
        assumptions=(ASSUMES,),
        warnings=(*failed, *_warnings(field, fields, moves, numbers, level=call.level)),
        told={"draws": many, "shift_m": least, "moved": field.cluster or "units"},
    )


def _field(design: Design) -> _Field:
    """Return what was assigned: clusters where treatment is the same within each, else units."""
    table = design.table
    if table.coordinates is None:
        raise SensitivityError(
            explain(
                "The design knows no coordinates, so treatment cannot be moved over the map.",
                fix="units = ec.read_units(table, id=..., lon=..., lat=...), then ec.Design(units, ...)",
            )
        )
    places, codes = flat_map(table.coordinates), np.arange(len(design))
    if table.clusters is None:
        return _Field(places, table.treatment, table.propensity, codes, None)
    codes = np.unique(table.clusters, return_inverse=True)[1]
    size = np.bincount(codes)
    means = [np.bincount(codes, weights=one) / size for one in (*places.T, table.treatment)]
    if not np.isin(means[2], (0.0, 1.0)).all():
        return _Field(places, table.treatment, table.propensity, np.arange(len(design)), None)
    known = table.propensity
    if known is not None:
        known = np.bincount(codes, weights=known) / size
    return _Field(np.column_stack(means[:2]), means[2], known, codes, design.cluster)


def _moved(design: Design, field: _Field, sources: npt.NDArray[np.intp]) -> Design:
    known = None if field.propensity is None else field.propensity[sources][field.codes]
    return with_treatment(design, field.treatment[sources][field.codes], propensity=known)


def _least(places: FloatArray, shift_m: float | None) -> float:
    """Return the least shift in metres: what was asked for, checked, or a tenth of the shorter side of the map."""
    sides = sides_of(places)
    if not sides.any():
        raise SensitivityError(
            explain(
                "All units lie at one place, so treatment cannot be moved.",
                fix="leave the test out of tests=",
            )
        )
    if shift_m is None:
        return float(LEAST_SHARE * sides[sides > 0].min())
    least = positive_metres(shift_m, what=f"shift_m={shift_m!r} is not a distance.", error=SensitivityError)
    most = MOST_SHARE * float(sides.max())
    if least > most:
        raise SensitivityError(
            explain(
                f"shift_m={shift_m:g} is too far for a map of {sides[0]:,.0f} by {sides[1]:,.0f} m.",
                rule=f"at most a quarter of the longer side, {most:,.0f} m",
                fix=f"shift_m={most:.0f}, or leave it out",
            )
        )
    return least


def _numbers(own: Estimate, drawn: pd.DataFrame, fields: FloatArray, *, level: float) -> dict[str, float]:
    statistic = (drawn["estimate"] / drawn["std_error"]).abs().to_numpy()
    actual = abs(float(own.values[0])) / float(np.ravel(own.std_error)[0])
    as_large = int((statistic >= actual * (1 - 1e-12)).sum())
    values = drawn["estimate"].to_numpy()
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    sd = float(values.std(ddof=1))
    return {
        "shifted_draws": float(len(drawn)),
        "shifted_p_value": (1 + as_large) / (1 + len(drawn)),
        "shifted_mean": float(values.mean()),
        "shifted_sd": sd,
        "shifted_low": float(low),
        "shifted_high": float(high),
        "shifted_rejected": float((drawn["p_value"] < 1 - level).mean()),
        "shifted_sd_over_std_error": sd / float(drawn["std_error"].mean()),
        "shifted_independent_moves": independent_moves(fields),
    }


def _row(drawn: pd.DataFrame, numbers: dict[str, float], effect: float, *, level: float) -> dict[str, object]:
    return row_from(
        TEST, "treatment moved over the map: mean, SD and quantiles of draws; p of the estimate",
        (numbers["shifted_mean"], numbers["shifted_sd"]), (numbers["shifted_low"], numbers["shifted_high"]),
        p_value=numbers["shifted_p_value"], effect=effect, level=level,
        verdict=_verdict(numbers, level=level),
    )  # fmt: skip


def _verdict(numbers: dict[str, float], *, level: float) -> str:
    if _least_p(numbers) > 1 - level:
        return FEW
    return STANDS if numbers["shifted_p_value"] <= 1 - level else ALIKE


def _least_p(numbers: dict[str, float]) -> float:
    """Return the smallest p-value that so many draws can give."""
    return 1 / (1 + numbers["shifted_draws"])


def too_often(numbers: dict[str, float], *, level: float) -> bool:
    """Say whether moved treatments are found to have effects more often than chance has it, at 1%."""
    draws = np.floor(min(numbers["shifted_draws"], numbers["shifted_independent_moves"]))
    found = np.round(numbers["shifted_rejected"] * draws)
    return bool(stats.binom.sf(found - 1, draws, 1 - level) < CERTAIN)


def sentence(numbers: dict[str, float], *, level: float) -> str:
    """Say how the estimate lies among those of moved treatments, and whether its standard errors hold."""
    p_value, verdict = numbers["shifted_p_value"], _verdict(numbers, level=level)
    rough = ", roughly" * (numbers["shifted_independent_moves"] < FEWEST_MOVES)
    told = (
        f"Moved over the map {numbers['shifted_draws']:.0f} times, treatment gives "
        f"{digits(numbers['shifted_low'])} to {digits(numbers['shifted_high'])} in {100 * level:.10g}% of draws"
    )
    place = {
        STANDS: f"the estimate lies farther from zero ({p_text(p_value)} by |t|{rough})",
        ALIKE: f"the estimate lies no farther from zero ({p_text(p_value)} by |t|{rough})",
        FEW: "so few draws say little of the estimate",
    }
    if not too_often(numbers, level=level):
        return f"{told}; {place[verdict]}."
    share = f"{100 * numbers['shifted_rejected']:.0f}%"
    return f"{told}; {place[verdict]}. {share} of these moves seem to have effects: standard errors are too small."


def _warnings(
    field: _Field, fields: FloatArray, moves: Moved, numbers: dict[str, float], *, level: float
) -> tuple[str, ...]:
    told = []
    distinct, moved = len(np.unique(fields, axis=0)), numbers["shifted_independent_moves"]
    if distinct < len(fields) / 2:
        told.append(
            f"treatment moved: {distinct} of {len(fields)} draws are different from one another, as few "
            f"{'clusters' if field.cluster else 'units'} are moved or treated"
        )
    if moved < max(FEWEST_MOVES, min(FEW_MOVES, len(field.treatment) / 2)):
        told.append(
            f"treatment moved: it is so clumped that its moves count as about {moved:.0f} unrelated ones; with "
            f"fewer than {FEW_MOVES} p-values tend to be too small, with fewer than {FEWEST_MOVES} they are rough"
        )
    if 1 / (1 + len(fields)) > 1 - level:
        told.append(
            f"treatment moved: {len(fields)} draws give no p-value below {1 / (1 + len(fields)):.3g}; draws=99"
        )
    far = float((moves.gaps_m > numbers["shift_m"]).mean())
    if far > 1 - level:
        told.append(
            f"treatment moved: {100 * far:.0f}% of places come from where no unit lies within "
            f"{distance_text(round(numbers['shift_m']))}, and take the treatment of one farther away"
        )
    if too_often(numbers, level=level):
        told.append(
            f"{100 * numbers['shifted_rejected']:.0f}% of treatments moved elsewhere have an effect by their own "
            f"{100 * level:.10g}% intervals: standard errors are too small; with_vcov({{'conley': '...km'}}) or "
            "clusters that hold neighbours together"
        )
    return tuple(told)
