"""A trial and a published map: predictions at units, corrected by the map's card, and effects, as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eocausal._checks import as_folder
from eocausal._io import write_atomically, write_json
from eocausal.debiasing.corrected_result import Corrected
from eocausal.design import Design
from eocausal.effects.ate import ate
from eocausal.errors import DebiasError, explain
from eocausal.inference.tables import jsonable
from eocausal.map_cards.card_files import read_map_card
from eocausal.map_cards.map_card import CardedUnits
from eocausal.units import Units

PREDICTIONS, EFFECTS = "corrected_predictions.csv", "effects.json"
# The column that a design finds predictions in.
OUTCOME = "prediction"


@dataclass(frozen=True)
class AskedTrial:
    """What is asked of a trial: columns of its units, and how effects are estimated.

    Parameters
    ----------
    treatment : str
        Column of 0 and 1.
    method : str, optional
        As in :func:`eocausal.ate`. Default: ``difference``, and ``aipw`` where there are covariates.
    covariates : tuple of str
    cluster, weights : str, optional
    propensity : float or str, optional
        Known probability of treatment, or its column.
    outcome_date : str, optional
        Column with the day or year of which the outcome is wanted.
    missing : {"error", "keep"}
        What to do with units that have no prediction; ``keep`` leaves them out of effects, and counts them by arm.
    seed : int
    """

    treatment: str
    method: str | None = None
    covariates: tuple[str, ...] = ()
    cluster: str | None = None
    weights: str | None = None
    propensity: float | str | None = None
    outcome_date: str | None = None
    missing: str = "error"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class DebiasedTrial:
    """What :func:`debias_trial` made.

    Attributes
    ----------
    effect : Corrected
        Naive, LCC and Tweedie effects, with the error of the calibration in theirs.
    units : CardedUnits
        Predictions of units, and corrected.
    predictions, effects : Path
        Both as files.
    """

    effect: Corrected
    units: CardedUnits
    predictions: Path
    effects: Path

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know, of map, units and effects."""
        return tuple(dict.fromkeys([*self.units.warnings, *self.effect.warnings]))

    def summary(self) -> str:
        """Return the map, the effects, and every warning."""
        card, effect = self.units.card, self.effect
        shown = effect.table().to_string(index=False, float_format=lambda value: f"{value:.4f}")
        low, high = effect.bounds()
        lines = [
            repr(card),
            f"{effect.estimand} by {effect.method}, n {effect.n}"
            + ("" if card.unit is None else f", in {card.unit}"),
            *shown.splitlines(),
            f"between naive and {effect.farthest}, 95%: {low:.4f} to {high:.4f}; believed: {effect.chosen}",
            *(f"assumes: {text}" for text in effect.assumptions),
            *(f"WARNING: {text}" for text in self.warnings),
        ]
        return "\n".join(lines)


def debias_trial(
    path: str | Path,
    units: Units,
    *,
    card: str | Path,
    asked: AskedTrial,
    out: str | Path = "debias_output",
    progress: bool = True,
) -> DebiasedTrial:
    """Read a map at the units of a trial, correct what is found by the map's card, and estimate effects on it.

    Parameters
    ----------
    path : path
        The map.
    units : Units
    card : path
        Its card, or the map itself where the card is in its tags.
    asked : AskedTrial
    out : path
        Folder for ``corrected_predictions.csv`` and ``effects.json``.
    progress : bool

    Returns
    -------
    DebiasedTrial

    Raises
    ------
    DebiasError
        No card, another map, a column that is called ``prediction`` already, a file where results should go.
    UnitsError
        Columns that the units do not have.
    ImageryError, DesignError, EstimationError
        As in :meth:`MapCard.sample`, :class:`eocausal.Design` and :func:`eocausal.ate`.
    """
    known = read_map_card(card)
    if OUTCOME in units.frame.columns:
        raise DebiasError(
            explain(
                f"The units have a column {OUTCOME!r} already.",
                rule="it is the name of what is read from the map",
                fix="rename it, so that nobody takes one for the other",
            )
        )
    # before all pixels of the map are read
    folder = as_folder(out, error=DebiasError)
    if folder.exists() and not folder.is_dir():
        text = f"out={str(folder)!r} is a file."
        raise DebiasError(explain(text, rule="a folder for the results", fix='out="debias_output"'))
    for name in (asked.treatment, asked.cluster, asked.weights, asked.propensity, *asked.covariates):
        if isinstance(name, str):
            units.column(name)
    found = known.sample(
        path, units, outcome_date=asked.outcome_date, missing=asked.missing, progress=progress
    )
    design = Design(
        units.with_columns(**{OUTCOME: found.frame["prediction"].to_numpy()}),
        outcome=OUTCOME,
        treatment=asked.treatment,
        covariates=asked.covariates,
        cluster=asked.cluster,
        weights=asked.weights,
        propensity=asked.propensity,
        missing="drop" if asked.missing == "keep" else "error",
    )
    method = asked.method or ("aipw" if asked.covariates else "difference")
    effect = ate(design, method=method, correct=known.corrector, seed=asked.seed)
    made = DebiasedTrial(effect, found, folder / PREDICTIONS, folder / EFFECTS)
    write_atomically(made.predictions, lambda temporary: found.frame.to_csv(temporary))
    write_json(made.effects, _content(made, asked))
    return made


def _content(made: DebiasedTrial, asked: AskedTrial) -> dict[str, object]:
    """Return what stands in the file of effects: the table, which map and card, and the whole result."""
    card = made.units.card
    content = card.to_dict()
    low, high = made.effect.bounds()
    return {
        "type": "DebiasedTrial",
        "map": {name: content["map"][name] for name in ("name", "band", "pixels")},
        "card": {name: content[name] for name in ("card_version", "key", "seal", "period", "unit")},
        "asked": jsonable(vars(asked)),
        "believed": made.effect.chosen,
        "table": jsonable(made.effect.table().to_dict(orient="records")),
        "bounds": [low, high],
        "warnings": list(made.warnings),
        "result": made.effect.to_dict(),
    }
