"""`Sensitivity`: what one kind of analysis says of an estimate, as a sentence, a table and a figure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal._figures import new_figure
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import jsonable
from eocausal.sensitivities.subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches of a figure, where its kind says nothing else.
WIDE, HIGH = 6.4, 4.2
# Lines of a summary, and rows of its table.
LINES, ROWS = 25, 10


@result_type
@dataclass(frozen=True, eq=False)
class Sensitivity:
    """What one kind of sensitivity analysis says of an estimate. Made by :func:`eocausal.sensitivity`.

    Attributes
    ----------
    kind : str
    subject : Subject
        The estimate that was put to the test.
    sentence : str
        What was found, in words that can be printed as they are.
    frame : DataFrame
        The table; its columns go by the kind.
    numbers : mapping of str to float
        What the sentence rests on, by name.
    curves : mapping of str to DataFrame
        Further tables, which the figure draws.
    estimates : mapping of str to Estimate
        Estimates that were made on the way, such as placebos, with their influence values.
    assumptions, warnings : tuple of str
    diagnostics, provenance : mapping
    """

    kind: str
    subject: Subject
    sentence: str
    frame: pd.DataFrame = field(repr=False)
    numbers: Mapping[str, float]
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    estimates: Mapping[str, Estimate] = field(default_factory=dict, repr=False)
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of units that the estimate is of."""
        return self.subject.n

    @property
    def question(self) -> str:
        """What this kind of analysis asks."""
        from eocausal.sensitivities.kinds import KINDS

        return KINDS[self.kind].question

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.frame.copy()

    def __repr__(self) -> str:
        """One line: the kind, the estimate and the numbers."""
        shown = ", ".join(f"{name} {value:.4g}" for name, value in self.numbers.items())
        noted = f", {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}" if self.warnings else ""
        about = f"{self.kind} of {self.subject.term} {self.subject.estimate:.4g}"
        return f"Sensitivity({about}: {shown}; n {self.n}{noted})"

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        about = self.subject
        head = [
            f"{self.kind}: {self.question}",
            f"{about.estimand} by {about.method}: {about.estimate:.4f} (se {about.std_error:.4f}, {about.vcov})",
            *textwrap.wrap(self.sentence, width=116),
        ]
        table = (
            self.frame.head(ROWS)
            .to_string(index=False, float_format=lambda value: f"{value:.4f}")
            .splitlines()
        )
        left = len(self.frame) - ROWS
        told = [f"assumes: {text}" for text in self.assumptions[:2]]
        told += [f"WARNING: {text}" for text in self.warnings[:4]]
        more = [f"... and {left} more rows in .to_frame()"] if left > 0 else []
        return "\n".join([*head, *table, *more, *told][:LINES])

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure in inches."""
        from eocausal.sensitivities.kinds import KINDS

        return KINDS[self.kind].size

    def draw(self, figure: Figure) -> None:
        """Draw the figure of the kind onto an empty one."""
        from eocausal.sensitivities.kinds import KINDS, load

        load(KINDS[self.kind].draw)(figure, self)

    def plot(self) -> Figure:
        """Draw the figure of the kind and return it."""
        figure = new_figure(*self.size)
        self.draw(figure)
        return figure

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "Sensitivity",
            "kind": self.kind,
            "subject": jsonable(self.subject.to_dict()),
            "sentence": self.sentence,
            "frame": _table_content(self.frame),
            "numbers": jsonable(self.numbers),
            "curves": {name: _table_content(one) for name, one in self.curves.items()},
            "estimates": {name: one.to_dict(scores=scores) for name, one in self.estimates.items()},
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
            "diagnostics": jsonable(self.diagnostics),
            "provenance": jsonable(self.provenance),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Sensitivity:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        numbers = {name: np.nan if value is None else value for name, value in content["numbers"].items()}
        return cls(
            kind=content["kind"],
            subject=Subject.from_dict(content["subject"]),
            sentence=content["sentence"],
            frame=_table_of(content["frame"]),
            numbers=numbers,
            curves={name: _table_of(one) for name, one in content["curves"].items()},
            estimates={name: Estimate.from_dict(one) for name, one in content["estimates"].items()},
            assumptions=tuple(content["assumptions"]),
            warnings=tuple(content["warnings"]),
            diagnostics=content["diagnostics"],
            provenance=content["provenance"],
        )


def _table_content(frame: pd.DataFrame) -> dict[str, Any]:
    """Return columns with their kinds; infinite numbers as text, which JSON has no number for."""
    columns = {}
    for name in frame:
        values = frame[name]
        infinite = values.dtype.kind == "f" and np.isinf(values).any()
        columns[str(name)] = [_as_text(one) for one in values] if infinite else jsonable(values.to_numpy())
    return {"columns": columns, "kinds": {str(name): frame[name].dtype.kind for name in frame}}


def _as_text(value: float) -> float | str | None:
    return str(value) if np.isinf(value) else jsonable(float(value))


def _table_of(content: Mapping[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(content["columns"])
    for name, kind in content["kinds"].items():
        if kind in "fiub":
            frame[name] = frame[name].astype({"f": float, "i": int, "u": int, "b": bool}[kind])
        elif frame[name].dtype.kind != kind:
            # a column without a row, or with nothing but gaps, does not show what it was
            frame[name] = frame[name].astype(object)
    return frame
