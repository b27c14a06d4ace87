"""Where networks run: on the processor or on a GPU that is there."""

from __future__ import annotations

import re

from eocausal.errors import EocausalError, explain


def resolve_device(device: str, *, error: type[EocausalError]) -> str:
    """Return ``cpu``, ``cuda`` or ``cuda:1`` for what was asked; ``auto`` is a GPU where there is one.

    Examples
    --------
    >>> from eocausal.errors import EncoderError
    >>> resolve_device("cpu", error=EncoderError)
    'cpu'
    """
    if device == "cpu":
        return device
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cuda(:\d+)?", str(device)):
        text = f"device={device!r} is not known."
        raise error(explain(text, fix="device='auto', 'cpu', 'cuda' or 'cuda:1'"))
    if int(str(device).partition(":")[2] or 0) >= torch.cuda.device_count():
        text = f"device={device!r} is not there: PyTorch finds {torch.cuda.device_count()} GPUs."
        raise error(explain(text, fix="device='auto' or 'cpu'"))
    return str(device)
