"""What is said of omitted variables is true in every case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eocausal.sensitivities.benchmarks import Benchmark
from eocausal.sensitivities.omitted_words import Told, Yard, sentence

PICTURES = Benchmark("features", features=True)
FEMALE = Benchmark("female", ("female",))
TOLD = Told(
    estimate=0.0973, null=0.0, level=0.95, errors="clustered by village", needed=0.1388, needed_interval=0.0539,
    yards=(Yard(PICTURES, 2.31, 0.8),),
)  # fmt: skip


def test_the_whole_sentence() -> None:
    assert sentence(TOLD) == (
        "To bring the estimate to zero, unobserved confounders would have to explain 13.9% of what is left of both "
        "treatment and outcome, or 2.3 times as much of each as all image features do. From 5.4% of both on, or "
        "0.8 times as much of each as all image features do, its 95% interval, clustered by village, would "
        "hold zero."
    )


def test_a_negative_estimate_is_brought_to_zero_too() -> None:
    assert sentence(replace(TOLD, estimate=-0.0973)) == sentence(TOLD)


def test_an_interval_that_holds_zero_already_is_said_first() -> None:
    told = sentence(replace(TOLD, needed_interval=0.0, yards=(Yard(PICTURES, 2.31, 0.0),)))
    assert told.startswith(
        "The 95% interval, clustered by village, already holds zero, before any confounder is thought of. To bring "
        "the estimate itself to zero, unobserved confounders would have to explain 13.9%"
    )
    assert "From" not in told


def test_an_estimate_of_zero_needs_nothing() -> None:
    assert sentence(replace(TOLD, estimate=0.0)) == (
        "The estimate is zero, so there is nothing that unobserved confounders would have to explain away."
    )


def test_a_benchmark_that_explains_nothing_is_no_measure() -> None:
    told = sentence(replace(TOLD, yards=(Yard(FEMALE, np.inf, np.inf),)))
    assert "(female cannot measure them: nothing of treatment, or of the outcome, is explained by it)" in told
    assert "times as much" not in told
    assert "inf" not in told
    # another one can
    told = sentence(replace(TOLD, yards=(Yard(FEMALE, np.inf, np.inf), Yard(PICTURES, 2.31, 0.8))))
    assert "2.3 times as much of each as all image features do" in told
    assert "female" not in told


def test_what_noise_might_explain_is_said() -> None:
    told = sentence(replace(TOLD, yards=(Yard(FEMALE, 12.0, 5.0, by_chance=True),)))
    assert "12 times as much of each as female does (no more than noise might)." in told


def test_where_that_many_times_are_more_than_the_outcome_has_all_of_it_is_named() -> None:
    told = sentence(replace(TOLD, yards=(Yard(FEMALE, 1.5, 0.5, all_of_outcome=True),)))
    assert "or 1.5 times as much of treatment as female does and all of the outcome." in told
    assert "or 0.5 times as much of each as female does, its" in told
    told = sentence(
        replace(TOLD, yards=(Yard(FEMALE, 1.5, 0.5, all_of_outcome=True, all_of_outcome_interval=True),))
    )
    assert "or 0.5 times as much of treatment as female does and all of the outcome, its" in told


def test_two_benchmarks_at_most_are_named() -> None:
    others = [Yard(Benchmark(name, (name,)), 3.0, 1.0) for name in ("age", "wealth")]
    told = sentence(replace(TOLD, yards=(*TOLD.yards, *others)))
    assert "as all image features do, or 3.0 times as much of each as age does." in told
    assert "wealth" not in told


@pytest.mark.parametrize(
    ("null", "words"), [(0.0487, "from 0.0973 to 0.0487"), (-0.0973, "from 0.0973 to -0.0973")]
)
def test_part_of_the_estimate_and_more_than_all_of_it(null: float, words: str) -> None:
    told = sentence(replace(TOLD, null=null, yards=()))
    assert told.startswith(
        f"To bring the estimate {words}, unobserved confounders would have to explain 13.9% of"
    )
    assert told.endswith(f"would hold {null:.3g}.")


def test_a_scenario_that_was_asked_for() -> None:
    told = sentence(replace(TOLD, scenario=(0.05, 0.1, 0.0639, 0.0028, 0.125)))
    assert told.endswith(
        "Confounders that explain 5.0% of what is left of treatment and 10.0% of what is left of the outcome could "
        "bring it to 0.0639 (95% interval 0.0028 to 0.125)."
    )
    assert len(told.split(". ")) == 3


def test_other_levels_are_named() -> None:
    assert "90% interval" in sentence(replace(TOLD, level=0.9))
    assert "99.5% interval" in sentence(replace(TOLD, level=0.995))
