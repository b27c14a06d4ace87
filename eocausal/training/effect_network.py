"""`ImageNetwork`: effects by unit learned from the pixels themselves, by a network that minimises the R-loss."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._design_checks import refuse_late_images
from eocausal._device import resolve_device
from eocausal._io import hash_content
from eocausal.effects.effect_learners import NO_ERRORS
from eocausal.encoding.pretrained import Pretrained
from eocausal.errors import EncoderError, EstimationError, explain
from eocausal.training._fitting import Trained, trained
from eocausal.training._fold_pixels import ChipTable, read_chips, usable
from eocausal.training._networks import need_transformers
from eocausal.training._study_units import keys_of_units, parts_of, refuse_blank, study_of, undated
from eocausal.training._targets import EFFECT
from eocausal.training.network import Network

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.effect_learners import EffectSample
    from eocausal.encoding.protocol import ChipSource

__all__ = ["EffectNetwork", "ImageNetwork"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImageNetwork:
    """Effects by unit from pictures, or sequences of pictures, by a network that is trained end to end.

    The network minimises the R-loss, the sum of ``weight (centred outcome - centred treatment x effect)^2``, on
    four fifths of the groups that it may learn from; the last fifth stops it. The linear head sees the vector of
    the picture and the design's covariates, and training starts from a ridge regression of effects on the
    covariates. Of a sequence the same network sees each date, and the head sees mean, trend and spread of its
    vectors.

    Parameters
    ----------
    chips : Chips
        Pictures of the design's units, taken before treatment, of one date or several.
    network : str, Path, Pretrained or Network
        As in :func:`eocausal.finetune`: ``"resnet-tiny"``, ``"convnext-tiny"``, ``"vit-tiny"``, weights to start
        from, or any of them with settings: ``ec.Network("vit-tiny", epochs=100)``.
    device : str
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Raises
    ------
    EncoderError
        An unknown network, or ``Network(calibrate=True)``.

    Notes
    -----
    Outcome and treatment are centred by what the design's covariates and features predict: without features, what
    pictures tell of the outcome stays in the noise, and what they tell of treatment in the bias. A design without
    any is enough for a trial. Chips are read once and kept in memory, or in a temporary file where they are many.
    There are no standard errors of single effects.

    Nie and Wager (2021), Biometrika 108, for the loss.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> bright, table = rng.normal(size=80), pd.DataFrame({"village": np.arange(80), "grant": np.tile([0, 1], 40)})
    >>> table["age"] = rng.normal(size=80)
    >>> table["income"] = table["grant"] * bright + table["age"]
    >>> units = ec.read_units(table, id="village", image_key="village")
    >>> pictures = rng.normal(size=(80, 8, 8, 1)) + bright[:, None, None, None]
    >>> chips = ec.chips_from_arrays(units, pictures, keys=np.arange(80))
    >>> design = ec.Design(units, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> learner = ec.ImageNetwork(chips, network=ec.Network(epochs=2), device="cpu")
    >>> ec.cate(design, learner=learner, folds=ec.Folds(k=2)).effect_values.shape
    (80,)
    """

    chips: ChipSource
    _: KW_ONLY
    network: str | Path | Pretrained | Network = "resnet-tiny"
    device: str = "auto"
    settings: Network = field(init=False, repr=False)
    sees_pictures: ClassVar[bool] = True

    def __post_init__(self) -> None:
        chosen = self.network if isinstance(self.network, Network) else Network(self.network)
        if chosen.calibrate:
            raise EncoderError(
                explain(
                    "network=ec.Network(calibrate=True), but effects are no probabilities.",
                    fix="leave calibrate= out",
                )
            )
        object.__setattr__(self, "settings", chosen)

    def fit(self, sample: EffectSample, *, seed: int) -> EffectNetwork:
        """Train a network on the residuals of a sample and the pictures of its units.

        Raises
        ------
        EstimationError
            Units without a usable picture, units that share pictures that the design does not know of, too few
            groups of an arm, or training that diverges.
        LeakError
            Pictures of the day of treatment or later.
        ImageryError
            Several sizes and none chosen.
        EncoderError
            The library transformers is missing.
        """
        need_transformers()
        where = resolve_device(self.device, error=EstimationError)
        if isinstance(self.settings.start, Pretrained):
            self.settings.start.check(self.chips)
        design, table = sample.design, sample.design.table
        keys = keys_of_units(self.chips, design)
        refuse_late_images(design, table, self.chips.last_dates(keys))
        study, order = study_of(design, keys, self._read, self.chips)
        everyone = np.zeros(len(order), dtype=np.intp)
        parts = parts_of(study.treatment, everyone, 1, tied=sample.groups[order], seed=seed)
        made = trained(
            study.with_numbers(sample.centred_outcome[order], sample.centred_treatment[order]),
            parts,
            target=EFFECT,
            network=self.settings,
            seed=np.random.SeedSequence(seed),
            device=where,
            told=lambda epochs: None,
        )
        told = (
            *_still(made),
            *_twins(self._read),
            *undated(self._read, design),
        )
        return EffectNetwork(self, made, table.covariate_names, (NO_ERRORS, *told))

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the learner."""
        return {
            "learner": "image network (R-loss)",
            **{
                f"network_{name}": value
                for name, value in self.settings.recipe().items()
                if name != "calibrate"
            },
            "network_frames": len(self.chips.frames),
            "chips_hash": hash_content(self.chips.recipe()),
        }

    @cached_property
    def _read(self) -> ChipTable:
        """The chips, read once for the networks of all folds."""
        return read_chips(self.chips, np.asarray(self.chips.keys), self.settings.block, sequences=True)


@dataclass(frozen=True, eq=False)
class EffectNetwork:
    """A trained network, and what a reader must know of its training."""

    learner: ImageNetwork
    made: Trained
    covariate_names: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def history(self) -> pd.DataFrame:
        """R-loss by epoch, 0 before training: of the units that it learned from, and of those that stopped it."""
        losses = pd.DataFrame(self.made.losses, columns=["training", "validation"])
        return losses.assign(kept=losses.index == self.made.best).rename_axis("epoch")

    def predict(
        self, design: Design, *, rows: npt.NDArray[Any] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the effect of the units of a design, or of some rows of it, and NaN for its standard error.

        Raises
        ------
        EstimationError
            Units whose picture is not among the chips or shows nothing, or other covariates than in training.
        """
        table, read = design.table, self.learner._read
        if table.covariate_names != self.covariate_names:
            raise EstimationError(
                explain(
                    f"The design has the covariates {list(table.covariate_names)}, but the network was trained "
                    f"with {list(self.covariate_names)}.",
                    fix="make one design and part it: design.split() or design.take(rows)",
                )
            )
        asked = np.arange(len(design)) if rows is None else np.arange(len(design))[rows]
        keys = keys_of_units(self.learner.chips, design)
        image_of = pd.Index(read.keys).get_indexer(pd.Index(keys))
        refuse_blank(table, read, image_of, among=asked)
        effects = self.made.outputs_of_others(
            np.asarray(image_of[asked], dtype=np.intp), table.covariates[asked]
        )
        return effects[:, 0], np.full(len(asked), np.nan)


def _still(made: Trained) -> list[str]:
    if made.best:
        return []
    return [
        "in some folds no epoch lowered the validation loss, so that effects there are those of a ridge regression "
        "on the covariates, without pictures"
    ]


def _twins(read: ChipTable) -> list[str]:
    """Return a warning where chips are the same pixels under several keys."""
    hashes, counts = np.unique(read.hashes[usable(read)], return_counts=True)
    if len(hashes) == int(counts.sum()):
        return []
    return [
        f"{int(counts[counts > 1].sum())} pictures are the same pixels under several keys, so that folds may part "
        "units that look at one picture, unless a cluster ties them: give them one key"
    ]
