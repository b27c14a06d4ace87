"""What is printed of an analysis of the odds of treatment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from eocausal.sensitivities.subject import Subject

# So many benchmarks are named in the sentence.
NAMED = 2


def factor(value: float) -> str:
    """Return a factor with the digits that are of use.

    Examples
    --------
    >>> factor(1.8342), factor(1.0412), factor(23.4)
    ('1.83', '1.04', '23')
    """
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def sentence(
    about: Subject, numbers: Mapping[str, float], benchmarks: pd.DataFrame, *, level: float, most: float
) -> str:
    """Return what an economist could print: when the sign is lost, and what benchmarks do to the odds."""
    value, point, sure = about.estimate, numbers["breakdown"], numbers["breakdown_interval"]
    interval = f"{100 * level:g}% interval"
    moves = "an unseen confounder moves the odds of treatment of units that look alike"
    if value == 0:
        return "The estimate is zero and has no sign that an unseen confounder could change."
    sign = f"The sign of the estimate ({value:.3g})"
    if np.isnan(point):
        holds = f"{sign} holds even if {moves} by a factor of {most:.0f} either way"
    else:
        holds = f"{sign} holds unless {moves} by more than a factor of {factor(point)}"
    if sure == 1:
        tail = f", but its {interval} holds zero as it is"
    elif np.isnan(sure):
        tail = f", and so does that of the whole {interval}"
    else:
        tail = f"; the {interval} reaches zero from a factor of {factor(sure)} on"
    return " ".join([holds + tail + ".", *_yardstick(benchmarks)])


def _yardstick(benchmarks: pd.DataFrame) -> list[str]:
    told = [
        f"leaving out {row['in_words']} moves them by factors up to {factor(row['largest'])} "
        f"({factor(row['percentile_95'])} for 95% of units)"
        for row in benchmarks.head(NAMED).to_dict("records")
    ]
    if not told:
        return []
    text = ", ".join(told)
    return [text[0].upper() + text[1:] + "."]
