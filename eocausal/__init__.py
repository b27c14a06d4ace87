"""Satellite imagery in causal inference, from pixels to a report.

The public verbs and types are imported on first use (PEP 562), so ``import eocausal`` loads none of torch,
rasterio, econml or matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

# Public name -> the module that holds it. No module of this package has the name of a public verb, because
# importing a submodule would put it in the verb's place. Each name stands again at the end, for type checkers.
_HOME = {
    "Units": "eocausal.units",
    "read_units": "eocausal.units",
    "Chips": "eocausal.imagery.chips",
    "chips": "eocausal.imagery.cut",
    "chips_from_arrays": "eocausal.imagery.arrays",
    "chips_from_files": "eocausal.imagery.chip_files",
    "chips_from_tfrecord": "eocausal.imagery.tfrecord",
    "tessera_to_geotiff": "eocausal.imagery.tessera",
    "CloudModel": "eocausal.imagery.cloud_model",
    "Quality": "eocausal.imagery.quality",
    "Radiometry": "eocausal.imagery.radiometry",
    "Frames": "eocausal.imagery.frames",
    "Scenes": "eocausal.imagery.scenes",
    "scenes": "eocausal.imagery.scenes",
    "cube_scenes": "eocausal.imagery.cubes",
    "stac_scenes": "eocausal.imagery.stac",
    "StacPreset": "eocausal.imagery.stac_presets",
    "open_chips": "eocausal.imagery.store",
    "average_draws": "eocausal.imagery.draw_average",
    "displace": "eocausal.imagery.displacement",
    "EncoderSpec": "eocausal.encoding.spec",
    "encoders": "eocausal.encoding.catalogue",
    "Pretrained": "eocausal.encoding.pretrained",
    "suggest_encoder": "eocausal.encoding.suggest",
    "ImageStats": "eocausal.encoding.image_stats",
    "PixelMean": "eocausal.encoding.pixel_mean",
    "RandomFeatures": "eocausal.encoding.random_features",
    "Sequence": "eocausal.encoding.sequence",
    "MultiScale": "eocausal.encoding.multi_scale",
    "Embeddings": "eocausal.embeddings",
    "embed": "eocausal.runner.embed",
    "temporal_dropout": "eocausal.runner.temporal_dropout",
    "read_embeddings": "eocausal.embeddings",
    "embeddings_at": "eocausal.nearest_features",
    "pretrain": "eocausal.training.pretrain",
    "PretrainResult": "eocausal.training.pretrain_result",
    "PretrainSettings": "eocausal.training.pretrain_settings",
    "finetune": "eocausal.training.finetune",
    "RatledgeLoss": "eocausal.training.ratledge",
    "ImageNetwork": "eocausal.training.effect_network",
    "Network": "eocausal.training.network",
    "Design": "eocausal.design",
    "Folds": "eocausal.nuisance.folds",
    "Learners": "eocausal.nuisance.learners",
    "Trim": "eocausal.inference.trim",
    "Estimate": "eocausal.inference.estimate",
    "compare": "eocausal.inference.joint",
    "contrast": "eocausal.inference.contrast",
    "randomisation_test": "eocausal.effects.randomisation",
    "dose_response": "eocausal.effects.dose_response",
    "DoseResponse": "eocausal.effects.dose_curve",
    "conley_curve": "eocausal.inference.spatial_curve",
    "Corrector": "eocausal.debiasing.corrector",
    "debias": "eocausal.debiasing.debias",
    "group_means": "eocausal.debiasing.group_means",
    "MapCard": "eocausal.map_cards.map_card",
    "read_map_card": "eocausal.map_cards.card_files",
    "sample_map": "eocausal.map_cards.sampling",
    "ate": "eocausal.effects.ate",
    "ppi": "eocausal.labelled.ppi",
    "Labelling": "eocausal.labelled.asked",
    "PowerTuning": "eocausal.labelled.asked",
    "Aipw": "eocausal.labelled.asked",
    "cross_predictions": "eocausal.labelled.cross_predictions",
    "predict_then_debias": "eocausal.labelled.bootstrap",
    "Resampling": "eocausal.labelled.resampling",
    "ppi_regression": "eocausal.labelled.regression",
    "remote_outcome": "eocausal.labelled.remote_outcome",
    "rogan_gladen": "eocausal.labelled.rogan_gladen",
    "PanelDesign": "eocausal.panels.design",
    "Imputed": "eocausal.panels.imputed",
    "panel": "eocausal.panels.panel",
    "pretrends": "eocausal.panels.event_time",
    "event_plot": "eocausal.panels.event_time",
    "Cate": "eocausal.effects.cate",
    "DRLearner": "eocausal.effects.effect_regressions",
    "Forest": "eocausal.effects.forest",
    "LinearEffects": "eocausal.effects.linear_effects",
    "RLearner": "eocausal.effects.effect_regressions",
    "XLearner": "eocausal.effects.effect_regressions",
    "arm_effects": "eocausal.effects.arm_effects",
    "multi_arm_qini": "eocausal.evaluate.multi_arm_qini",
    "cate": "eocausal.effects.cate",
    "ImageTypes": "eocausal.effects.image_types_result",
    "image_types": "eocausal.effects.image_types",
    "assignment": "eocausal.evaluate.assignment",
    "best_linear_projection": "eocausal.evaluate.projection",
    "diagnose": "eocausal.debiasing.diagnose",
    "calibration": "eocausal.evaluate.calibration",
    "effect_losses": "eocausal.evaluate.effect_losses",
    "groups": "eocausal.evaluate.effect_groups",
    "policy_value": "eocausal.evaluate.policy",
    "balance": "eocausal.evaluate.balance",
    "neighbours": "eocausal.evaluate.neighbours",
    "overlap": "eocausal.evaluate.overlap",
    "Target": "eocausal.evaluate.target",
    "transport": "eocausal.evaluate.transport",
    "sweep": "eocausal.sweeps",
    "compare_features": "eocausal.evaluate.compare_features",
    "scale_search": "eocausal.evaluate.scale_search",
    "robustness": "eocausal.sensitivities.robustness",
    "sensitivity": "eocausal.sensitivities.kinds",
    "Weighting": "eocausal.evaluate.rate_weighting",
    "rate": "eocausal.evaluate.rate",
    "rate_from_scores": "eocausal.evaluate.rate",
    "rate_over_splits": "eocausal.evaluate.rate_splits",
    "report": "eocausal.reporting.report",
    "run": "eocausal.pipeline",
    "simulate_catalog": "eocausal.simulate.catalog",
    "simulate_kernel_confounding": "eocausal.simulate.kernel_confounding",
    "simulate_map": "eocausal.simulate.maps",
    "simulate_panel": "eocausal.simulate.panel",
    "simulate_region": "eocausal.simulate.region",
}
_MODULES = ("errors",)

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"eocausal.{name}")
    raise AttributeError(f"module 'eocausal' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


# the same names for type checkers and editors, which do not run __getattr__
if TYPE_CHECKING:
    from eocausal import errors as errors
    from eocausal.debiasing.corrector import Corrector as Corrector
    from eocausal.debiasing.debias import debias as debias
    from eocausal.debiasing.diagnose import diagnose as diagnose
    from eocausal.debiasing.group_means import group_means as group_means
    from eocausal.design import Design as Design
    from eocausal.effects.arm_effects import arm_effects as arm_effects
    from eocausal.effects.ate import ate as ate
    from eocausal.effects.cate import Cate as Cate
    from eocausal.effects.cate import cate as cate
    from eocausal.effects.dose_curve import DoseResponse as DoseResponse
    from eocausal.effects.dose_response import dose_response as dose_response
    from eocausal.effects.effect_regressions import DRLearner as DRLearner
    from eocausal.effects.effect_regressions import RLearner as RLearner
    from eocausal.effects.effect_regressions import XLearner as XLearner
    from eocausal.effects.forest import Forest as Forest
    from eocausal.effects.image_types import image_types as image_types
    from eocausal.effects.image_types_result import ImageTypes as ImageTypes
    from eocausal.effects.linear_effects import LinearEffects as LinearEffects
    from eocausal.effects.randomisation import randomisation_test as randomisation_test
    from eocausal.embeddings import Embeddings as Embeddings
    from eocausal.embeddings import read_embeddings as read_embeddings
    from eocausal.encoding.catalogue import encoders as encoders
    from eocausal.encoding.image_stats import ImageStats as ImageStats
    from eocausal.encoding.multi_scale import MultiScale as MultiScale
    from eocausal.encoding.pixel_mean import PixelMean as PixelMean
    from eocausal.encoding.pretrained import Pretrained as Pretrained
    from eocausal.encoding.random_features import RandomFeatures as RandomFeatures
    from eocausal.encoding.sequence import Sequence as Sequence
    from eocausal.encoding.spec import EncoderSpec as EncoderSpec
    from eocausal.encoding.suggest import suggest_encoder as suggest_encoder
    from eocausal.evaluate.assignment import assignment as assignment
    from eocausal.evaluate.balance import balance as balance
    from eocausal.evaluate.calibration import calibration as calibration
    from eocausal.evaluate.compare_features import compare_features as compare_features
    from eocausal.evaluate.effect_groups import groups as groups
    from eocausal.evaluate.effect_losses import effect_losses as effect_losses
    from eocausal.evaluate.multi_arm_qini import multi_arm_qini as multi_arm_qini
    from eocausal.evaluate.neighbours import neighbours as neighbours
    from eocausal.evaluate.overlap import overlap as overlap
    from eocausal.evaluate.policy import policy_value as policy_value
    from eocausal.evaluate.projection import best_linear_projection as best_linear_projection
    from eocausal.evaluate.rate import rate as rate
    from eocausal.evaluate.rate import rate_from_scores as rate_from_scores
    from eocausal.evaluate.rate_splits import rate_over_splits as rate_over_splits
    from eocausal.evaluate.rate_weighting import Weighting as Weighting
    from eocausal.evaluate.scale_search import scale_search as scale_search
    from eocausal.evaluate.target import Target as Target
    from eocausal.evaluate.transport import transport as transport
    from eocausal.imagery.arrays import chips_from_arrays as chips_from_arrays
    from eocausal.imagery.chip_files import chips_from_files as chips_from_files
    from eocausal.imagery.chips import Chips as Chips
    from eocausal.imagery.cloud_model import CloudModel as CloudModel
    from eocausal.imagery.cubes import cube_scenes as cube_scenes
    from eocausal.imagery.cut import chips as chips
    from eocausal.imagery.displacement import displace as displace
    from eocausal.imagery.draw_average import average_draws as average_draws
    from eocausal.imagery.frames import Frames as Frames
    from eocausal.imagery.quality import Quality as Quality
    from eocausal.imagery.radiometry import Radiometry as Radiometry
    from eocausal.imagery.scenes import Scenes as Scenes
    from eocausal.imagery.scenes import scenes as scenes
    from eocausal.imagery.stac import stac_scenes as stac_scenes
    from eocausal.imagery.stac_presets import StacPreset as StacPreset
    from eocausal.imagery.store import open_chips as open_chips
    from eocausal.imagery.tessera import tessera_to_geotiff as tessera_to_geotiff
    from eocausal.imagery.tfrecord import chips_from_tfrecord as chips_from_tfrecord
    from eocausal.inference.contrast import contrast as contrast
    from eocausal.inference.estimate import Estimate as Estimate
    from eocausal.inference.joint import compare as compare
    from eocausal.inference.spatial_curve import conley_curve as conley_curve
    from eocausal.inference.trim import Trim as Trim
    from eocausal.labelled.asked import Aipw as Aipw
    from eocausal.labelled.asked import Labelling as Labelling
    from eocausal.labelled.asked import PowerTuning as PowerTuning
    from eocausal.labelled.bootstrap import predict_then_debias as predict_then_debias
    from eocausal.labelled.cross_predictions import cross_predictions as cross_predictions
    from eocausal.labelled.ppi import ppi as ppi
    from eocausal.labelled.regression import ppi_regression as ppi_regression
    from eocausal.labelled.remote_outcome import remote_outcome as remote_outcome
    from eocausal.labelled.resampling import Resampling as Resampling
    from eocausal.labelled.rogan_gladen import rogan_gladen as rogan_gladen
    from eocausal.map_cards.card_files import read_map_card as read_map_card
    from eocausal.map_cards.map_card import MapCard as MapCard
    from eocausal.map_cards.sampling import sample_map as sample_map
    from eocausal.nearest_features import embeddings_at as embeddings_at
    from eocausal.nuisance.folds import Folds as Folds
    from eocausal.nuisance.learners import Learners as Learners
    from eocausal.panels.design import PanelDesign as PanelDesign
    from eocausal.panels.event_time import event_plot as event_plot
    from eocausal.panels.event_time import pretrends as pretrends
    from eocausal.panels.imputed import Imputed as Imputed
    from eocausal.panels.panel import panel as panel
    from eocausal.pipeline import run as run
    from eocausal.reporting.report import report as report
    from eocausal.runner.embed import embed as embed
    from eocausal.runner.temporal_dropout import temporal_dropout as temporal_dropout
    from eocausal.sensitivities.kinds import sensitivity as sensitivity
    from eocausal.sensitivities.robustness import robustness as robustness
    from eocausal.simulate.catalog import simulate_catalog as simulate_catalog
    from eocausal.simulate.kernel_confounding import (
        simulate_kernel_confounding as simulate_kernel_confounding,
    )
    from eocausal.simulate.maps import simulate_map as simulate_map
    from eocausal.simulate.panel import simulate_panel as simulate_panel
    from eocausal.simulate.region import simulate_region as simulate_region
    from eocausal.sweeps import sweep as sweep
    from eocausal.training.effect_network import ImageNetwork as ImageNetwork
    from eocausal.training.finetune import finetune as finetune
    from eocausal.training.network import Network as Network
    from eocausal.training.pretrain import pretrain as pretrain
    from eocausal.training.pretrain_result import PretrainResult as PretrainResult
    from eocausal.training.pretrain_settings import PretrainSettings as PretrainSettings
    from eocausal.training.ratledge import RatledgeLoss as RatledgeLoss
    from eocausal.units import Units as Units
    from eocausal.units import read_units as read_units
