"""The main job: a specification in, a folder of results out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal._io import hash_file, write_atomically, write_json
from eocausal._provenance import versions
from eocausal.debiasing.corrected_result import Corrected
from eocausal.debiasing.diagnosis_result import Diagnosis
from eocausal.design import Design
from eocausal.effects.cate import Cate
from eocausal.evaluate.asked import (
    asked_average,
    asked_cate,
    asked_corrected,
    asked_corrector,
    asked_design,
    asked_folds,
    asked_judgements,
    asked_learners,
    asked_rates,
    check_estimates,
)
from eocausal.evaluate.balance import Balance, balance
from eocausal.evaluate.balance_result import MOST_ROWS
from eocausal.evaluate.calibration_result import Calibration
from eocausal.evaluate.effect_groups_result import EffectGroups
from eocausal.evaluate.overlap import Overlap, overlap
from eocausal.evaluate.rate_result import Rate
from eocausal.imagery.asked import asked_units
from eocausal.imagery.chips import Chips
from eocausal.imagery.draw_average import DrawAverage
from eocausal.inference.estimate import Estimate
from eocausal.inference.tables import jsonable
from eocausal.map_cards.card_files import read_corrector
from eocausal.runner.asked import asked_features
from eocausal.runner.asked_encoders import check_encoder
from eocausal.sensitivities.asked import asked_sensitivities, check_sensitivities
from eocausal.sensitivities.result import Sensitivity
from eocausal.specs.inputs import check_inputs
from eocausal.specs.load import LoadedSpec, load_spec
from eocausal.units import Units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from eocausal.nuisance.folds import Folds
    from eocausal.specs.models import AnalysisSpec


@dataclass(frozen=True, eq=False)
class Run:
    """What the main job made.

    Attributes
    ----------
    folder : Path
        Holds ``report.html``, ``estimates.csv``, ``effects.parquet``, ``figures/`` and ``run.lock.json``; of
        displaced units also ``displacement.csv``, of sensitivity analyses ``sensitivity_dml.csv`` and so on.
    report : Path
    units : Units
        Their ``notes`` tell what was done about displaced places.
    chips : Chips or None
        Of displaced units, those of all draws.
    design : Design
    balance : Balance
    overlap : Overlap
    estimates : dict of str to Estimate
        Average effects by method and what is unusual about them, such as ``aipw`` and ``aipw_att``.
    cate : Cate or None
    rates : dict of str to Rate
        By target: one result, with that target in front.
    truth : DataFrame or None
        For simulated data: estimates against the truth.
    displacement : DrawAverage or None
        Of displaced units: features averaged over draws, and how far draws disagree.
    judgements : dict of str to result
        What else was asked of effects by unit: ``calibration`` and ``groups``.
    corrected : Corrected or None
        The first average effect as it is and corrected, where the outcome was predicted from images.
    diagnosis : Diagnosis or None
        What the calibration says of correcting; None where a corrector was read.
    sensitivities : dict of str to Sensitivity
        By kind: how strong the unseen would have to be to change the first average effect, and its placebos.
    """

    folder: Path
    report: Path
    units: Units
    chips: Chips | None
    design: Design
    balance: Balance
    overlap: Overlap
    estimates: dict[str, Estimate]
    cate: Cate | None
    rates: dict[str, Rate]
    truth: pd.DataFrame | None
    seconds: dict[str, float] = field(default_factory=dict)
    displacement: DrawAverage | None = None
    judgements: Mapping[str, Calibration | EffectGroups] = field(default_factory=dict)
    corrected: Corrected | None = None
    diagnosis: Diagnosis | None = None
    sensitivities: Mapping[str, Sensitivity] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line: what was estimated and where the report is."""
        return f"Run({', '.join([*self.estimates, *self.rates])}; {self.report})"

    def to_frame(self) -> pd.DataFrame:
        """Return every estimate in one table: broom's columns, and the ``name`` it has among the results."""
        # a Rate holds both targets; its table is here once for each that was asked for
        of_target = {target: result.rates for target, result in self.rates.items()}
        corrected = {} if self.corrected is None else {"corrected": self.corrected.fit}
        named: dict[str, Estimate] = {**self.estimates, **corrected, **of_target}
        frames: list[pd.DataFrame] = [result.to_frame().assign(name=name) for name, result in named.items()]
        return pd.concat(frames, ignore_index=True)

    def summary(self) -> str:
        """Return the table of estimates, the truth where it is known, and how many warnings there are."""
        columns = ["name", "estimand", "estimate", "std_error", "p_value", "conf_low", "conf_high", "n"]
        lines = [repr(self.design), "", _table_text(self.to_frame()[columns])]
        if self.truth is not None:
            lines += ["", "against the truth of this simulated region:", _table_text(self.truth)]
        lines += ["", *(one.sentence for one in self.sensitivities.values())] if self.sensitivities else []
        warnings = {text for result in self._results() for text in result.warnings} | set(self.units.notes)
        lines += ["", f"{len(warnings)} warnings, all in the report"]
        return "\n".join(lines)

    def _results(self) -> list[Any]:
        found: list[Any] = [self.balance, self.overlap, *self.estimates.values(), *self.rates.values()]
        found += [*self.judgements.values(), *self.sensitivities.values()]
        found += [one for one in (self.corrected, self.diagnosis) if one is not None]
        return found if self.cate is None else [*found, self.cate]


