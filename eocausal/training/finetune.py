"""`finetune`: treatment or outcome predicted from pixels by networks, out of fold."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal import __version__
from eocausal._checks import as_folder, one_of, whole_number
from eocausal._design_checks import refuse_late_images
from eocausal._device import resolve_device
from eocausal._provenance import hash_arrays
from eocausal.design import Design
from eocausal.encoding.pretrained import Pretrained
from eocausal.errors import EstimationError, explain
from eocausal.nuisance.folds import Folds
from eocausal.training._fitting import FoldFit, Parts, Study, fit_fold
from eocausal.training._fold_pixels import read_chips
from eocausal.training._fold_store import Arrays, FoldStore
from eocausal.training._networks import need_transformers
from eocausal.training._results import Made, assembled
from eocausal.training._study_units import keys_of_units, parts_of, study_of, undated
from eocausal.training._targets import TARGETS
from eocausal.training.finetuned import Finetuned, learned_from
from eocausal.training.network import Network

if TYPE_CHECKING:
    from eocausal.encoding.protocol import ChipSource

__all__ = ["finetune"]

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Job:
    """A run that is checked: what is learned, from which units, in which folds."""

    study: Study
    scheme: Folds
    folds: Rows
    tied: Rows
    parts: tuple[Parts, ...]
    target: str
    network: Network
    seed: int
    device: str

    def recipe(self, chips: ChipSource, design: Design) -> dict[str, Any]:
        """Return all that determines the numbers, JSON-like."""
        study, keys = self.study, self.study.chips.keys
        return {
            "target": self.target,
            "network": self.network.recipe(),
            "folds": {**_scheme(self.scheme), "hash": hash_arrays(self.folds)},
            "seed": self.seed,
            "device": self.device.partition(":")[0],
            "units": hash_arrays(study.ids, study.image_of),
            # which units stop a network follows from them, and not from the folds alone
            "groups": hash_arrays(self.tied),
            "learned_from": learned_from(design, self.target),
            "images": {"name": chips.key_name, "count": len(keys), "hash": hash_arrays(keys)},
            "pixels": hash_arrays(study.chips.hashes),
            "chips": chips.recipe(),
            "versions": {
                "eocausal": __version__,
                "numpy": np.__version__,
                **{name: metadata.version(name) for name in ("torch", "transformers")},
            },
        }


def finetune(
    chips: ChipSource,
    design: Design,
    *,
    target: str = "treatment",
    network: str | Path | Pretrained | Network = "resnet-tiny",
    folds: Folds | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> Finetuned:
    """Train networks on the pixels to predict treatment or outcome, and predict every unit out of fold.

    Units that share a cluster or an image stay in one fold. For each fold a network is trained on the others, on
    four fifths of their groups; the last fifth stops the training, and its own fold is not looked at for anything,
    the scaling of bands included. The linear head sees the vector of the picture and the design's covariates, so
    that the propensity is that given both; training starts from a ridge regression on the covariates. Each unit
    counts once, or by its sampling weight.

    Parameters
    ----------
    chips : Chips
        Pictures of the design's units, of one date, taken before treatment.
    design : Design
        Its covariates enter the head; its image features do not.
    target : {"treatment", "outcome"}
        The probability of treatment, or the outcome in each arm: two heads on one network, each trained on the
        units of its arm.
    network : str, Path, Pretrained or Network
        ``"resnet-tiny"``, ``"convnext-tiny"``, ``"vit-tiny"``, weights to start from such as those of
        :func:`eocausal.pretrain`, or any of them with settings: ``ec.Network("vit-tiny", epochs=100)``.
    folds : Folds, optional
        As in :func:`eocausal.ate`; estimators that are to use the predictions need the same folds and seed.
    out : str or Path, optional
        Folder in which finished folds are kept; a run that was killed goes on there.
    seed : int
        For folds, initial weights, batches and augmentation. On a CPU the same seed gives the same numbers.
    device : str
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    Finetuned

    Raises
    ------
    EstimationError
        Fewer groups than folds, an arm that is absent in a part, units without a usable picture, units that share
        pictures that the design does not know of, a folder of another run, training that diverges.
    LeakError
        Pictures of the day of treatment or later.
    ImageryError
        Several frames, or several sizes and none chosen.
    EncoderError
        An unknown network, or transformers is missing.

    Notes
    -----
    Image propensities: Jerzak, Johansson and Daoud (2023), Integrating Earth Observation Data into Causal
    Inference, arXiv:2301.12985. Cross-fitting: Chernozhukov et al. (2018), Econometrics Journal 21. Two heads on
    one network: Shalit, Johansson and Sontag (2017), ICML.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"village": np.arange(60), "grant": np.tile([0, 1], 30)})
    >>> table["income"] = rng.normal(size=60)
    >>> units = ec.read_units(table, id="village", image_key="village")
    >>> pictures = rng.normal(size=(60, 8, 8, 3)) + 2 * table["grant"].to_numpy()[:, None, None, None]
    >>> chips = ec.chips_from_arrays(units, pictures, keys=np.arange(60))
    >>> design = ec.Design(units, outcome="income", treatment="grant")
    >>> quick = ec.Network(epochs=4)
    >>> found = ec.finetune(chips, design, network=quick, folds=ec.Folds(k=2), device="cpu", progress=False)
    >>> bool(found.metrics.loc["network", "auc"] > 0.9)
    True
    """
    kept_in = None if out is None else as_folder(out, error=EstimationError)
    job = _job(chips, design, target, network, folds, seed, device)
    about = job.recipe(chips, design)
    # recalibration comes after what is kept
    kept = {**about, "network": {**about["network"], "calibrate": None}}
    store = None if kept_in is None else FoldStore(kept_in, kept)
    with nullcontext() if store is None else store.writing():
        made = Made(job.study, job.folds, job.parts, tuple(_fits(job, store, progress=progress)))
    order = np.searchsorted(job.study.ids, design.table.ids)
    return assembled(
        made,
        target=job.target,
        calibrate=job.network.calibrate,
        order=order,
        about=about,
        chips=chips,
        notes=design.table.notes + undated(job.study.chips, design),
    )


def _job(
    chips: ChipSource,
    design: Design,
    target: str,
    network: str | Path | Pretrained | Network,
    folds: Folds | None,
    seed: int,
    device: str,
) -> _Job:
    one_of(target, tuple(TARGETS), argument="target", error=EstimationError)
    chosen = network if isinstance(network, Network) else Network(network)
    folds = Folds() if folds is None else folds
    for name, value, kind, fix in (
        ("design", design, Design, "ec.Design(units, outcome=..., treatment=...)"),
        ("folds", folds, Folds, "ec.Folds(k=5)"),
    ):
        if not isinstance(value, kind):
            raise EstimationError(explain(f"{name} is a {type(value).__name__}.", fix=f"pass {fix}"))
    if folds.repeats > 1:
        raise EstimationError(
            explain(
                f"Folds(repeats={folds.repeats}), but networks are trained once, on one set of folds.",
                fix="leave repeats out here and in the estimators that use the predictions",
            )
        )
    design.require_binary("Fine-tuning")
    seed = whole_number(seed, argument="seed", error=EstimationError)
    need_transformers()
    where = resolve_device(device, error=EstimationError)
    if isinstance(chosen.start, Pretrained):
        chosen.start.check(chips)
    keys = keys_of_units(chips, design)
    refuse_late_images(design, design.table, chips.last_dates(keys))
    fold_of = folds.assign(design, seed=seed)
    read = read_chips(chips, np.unique(keys), chosen.block)
    study, order = study_of(design, keys, read, chips)
    # from here on in the order of ids, so that the order of rows moves nothing
    fold_of = fold_of[order]
    tied = folds.groups(design)[order]
    parts = tuple(parts_of(study.treatment, fold_of, fold, tied=tied, seed=seed) for fold in range(folds.k))
    return _Job(study, folds, fold_of, tied, parts, target, chosen, seed, where)


def _scheme(folds: Folds) -> dict[str, Any]:
    """Return what makes the same folds again."""
    return {"kind": folds.kind, "k": folds.k} | ({} if folds.block_m is None else {"block_m": folds.block_m})


def _fits(job: _Job, store: FoldStore | None, *, progress: bool) -> list[FoldFit]:
    """Return what the network of each fold says, from the store where it is finished."""
    from tqdm import tqdm

    fits = []
    epochs = job.network.epochs
    with tqdm(total=epochs * len(job.parts), desc="finetune", unit="epoch", disable=not progress) as bar:
        for fold, parts in enumerate(job.parts):
            bar.set_postfix_str(f"fold {fold + 1} of {len(job.parts)}")
            stored = None if store is None else store.load(fold)
            if stored is None:
                fit = fit_fold(
                    job.study,
                    parts,
                    target=TARGETS[job.target],
                    network=job.network,
                    seed=np.random.SeedSequence([job.seed, fold]),
                    device=job.device,
                    told=bar.update,
                )
                if store is not None:
                    store.save(fold, _as_arrays(fit))
            else:
                fit = _as_fit(stored)
            fits.append(fit)
            bar.update(epochs * (fold + 1) - bar.n)
    return fits


def _as_arrays(fit: FoldFit) -> Arrays:
    return {**vars(fit), "best": np.array([fit.best])}


def _as_fit(arrays: Arrays) -> FoldFit:
    rest = {name: array for name, array in arrays.items() if name != "best"}
    return FoldFit(**rest, best=int(arrays["best"][0]))
