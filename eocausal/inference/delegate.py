"""Let a richer result answer the questions that the estimate inside it can answer."""

from __future__ import annotations

from typing import Any, ClassVar


class Delegated:
    """Class attribute that reads the attribute of the same name from an object held by the instance.

    Without the name of the holder it is the one that the class calls ``answered_by``.

    Examples
    --------
    >>> class Curve:
    ...     real = Delegated("height")
    ...     def __init__(self, height): self.height = height
    >>> Curve(2 + 3j).real
    2.0
    """

    def __init__(self, holder: str | None = None) -> None:
        self.holder = holder

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the held object's attribute, or the descriptor itself on the class."""
        if instance is None:
            return self
        return getattr(getattr(instance, self.holder or instance.answered_by), self.name)


class Answering:
    """The members that every result has, for one that holds an estimate which answers for all of them.

    Attributes
    ----------
    answered_by : str
        Name of the field that holds it.

    Examples
    --------
    >>> class Curve(Answering):
    ...     answered_by = "found"
    ...     def __init__(self, found): self.found = found
    >>> from types import SimpleNamespace
    >>> Curve(SimpleNamespace(estimate=2.5)).estimate
    2.5
    """

    answered_by: ClassVar[str] = "fit"

    estimand = Delegated()
    method = Delegated()
    terms = Delegated()
    n = Delegated()
    n_clusters = Delegated()
    vcov = Delegated()
    estimate = Delegated()
    std_error = Delegated()
    ci = Delegated()
    p_value = Delegated()
    scores = Delegated()
    assumptions = Delegated()
    warnings = Delegated()
    diagnostics = Delegated()
    provenance = Delegated()
    to_frame = Delegated()
    to_latex = Delegated()
