"""Let a richer result answer the questions that the estimate inside it can answer."""

from __future__ import annotations

from typing import Any


class Delegated:
    """Class attribute that reads the attribute of the same name from an object held by the instance.

    Examples
    --------
    >>> class Curve:
    ...     real = Delegated("height")
    ...     def __init__(self, height): self.height = height
    >>> Curve(2 + 3j).real
    2.0
    """

    def __init__(self, holder: str) -> None:
        self.holder = holder

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the held object's attribute, or the descriptor itself on the class."""
        return self if instance is None else getattr(getattr(instance, self.holder), self.name)
