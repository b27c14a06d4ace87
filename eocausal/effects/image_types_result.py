"""`ImageTypes`: types of images with different effects, who is of which, and what the number of types rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, positive_metres, whole_number
from eocausal.effects import type_figures
from eocausal.effects.type_examples import typical_and_ambiguous
from eocausal.effects.type_learning import TypeModel
from eocausal.errors import EstimationError, explain
from eocausal.inference.contrast import contrast
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import jsonable
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]

_NO_PLACES = "units = ec.read_units(table, id=..., lon=..., lat=...), then ec.Design(units, ...)"


@result_type
@dataclass(frozen=True, eq=False)
class ImageTypes:
    """Types of images whose units gain differently, each image's type out of fold, and effects by type.

    Made by :func:`eocausal.image_types`. ``estimate``, ``std_error`` and the other members of every result speak of
    the average effects by type, one term for each: doubly robust scores in which a unit counts by the probability,
    out of fold, that its image is of the type. Type 1 has the smallest effect by the model of each fold.

    Attributes
    ----------
    by_type : Estimate
        Average effects by type.
    pure : Estimate or None
        Effects of units that are certain of their type: scores regressed on the probabilities. None with one type,
        or where probabilities hardly vary.
    model : DataFrame
        The mixture fitted to all units, one row for each type: ``type share effect posterior_sd variance_control
        variance_treated variance_of_gain``.
    images : DataFrame
        One row for each image: ``image_key fold n_units``, the probability of each type out of fold and its
        posterior SD (``sd type 1``), ``lon lat``.
    ids, image_keys : array of shape (n,)
    choice : DataFrame or None
        With several numbers of types to choose from: ``k log_likelihood below_best std_error r_loss chosen``.
    learn : callable or None
        Returns the model of all units; what :meth:`predict` calls. Not part of ``to_dict``.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> pictures = pd.DataFrame({"village": range(50), "green": np.linspace(-1, 1, 50)})
    >>> table = pd.DataFrame({"village": np.arange(200) % 50, "grant": rng.integers(0, 2, 200)})
    >>> green = pictures["green"].to_numpy()[table["village"]]
    >>> table["income"] = 4 * (green > 0) * table["grant"] + rng.normal(size=200)
    >>> features = ec.read_embeddings(pictures, key="village")
    >>> design = ec.Design(table, outcome="income", treatment="grant", features=features, propensity=0.5)
    >>> types = ec.image_types(design, folds=ec.Folds(k=2))
    >>> types.examples(each=1)["kind"].tolist()
    ['type 1', 'type 2', 'ambiguous']
    >>> types.difference().terms
    ('type 2 - type 1',)
    """

    by_type: Estimate
    pure: Estimate | None
    model: pd.DataFrame
    images: pd.DataFrame
    ids: npt.NDArray[Any]
    image_keys: npt.NDArray[Any]
    choice: pd.DataFrame | None = None
    learn: Callable[[], TypeModel] | None = field(default=None, repr=False)

    estimand = Delegated("by_type")
    method = Delegated("by_type")
    terms = Delegated("by_type")
    n = Delegated("by_type")
    n_clusters = Delegated("by_type")
    estimate = Delegated("by_type")
    std_error = Delegated("by_type")
    ci = Delegated("by_type")
    p_value = Delegated("by_type")
    scores = Delegated("by_type")
    assumptions = Delegated("by_type")
    warnings = Delegated("by_type")
    diagnostics = Delegated("by_type")
    provenance = Delegated("by_type")
    to_frame = Delegated("by_type")
    to_latex = Delegated("by_type")

    @property
    def k(self) -> int:
        """The number of types."""
        return len(self.by_type.terms)

    @property
    def table(self) -> pd.DataFrame:
        """One row for each type: share of units, effects with errors, those of the model, variance of gains."""
        rows = self.to_frame()
        pure = None if self.pure is None else self.pure.to_frame()
        return pd.DataFrame(
            {
                "type": rows["term"],
                "share": self.model["share"].to_numpy(),
                "effect": rows["estimate"],
                "std_error": rows["std_error"],
                "conf_low": rows["conf_low"],
                "conf_high": rows["conf_high"],
                "effect_if_certain": np.nan if pure is None else pure["estimate"],
                "std_error_if_certain": np.nan if pure is None else pure["std_error"],
                "effect_by_model": self.model["effect"].to_numpy(),
                "posterior_sd": self.model["posterior_sd"].to_numpy(),
                "variance_of_gain": self.model["variance_of_gain"].to_numpy(),
            }
        )

    @property
    def probabilities(self) -> pd.DataFrame:
        """One row for each unit, by id: image, fold, probability of each type out of fold and its posterior SD."""
        rows = pd.Index(self.images["image_key"]).get_indexer(pd.Index(self.image_keys))
        names = [*self.terms, *(f"sd {term}" for term in self.terms)]
        frame: pd.DataFrame = self.images[["image_key", "fold", *names]].iloc[rows]
        frame.index = pd.Index(self.ids, name="id")
        return frame

    def difference(self) -> Estimate:
        """Return the average effect of the last type less that of the first, with its joint standard error.

        Raises
        ------
        EstimationError
            There is one type.
        """
        if self.k == 1:
            raise EstimationError(explain("There is one type, and nothing to compare it with.", fix="k=2"))
        return contrast(self.by_type, self.terms[-1], against=self.terms[0])

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same effects with standard errors made another way, at no refit; see :class:`Estimate`."""
        pure = None if self.pure is None else self.pure.with_vcov(vcov)
        return replace(self, by_type=self.by_type.with_vcov(vcov), pure=pure)

    def examples(self, *, each: int = 4, apart_m: float = 1000.0) -> pd.DataFrame:
        """Return images that are typical of each type and, last, those that are hardest to tell.

        Typical images have the highest probability less its posterior SD; ambiguous ones are shared most evenly.

        Parameters
        ----------
        each : int
            At most so many of each.
        apart_m : float
            Images of one kind are at least so many metres apart, where places are known.

        Returns
        -------
        DataFrame
            ``kind image_key probability std_dev n_units lon lat``.
        """
        each = whole_number(each, argument="each", error=EstimationError, least=1)
        apart = positive_metres(
            apart_m, what=f"apart_m={apart_m!r} is not a distance.", error=EstimationError
        )
        return typical_and_ambiguous(self.images, self.terms, each=each, apart_m=apart)

    def predict(self, design: Design) -> pd.DataFrame:
        """Return for the units of another design the probability of each type, its posterior SD, and the effect.

        ``effect`` is that expected by the model: probabilities times its effects of types. The table is marked as
        trained on the units here.

        Raises
        ------
        EstimationError
            The result was read from a file, which holds no model.
        """
        if self.learn is None:
            raise EstimationError(
                explain(
                    "This result was read from a file and holds no model.", fix="run ec.image_types() again"
                )
            )
        model = self.learn()
        mean, spread = model.probabilities(design)
        frame = pd.DataFrame(
            {term: mean[:, one] for one, term in enumerate(self.terms)}
            | {f"sd {term}": spread[:, one] for one, term in enumerate(self.terms)},
            index=pd.Index(design.table.ids, name="id"),
        )
        frame["effect"] = mean @ model.mixture.effects
        frame.attrs["trained_on"] = self.provenance["design_hash"]
        return frame

    def __repr__(self) -> str:
        """One line: effects and shares of types."""
        shown = ", ".join(
            f"{row.effect:.3g} (se {row.std_error:.2g}, share {row.share:.2f})"
            for row in self.table.itertuples()
        )
        noted = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"ImageTypes({self.k} of {len(self.images)} images, effects {shown}; n {self.n}{noted})"

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        table = self.table.to_string(index=False, float_format=lambda value: f"{value:.3f}")
        lines = [f"types of images  (k {self.k}, {len(self.images)} images)", *table.splitlines()]
        if self.choice is not None:
            lines += self.choice.to_string(
                index=False, float_format=lambda value: f"{value:.4f}"
            ).splitlines()
        return "\n".join([*lines[:14], *self.by_type.summary().splitlines()][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; values of units and images only when ``scores`` is true."""
        content: dict[str, Any] = {
            "type": "ImageTypes",
            "by_type": self.by_type.to_dict(scores=scores),
            "pure": None if self.pure is None else self.pure.to_dict(scores=scores),
            "model": jsonable(self.model.to_dict(orient="list")),
            "choice": None if self.choice is None else jsonable(self.choice.to_dict(orient="list")),
        }
        if scores:
            content["images"] = jsonable(self.images.to_dict(orient="list"))
            content |= {"ids": self.ids.tolist(), "image_keys": self.image_keys.tolist()}
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ImageTypes:
        """Rebuild the result that ``to_dict(scores=True)`` wrote; it cannot predict for new units."""
        by_type = Estimate.from_dict(content["by_type"])
        images = pd.DataFrame(content["images"])
        places = ["lon", "lat"]
        images[places] = images[places].astype(float)
        return cls(
            by_type=by_type,
            pure=None if content["pure"] is None else Estimate.from_dict(content["pure"]),
            model=pd.DataFrame(content["model"]),
            images=images,
            ids=np.array(content["ids"]),
            image_keys=np.array(content["image_keys"]),
            choice=None if content["choice"] is None else pd.DataFrame(content["choice"]),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw effects of types with 95% intervals, by both ways, and return the Axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6.4, 1.3 + 0.6 * self.k), layout="constrained")
        shares = self.model["share"].to_numpy(dtype=float)
        labels = [f"{term}\n{100 * share:.0f}% of units" for term, share in zip(self.terms, shares)]
        pure = None if self.pure is None else self.pure.to_frame()
        overall = float(self.diagnostics["average_effect"])
        type_figures.draw_effects(ax, self.to_frame(), pure, labels, overall)
        return ax

    def map(self, ax: Axes | None = None, *, term: str | None = None) -> Axes:
        """Draw images where they are, coloured by the probability of a type.

        Parameters
        ----------
        ax : Axes, optional
        term : str, optional
            Default: the type with the largest effect.

        Raises
        ------
        EstimationError
            The design knows no coordinates, or there is no such type.
        """
        term = (
            self.terms[-1]
            if term is None
            else one_of(term, self.terms, argument="term", error=EstimationError)
        )
        if self.images["lon"].isna().any():
            text = "There is no map, because the design knows no coordinates."
            raise EstimationError(explain(text, fix=_NO_PLACES))
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6.4, 5.0), layout="constrained")
        type_figures.draw_type_map(ax, self.images, term)
        return ax

    def gallery(
        self,
        chips: type_figures.Pictures,
        *,
        each: int = 4,
        apart_m: float = 1000.0,
        block: str | None = None,
    ) -> Figure:
        """Draw typical images of each type, a row for each, and the most ambiguous ones.

        Parameters
        ----------
        chips : Chips
            Of the same images, found by their keys.
        each, apart_m
            As in :meth:`examples`.
        block : str, optional
            The size of chips to show; default the first.
        """
        if not hasattr(chips, "thumbnails"):
            text = f"chips is a {type(chips).__name__}, which has no pictures to show."
            raise EstimationError(explain(text, fix="chips = ec.chips(units, rasters, size_m=...)"))
        notes = {term: f"effect {effect:.3g}" for term, effect in zip(self.terms, self.by_type.values)}
        chosen = self.examples(each=each, apart_m=apart_m)
        return type_figures.draw_gallery(chips, chosen, notes, block)
