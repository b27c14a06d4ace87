"""One fold: a network trained on a part of the other folds, stopped by the rest of them, asked about any units."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread, one_torch_thread
from eocausal.errors import EstimationError, explain
from eocausal.training._fold_pixels import ChipTable
from eocausal.training._networks import Model, with_head
from eocausal.training._start import start_of
from eocausal.training._targets import Target
from eocausal.training.network import Network

if TYPE_CHECKING:
    from torch import Tensor

    from eocausal.encoding.pretrained import Pretrained
    from eocausal.encoding.protocol import ChipSource

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

_WEIGHT_DECAY = 0.01
_LARGEST_STEP = 1.0
_ASKED_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class Study:
    """Units in the order of their ids, and the chips that they look at (``image_of`` (n,) positions of chips)."""

    ids: npt.NDArray[Any]
    outcome: FloatArray
    treatment: FloatArray
    weights: FloatArray
    covariates: FloatArray
    groups: Rows
    image_of: Rows
    chips: ChipTable
    source: ChipSource

    def with_numbers(self, outcome: FloatArray, treatment: FloatArray) -> Study:
        """Return the study with other numbers (n,) in the place of outcome and treatment, such as residuals."""
        return replace(self, outcome=outcome, treatment=treatment)


@dataclass(frozen=True, eq=False)
class Parts:
    """Positions of units: those that a network learns from, those that stop it, those that it predicts."""

    learn: Rows
    stop: Rows
    predict: Rows


@dataclass(frozen=True, eq=False)
class FoldFit:
    """What the network of one fold said: outputs (n, k) of its units and of those that stopped it.

    ``before`` (n, k) are the outputs before training, those of a regression on the covariates of the same units.
    ``images`` (positions) and ``of_images`` (m, k) are the outputs of pictures at the mean of the covariates;
    ``losses`` (epochs + 1, 2) those of training and validation, from before the first epoch; ``best`` the epoch
    whose weights were kept.
    """

    outputs: FloatArray
    before: FloatArray
    stopping: FloatArray
    images: Rows
    of_images: FloatArray
    losses: FloatArray
    best: int


@dataclass(frozen=True, eq=False)
class _Run:
    """A model with the study as the model sees it: scaled, as tensors, on the device."""

    model: Model
    study: Study
    pictures: Callable[[Rows], npt.NDArray[np.float32]]
    covariates: Tensor
    outcome: Tensor
    treatment: Tensor
    weights: Tensor
    device: str


@dataclass(frozen=True, eq=False)
class Trained:
    """A network that is trained, and how numbers become what it reads and back.

    ``covariates`` are mean and spread of the covariates that it learned from; an output times ``deviation`` plus
    ``centre`` is in the unit of the outcome. ``start`` (k, 1 + p), ``losses`` and ``best`` are as in a ``FoldFit``.
    """

    run: _Run
    network: Network
    covariates: tuple[FloatArray, FloatArray]
    centre: float
    deviation: float
    start: FloatArray
    losses: FloatArray
    best: int

    def outputs(self, units: Rows) -> FloatArray:
        """Return the outputs (n, k) for some units of the study that it was trained in, by position."""
        with _threads(self.network):
            return _ask(self.run, units) * self.deviation + self.centre

    def outputs_of_others(self, image_of: Rows, covariates: FloatArray) -> FloatArray:
        """Return the outputs (n, k) for other units, by positions of their chips and their covariates (n, p)."""
        study = replace(self.run.study, ids=np.arange(len(image_of)), image_of=image_of)
        scaled = _on_device(_scaled(covariates, self.covariates), self.run.device)
        others = replace(self, run=replace(self.run, study=study, covariates=scaled))
        return others.outputs(np.arange(len(image_of)))


def trained(
    study: Study,
    parts: Parts,
    *,
    target: Target,
    network: Network,
    seed: np.random.SeedSequence,
    device: str,
    told: Callable[[int], Any],
) -> Trained:
    """Train a network on a part of a study until another part stops it; ``told(1)`` is called after each epoch."""
    learn = parts.learn
    mine = (study.outcome[learn], study.treatment[learn], study.weights[learn])
    centre, deviation = target.spread(*mine)
    scaling = _scaling(study.covariates, learn)
    covariates = _scaled(study.covariates, scaling)
    with one_blas_thread():
        start = target.start((mine[0] - centre) / deviation, *mine[1:], covariates[learn])
    with _seeded(int(seed.generate_state(1)[0]), device), _threads(network):
        scaled = replace(study, covariates=covariates, outcome=(study.outcome - centre) / deviation)
        run = _begun(scaled, learn, network.start, start, device)
        losses, best = _train(run, parts, target, network, np.random.default_rng(seed.spawn(1)[0]), told)
        run.model.train(False)
    return Trained(run, network, scaling, centre, deviation, start, losses, best)


def fit_fold(study: Study, parts: Parts, **asked: Any) -> FoldFit:
    """Train the network of one fold and return what it says; what is ``asked`` is as in :func:`trained`."""
    made = trained(study, parts, **asked)
    with _threads(made.network):
        images = np.unique(study.image_of[parts.predict])
        covariates = _scaled(study.covariates, made.covariates)[parts.predict]
        before = made.start[:, 0] + covariates @ made.start[:, 1:].T
        return FoldFit(
            outputs=made.outputs(parts.predict),
            before=before * made.deviation + made.centre,
            stopping=made.outputs(parts.stop),
            images=images,
            of_images=_ask_of_images(made.run, images) * made.deviation + made.centre,
            losses=made.losses,
            best=made.best,
        )


def _threads(network: Network) -> AbstractContextManager[None]:
    """Return one thread for small networks, so that numbers do not depend on the machine's cores."""
    return one_torch_thread() if isinstance(network.start, str) else nullcontext()


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Seed torch for weights and dropout, and put its generators back as they were."""
    import torch

    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _scaling(columns: FloatArray, learn: Rows) -> tuple[FloatArray, FloatArray]:
    """Return mean and spread of columns among the units that are learned from, infinite where they are all alike.

    Nothing can be learned of a column that is the same for all of these, whatever it is for others.
    """
    mean, spread = columns[learn].mean(axis=0), columns[learn].std(axis=0)
    # the mean of equal numbers is off by their last digit
    return mean, np.where(spread > 1e-12 * np.abs(mean), spread, np.inf)


def _scaled(columns: FloatArray, scaling: tuple[FloatArray, FloatArray]) -> FloatArray:
    mean, spread = scaling
    found: FloatArray = (columns - mean) / spread
    return found


def _begun(study: Study, learn: Rows, network: str | Pretrained, start: FloatArray, device: str) -> _Run:
    """Return a network to train and what it sees of a scaled study."""
    images = np.unique(study.image_of[learn])
    begun = start_of(network, study.chips, study.source, learn=images, device=device)
    return _Run(
        model=with_head(begun.body, start, device),
        study=study,
        pictures=begun.pictures,
        covariates=_on_device(study.covariates, device),
        outcome=_on_device(study.outcome, device),
        treatment=_on_device(study.treatment, device),
        weights=_on_device(study.weights / study.weights[learn].mean(), device),
        device=device,
    )


def _on_device(values: FloatArray, device: str) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)


def _train(
    run: _Run,
    parts: Parts,
    target: Target,
    network: Network,
    rng: np.random.Generator,
    told: Callable[[int], Any],
) -> tuple[FloatArray, int]:
    """Train until the validation loss has not fallen for ``patience`` epochs; the best weights stay."""
    import torch

    optimiser = torch.optim.AdamW(run.model.groups(_WEIGHT_DECAY), lr=network.rate)
    losses = [(_loss(run, parts.learn, target), _loss(run, parts.stop, target))]
    best, kept = 0, run.model.state()
    for epoch in range(1, network.epochs + 1):
        training = _one_pass(run, parts.learn, target, network, rng, optimiser)
        losses.append((training, _loss(run, parts.stop, target)))
        told(1)
        if not np.isfinite(losses[-1]).all():
            raise EstimationError(
                explain(
                    f"Training diverged in epoch {epoch}: the loss is not finite.",
                    fix=f"network=ec.Network({network.label!r}, learning_rate={network.rate / 10:g})",
                )
            )
        if losses[-1][1] < losses[best][1]:
            best, kept = epoch, run.model.state()
        if epoch - best >= network.patience:
            break
    run.model.restore(kept)
    return np.array(losses), best


def _one_pass(
    run: _Run,
    units: Rows,
    target: Target,
    network: Network,
    rng: np.random.Generator,
    optimiser: Any,
) -> float:
    """Take one step for each batch of pictures, each with all units that look at it; return the mean loss."""
    import torch

    run.model.train(True)
    images = rng.permutation(np.unique(run.study.image_of[units]))
    batches = np.array_split(images, max(1, len(images) // network.batch_size))
    # a batch counts by its units, so that the steps of an epoch add up to the loss of all units
    usual = float(run.weights[units].sum()) / len(images)
    total = 0.0
    for batch in batches:
        pictures = run.pictures(batch)
        if network.augment:
            pictures = turned(pictures, rng)
        rows, which = _units_of(run.study, units, batch)
        vectors = run.model.vectors(_tensor(pictures, run.device))
        summed = _summed_loss(run, vectors, rows, which, target)
        optimiser.zero_grad()
        (summed / (usual * len(batch))).backward()
        weights = [one for group in optimiser.param_groups for one in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, _LARGEST_STEP)
        optimiser.step()
        total += float(summed.detach())
    return total / (usual * len(images))


def _loss(run: _Run, units: Rows, target: Target) -> float:
    """Return the mean loss of units in prediction."""
    import torch

    run.model.train(False)
    total = 0.0
    with torch.no_grad():
        for images, vectors in _vectors(run, np.unique(run.study.image_of[units])):
            rows, which = _units_of(run.study, units, images)
            total += float(_summed_loss(run, vectors, rows, which, target))
    return total / float(run.weights[units].sum())


def _summed_loss(run: _Run, vectors: Tensor, rows: Rows, which: Rows, target: Target) -> Tensor:
    outputs = _outputs(run, vectors, rows, which)
    losses = target.loss(outputs, run.outcome[rows], run.treatment[rows])
    summed: Tensor = (losses * run.weights[rows]).sum()
    return summed


def _ask(run: _Run, units: Rows) -> FloatArray:
    """Return the outputs for units, (n, k)."""
    import torch

    found = np.zeros((len(run.study.ids), run.model.head.out_features))
    with torch.no_grad():
        for images, vectors in _vectors(run, np.unique(run.study.image_of[units])):
            rows, which = _units_of(run.study, units, images)
            found[rows] = _outputs(run, vectors, rows, which).cpu().numpy()
    return found[units]


def _ask_of_images(run: _Run, images: Rows) -> FloatArray:
    """Return the outputs for pictures at the mean of the covariates, which is 0 as the model sees them."""
    import torch

    found = []
    with torch.no_grad():
        for some, vectors in _vectors(run, images):
            mean = torch.zeros(len(some), run.covariates.shape[1], device=run.device)
            found.append(run.model.outputs(vectors, mean).cpu().numpy().astype(float))
    return np.concatenate(found)


def _vectors(run: _Run, images: Rows) -> Iterator[tuple[Rows, Tensor]]:
    for start in range(0, len(images), _ASKED_AT_ONCE):
        some = images[start : start + _ASKED_AT_ONCE]
        yield some, run.model.vectors(_tensor(run.pictures(some), run.device))


def _outputs(run: _Run, vectors: Tensor, rows: Rows, which: Rows) -> Tensor:
    import torch

    # index_select: its gradient is summed in a fixed order on a CPU
    mine = vectors.index_select(0, torch.from_numpy(which).to(run.device))
    return run.model.outputs(mine, run.covariates[rows])


def _units_of(study: Study, units: Rows, images: Rows) -> tuple[Rows, Rows]:
    """Return the units that look at some pictures, and which of the pictures each looks at."""
    place = np.full(len(study.chips.keys), -1, dtype=np.intp)
    place[images] = np.arange(len(images))
    which = place[study.image_of[units]]
    return units[which >= 0], which[which >= 0]


def _tensor(pictures: npt.NDArray[np.float32], device: str) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(pictures)).to(device)


def turned(pictures: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return pictures (n, bands, height, width) flipped and turned at random, by quarters where they are square."""
    made = np.empty_like(pictures)
    square = pictures.shape[2] == pictures.shape[3]
    ways = rng.integers(8, size=len(pictures))
    for way in range(8):
        # a picture that is not square is turned by halves
        quarters = way % 4 if square else 2 * (way % 2)
        some = np.rot90(pictures[ways == way], quarters, axes=(2, 3))
        made[ways == way] = some[..., ::-1] if way >= 4 else some
    return made
