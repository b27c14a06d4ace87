"""Values as users give them: lists, arrays and Series read as numbers, with what is masked as missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import DebiasError, explain

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

_DAYS = "mM"


def given_array(values: object, name: str) -> npt.NDArray[Any]:
    """Return values as an array (n,) of any kind, with NaN or None where they are masked.

    Raises
    ------
    DebiasError
        Not one dimension.

    Examples
    --------
    >>> given_array(np.ma.array([1, 9], mask=[False, True]), "prediction").tolist()
    [1.0, nan]
    """
    if isinstance(values, np.ma.MaskedArray):
        # as an array it would show what lies under the mask
        number = values.dtype.kind in "biuf"
        plain = np.array(values.data, dtype=np.float64 if number else object)
        plain[np.ma.getmaskarray(values)] = np.nan if number else None
        values = plain
    try:
        array = np.asarray(values)
    except ValueError as cause:
        raise DebiasError(_not_flat(name, "rows of different lengths")) from cause
    if array.ndim != 1:
        raise DebiasError(_not_flat(name, f"{array.ndim} dimensions"))
    return array


def given_floats(values: object, name: str) -> FloatArray:
    """Return values as numbers (n,), missing ones as NaN.

    Raises
    ------
    DebiasError
        Not one dimension, or text, days and whatever else is no number.

    Examples
    --------
    >>> given_floats([1, None], "prediction").tolist()
    [1.0, nan]
    """
    array = given_array(values, name)
    told = explain(f"{name} holds {array.dtype}, not numbers.", rule="a number for each place")
    if array.dtype.kind in "mMcSU":
        raise DebiasError(told)
    try:
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as cause:
        raise DebiasError(told) from cause


def given_numbers(values: pd.Series, ids: Labels | pd.Index, name: str) -> FloatArray:
    """Return a Series (n,) as finite numbers.

    Raises
    ------
    DebiasError
        Text, days, complex numbers, missing or infinite values; with how many and the first ids.
    """
    if values.dtype.kind in _DAYS or pd.api.types.is_complex_dtype(values):
        kind = "complex numbers" if pd.api.types.is_complex_dtype(values) else "days or lengths of time"
        raise DebiasError(explain(f"{name} holds {kind}.", rule="a finite number for each place"))
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    if np.isfinite(numbers).all():
        return numbers
    missing, infinite = np.isnan(numbers), np.isinf(numbers)
    text = missing & values.notna().to_numpy()
    for bad, what in ((text, "not a number"), (missing, "missing"), (infinite, "infinite")):
        if bad.any():
            raise DebiasError(
                explain(
                    f"{name} is {what} for {int(bad.sum())} places.",
                    where=ids[bad],
                    rule="a finite number for each place",
                    fix="leave these places out of all arguments, and say why they are missing",
                )
            )
    return numbers


def require_noise(value: object) -> None:
    """Raise unless the variance of noise in measured outcomes is a number, 0 or above."""
    known = isinstance(value, int | float | np.integer | np.floating) and 0 <= float(value) < np.inf
    if not known or isinstance(value, bool):
        raise DebiasError(explain(f"label_noise_var={value!r:.60}.", rule="a variance, 0 or above"))


def _not_flat(name: str, what: str) -> str:
    return explain(f"{name} has {what}.", rule="one number for each place: one dimension")
