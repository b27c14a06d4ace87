"""Each specification of a grid as an estimate, all on the same units; and why some have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from eocausal.design import Design
from eocausal.effects.ate import ate
from eocausal.errors import DesignError, EstimationError, SensitivityError, explain
from eocausal.evaluate.sweep import on_the_same_units
from eocausal.inference.estimate import Estimate
from eocausal.panels.design import PanelDesign
from eocausal.panels.panel import panel
from eocausal.sensitivities.specification_grid import OF_DESIGN, Choice, Label, Study, named
from eocausal.sensitivities.specification_store import SpecificationStore, key_of
from eocausal.sensitivities.subject import one_estimate


@dataclass(frozen=True, eq=False)
class Specified:
    """Estimates by the name of their specification, with its labels; and those left out, with the reason.

    Attributes
    ----------
    labels : mapping of str to tuple
        One label for each choice of the grid.
    estimates : mapping of str to Estimate
    undefined, repeated : mapping of str to str
        Why a specification has no estimate; which other one it is the same as.
    notes : tuple of str
        Units that were left out of all.
    """

    labels: Mapping[str, tuple[Label, ...]]
    estimates: Mapping[str, Estimate]
    undefined: Mapping[str, str]
    repeated: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Workbench:
    """What turns specifications into estimates: the design, the choices, and the options that all share."""

    design: Study
    choices: tuple[Choice, ...]
    options: Mapping[str, Any]
    term: str | None
    store: SpecificationStore
    _before: dict[str, Estimate] = field(default_factory=dict)
    _designs: dict[tuple[Label, ...], Any] = field(default_factory=dict)

    def specified(self, every: Sequence[tuple[Label, ...]], *, progress: bool) -> Specified:
        """Return the estimates of all specifications."""
        from tqdm import tqdm

        labels, estimates, undefined, repeated = {}, {}, {}, {}
        seen: dict[tuple[Any, ...], str] = {}
        for own in tqdm(every, desc="robustness", unit="specification", disable=not progress):
            name = named(self.choices, own)
            try:
                made = self._estimate(own)
            except (EstimationError, DesignError, SensitivityError) as cause:
                undefined[name] = _reason(cause)
                continue
            same = seen.setdefault(_content(made), name)
            if same != name:
                repeated[name] = same
                continue
            labels[name], estimates[name] = own, made
        if not estimates:
            reasons = list(dict.fromkeys(undefined.values()))
            raise SensitivityError(
                explain(f"None of {len(every)} specifications has an estimate.", where=reasons)
            )
        return Specified(labels, estimates, undefined, repeated, self._units[1])

    def _estimate(self, labels: tuple[Label, ...]) -> Estimate:
        asked = {one.name: one.ways[label] for one, label in zip(self.choices, labels)}
        design = self._design_of(labels)
        options = {**self.options, **{name: value for name, value in asked.items() if name not in OF_DESIGN}}
        vcov = self._vcov(options.pop("vcov", None), design)
        # standard errors made another way need no fit
        of = [label for one, label in zip(self.choices, labels) if one.name != "vcov"]
        before = self._before.get(repr(of))
        if before is not None and vcov is not None:
            return before.with_vcov(vcov)
        key = "" if self.store.folder is None else key_of(design, {**options, "vcov": vcov}, self.term)
        made = self.store.load(key)
        if made is None:
            verb: Any = panel if isinstance(design, PanelDesign) else ate
            given = {name: value for name, value in options.items() if value is not None}
            made = one_estimate(verb(design, vcov=vcov, **given), self.term)
            # the design of every estimate would stay in memory, and one from the folder has none either
            made = replace(made, origin=None)
            self.store.save(key, made)
        self._before[repr(of)] = made
        return made

    def _design_of(self, labels: tuple[Label, ...]) -> Any:
        """Return the design of a specification; the last one is kept, as neighbours in a grid share theirs."""
        by = {one.name: (one.ways[label], label) for one, label in zip(self.choices, labels)}
        key = tuple(by[name][1] for name in OF_DESIGN if name in by)
        if key not in self._designs:
            self._designs.clear()
            self._designs[key] = self._made({name: by.get(name, (None, ""))[0] for name in OF_DESIGN}, by)
        return self._designs[key]

    def _made(self, asked: Mapping[str, Any], by: Mapping[str, tuple[Any, Label]]) -> Any:
        design = self._units[0][str(by["features"][1]) if "features" in by else ""]
        blocks, kept = asked["blocks"], asked["covariates"]
        if blocks is not None:
            there = tuple(design.table.feature_blocks)
            missing = [name for name in blocks if name not in there]
            if missing:
                raise SensitivityError(explain("These features have no such block.", where=missing))
            design = design.without(blocks=[name for name in there if name not in blocks])
        if kept is not None:
            design = design.without([name for name in design.covariates if name not in kept])
        return design

    @cached_property
    def _units(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the design with each set of features, all on the same units, and who was left out."""
        design = self.design
        if isinstance(design, PanelDesign):
            return {"": design}, ()
        if len(design) < len(design.data):
            # methods that look at no covariates and no images would else take in units that miss some
            design = design.take(np.arange(len(design)))
        ways = next((one.ways for one in self.choices if one.name == "features"), None)
        if ways is None:
            return {"": design}, ()
        sets = {str(label): one for label, one in ways.items() if one is not None}
        if not sets:
            raise SensitivityError(explain("grid['features'] has no set of features."))
        read, notes = on_the_same_units(design, sets)
        first = next(iter(read.values()))
        alone = first.without(features=True)
        return {str(label): read.get(str(label), alone) for label in ways}, tuple(notes)

    @cached_property
    def _clusters(self) -> dict[str, pd.Series]:
        """Return the labels by unit of all clusters that any of the designs knows, those of the first first."""
        found: dict[str, pd.Series] = {}
        for one in self._units[0].values():
            for name, labels in one.cluster_labels().items():
                found.setdefault(name, pd.Series(labels, index=one.table.ids, name=name))
        return found

    def _vcov(self, asked: Any, design: Any) -> Any:
        """Return standard errors as asked for, the same in all designs: without features by images still."""
        if not isinstance(design, Design):
            return asked
        known, own = self._clusters, design.cluster_labels()
        if asked is None:
            asked = "cluster" if known else "iid"
        first = {"cluster": next(iter(known))} if known else {}
        if asked == "cluster" and known:
            asked = first
        if isinstance(asked, Mapping) and "bootstrap" in asked and "block" not in asked:
            asked = {**first, **asked}
        if not isinstance(asked, Mapping) or "cluster" not in asked:
            return asked

        def given(one: Any) -> Any:
            return known[one] if isinstance(one, str) and one in known and one not in own else one

        wanted = asked["cluster"]
        several = isinstance(wanted, list | tuple)
        return {**asked, "cluster": [given(one) for one in wanted] if several else given(wanted)}


def _reason(cause: Exception) -> str:
    """Return what is wrong, and where, of an error text.

    Examples
    --------
    >>> _reason(SensitivityError(explain("There are two terms.", where=["aid", "roads"], fix="term='aid'")))
    'There are two terms: aid, roads'
    """
    first, *more = str(cause).splitlines()
    places = [line.partition("(")[2].removesuffix(")") for line in more if line.startswith("  Where: ")]
    plain = first.rstrip(".:")
    return f"{plain}: {places[0]}" if places else plain


def _content(made: Estimate) -> tuple[Any, ...]:
    """Return what two estimates share when they are one and the same."""
    errors = np.atleast_1d(made.std_error)
    return made.values.tobytes(), errors.tobytes(), made.score_values.tobytes(), made.estimand
