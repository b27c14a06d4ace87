"""Every error that eocausal raises on purpose.

One root, :class:`EocausalError`, and one class for each thing a user can mend. All of them are also
``ValueError``, so code that already catches bad values keeps working. Texts are built by :func:`explain`:
what is wrong, where (count and first ids), the rule that was broken, and how to mend it.

::

    EocausalError (ValueError)
    ├── UnitsError          the table of units
    ├── ImageryError        rasters, windows, chips
    ├── EncoderError        the encoder, its weights, its input
    ├── EmbeddingsError     the table of features and its store
    ├── DesignError         outcome, treatment, covariates, clusters, weights
    │   └── LeakError       information from treatment or outcome where it must not be
    ├── EstimationError     an estimator, learner, fold scheme or variance that cannot run
    ├── EvaluationError     RATE, balance, overlap
    ├── SpecError           a YAML specification
    └── ReportError         writing the report

What a reader of a result must know is not an error: it stands in the result's ``warnings``.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "DesignError",
    "EmbeddingsError",
    "EncoderError",
    "EocausalError",
    "EstimationError",
    "EvaluationError",
    "ImageryError",
    "LeakError",
    "ReportError",
    "SpecError",
    "UnitsError",
    "explain",
]


class EocausalError(ValueError):
    """Root of all errors that eocausal raises on purpose."""


class UnitsError(EocausalError):
    """The table of units cannot be read as asked."""


class ImageryError(EocausalError):
    """Rasters or chips cannot be read as asked."""


class EncoderError(EocausalError):
    """An encoder is unknown, or its input does not fit it."""


class EmbeddingsError(EocausalError):
    """A table of features cannot be read, joined or resumed."""


class DesignError(EocausalError):
    """The study design is not one that an effect can be estimated from."""


class LeakError(DesignError):
    """Information about treatment or outcome is where it must not be."""


class EstimationError(EocausalError):
    """An estimator cannot run on this design with these settings."""


class DebiasError(EocausalError):
    """Predictions cannot be corrected, or judged, with these measured outcomes."""


class EvaluationError(EocausalError):
    """An evaluation (RATE, balance, overlap) would not mean what it says."""


class SensitivityError(EocausalError):
    """A sensitivity analysis does not apply to this result, or not with these settings."""


class SpecError(EocausalError):
    """A YAML specification is wrong."""


class ReportError(EocausalError):
    """A report cannot be written."""


def explain(what: str, *, where: Iterable[object] = (), rule: str = "", fix: str = "") -> str:
    """Build an error text: what is wrong, where, the rule, and the remedy.

    Parameters
    ----------
    what : str
        What is wrong, naming the argument, column or file.
    where : iterable, optional
        Offending ids, rows or names; the count and the first five are shown, with control characters as
        escapes, so that no id can move a terminal's cursor or change its colours.
    rule : str, optional
        The bound or rule that was broken.
    fix : str, optional
        What the user can do, if possible the line of code that does it.

    Returns
    -------
    str
        At most four lines.

    Examples
    --------
    >>> print(explain("Column 'id' holds duplicates.", where=[7, 7], fix="Pass a composite id."))
    Column 'id' holds duplicates.
      Where: 2 (7, 7)
      Mend: Pass a composite id.
    """
    lines = [what]
    places = list(where)
    if places:
        shown = ", ".join(_shown(place) for place in places[:5])
        more = ", ..." if len(places) > 5 else ""
        lines.append(f"  Where: {len(places)} ({shown}{more})")
    if rule:
        lines.append(f"  Rule: {rule}")
    if fix:
        lines.append(f"  Mend: {fix}")
    return "\n".join(lines)


def _shown(place: object) -> str:
    r"""Return text with control and format characters, and separators of lines, as escapes.

    Examples
    --------
    >>> print(_shown("a\x1b[31m"), _shown("Kampála"))
    a\x1b[31m Kampála
    """
    text = str(place)
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode()
        for one in text
    )
