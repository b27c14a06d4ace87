"""`RatledgeLoss`: a loss that punishes predictions which are wrong on average among the poorest, or the richest."""

from __future__ import annotations

from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal._checks import whole_number
from eocausal.errors import EstimationError, explain

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RatledgeLoss:
    """Mean squared error plus a penalty on the largest mean error among groups by size of the truth.

    A map that is trained on squared error shrinks: the poorest places are predicted too rich. This loss adds
    ``weight`` times the largest, over quintiles of the truth, of the squared mean error in the quintile. It
    serves those who train a map themselves, and the comparison with corrections that need no training
    (:func:`eocausal.debias`): predictions shrink less, and their errors grow.

    Parameters
    ----------
    truth : array of shape (n,)
        Outcomes of the *training* set, which fix the cut points of the groups.
    weight : float
        What the penalty counts. It has no unit. Of 0, 1, 3, 5, 7.5, 10, 15 and 20 Pettersson, Jerzak and Daoud
        chose 15, the default, for wealth of African survey clusters.
    groups : int
        Number of groups of equal size, 5 in the paper.

    Attributes
    ----------
    cuts : tuple of float
        Cut points; a truth that equals one is below it.

    Raises
    ------
    EstimationError
        Truths that are missing, or with too few values for so many groups; a weight that is negative.

    Notes
    -----
    Ratledge, Cadamuro, de la Cuesta, Stigler and Burke (2022), Nature 611, 491-495. A batch without units of a
    group says nothing of it, and the mean of few units is mostly noise, which is punished too: batches of some
    hundred units serve it best.

    Examples
    --------
    >>> import eocausal as ec, torch
    >>> loss = ec.RatledgeLoss([0.0, 1.0, 2.0, 3.0], weight=2.0, groups=2)
    >>> loss
    RatledgeLoss(weight=2.0, cuts=(1.5,))
    >>> predicted = torch.tensor([1.0, 1.0, 2.0, 2.0], requires_grad=True)
    >>> truth = torch.tensor([0.0, 1.0, 2.0, 3.0])
    >>> round(loss(predicted, truth).item(), 3)  # 0.5 + 2 * 0.5 ** 2
    1.0
    """

    truth: InitVar[npt.ArrayLike]
    _: KW_ONLY
    weight: float = 15.0
    groups: InitVar[int] = 5
    cuts: tuple[float, ...] = field(init=False)

    def __post_init__(self, truth: npt.ArrayLike, groups: int) -> None:
        number = isinstance(self.weight, (int, float, np.number)) and not isinstance(self.weight, bool)
        if not number or not 0 <= self.weight < np.inf:
            raise EstimationError(explain(f"weight={self.weight!r}.", rule="a number of at least 0"))
        parts = whole_number(groups, argument="groups", error=EstimationError, least=2)
        values = _numbers(truth)
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size or not values.size:
            raise EstimationError(
                explain("Truths of the training set are missing or infinite.", where=bad, rule="numbers")
            )
        cuts = np.quantile(values, np.arange(1, parts) / parts)
        if (np.diff(cuts) <= 0).any() or cuts[0] < values.min() or cuts[-1] >= values.max():
            raise EstimationError(
                explain(
                    f"The truth has too few different values for {parts} groups of equal size.",
                    where=np.unique(values),
                    fix="groups=2, or another loss for classes",
                )
            )
        object.__setattr__(self, "weight", float(self.weight))
        object.__setattr__(self, "cuts", tuple(cuts.tolist()))

    def __call__(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the loss of a batch, a tensor without dimensions.

        Parameters
        ----------
        predicted, truth : tensor of one shape

        Raises
        ------
        EstimationError
            Shapes that differ, which torch would silently blow up, or no units.
        """
        errors = _errors(predicted, truth)
        worst = self._means(errors, truth)[0].square().max()
        return errors.square().mean() + self.weight * worst

    def biases(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the mean error (prediction less truth) by group of the truth, NaN in a group without units."""
        means, counts = self._means(_errors(predicted, truth), truth)
        return means.masked_fill(counts == 0, float("nan"))

    def _means(self, errors: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean errors by group, 0 where there are no units, and how many units there are."""
        import torch

        flat = truth.detach().reshape(-1)
        # a cut point that is rounded to a half would move units
        flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
        edges = torch.tensor(self.cuts, dtype=flat.dtype, device=flat.device)
        group = torch.bucketize(flat, edges)
        empty = torch.zeros(len(self.cuts) + 1, dtype=errors.dtype, device=errors.device)
        counts = empty.index_add(0, group, torch.ones_like(errors))
        return empty.index_add(0, group, errors) / counts.clamp(min=1), counts


def _numbers(truth: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return truths in one row, a tensor's without its gradient."""
    detach = getattr(truth, "detach", None)
    array = np.asarray(truth if detach is None else detach().cpu())
    if array.dtype.kind not in "biuf":
        raise EstimationError(
            explain(f"Truths of the training set are {array.dtype}.", rule="an array of real numbers")
        )
    return array.astype(float).ravel()


def _errors(predicted: Tensor, truth: Tensor) -> Tensor:
    if predicted.shape != truth.shape or not truth.numel():
        shapes = f"{tuple(predicted.shape)} and {tuple(truth.shape)}"
        raise EstimationError(
            explain(
                f"Predictions and truth have the shapes {shapes}.",
                rule="one shape, with at least one unit",
                fix="predicted.squeeze(-1)",
            )
        )
    import torch

    # halves count no further than a few hundred units, and whole numbers have no mean
    exact = torch.promote_types(torch.promote_types(predicted.dtype, truth.dtype), torch.float32)
    return (predicted.to(exact) - truth.to(exact)).reshape(-1)
