"""A grid of specifications as it is asked for: choices by name, read and checked, and their product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pandas as pd

from eocausal._checks import did_you_mean, one_of, whole_number
from eocausal.design import Design
from eocausal.effects.ate import METHODS_OF
from eocausal.effects.least_squares import COEFFICIENT
from eocausal.embeddings import Embeddings
from eocausal.errors import SensitivityError, explain
from eocausal.inference.how import distance_text
from eocausal.inference.tilting import ESTIMANDS
from eocausal.inference.trim import Trim
from eocausal.inference.vcov import resolve_vcov
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.learners import Learners
from eocausal.panels.aggregate import AGGREGATES
from eocausal.panels.design import PanelDesign
from eocausal.panels.panel import OPTIONS as PANEL_OPTIONS
from eocausal.panels.staggered import CONTROLS

Study = Design | PanelDesign
Label = str | int

USUAL = "as usual"
# What a design is made of, and so cannot be the same for all by an option of the verb.
OF_DESIGN = ("features", "blocks", "covariates")


@dataclass(frozen=True, eq=False)
class Choice:
    """One thing that can be done in several ways: its name, and the ways by what they are called."""

    name: str
    ways: Mapping[Label, Any]

    @property
    def in_words(self) -> str:
        """How it is called in a sentence."""
        return _KINDS[self.name].in_words


@dataclass(frozen=True)
class _Kind:
    """How a choice is called in a sentence, how one way of it is checked, and what that way is called."""

    in_words: str
    read: Callable[[Any, Study], Any]
    say: Callable[[Any, Study], Label]


def read_grid(grid: object, design: Study) -> tuple[Choice, ...]:
    """Return the choices of a grid, in its order.

    Raises
    ------
    SensitivityError
        No mapping, names or values that are not known, ways that repeat, or a single specification.
    """
    if not isinstance(grid, Mapping) or not grid:
        fix = 'ec.robustness(design, {"method": ["aipw", "ols"], "seed": [0, 1, 2]})'
        raise SensitivityError(
            explain("grid is no mapping of names to lists of what to go through.", fix=fix)
        )
    known = choices_of(design)
    for name in grid:
        _require_known(name, known)
    choices = tuple(Choice(str(name), _ways(str(name), given, design)) for name, given in grid.items())
    if prod(len(one.ways) for one in choices) == 1:
        raise SensitivityError(
            explain("The grid has one specification only.", fix="at least two ways in one of its lists")
        )
    return choices


def read_options(options: Mapping[str, Any], grid: Sequence[Choice], design: Study) -> dict[str, Any]:
    """Return the options that all specifications share, checked as those of the grid are."""
    known = tuple(name for name in choices_of(design) if name not in OF_DESIGN)
    for name, value in options.items():
        _require_known(name, known)
        if name in [one.name for one in grid]:
            raise SensitivityError(
                explain(f"{name}= is an option, and a choice of the grid.", fix="one of them")
            )
        _KINDS[name].read(value, design)
    return dict(options)


def choices_of(design: Study) -> tuple[str, ...]:
    """Return what may be varied in a cross-section, or in a panel."""
    if isinstance(design, PanelDesign):
        return (
            "method",
            *dict.fromkeys(one for own in PANEL_OPTIONS.values() for one in own),
            "seed",
            "vcov",
        )
    return (*OF_DESIGN, "method", "estimand", "trim", "learners", "folds", "seed", "vcov")


def specifications(choices: Sequence[Choice], *, most: int, seed: int) -> tuple[list[tuple[Label, ...]], int]:
    """Return the labels of each specification, in the order of the grid, and how many there are in all.

    Where there are more than ``most``, the first of all and others drawn at random.
    """
    sizes = tuple(len(one.ways) for one in choices)
    total = prod(sizes)
    if total > most:
        drawn = np.random.default_rng(seed).choice(total - 1, size=most - 1, replace=False)
        chosen = np.concatenate([[0], 1 + np.sort(drawn)])
    else:
        chosen = np.arange(total)
    labels = [list(one.ways) for one in choices]
    places = np.array(np.unravel_index(chosen, sizes)).T
    return [tuple(own[place] for own, place in zip(labels, row)) for row in places], total


def named(choices: Sequence[Choice], labels: Sequence[Label]) -> str:
    """Return what a specification is called: the choices that differ between specifications.

    Examples
    --------
    >>> named((Choice("method", {"aipw": "aipw", "ols": "ols"}), Choice("seed", {0: 0, 1: 1})), ("ols", 1))
    'method ols, seed 1'
    """
    told = [f"{one.name} {label}" for one, label in zip(choices, labels) if len(one.ways) > 1]
    return ", ".join(told)


def _require_known(name: object, known: Sequence[str]) -> None:
    if name not in known:
        rule = f"what may be varied here: {', '.join(known)}"
        text = f"The grid, or an option, is called {name!r}, which cannot be varied."
        raise SensitivityError(explain(text, rule=rule, fix=did_you_mean(str(name), known)))


def _ways(name: str, given: object, design: Study) -> dict[Label, Any]:
    kind = _KINDS[name]
    if isinstance(given, Mapping) and given:
        return {str(label): kind.read(value, design) for label, value in given.items()}
    if name == "features" or not isinstance(given, list | tuple | range) or not given:
        usual = '{"480 m": small, "none": None}' if name == "features" else "[one, another]"
        text = f"grid[{name!r}] is a {type(given).__name__}, or is empty."
        rule = "features by name" if name == "features" else "a list, or a mapping of names to ways"
        raise SensitivityError(explain(text, rule=rule, fix=f"{{{name!r}: {usual}}}"))
    found: dict[Label, Any] = {}
    for one in given:
        value = kind.read(one, design)
        label = kind.say(value, design)
        if label in found:
            if _same(found[label], value):
                raise SensitivityError(explain(f"grid[{name!r}] has {label!r} twice."))
            alike = sum(str(other).split(" (")[0] == str(label) for other in found)
            label = f"{label} ({alike + 1})"
        found[label] = value
    return found


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) or isinstance(other, Mapping):
        return one is other
    return bool(one == other)


def _name(
    allowed: Callable[[Study], Sequence[str]], argument: str, *, usual: bool = True
) -> Callable[[Any, Study], str | None]:
    def read(value: Any, design: Study) -> str | None:
        if value is None and usual:
            return None
        return one_of(value, tuple(allowed(design)), argument=argument, error=SensitivityError)

    return read


def _of_type(kind: type, fix: str) -> Callable[[Any, Study], Any]:
    def read(value: Any, design: Study) -> Any:
        if value is not None and not isinstance(value, kind):
            raise SensitivityError(explain(f"{value!r:.60} is no {kind.__name__}.", fix=fix))
        return value

    return read


def _methods(design: Study) -> tuple[str, ...]:
    return tuple(PANEL_OPTIONS if isinstance(design, PanelDesign) else METHODS_OF[design.treatment_type])


def _several(value: Any, what: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise SensitivityError(
            explain(f"{value!r:.60} names no {what}.", rule="a list of names, or None for all")
        )
    return tuple(value)


def _read_blocks(value: Any, design: Study) -> tuple[str, ...] | None:
    return _several(value, "blocks of features")


def _read_covariates(value: Any, design: Study) -> tuple[str, ...] | None:
    kept = _several(value, "covariates")
    for name in kept or ():
        if name not in design.covariates:
            raise SensitivityError(
                explain(
                    f"{name!r} is no covariate of the design.",
                    rule="the grid keeps some of the covariates that the design has",
                    fix=did_you_mean(name, design.covariates)
                    if design.covariates
                    else "covariates= in Design",
                )
            )
    return kept


def _read_vcov(value: Any, design: Study) -> Any:
    # of a panel the rows depend on the method, and clusters of images on the features
    later = value is None or value == "cluster" if isinstance(value, str | None) else _by_cluster(value)
    if isinstance(design, Design) and not later:
        resolve_vcov(value, groups=design.cluster_labels(), ids=design.table.ids)
    return value


def _by_cluster(value: Any) -> bool:
    return isinstance(value, Mapping) and bool({"cluster", "bootstrap"} & set(value))


def _say_vcov(value: Any, design: Study) -> str:
    if value is None or isinstance(value, str):
        return value or USUAL
    if not isinstance(value, Mapping):
        return str(value.label)
    told = [f"{name} {one.name if isinstance(one, pd.Series) else one}" for name, one in value.items()]
    return ", ".join(told)


def _say_learners(value: Learners | None, design: Study) -> str:
    if value is None:
        return USUAL
    usual = Learners()
    said = [one if isinstance(one, str) else type(one).__name__ for one in (value.outcome, value.propensity)]
    said += [f"pca {value.pca}"] if value.pca != usual.pca else []
    said += [f"{value.columns} alone"] if value.columns != usual.columns else []
    return ", ".join([*said, *([value.calibration] if value.calibration else [])])


def _say_folds(value: Folds | None, design: Study) -> str:
    if value is None:
        return USUAL
    said = f"{value.k} folds" + (" of units" if value.kind == "random" else "")
    said += f" of cells of {distance_text(value.block_m)}" if value.block_m is not None else ""
    return said + (f", {value.repeats} repeats" if value.repeats > 1 else "")


def _say_trim(value: Trim | None, design: Study) -> str:
    if value is None:
        return "none"
    return value.rule if value.low is None else f"{value.rule} {value.low:g} to {value.high:g}"


def _say_names(value: tuple[str, ...] | None, design: Study) -> str:
    return "all" if value is None else " + ".join(value) or "none"


def _say(value: Any, design: Study) -> Label:
    return value if isinstance(value, int) else USUAL if value is None else str(value)


_KINDS: dict[str, _Kind] = {
    "features": _Kind(
        "the set of features",
        _of_type(Embeddings, "ec.read_embeddings(table, key='image_key'), or None for covariates alone"),
        _say,
    ),
    "blocks": _Kind("the blocks of features", _read_blocks, _say_names),
    "covariates": _Kind("the covariates", _read_covariates, _say_names),
    "method": _Kind("the method", _name(_methods, "method", usual=False), _say),
    "estimand": _Kind(
        "whose average effect is asked for",
        _name(lambda design: (*ESTIMANDS, COEFFICIENT), "estimand"),
        _say,
    ),
    "trim": _Kind("the trimming", _of_type(Trim, "ec.Trim('fixed', low=0.1, high=0.9), or None"), _say_trim),
    "learners": _Kind(
        "the learners", _of_type(Learners, "ec.Learners(outcome=..., propensity=...)"), _say_learners
    ),
    "folds": _Kind("the folds", _of_type(Folds, "ec.Folds(k=5)"), _say_folds),
    "seed": _Kind(
        "the seed", lambda value, design: whole_number(value, argument="seed", error=SensitivityError), _say
    ),
    "vcov": _Kind("the standard errors", _read_vcov, _say_vcov),
    "aggregate": _Kind(
        "how effects are averaged", _name(lambda design: tuple(AGGREGATES), "aggregate"), _say
    ),
    "control": _Kind("who is compared with", _name(lambda design: tuple(CONTROLS), "control"), _say),
    "window": _Kind("the window", _of_type(tuple, "window=(-4, 4)"), _say),
}