def run(spec: str | Path, *, out: str | Path | None = None, progress: bool = True) -> Run:
    """Run a specification: units and imagery to features, effects, RATE and a report.

    Features are kept under the results folder, so a run that was killed continues there.

    Parameters
    ----------
    spec : path
        A YAML specification; ``docs`` and ``data_specs/README.md`` explain its fields.
    out : path, optional
        Folder for the results, instead of the one named in the specification.
    progress : bool
        Show progress bars and steps on standard error.

    Returns
    -------
    Run

    Raises
    ------
    SpecError
        The specification is wrong; every mistake with its line.
    EocausalError
        The data are not as described.

    Examples
    --------
    >>> import tempfile, eocausal as ec
    >>> ec.run("no_such_folder/study.yaml", progress=False)
    Traceback (most recent call last):
    ...
    eocausal.errors.SpecError: There is no specification 'no_such_folder/study.yaml'.
      Mend: Name a YAML file.
    """
    loaded = load_spec(spec)
    check_inputs(loaded)
    check_encoder(loaded)
    check_estimates(loaded)
    check_sensitivities(loaded)
    asked = loaded.spec
    folder = Path(out if out is not None else asked.out)
    folder.mkdir(parents=True, exist_ok=True)
    clock = _Clock(progress)
    # before anything long: a calibration that cannot be read would stop the run at its end
    corrector = asked_corrector(asked, read_corrector)
    with clock.step("units"):
        units = asked_units(asked.units)
    with clock.step("features"):
        seen = asked_features(asked, units, folder=folder / "features", progress=progress)
    with clock.step("design, balance and overlap"):
        design = asked_design(asked, seen.units, seen.features)
        folds = asked_folds(asked)
        overlapping = overlap(design, folds=folds, learners=asked_learners(asked), seed=asked.seed)
    with clock.step("average effects"):
        estimates = {one.name: asked_average(one, asked, design) for one in asked.effects.ate}
        corrected = asked_corrected(asked, design, corrector)
        # no classifier: it learns from fewer folds than the estimates, and could fail where they do not
        balanced = balance(design, weights=_first_that_weighs(estimates), classifier=False, seed=asked.seed)
    with clock.step("sensitivity"):
        first = corrected or next(iter(estimates.values()))
        sensitivities = asked_sensitivities(asked, first, progress=progress)
    with clock.step("effects by unit"):
        found, rates, judgements = _by_unit(asked, design, folds, progress)
    made = Run(
        folder=folder,
        report=folder / "report.html",
        units=seen.units,
        chips=seen.chips,
        design=design,
        balance=balanced,
        overlap=overlapping,
        estimates=estimates,
        cate=found,
        rates=rates,
        truth=_against_truth(asked, units, estimates, found),
        seconds=clock.seconds,
        displacement=seen.displacement,
        judgements=judgements,
        corrected=corrected,
        diagnosis=None if corrector is None or corrector.sample is None else corrector.diagnose(),
        sensitivities=sensitivities,
    )
    with clock.step("report"):
        _write(made, loaded)
    return made


def _by_unit(
    asked: AnalysisSpec, design: Design, folds: Folds, progress: bool
) -> tuple[Cate | None, dict[str, Rate], dict[str, Calibration | EffectGroups]]:
    """Return effects by unit, whether their ranking holds, and what else is asked of them."""
    found = asked_cate(asked, design, folds, progress)
    if found is None:
        return None, {}, {}
    return found, asked_rates(asked, found), asked_judgements(asked, found)


def _first_that_weighs(estimates: Mapping[str, Estimate]) -> Estimate | None:
    """Return the first estimate whose learned weights are meant to make the arms alike."""
    weighing = (
        one
        for one in estimates.values()
        if one.weights is not None
        and one.method != "difference"
        and one.diagnostics.get("propensity") != "known"
    )
    return next(weighing, None)


class _Clock:
    """Tells what is being done and remembers how long it took."""

    def __init__(self, progress: bool) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        import sys

        start = time.perf_counter()
        if self.progress:
            print(f"* {name}", file=sys.stderr, flush=True)  # noqa: T201 - progress is for the terminal
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)


