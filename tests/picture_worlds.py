"""Worlds whose confounder is seen in pictures, with known truth, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

import eocausal as ec
from eocausal.training._fitting import FoldFit, Parts, Study, fit_fold
from eocausal.training._fold_pixels import read_chips
from eocausal.training._targets import TARGETS
from eocausal.training.finetuned import Finetuned

TRUE_ATE = 1.0
TWO = ec.Folds(k=2)
QUICK = ec.Network(epochs=3)


@dataclass(frozen=True)
class World:
    chips: ec.Chips
    design: ec.Design
    latent: np.ndarray  # what the pictures show, by unit
    table: pd.DataFrame
    pixels: np.ndarray


def world(
    seed: int,
    *,
    n: int = 240,
    px: int = 12,
    shown: str = "brightness",
    strength: float = 1.5,
    per_image: int = 1,
    by_image: bool = False,
    **design: object,
) -> World:
    """Units that are treated, and fare better, the brighter (or rougher) their pictures; ``strength`` 0 is a trial.

    ``by_image``: all units of a picture are in one arm.
    """
    rng = np.random.default_rng(seed)
    n_images = n // per_image
    image = np.repeat(np.arange(n_images), per_image)
    shown_value, u = rng.normal(size=n_images), rng.uniform(size=n_images if by_image else n)
    pixels = rng.normal(size=(n_images, px, px, 3))
    if shown == "brightness":
        pixels += 0.4 * shown_value[:, None, None, None]
    elif shown == "roughness":
        pixels *= np.exp(0.25 * shown_value)[:, None, None, None]
    latent = shown_value[image]
    propensity = 1 / (1 + np.exp(-strength * latent))
    grant = ((u[image] if by_image else u) < propensity).astype(int)
    age = rng.normal(size=n)
    income = latent + TRUE_ATE * grant + 0.5 * rng.normal(size=n)
    table = pd.DataFrame(
        {"unit": np.arange(n), "image": image, "grant": grant, "income": income, "age": age, "e": propensity}
    )
    units = ec.read_units(table, id="unit", image_key="image")
    chips = ec.chips_from_arrays(units, pixels, keys=np.arange(n_images))
    asked = ec.Design(units, outcome="income", treatment="grant", **design)
    return World(chips, asked, latent, table, pixels)


def small_world() -> World:
    return world(0, n=60, per_image=2, covariates=["age"])


def finetune(chips: object, design: ec.Design, **options: object) -> Finetuned:
    asked = {"network": QUICK, "folds": TWO, "device": "cpu", "progress": False, **options}
    return ec.finetune(chips, design, **asked)


def of(found: World, **options: object) -> Finetuned:
    return finetune(found.chips, found.design, **options)


def same(one: Finetuned, two: Finetuned) -> bool:
    return (
        one.predictions.tobytes() == two.predictions.tobytes()
        and one.embeddings.values.tobytes() == two.embeddings.values.tobytes()
        and one.history.equals(two.history)
    )


def study_of(found: World) -> Study:
    table = found.design.table
    return Study(
        table.ids, table.outcome, table.treatment, table.weights, table.covariates, found.design.groups,
        table.image_keys.astype(np.intp), read_chips(found.chips, found.chips.keys, None), found.chips,
    )  # fmt: skip


def fit(study: Study, parts: Parts, network: ec.Network, target: str = "treatment") -> FoldFit:
    return fit_fold(
        study, parts, target=TARGETS[target], network=network, seed=np.random.SeedSequence(0), device="cpu",
        told=lambda epochs: None,
    )  # fmt: skip
