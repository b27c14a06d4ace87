"""`pretrain`: a network learns from the user's own chips what they look like, without any outcome."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eocausal._checks import as_folder
from eocausal.encoding._prepare import prepare
from eocausal.encoding.protocol import ChipSource, Keys
from eocausal.errors import EncoderError, explain
from eocausal.training._encoder_spec import bands_to_name, spec_text, with_scale
from eocausal.training._epochs import Learner, Plan, start
from eocausal.training._objectives import OBJECTIVES
from eocausal.training._pictures import Pictures, Rows, moments, read_pictures
from eocausal.training._pretrain_job import PretrainJob, pretrain_job
from eocausal.training._run_folder import SPEC, RunFolder
from eocausal.training.pretrain_result import PretrainResult
from eocausal.training.pretrain_settings import PretrainSettings

__all__ = ["pretrain"]

_HELD_OUT_KEYS = 4  # what random numbers are drawn for; the epochs have 0 to 3
_WORSE = 1.1
History = list[dict[str, Any]]


def pretrain(
    chips: ChipSource,
    *,
    objective: str = "mae",
    preset: str | PretrainSettings = "tiny",
    out: str | Path,
    keys: Keys | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> PretrainResult:
    """Train a network on chips to fill in patches that are hidden from it, and save it as an encoder.

    The network sees pictures alone: no outcome, treatment or place. Networks and their layers are those of the
    library transformers (``ViTMAEForPreTraining``, ``VideoMAEForPreTraining``) with random weights to begin with.
    Each band is brought to mean 0 and standard deviation 1 by the valid pixels of the training chips; pixels that
    are not valid are 0 and do not count in the loss. Chips are turned and mirrored at random. A share of the keys
    is held out, and their loss is told by epoch.

    Parameters
    ----------
    chips : Chips
        One frame for ``"mae"``, several for ``"video-mae"``; square, with a ``pixel_unit``.
    objective : {"mae", "video-mae"}
        Masked autoencoder of single pictures, or of several frames, where the same places are hidden in all.
    preset : str or PretrainSettings
        ``"tiny"`` (minutes on a CPU), ``"small"``, ``"base"`` (for a GPU), or settings.
    out : str or Path
        Folder for the encoder. A training that was killed continues there after its last finished epoch, to the
        same bytes on a CPU with the same number of threads; a finished one is read back.
    keys : sequence, optional
        Image keys whose chips are used; all by default.
    name : str, optional
        Name of the encoder, first part of the names of columns; by default objective and preset.
    seed : int
        Seed of weights, order, masks, turns and of which keys are held out.
    device : str
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    PretrainResult
        ``spec`` is the path that :func:`embed` takes as an encoder; losses by epoch in ``history``.

    Raises
    ------
    EncoderError
        When chips do not fit the objective, nothing valid is to be seen, a setting is out of range, the folder
        belongs to another training, or transformers is not installed.

    References
    ----------
    He, K., Chen, X., Xie, S., Li, Y., Dollar, P. and Girshick, R. (2022). Masked autoencoders are scalable vision
    learners. CVPR. Tong, Z., Song, Y., Wang, J. and Wang, L. (2022). VideoMAE: masked autoencoders are
    data-efficient learners for self-supervised video pre-training. NeurIPS.

    Examples
    --------
    >>> import numpy as np, pandas as pd, tempfile, eocausal as ec
    >>> places = pd.DataFrame({"village": range(8), "lon": 31.0 + np.arange(8) / 50, "lat": 1.1})
    >>> units = ec.read_units(places, id="village", lon="lon", lat="lat")
    >>> pictures = np.random.default_rng(0).random((8, 16, 16, 3))
    >>> chips = ec.chips_from_arrays(units, pictures, pixel_unit="reflectance")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     short = ec.PretrainSettings("tiny", epochs=1)
    ...     made = ec.pretrain(chips, preset=short, out=folder, name="ours", progress=False)
    ...     ec.embed(chips, encoder=str(made.spec), progress=False)
    Embeddings(8 images by 'village', 96 features in 1 block (ours_16px), 0 without features)
    """
    job = pretrain_job(chips, objective, preset, keys, name, seed, device)
    folder = RunFolder(as_folder(out, error=EncoderError), job.run)
    told = folder.finished()
    if told is None:
        with folder.writing():
            told = _train(job, folder, progress)
    history = pd.DataFrame(told["history"], columns=["epoch", "train_loss", "held_out_loss"])
    warnings = (*told["warnings"], *folder.notes)
    return PretrainResult(
        folder.folder / SPEC, job.spec.name, job.objective, history.astype({"train_loss": float}), warnings
    )


def _train(job: PretrainJob, folder: RunFolder, progress: bool) -> dict[str, Any]:
    """Read the chips, go through the epochs that are not done, and write the encoder."""
    own = {name: name for name in job.chips.bands}
    prepared = prepare(job.spec, job.chips, bands=own)
    shape = (job.shape.frames, job.shape.bands, job.shape.px, job.shape.px)
    pictures = read_pictures(job.chips, job.block, job.keys, prepared, shape=shape, folder=folder.folder)
    train, held_out = _parted(job, pictures)
    scale = moments(pictures, train, bands=tuple(job.chips.bands))
    plan = Plan(
        pictures=pictures,
        scale=scale,
        train=train,
        held_out=held_out,
        shape=job.shape,
        objective=OBJECTIVES[job.objective],
        settings=job.settings,
        epochs=job.settings.epochs_for(len(train)),
        seed=job.seed,
        device=job.device,
    )
    learner, history = _learn(plan, folder, job.spec.name, progress)
    spec = with_scale(job.spec, scale, notes=_notes(job, plan))
    told = {"history": history, "warnings": _warnings(job, pictures, history)}
    folder.seal(plan.objective.encoder(learner.network.cpu()), spec_text(spec), told)
    return told


def _parted(job: PretrainJob, pictures: Pictures) -> tuple[Rows, Rows]:
    """Return the rows to learn from and the rows that are held out, among those that show anything."""
    rows = np.flatnonzero(pictures.usable)
    if len(rows) < 2:
        raise EncoderError(
            explain(
                f"{len(rows)} of the {len(job.keys)} chips of block {job.block!r} show anything valid.",
                where=job.keys[~pictures.usable],
                rule="at least two: one to learn from and one that is held out",
                fix="check that the rasters cover the units (order of lon and lat, CRS) and their nodata value",
            )
        )
    count = min(max(1, round(job.settings.held_out * len(rows))), len(rows) - 1)
    drawn = np.random.default_rng([job.seed, _HELD_OUT_KEYS]).permutation(rows)
    return np.sort(drawn[count:]), np.sort(drawn[:count])


def _learn(plan: Plan, folder: RunFolder, name: str, progress: bool) -> tuple[Learner, History]:
    """Return the learner after its last epoch, and the losses of all."""
    from tqdm import tqdm

    learner, history = start(plan), []
    found = folder.load()
    if found is not None:
        learner.restore(found[0])
        history = found[1]
    else:
        history = [{"epoch": 0, "train_loss": None, "held_out_loss": learner.held_out_loss()}]
    done = len(history) - 1
    with tqdm(
        total=plan.epochs, initial=done, desc=f"pretrain {name}", unit="epoch", disable=not progress
    ) as bar:
        if progress:
            for note in folder.notes:
                bar.write(f"{folder.folder}: {note}", file=sys.stderr)
        for epoch in range(done + 1, plan.epochs + 1):
            losses = {"train_loss": learner.epoch(epoch), "held_out_loss": learner.held_out_loss()}
            history.append({"epoch": epoch, **losses})
            folder.save(epoch, learner.state(), history)
            bar.set_postfix({one: f"{loss:.3f}" for one, loss in losses.items()})
            bar.update()
    return learner, history


def _notes(job: PretrainJob, plan: Plan) -> str:
    days = sorted(str(day) for day in job.chips.last_dates(job.keys) if day is not None)
    seen = f"; last day of pictures {days[-1]}" if days else ""
    return (
        f"{job.objective} on {len(plan.train)} chips of {job.block} ({len(plan.held_out)} more held out), "
        f"{plan.epochs} epochs, seed {job.seed}{seen}"
    )


def _warnings(job: PretrainJob, pictures: Pictures, history: History) -> list[str]:
    """Return what a reader must know of the chips, and of how the losses went."""
    found = []
    unseen = int((~pictures.usable).sum())
    if unseen:
        found.append(f"{unseen} of {len(job.keys)} chips show nothing valid and were not used.")
    if job.side_px != job.shape.px:
        found.append(
            f"Chips of {job.side_px} px were brought to {job.shape.px} px, a multiple of the patch of "
            f"{job.shape.patch} px, by the mean over covered area or bilinearly; embed does the same."
        )
    gaps = int((pictures.usable & ~pictures.whole).sum())
    if gaps:
        found.append(
            f"{gaps} chips lack whole frames: they were learned from, and embed gives them no features, since the "
            f"network reads all {job.shape.frames} frames."
        )
    unclear = bands_to_name(tuple(job.chips.bands))
    if unclear:
        found.append(
            f"Names of bands that are other bands with other sensors are not guessed. Encode with "
            f"ec.Pretrained({SPEC!r}, bands={unclear})."
        )
    losses = [float(one["held_out_loss"]) for one in history]
    if losses[-1] >= losses[0]:
        found.append("The held-out loss is no lower than that of random weights: nothing was learned.")
    elif losses[-1] > _WORSE * min(losses):
        best = int(np.argmin(losses))
        found.append(
            f"The held-out loss was lowest after epoch {best} and rose by more than a tenth since: "
            f"PretrainSettings(epochs={best}), or more chips."
        )
    return found
