"""Types of images in the Uganda trial beside the effects that the paper prints, 0.741 and 0.95."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

PUBLISHED = (0.741, 0.95)
# easternmost units, the dry region of Karamoja
EAST = 34.3


@pytest.fixture(scope="module")
def found(shared: Path) -> ec.ImageTypes:
    folder = shared / "data" / "uganda_yop"
    table = pd.read_csv(folder / "units.csv")
    units = ec.read_units(table, id="unit_id", lon="geo_long", lat="geo_lat", image_key="image_key")
    clip = ec.read_embeddings(pd.read_parquet(folder / "embeddings_clip_rsicd.parquet"), key="image_key")
    design = ec.Design(
        units,
        outcome="outcome",
        treatment="treated",
        features=clip,
        cluster="image_key",
        propensity=825 / 2082,
    )
    return ec.image_types(design, k=2)


def test_effects_of_types_are_near_the_published_ones(found: ec.ImageTypes) -> None:
    # another outcome, other pictures and another gate: nearer than two standard errors, and in the same order
    assert (np.abs(np.asarray(found.estimate) - PUBLISHED) < 2 * np.asarray(found.std_error)).all()
    assert found.difference().estimate > 0
    assert found.difference().p_value() < 0.05
    np.testing.assert_allclose(found.estimate, [0.69, 0.86], atol=0.05)
    np.testing.assert_allclose(found.std_error, [0.095, 0.079], atol=0.02)


def test_the_type_that_gains_less_is_in_the_dry_east(found: ec.ImageTypes) -> None:
    east = found.images["lon"] > EAST
    assert east.sum() > 15
    assert found.images["type 1"][east].mean() > 0.75
    assert found.images["type 1"][~east].mean() < 0.5


def test_errors_are_clustered_by_picture_and_the_pile_of_outcomes_is_told(found: ec.ImageTypes) -> None:
    assert found.n_clusters == 260
    assert any("65% of the outcomes are -0.8816" in text for text in found.warnings)
