"""Encoders of libraries that need torchvision, which an environment for everything else does better without.

``make zoo`` runs these tests in an environment of their own, on tiny checkpoints that they write themselves.
"""

from __future__ import annotations

import importlib.util
import os

import pytest

LIBRARIES = ("timm", "torchgeo", "terratorch", "olmoearth_pretrain_minimal", "open_clip")


def pytest_collection_modifyitems(items):
    lacking = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if lacking and os.environ.get("EOCAUSAL_ZOO") != "1":
        reason = f"{', '.join(lacking)} not installed here: `make zoo` runs this"
        for item in items:
            if "tests/zoo/" in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))


def _declare_operators():
    """Let a torchvision that was built for GPUs be imported beside a torch that was built without.

    Its compiled operators are then missing, and it fails while it describes two of them. None is used here.
    """
    import torch

    if torch.version.cuda is not None or importlib.util.find_spec("torchvision") is None:
        return None
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


if os.environ.get("EOCAUSAL_ZOO") == "1":
    _LIBRARY = _declare_operators()
