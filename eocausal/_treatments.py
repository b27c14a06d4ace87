"""The treatment column as numbers: two arms, several named arms, or a dose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import did_you_mean
from eocausal.errors import DesignError, explain

FloatArray = npt.NDArray[np.float64]

TREATMENT_TYPES = ("binary", "categorical", "continuous")
# With fewer values than this a dose is a set of arms, and no average over near doses means anything.
FEWEST_DOSES = 6
# Doses are alike, where folds should be, when they lie in the same of this many parts of equal size.
DOSE_PARTS = 4


@dataclass(frozen=True)
class Treatment:
    """What each unit got: codes (n,) of the arms, or doses (n,), and the names of the arms, control first."""

    assigned: FloatArray
    arms: tuple[str, ...]


def read_treatment(
    column: pd.Series, ids: npt.NDArray[Any], *, treatment_type: str, control: object = None
) -> Treatment:
    """Read a treatment column as its type says, or raise with what would mend it."""
    _refuse_missing(column, ids, treatment_type)
    if treatment_type != "categorical" and control is not None:
        raise DesignError(
            explain(
                f"control={control!r} is given, but treatment_type is {treatment_type!r}.",
                rule="control= names the reference among several arms",
                fix="leave control= out, or treatment_type='categorical'",
            )
        )
    if treatment_type == "categorical":
        return _read_arms(column, ids, control)
    if treatment_type == "continuous":
        return Treatment(_read_doses(column, ids), ())
    return Treatment(_read_two_arms(column), ("control", "treated"))


def require_arms(treatment: Treatment, name: str) -> None:
    """Raise where an arm has fewer than two units, or where the dose does not vary."""
    assigned = treatment.assigned
    if not treatment.arms:
        if assigned.size < 2 or np.ptp(assigned) == 0:
            raise DesignError(explain(f"Treatment {name!r} has one dose for all {assigned.size} units."))
        return
    counts = [int((assigned == code).sum()) for code in range(len(treatment.arms))]
    if min(counts) >= 2:
        return
    if treatment.arms == ("control", "treated"):
        text = f"Treatment {name!r} has {counts[1]} treated and {counts[0]} control units."
        raise DesignError(explain(text, rule="at least 2 units in each arm"))
    raise DesignError(
        explain(
            f"Treatment {name!r} has arms with fewer than 2 units.",
            where=[f"{arm}: {count}" for arm, count in zip(treatment.arms, counts) if count < 2],
            rule="at least 2 units in each arm",
            fix="leave these arms out, or put them together with others",
        )
    )


def two_arms_only(what: str, treatment_type: str) -> DesignError:
    """Return the error of everything that compares two arms, for a design that has not two."""
    several = treatment_type == "categorical"
    able = "ec.ate(design), with one effect for each arm" if several else "ec.dose_response(design)"
    part = "design.pair(arm)" if several else "data['high'] = (data[dose] > cut).astype(int)"
    return DesignError(
        explain(
            f"{what} needs two arms, and the treatment of this design is {treatment_type}.",
            rule="treatment_type='binary', 0 = control and 1 = treated",
            fix=f"{able}; or a design of two arms: {part}",
        )
    )


def alike(treatment: Treatment) -> npt.NDArray[np.intp]:
    """Return codes (n,) of units that got alike: the arms, or parts of the range of doses of equal size.

    Examples
    --------
    >>> alike(Treatment(np.array([0.1, 5.0, 2.0, 9.0]), ())).tolist()
    [0, 2, 1, 3]
    """
    if treatment.arms:
        return treatment.assigned.astype(np.intp)
    edges = np.quantile(treatment.assigned, np.arange(1, DOSE_PARTS) / DOSE_PARTS)
    return np.searchsorted(edges, treatment.assigned, side="right").astype(np.intp)


def _refuse_missing(column: pd.Series, ids: npt.NDArray[Any], treatment_type: str) -> None:
    missing = column.isna().to_numpy()
    if not missing.any():
        return
    name = column.name
    fix = f"data = data.dropna(subset=[{name!r}])"
    if treatment_type == "categorical":
        fix += f"; where missing means no treatment, data[{name!r}] = data[{name!r}].fillna('none')"
    raise DesignError(explain(f"Treatment {name!r} is missing for some units.", where=ids[missing], fix=fix))


def _read_two_arms(column: pd.Series) -> FloatArray:
    name, values = column.name, column.unique().tolist()
    if pd.api.types.is_numeric_dtype(column) and set(values) <= {0, 1}:
        return column.to_numpy(dtype=float)
    shown = ", ".join(repr(value) for value in sorted(values, key=str)[:5])
    fix = f"data[{name!r}] = (data[{name!r}] == {values[-1]!r}).astype(int)"
    if set(map(str, values)) <= {"0", "1"}:
        fix = f"data[{name!r}] = data[{name!r}].astype(int)"
    elif len(values) > 2:
        fix = f"keep two arms, then {fix}; or {_other_type(column)}"
    raise DesignError(
        explain(
            f"Treatment {name!r} is not coded 0 and 1: it holds {len(values)} values ({shown}).",
            rule="0 = control, 1 = treated",
            fix=fix,
        )
    )


def _other_type(column: pd.Series) -> str:
    """Return the argument of Design that would read a column of more than two values."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() >= FEWEST_DOSES:
        return "Design(..., treatment_type='continuous') for a dose"
    return "Design(..., treatment_type='categorical', control=...) for several arms"


