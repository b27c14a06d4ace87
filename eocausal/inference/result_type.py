"""What all results have in common: equal where their content is equal, shown in notebooks as their summary."""

from __future__ import annotations

import html
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type)


def result_type(kind: Kind) -> Kind:
    """Give a result class equality by content, no hash, and its summary as HTML.

    For classes with ``to_dict(scores=)`` and ``summary()``. Two results are equal when they are of one class and
    ``to_dict(scores=True)`` gives the same.

    Examples
    --------
    >>> @result_type
    ... class Share:
    ...     def __init__(self, value): self.value = value
    ...     def to_dict(self, *, scores=False): return {"value": self.value}
    ...     def summary(self): return f"share < {self.value}"
    >>> Share(0.5) == Share(0.5), Share(0.5) == 0.5, Share(0.5)._repr_html_()
    (True, False, '<pre>share &lt; 0.5</pre>')
    """

    def equal(self: Any, other: Any) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        return self.to_dict(scores=True) == other.to_dict(scores=True)

    def shown(self: Any) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    for name, value in (("__eq__", equal), ("__hash__", None), ("_repr_html_", shown)):
        setattr(kind, name, value)
    return kind
