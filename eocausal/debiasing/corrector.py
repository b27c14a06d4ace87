"""`Corrector`: what a calibration says of a map, small enough to travel with it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal._io import write_text
from eocausal._provenance import hash_arrays
from eocausal.debiasing.calibration_sample import CalibrationSample
from eocausal.debiasing.corrector_content import content_of_file, fields_of
from eocausal.debiasing.density_score import DensityScore, fit_density_score
from eocausal.debiasing.given_numbers import given_array, given_floats, given_numbers
from eocausal.debiasing.noise import NoiseModel
from eocausal.errors import DebiasError, explain
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import jsonable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.debiasing.diagnosis_result import Diagnosis
    from eocausal.map_cards.map_card import MapCard

FloatArray = npt.NDArray[np.float64]

METHODS = ("none", "lcc", "tweedie")
# What effects on corrected predictions are called; those on predictions as they are, are naive.
NAIVE, LCC, TWEEDIE = "naive", "lcc", "tweedie"
# From so many predictions on, their own density is known better than that of a calibration elsewhere fits them.
OWN_DENSITY_FROM = 500
# Places on the support at which a correction is looked at.
_LOOKED_AT = 400


@result_type
@dataclass(frozen=True, eq=False)
class Corrector:
    """How predictions of a map are corrected. Made by :func:`eocausal.debias`.

    Written to a file it holds no measured outcome.

    Attributes
    ----------
    prediction, truth : str
        Columns it was calibrated on.
    method : {"none", "lcc", "tweedie"}
        The correction that is believed; ``reasons`` says why.
    k, m : float
        Slope and intercept of the prediction on the truth: ``lcc`` is ``(y - m) / k``.
    a, b : float
        Intercept and slope of the truth on the prediction, which recalibrate it to ``a + b y``.
    noise : NoiseModel
        Variance ``V(y)`` of the truth about the recalibrated prediction, less that of measurement.
    density : DensityScore
        Density of the calibration's predictions: its score ``s(y)`` and its support.
    parameters : tuple of str
    covariance : array of shape (p, p)
        Of the parameters: k, m, a, b, those of the noise and of the density.
    n, n_drawn : int
        Places of the calibration, and how many of them (or clusters) were drawn independently.
    truth_range : (float, float)
        Range of measured outcomes, rounded outwards so that none stands here; values for display keep within it.
    label_noise_var : float
    score : {"lindsey", "kde", "gaussian"}
        How densities are estimated. A small calibration's own may be ``gaussian`` whatever was asked for; that of
        many predictions is not.
    level : {"levels", "changes"}
        Whether k is that of levels across places, or of changes within them.
    reasons, warnings : tuple of str
    provenance : mapping
    sample : CalibrationSample or None
        The places themselves; None once read from a file.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> places = pd.DataFrame({"map": rng.normal(size=1000)})
    >>> places["wealth"] = places["map"] + 0.7 * rng.normal(size=1000)
    >>> fix = ec.debias(places, prediction="map", truth="wealth", method="lcc")
    >>> fix.apply(pd.Series([0.0, 1.0], index=["a", "b"]))["causal"].round(1).to_dict()
    {'a': 0.0, 'b': 1.6}
    """

    prediction: str
    truth: str
    method: str
    k: float
    m: float
    a: float
    b: float
    noise: NoiseModel
    density: DensityScore
    parameters: tuple[str, ...]
    covariance: FloatArray
    n: int
    n_drawn: int
    truth_range: tuple[float, float]
    label_noise_var: float = 0.0
    score: str = "lindsey"
    level: str = "levels"
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    sample: CalibrationSample | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """What tells this corrector from others: a hash of its numbers."""
        numbers = np.array([self.k, self.m, self.a, self.b, *self.noise.coefficients])
        return hash_arrays(numbers, self.covariance, *self.density.table)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The estimates that stand side by side where effects are corrected; of changes there is no Tweedie."""
        return (NAIVE, LCC, TWEEDIE) if self.level == "levels" else (NAIVE, LCC)

    @property
    def r2(self) -> float:
        """Share of the variance of the truth that predictions explain, in the calibration: ``k b``."""
        return self.k * self.b

    @property
    def std_errors(self) -> dict[str, float]:
        """Standard errors of the parameters."""
        return dict(zip(self.parameters, np.sqrt(np.diag(self.covariance)).tolist()))

    @property
    def monotone(self) -> bool:
        """Whether Tweedie's correction keeps the order of predictions, on the support of the calibration."""
        grid = np.linspace(self.density.low, self.density.high, _LOOKED_AT)
        return bool((np.diff(self.correct(grid, method="tweedie")) > 0).all())

    def score_for(self, predictions: FloatArray, weights: FloatArray | None = None) -> DensityScore:
        """Return the density score that predictions (n,) are corrected with.

        It is that of the predictions themselves, all arms together, from 500 of them on, else of the calibration;
        of the calibration too where all are one number, as in a tile of water.
        """
        if predictions.size < OWN_DENSITY_FROM or np.ptp(predictions) == 0:
            return self.density
        return fit_density_score(predictions, weights=weights, kind=self.score)

    def correct(
        self, predictions: npt.ArrayLike, *, method: str | None = None, score: DensityScore | None = None
    ) -> FloatArray:
        """Return corrected predictions (n,), unclipped.

        Parameters
        ----------
        predictions : array of shape (n,)
        method : {"none", "lcc", "tweedie"}, optional
            Default: the one that is believed.
        score : DensityScore, optional
            Default: that of the calibration.

        Raises
        ------
        DebiasError
            Unknown method, predictions that are no numbers, or Tweedie's with a calibration of changes.
        """
        values = given_floats(predictions, "prediction")
        chosen = one_of(method or self.method, METHODS, argument="method", error=DebiasError)
        if chosen == "none":
            return values.copy()
        if chosen == "lcc":
            return np.asarray((values - self.m) / self.k)
        self._require_levels("Tweedie's correction")
        density = self.density if score is None else score
        pull = self.noise.at(values) * density.at(values) + self.noise.slope(values)
        return np.asarray(self.a + self.b * values - pull / self.b)

    def apply(self, predictions: npt.ArrayLike | pd.Series) -> pd.DataFrame:
        """Return predictions with their corrections, one row each.

        Columns ``naive lcc tweedie``; ``causal``, the one that is believed, unclipped, for estimation; ``display``,
        the same kept within the range of measured outcomes, for maps: clipped values are biased; and
        ``in_support``, whether the calibration saw predictions of this size.

        Raises
        ------
        DebiasError
            Predictions that are missing, infinite or no numbers, or a calibration of changes.
        """
        self._require_levels("A map of levels")
        index = predictions.index if isinstance(predictions, pd.Series) else None
        given = (
            predictions
            if isinstance(predictions, pd.Series)
            else pd.Series(given_array(predictions, "prediction"))
        )
        values = given_numbers(given, given.index, "prediction")
        score = self.score_for(values)
        made = {name: self.correct(values, method=name, score=score) for name in METHODS}
        causal = made[self.method]
        return pd.DataFrame(
            {
                "naive": made["none"],
                "lcc": made["lcc"],
                "tweedie": made["tweedie"],
                "causal": causal,
                "display": np.clip(causal, *self.truth_range),
                "in_support": self.density.inside(values),
            },
            index=index,
        )

    def diagnose(
        self, predictions: npt.ArrayLike | None = None, *, weights: npt.ArrayLike | None = None
    ) -> Diagnosis:
        """Return what the calibration says of the map and of correcting it, as :func:`eocausal.diagnose` does.

        Parameters
        ----------
        predictions : array of shape (n,), optional
            Of a trial, all arms together: whether the correction can be carried there.
        weights : array of shape (n,), optional
            Of these predictions.

        Raises
        ------
        DebiasError
            The corrector was read from a file, which holds no measured outcomes.
        """
        from eocausal.debiasing.diagnose import diagnose_sample

        self._require_levels("A diagnosis of levels")
        if self.sample is None:
            raise DebiasError(
                explain(
                    "This corrector holds no places: it was read from a file.",
                    fix="ec.diagnose(prediction, truth) where measured outcomes are at hand",
                )
            )
        found = diagnose_sample(self.sample, label_noise_var=self.label_noise_var)
        return found if predictions is None else found.for_trial(predictions, weights=weights)

    def table(self) -> pd.DataFrame:
        """Return the parameters: ``parameter value std_error``, without those of the density."""
        values = [self.k, self.m, self.a, self.b, *self.noise.coefficients]
        names = self.parameters[: len(values)]
        errors = np.sqrt(np.diag(self.covariance))[: len(values)]
        return pd.DataFrame({"parameter": names, "value": values, "std_error": errors})

    def _require_levels(self, what: str) -> None:
        """Raise where k is of changes, so that it says nothing of levels."""
        if self.level == "changes":
            raise DebiasError(
                explain(
                    f"{what} cannot be made from a calibration of changes within places.",
                    rule="k of changes divides effects on changes: ec.panel(design, correct=corrector)",
                    fix="ec.debias(calibration, prediction=..., truth=...) without unit and period",
                )
            )

    def __repr__(self) -> str:
        """One line: which correction, the slope it rests on, and on how many places."""
        noted = f", {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}" if self.warnings else ""
        error = self.std_errors["k"]
        return (
            f"Corrector({self.method}: k {self.k:.3f} (se {error:.2g}), R2 {self.r2:.3f}, n {self.n}{noted})"
        )

    def summary(self) -> str:
        """Return a text of at most 25 lines: the parameters, which correction is believed, and why."""
        shown = self.table().to_string(index=False, float_format=lambda value: f"{value:.4f}")
        drawn = "" if self.n_drawn == self.n else f", {self.n_drawn} clusters"
        rows = "places" if self.level == "levels" else "places and rounds"
        head = f"{self.prediction} corrected for {self.truth}: {self.method}; {self.n} {rows}{drawn}, {self.level}"
        tail = [f"lcc multiplies naive effects by 1 / k = {1 / self.k:.3f}"]
        if TWEEDIE in self.kinds:
            order = "keeps" if self.monotone else "does not keep"
            tail[0] += f"; Tweedie {order} the order of predictions"
        told = [f"reason: {text}" for text in self.reasons] + [f"warning: {text}" for text in self.warnings]
        return "\n".join([head, *shown.splitlines(), *tail, *told][:25])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw corrected against raw predictions over the calibration, and return the Axes."""
        from eocausal.debiasing.corrector_figure import draw

        return draw(self, ax)

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; measured outcomes of places only when ``scores`` is true."""
        plain = (
            "prediction",
            "truth",
            "method",
            "k",
            "m",
            "a",
            "b",
            "n",
            "n_drawn",
            "label_noise_var",
            "score",
            "level",
        )
        content: dict[str, Any] = {"type": "Corrector", **{name: getattr(self, name) for name in plain}}
        content |= {
            "noise": self.noise.to_dict(),
            "density": self.density.to_dict(),
            "parameters": list(self.parameters),
            "covariance": self.covariance.tolist(),
            "truth_range": list(self.truth_range),
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "provenance": jsonable(self.provenance),
        }
        if scores and self.sample is not None:
            content["sample"] = self.sample.to_dict()
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Corrector:
        """Rebuild the corrector that ``to_dict`` wrote.

        Raises
        ------
        DebiasError
            The content is not of a corrector, or damaged.
        """
        fields = fields_of(content, methods=METHODS)
        known = {one.name for one in dataclass_fields(cls)}
        strange = [name for name in fields if name not in known]
        if strange:
            fix = "update eocausal: the file is of a later version"
            raise DebiasError(explain("The corrector has fields that are not known.", where=strange, fix=fix))
        return cls(**fields)

    def to_json(self, path: str | Path) -> Path:
        """Write the corrector, without any measured outcome, and return the path."""
        return write_text(path, json.dumps(self.to_dict(), indent=2, allow_nan=False))

    def to_map_card(
        self,
        path: str | Path,
        *,
        period: str | int | None = None,
        unit: str | None = None,
        note: str | None = None,
        band: int | str = 1,
        radius_m: float | None = None,
        card: str | Path | None = None,
        tags: bool = False,
        progress: bool = True,
    ) -> MapCard:
        """Write a card beside a map, by which everyone corrects it the same way without a measured outcome.

        Parameters
        ----------
        path : path
            The map: one raster. Every pixel is read once, since the card is of these pixels and no others.
        period : str or int, optional
            Days that the map is of, such as ``2015``, ``"2015-06"`` or ``"2012/2014"``.
        unit, note : str, optional
            What else its users need to know.
        band : int or str
            Band with the predictions.
        radius_m : float, optional
            Where predictions of the calibration were means of pixels within so many metres; default one pixel.
        card : path, optional
            Where to write it. Default: ``wealth_2015.card.json`` beside ``wealth_2015.tif``.
        tags : bool
            Write the card into the tags of the GeoTIFF as well. Its pixels stay as they are.
        progress : bool
            Show a progress bar while the map is read.

        Returns
        -------
        MapCard

        Raises
        ------
        DebiasError
            No pixel of the map has a value that the calibration saw; no period.
        ImageryError
            The map cannot be read, or its tags not be written.
        """
        # by its name: what corrects predictions imports nothing that reads pixels
        files = importlib.import_module("eocausal.map_cards.card_files")
        made: MapCard = files.write_map_card(
            self, path, period=period, unit=unit, note=note, band=band, radius_m=radius_m, card=card, tags=tags,
            progress=progress,
        )  # fmt: skip
        return made

    @classmethod
    def from_json(cls, path: str | Path) -> Corrector:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        DebiasError
            No such file, or not one of a corrector.
        """
        return cls.from_dict(content_of_file(path))