def _read_arms(column: pd.Series, ids: npt.NDArray[Any], control: object) -> Treatment:
    """Return codes of named arms, the control first, the others in the order of the column or of their names."""
    name = column.name
    names = _level_names(column)
    blank = names.str.strip().eq("").to_numpy()
    if blank.any():
        raise DesignError(explain(f"Treatment {name!r} is blank for some units.", where=ids[blank]))
    levels = _levels_in_order(column, names)
    folded = [level.strip().casefold() for level in levels]
    twins = [level for level, plain in zip(levels, folded) if folded.count(plain) > 1]
    if twins:
        raise DesignError(
            explain(
                f"Arms of {name!r} differ in case or blanks alone.",
                where=[repr(twin) for twin in twins],
                fix=f"data[{name!r}] = data[{name!r}].str.strip().str.lower()",
            )
        )
    counts = names.value_counts()
    listed = ", ".join(f"{level!r}: {counts[level]}" for level in levels[:12])
    if len(levels) < 2:
        raise DesignError(explain(f"Treatment {name!r} has a single arm ({listed}).", rule="at least 2 arms"))
    if isinstance(control, float) and control.is_integer():
        control = int(control)
    if control is None or str(control) not in levels:
        raise DesignError(
            explain(
                f"control={control!r} is not an arm of {name!r}."
                if control is not None
                else f"Treatment {name!r} is categorical and control= is not given.",
                rule=f"control is the arm that others are compared with; arms and units: {listed}",
                fix=f"control={levels[0]!r}" if control is None else did_you_mean(str(control), levels),
            )
        )
    arms = (str(control), *(level for level in levels if level != str(control)))
    return Treatment(pd.Index(arms).get_indexer(pd.Index(names)).astype(float), arms)


def _level_names(column: pd.Series) -> pd.Series:
    """Return the arm of each unit as text; whole numbers lose their point, other numbers are no arms."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=float)
        if not np.isfinite(values).all() or (values != np.round(values)).any():
            raise DesignError(
                explain(
                    f"Treatment {column.name!r} holds numbers that are not whole, which name no arms.",
                    fix="treatment_type='continuous' for a dose, or pd.cut() into named arms",
                )
            )
        return pd.Series(values, index=column.index).astype("int64").astype(str)
    kinds = {type(value).__name__ for value in column.unique().tolist()}
    if len(kinds) > 1:
        raise DesignError(
            explain(
                f"Treatment {column.name!r} holds {', '.join(sorted(kinds))}.",
                rule="arms are all text or all whole numbers",
                fix=f"data[{column.name!r}] = data[{column.name!r}].astype(str)",
            )
        )
    return column.astype(str)


def _levels_in_order(column: pd.Series, names: pd.Series) -> list[str]:
    """Return the arms that occur: in the order of a category column, of numbers, or of the alphabet."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        present = set(names)
        return [str(level) for level in column.cat.categories if str(level) in present]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return [str(level) for level in sorted(int(level) for level in names.unique())]
    return sorted(names.unique().tolist())


def _read_doses(column: pd.Series, ids: npt.NDArray[Any]) -> FloatArray:
    name = column.name
    types = pd.api.types
    real = types.is_numeric_dtype(column) and not types.is_complex_dtype(column)
    if not real or types.is_bool_dtype(column):
        raise DesignError(
            explain(
                f"Treatment {name!r} is not numeric, so it is no dose.",
                fix=f"data[{name!r}] = pd.to_numeric(data[{name!r}]), or treatment_type='categorical'",
            )
        )
    doses = column.to_numpy(dtype=float)
    if not np.isfinite(doses).all():
        raise DesignError(
            explain(f"Treatment {name!r} holds infinite doses.", where=ids[~np.isfinite(doses)])
        )
    n_values = np.unique(doses).size
    if n_values < FEWEST_DOSES:
        kind = "binary'" if set(doses.tolist()) <= {0.0, 1.0} else "categorical', control=..."
        raise DesignError(
            explain(
                f"Treatment {name!r} has {n_values} distinct values, too few for a dose.",
                rule=f"a dose has at least {FEWEST_DOSES} distinct values",
                fix=f"treatment_type='{kind}",
            )
        )
    return doses
