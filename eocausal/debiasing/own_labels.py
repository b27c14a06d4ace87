"""Where places of a calibration are units of the study, its measured outcomes are labels of the study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.debiasing.calibration_sample import LEAST, CalibrationSample
from eocausal.debiasing.choice import CORRECT, DO_NOT, USE_LABELS, choose_method, weigh
from eocausal.debiasing.corrector import Corrector
from eocausal.debiasing.diagnose import diagnose_sample
from eocausal.debiasing.diagnosis_result import Diagnosis
from eocausal.debiasing.label_tests import words_of
from eocausal.debiasing.predicted_study import Predicted
from eocausal.inference.estimate import Estimate

Codes = npt.NDArray[np.intp]

# With fewer labelled units in an arm labels say little of it.
LEAST_IN_ARM = 10
# Verdicts that rest on what labels say of the arms.
SPEAKS = (CORRECT, DO_NOT, USE_LABELS)
# Numbers of rows are names in many tables, and rounded predictions are alike by chance: places that are one agree.
MOST_AGREE = 0.95
# One table may hold a map's predictions in single precision, or as text with some six digits.
_SINGLE = 1e-6


def judged_by_own_labels(corrector: Corrector, naive: Estimate, predicted: Predicted) -> Corrector:
    """Return the corrector with the method that labels of the study speak for, where it was left to the evidence.

    A calibration cannot know the arms of a study. Where its places are units of the study, known by their name and
    their prediction, the two tests that labels allow can be made, and count more than groups that stand in for
    arms.
    """
    sample, arms = corrector.sample, naive.arms
    left_open = corrector.provenance.get("options", {}).get("method") == "auto"
    if sample is None or not left_open or corrector.level != "levels" or arms is None:
        return corrector
    if np.unique(arms.treatment).size != 2:
        return corrector
    places, units = places_in_both(sample, naive, predicted)
    treatment = arms.treatment[units]
    if places.size < LEAST or min((treatment == 0).sum(), (treatment == 1).sum()) < LEAST_IN_ARM:
        return corrector
    weights = None if naive.weights is None else naive.weights[units]
    # groups stand in for arms where these are not known, and may be alike in one study
    labels = replace(sample.take(places, weights), groups=pd.DataFrame())
    if arms.cluster is not None:
        # units treated together are no evidence each for itself
        labels = replace(labels, clusters=naive.groups[arms.cluster][units])
    found = diagnose_sample(labels, treatment=treatment, label_noise_var=corrector.label_noise_var)
    told = f"{places.size} places of the calibration are units of the study, whose arms are known"
    if found.verdict not in SPEAKS:
        # some tens of labels know less than all places and their groups do
        tests = "" if found.label_tests is None else f"; {words_of(found.label_tests)}"
        return replace(corrector, reasons=(f"{told}{tests}", *corrector.reasons))
    method, reasons = choose_method(found)
    # labels say whether to correct; by which correction was found in the whole calibration
    if method != "none" and corrector.method != "none":
        method = corrector.method
    # what was said without knowing the arms does not stand beside what labels say
    before = _told_by(diagnose_sample(sample, label_noise_var=corrector.label_noise_var))
    kept = [text for text in corrector.warnings if text not in before]
    return replace(corrector, method=method, reasons=(told, *reasons), warnings=(*kept, *_told_by(found)))


def _told_by(found: Diagnosis) -> tuple[str, ...]:
    """Return the warnings of a verdict alone, without those of its sample."""
    return weigh(found.unit, found.levels, found.label_tests, r2=found.r2).warnings


def places_in_both(sample: CalibrationSample, naive: Estimate, predicted: Predicted) -> tuple[Codes, Codes]:
    """Return positions in the calibration and in the study of what has one name and one prediction in both.

    None where predictions of one name differ for more than a few: then names are alike by chance.
    """
    nothing = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    names = pd.Index(sample.ids)
    # rows of a panel are more than their places, and its effects are no differences between them
    if naive.panel is not None or predicted.entries is not None or not names.is_unique:
        return nothing
    found = names.get_indexer(pd.Index(naive.ids))
    units = np.flatnonzero(found >= 0)
    places = found[units]
    left, right = sample.prediction[places], predicted.values[units]
    same = np.isclose(left, right, rtol=_SINGLE, atol=_SINGLE * sample.prediction.std())
    if not units.size or same.mean() < MOST_AGREE:
        return nothing
    return places[same], units[same]
