"""Do bounds hold the true effect when a confounder is as strong as assumed? Tabular and image worlds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

import eocausal as ec

FloatArray = npt.NDArray[np.float64]

TRUE = 1.0
# how a place shapes treatment and outcome, and how a hidden thing does that is 1 or -1
OF_PLACE, HIDDEN_TREATMENT, HIDDEN_OUTCOME = 0.5, 0.6, 0.8


class Strengths(NamedTuple):
    """True strengths of what is hidden, and the signed correlation."""

    r2_treatment: float
    r2_outcome: float
    rho: float


def propensity(place: FloatArray, hidden: FloatArray | float) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-OF_PLACE * place - HIDDEN_TREATMENT * hidden)))


def truth(estimand: str) -> Strengths:
    """Integrate over places: what is left of outcome and treatment with and without what is hidden."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    both = np.array([propensity(nodes, side) for side in (-1.0, 1.0)])
    short = both.mean(axis=0)
    # of the treated, and of the controls, the share with the hidden thing
    expected = {1: (both[1] - both[0]) / (2 * short), 0: (both[0] - both[1]) / (2 * (1 - short))}
    left = short * (1 - expected[1] ** 2) + (1 - short) * (1 - expected[0] ** 2)
    hidden = HIDDEN_OUTCOME**2 * float(weights @ left)
    if estimand == "ate":
        nu2 = [
            float(weights @ (1 / (one * (1 - one))).reshape(-1, nodes.size).mean(axis=0))
            for one in (short, both)
        ]
        bias = HIDDEN_OUTCOME * float(weights @ (expected[1] - expected[0]))
        sigma2 = 1 + hidden
        r2_outcome = hidden / sigma2
    else:
        # partially linear: what is hidden, and treatment, given the place alone
        spread = [
            float(weights @ (one * (1 - one)).reshape(-1, nodes.size).mean(axis=0)) for one in (short, both)
        ]
        nu2 = [1 / one for one in spread]
        together = float(weights @ ((both[1] - both[0]) / 2))
        bias = HIDDEN_OUTCOME * together / spread[0]
        sigma2 = 1 + HIDDEN_OUTCOME**2 * (1 - together**2 / spread[0])
        r2_outcome = (sigma2 - 1) / sigma2
    r2_treatment = 1 - nu2[0] / nu2[1]
    most = np.sqrt(sigma2 * nu2[0] * r2_outcome * r2_treatment / (1 - r2_treatment))
    return Strengths(r2_treatment, r2_outcome, float(bias / most))


def world(seed: int, *, n: int, images: bool, sign: float = 1.0) -> ec.Design:
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 4))
    place, hidden = latent[:, 0], rng.choice([-1.0, 1.0], n)
    treated = (rng.uniform(size=n) < propensity(place, hidden)).astype(int)
    outcome = TRUE * treated + 0.7 * place + sign * HIDDEN_OUTCOME * hidden + rng.normal(size=n)
    table = pd.DataFrame({"unit": np.arange(n), "aid": treated, "wealth": outcome, "place": place})
    if not images:
        return ec.Design(table, outcome="wealth", treatment="aid", covariates=["place"])
    # pooled features of pictures: columns that mix what the place is with what does not matter
    mix = np.random.default_rng(99).normal(size=(4, 32))
    values = latent @ mix + 0.02 * rng.normal(size=(n, 32))
    features = pd.DataFrame({"unit": np.arange(n), **{f"f{one}": values[:, one] for one in range(32)}})
    return ec.Design(
        table.set_index("unit", drop=False),
        outcome="wealth",
        treatment="aid",
        features=ec.read_embeddings(features.astype(np.float32).astype({"unit": int}), key="unit"),
    )


def draws(
    count: int, *, n: int, images: bool, method: str, sign: float = 1.0
) -> tuple[pd.DataFrame, Strengths]:
    """Return the rows of the bounds with the true strengths: a correlation of 1, and the true one, by draw."""
    true = truth("ate" if method == "aipw" else "ato")
    rows: list[dict[str, Any]] = []
    for seed in range(count):
        result = ec.ate(world(seed, n=n, images=images, sign=sign), method=method)
        for name, rho in (("most", 1.0), ("true", abs(true.rho))):
            found = ec.sensitivity(
                result, r2_treatment=true.r2_treatment, r2_outcome=true.r2_outcome, rho=rho, times=1
            )
            rows.append({"rho_is": name, "estimate": result.estimate, **found.frame.iloc[0].to_dict()})
    return pd.DataFrame(rows), true


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "method", "sign"),
    [(False, "aipw", 1.0), (False, "aipw", -1.0), (False, "partially_linear", 1.0), (True, "aipw", 1.0)],
    ids=["tabular", "tabular, hiding", "partially linear", "images"],
)
def test_bounds_cover_the_true_effect(images: bool, method: str, sign: float) -> None:
    count = 100 if images else 200
    found, true = draws(count, n=800, images=images, method=method, sign=sign)
    most, exact = (found[found["rho_is"] == name] for name in ("most", "true"))
    inside = (most["lower"] <= TRUE) & (most["upper"] >= TRUE)
    covered = (most["conf_low_one_sided"] <= TRUE) & (most["conf_high_one_sided"] >= TRUE)
    # with the true correlation the effect is one end of the bounds: below the estimate, or above it
    end, said = (
        ("lower", exact["conf_low_one_sided"] <= TRUE)
        if sign > 0
        else ("upper", exact["conf_high_one_sided"] >= TRUE)
    )
    ratio = exact[f"std_error_{end}"].mean() / exact[end].std()
    print(
        f"\n{method} images={images} sign={sign}: {true}, estimate {exact['estimate'].mean():.3f}, bound at the "
        f"true correlation {exact[end].mean():.3f}, inside {inside.mean():.3f}, covered {covered.mean():.3f}, "
        f"one-sided {said.mean():.3f}, error over spread {ratio:.3f}"
    )
    assert abs(exact["estimate"].mean() - TRUE) > 0.3
    assert covered.mean() >= 0.95
    assert exact[end].mean() == pytest.approx(TRUE, abs=0.06)
    assert 0.90 <= said.mean() <= 0.99
    assert 0.85 <= ratio <= 1.15


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["inflates", "hides"])
def test_robustness_goes_with_what_images_reveal(sign: float) -> None:
    """Images show the confounder with a share of signal: the more, the farther the estimate is from confounded."""
    values = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        found = []
        for seed in range(12):
            rng = np.random.default_rng(seed)
            n = 1500
            hidden, noise = rng.normal(size=(2, n))
            shown = np.sqrt(share) * hidden + np.sqrt(1 - share) * noise
            treated = (hidden + rng.logistic(size=n) > 0).astype(int)
            table = pd.DataFrame({"unit": np.arange(n), "aid": treated})
            table["wealth"] = 1.2 * treated + sign * 0.8 * hidden + rng.normal(size=n)
            mix = rng.normal(size=(2, 16))
            pixels = np.column_stack([shown, rng.normal(size=n)]) @ mix
            features = pd.DataFrame(
                {"unit": np.arange(n), **{f"f{one}": pixels[:, one] for one in range(16)}}
            )
            design = ec.Design(
                table.set_index("unit", drop=False),
                outcome="wealth",
                treatment="aid",
                features=ec.read_embeddings(features.astype(np.float32).astype({"unit": int}), key="unit"),
            )
            found.append(ec.sensitivity(ec.ate(design), times=1).numbers["robustness_value"])
        values.append(float(np.mean(found)))
    print(f"\nsign {sign}: robustness values by share of signal {np.round(values, 3)}")
    assert (np.diff(values) * -sign > 0).all()