def _against_truth(
    spec: AnalysisSpec, units: Units, estimates: dict[str, Estimate], found: Cate | None
) -> pd.DataFrame | None:
    """Return estimates against the truth, where the specification knows it."""
    if spec.truth is None:
        return None
    rows = []
    for name, result in estimates.items():
        if result.estimand != "ate":  # the truth is that of all units
            continue
        low, high = result.ci()
        rows.append(
            {
                "quantity": f"average effect by {name}",
                "estimate": result.estimate,
                "truth": spec.truth.ate,
                "error_in_se": (float(result.estimate) - spec.truth.ate) / float(result.std_error),
                "inside_interval": "yes" if low <= spec.truth.ate <= high else "no",
            }
        )
    if found is not None and spec.truth.effect_column is not None:
        effects = pd.Series(units.column(spec.truth.effect_column).to_numpy(dtype=float), index=units.ids)
        true = effects.reindex(found.ids).to_numpy()
        rows.append(
            {"quantity": "correlation of predicted with true unit effects",
             "estimate": float(np.corrcoef(found.effect_values, true)[0, 1]), "truth": 1.0}
        )  # fmt: skip
        rows.append(
            {"quantity": "standard deviation of unit effects",
             "estimate": float(found.effect_values.std()), "truth": float(true.std())}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _write(made: Run, loaded: LoadedSpec) -> None:
    """Write tables, figures, the report and what made them."""
    from eocausal.reporting.report import report

    folder = made.folder
    write_atomically(folder / "estimates.csv", lambda path: made.to_frame().to_csv(path, index=False))
    if made.truth is not None:
        truth = made.truth
        write_atomically(folder / "truth.csv", lambda path: truth.to_csv(path, index=False))
    if made.cate is not None:
        effects = made.cate.effects
        effects.attrs = {}
        write_atomically(folder / "effects.parquet", lambda path: effects.to_parquet(path))
    if made.displacement is not None:
        spread = made.displacement.spread
        write_atomically(folder / "displacement.csv", lambda path: spread.to_csv(path, index=False))
    for kind, one in made.sensitivities.items():
        table = one.to_frame()
        write_atomically(folder / f"sensitivity_{kind}.csv", partial(table.to_csv, index=False))
    _write_figures(made)
    items: list[Any] = [made.units, made.design, made.balance, made.overlap, *made.estimates.values()]
    # chips of draws have keys and places of their own, which are not those of the units
    items += [] if made.chips is None or made.displacement is not None else [made.chips]
    items += made.sensitivities.values()
    items += [one for one in (made.diagnosis, made.corrected, made.cate) if one is not None]
    # one result holds both targets, that declared beforehand in front
    items += [*list(made.rates.values())[:1], *made.judgements.values()]
    spec = loaded.spec
    report(
        items,
        made.report,
        title=spec.title,
        question=spec.question,
        truth=None if spec.truth is None else spec.truth.ate,
    )
    write_json(folder / "run.lock.json", _lock(made, loaded))


def _write_figures(made: Run) -> None:
    results: dict[str, Any] = {"balance": made.balance, "overlap": made.overlap}
    results |= {f"ate_{method}": result for method, result in made.estimates.items()}
    if made.rates:
        results["toc"] = next(iter(made.rates.values()))
    if made.cate is not None:
        results["effects"] = made.cate
    results |= made.judgements
    if made.corrected is not None:
        results["corrected"] = made.corrected
    for name, result in results.items():
        height = 1.3 + 0.24 * min(len(result.table), MOST_ROWS) if name == "balance" else 3.6
        _write_figure(made, name, height, result.plot)
    for kind, one in made.sensitivities.items():
        _save(made, f"sensitivity_{kind}", one.plot())
    if made.overlap.auc.coordinates is not None:
        _write_figure(made, "overlap_map", 5.0, made.overlap.map)


def _write_figure(made: Run, name: str, height: float, draw: Callable[..., Any]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height), layout="constrained")
    draw(ax=figure.subplots())
    _save(made, name, figure)


def _save(made: Run, name: str, figure: Figure) -> None:
    path = made.folder / "figures" / f"{name}.png"
    write_atomically(path, partial(figure.savefig, format="png", dpi=150))


def _lock(made: Run, loaded: LoadedSpec) -> dict[str, Any]:
    """Return everything needed to say whether a second run would be the same."""
    features = made.design.features
    content = {
        "spec": {"file": loaded.path.name, "sha256": loaded.sha256, "text": loaded.text},
        "units": {"file": Path(loaded.spec.units.path).name, "sha256": hash_file(loaded.spec.units.path)},
        "chips": None if made.chips is None else made.chips.recipe(),
        "features": None
        if features is None
        else {"hash": features.recipe_hash, "recipe": dict(features.recipe)},
        "design": {"repr": repr(made.design), "hash": made.design.fingerprint},
        "seed": loaded.spec.seed,
        "versions": versions(),
        "seconds": made.seconds,
    }
    locked: dict[str, Any] = jsonable(content)
    return locked


def _table_text(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep="")
