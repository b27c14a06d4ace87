"""Small worlds with known truth, in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd

import eocausal as ec

TRUE_ATE = 0.5


def _features(rng: np.random.Generator, latent: np.ndarray, width: int) -> np.ndarray:
    """Dense image-like features: every column mixes the latent factors."""
    mix = rng.normal(size=(latent.shape[1], width)) / np.sqrt(latent.shape[1])
    return (latent @ mix + 0.3 * rng.normal(size=(len(latent), width))).astype(np.float32)


def _embeddings(keys: np.ndarray, values: np.ndarray) -> ec.Embeddings:
    columns = {f"f{k:03d}": values[:, k] for k in range(values.shape[1])}
    return ec.read_embeddings(pd.DataFrame({"village": keys, **columns}), key="village")


def cluster_trial(
    seed: int, *, n_clusters: int = 100, per_cluster: int = 6, width: int = 20, spread: float = 0.4
) -> ec.Design:
    """A trial randomised by village, with village effects and effects that follow the village's image.

    ``spread`` is the standard deviation of effects over villages; 0 means no heterogeneity.
    """
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n_clusters, 4))
    village = np.repeat(np.arange(n_clusters), rng.poisson(per_cluster - 1, n_clusters) + 1)
    treated = rng.permutation(np.arange(n_clusters) % 2)[village]
    age = rng.normal(size=village.size)
    effect = TRUE_ATE + spread * latent[village, 0]
    outcome = 0.6 * latent[village, 1] + 0.5 * age + 0.4 * rng.normal(size=n_clusters)[village]
    outcome = outcome + effect * treated + rng.normal(size=village.size)
    table = pd.DataFrame({"village": village, "treated": treated, "age": age, "outcome": outcome})
    return ec.Design(
        table,
        outcome="outcome",
        treatment="treated",
        covariates=["age"],
        cluster="village",
        propensity=0.5,
        features=_embeddings(np.arange(n_clusters), _features(rng, latent, width)),
    )


def observational(seed: int, *, n: int = 800, width: int = 20) -> ec.Design:
    """Units that select into treatment by what their image shows, with the propensity known."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 4))
    propensity = np.clip(1 / (1 + np.exp(-0.8 * latent[:, 0] - 0.4 * latent[:, 1])), 0.05, 0.95)
    treated = (rng.uniform(size=n) < propensity).astype(int)
    effect = TRUE_ATE + 0.4 * latent[:, 0]
    outcome = latent[:, 0] + 0.5 * latent[:, 2] + effect * treated + rng.normal(size=n)
    columns = {f"x{k}": latent[:, k] for k in range(4)}
    table = pd.DataFrame(
        {"village": np.arange(n), "treated": treated, "outcome": outcome, "e": propensity, **columns}
    )
    return ec.Design(
        table,
        outcome="outcome",
        treatment="treated",
        covariates=list(columns),
        propensity="e",
        features=_embeddings(np.arange(n), _features(rng, latent, width)),
    )
