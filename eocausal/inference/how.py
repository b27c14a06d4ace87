"""How a variance is made, and what it then is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal.inference.reference import Reference

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Vcov:
    """How a variance is made.

    Attributes
    ----------
    kind : str
        ``iid``, ``hetero``, ``cluster``, ``conley``, ``bootstrap``, ``wild``; of RATE ``half-sample``.
    names : tuple of str
        Names of the clusters.
    cutoff_m : float or None
        Distance beyond which units are taken as independent, in metres.
    kernel : str or None
        How the weight of a pair falls with distance: ``uniform`` or ``bartlett``.
    serial : int, "all" or None
        Of panels: up to how many periods apart rows of one unit vary together.
    crs : str or None
        Projected reference system in which distances are flat; None for great circles.
    block_m : float or None
        Side in metres of the cells that a bootstrap draws.
    weights : str or None
        Random weights of the wild bootstrap: ``rademacher``, ``webb`` or ``mammen``; None for what the number of
        clusters asks for.
    draws, seed : int or None
        Of a bootstrap.
    """

    kind: str = "iid"
    names: tuple[str, ...] = ()
    cutoff_m: float | None = None
    kernel: str | None = None
    serial: int | str | None = None
    crs: str | None = None
    block_m: float | None = None
    weights: str | None = None
    draws: int | None = None
    seed: int | None = None

    @property
    def label(self) -> str:
        """How it is printed.

        Examples
        --------
        >>> print(Vcov().label, Vcov("cluster", ("village", "image")).label)
        iid cluster(village & image)
        >>> Vcov("conley", cutoff_m=50_000.0, kernel="bartlett").label
        'conley(50 km, bartlett)'
        >>> Vcov("wild", ("village",), weights="webb", draws=1999, seed=0).label
        'wild(village, webb, 1999 draws, seed 0)'
        """
        told = [" & ".join(self.names)] if self.names else []
        told += [distance_text(self.cutoff_m), str(self.kernel)] if self.cutoff_m is not None else []
        told += [f"serial {self.serial}"] if self.serial is not None else []
        told += [f"blocks of {distance_text(self.block_m)}"] if self.block_m is not None else []
        told += [one for one in (self.crs, self.weights) if one is not None]
        told += [f"{self.draws} draws, seed {self.seed}"] if self.draws is not None else []
        return f"{self.kind}({', '.join(told)})" if told else self.kind

    @property
    def in_words(self) -> str:
        """How it is said in a sentence, after "standard errors" or "an interval".

        Examples
        --------
        >>> Vcov().in_words, Vcov("cluster", ("village",)).in_words
        ('for independent units', 'clustered by village')
        >>> Vcov("conley", cutoff_m=3000.0, kernel="uniform").in_words
        'with units up to 3 km apart varying together'
        >>> Vcov("wild", ("village",), draws=1999, seed=0).in_words
        'by a wild bootstrap over village'
        """
        # labels that were given without a name have none to say
        by = " and ".join("the clusters given" if name == "given" else name for name in self.names)
        if self.cutoff_m is not None:
            return f"with units up to {distance_text(self.cutoff_m)} apart varying together"
        if self.block_m is not None:
            return f"by a bootstrap of blocks of {distance_text(self.block_m)}"
        if self.draws is not None:
            return f"by a {'wild ' if self.kind == 'wild' else ''}bootstrap over {by or 'units'}"
        return f"clustered by {by}" if by else "for independent units"


@dataclass(frozen=True)
class Variance:
    """Covariance of ``k`` estimates, with how it was made.

    Attributes
    ----------
    matrix : array of shape (k, k)
    df : float
        Degrees of freedom of the t distribution: ``G - 1`` with clusters, else ``n - n_params``.
    factor : float
        The finite-sample factor that was applied to the plain sum.
    n_clusters : int or None
        Of several kinds of clusters the smallest number.
    how : Vcov
    notes : tuple of str
        What a reader must know of it; they stand in the result's warnings.
    reference : Reference or None
        Draws of a bootstrap, which intervals and p-values take in place of the t distribution.
    """

    matrix: FloatArray
    df: float
    factor: float
    n_clusters: int | None
    how: Vcov = Vcov()
    notes: tuple[str, ...] = ()
    reference: Reference | None = None

    @property
    def distribution(self) -> str:
        """What intervals and p-values are taken from, as it is printed."""
        if self.reference is None:
            return f"t({self.df:.0f})"
        return f"all {self.reference.draws} changes of sign" if self.reference.exact else "draws of t"


def distance_text(metres: float) -> str:
    """Return a distance as it is printed.

    Examples
    --------
    >>> distance_text(50_000.0), distance_text(250.0)
    ('50 km', '250 m')
    """
    return f"{metres / 1000:.12g} km" if metres >= 1000 else f"{metres:.12g} m"
