"""Outcomes that were read from images: how they are declared, and what fixed effects on them mean."""

from __future__ import annotations

from dataclasses import dataclass

from eocausal.errors import DesignError, explain


@dataclass(frozen=True)
class Imputed:
    """Says that an outcome was predicted from images and not measured.

    Parameters
    ----------
    from_sensor : str
        What the images are from, such as ``"landsat"``.
    model : str, optional
        What predicted it.

    Raises
    ------
    DesignError
        ``from_sensor`` is empty.

    Examples
    --------
    >>> Imputed(from_sensor="landsat", model="wealth network of 2021")
    Imputed(from_sensor='landsat', model='wealth network of 2021')
    """

    from_sensor: str
    model: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("from_sensor", self.from_sensor), ("model", self.model)):
            if name == "model" and value is None:
                continue
            if not isinstance(value, str) or not value.strip():
                raise DesignError(
                    explain(
                        f"Imputed({name}={value!r}).", rule="text", fix='ec.Imputed(from_sensor="landsat")'
                    )
                )

    def source(self) -> str:
        """Return in words what made the outcome."""
        return f"{self.from_sensor} images" + (f" ({self.model})" if self.model else "")

    def assumption(self) -> str:
        """Return what must hold for an effect on the prediction to be an effect on the outcome."""
        return (
            "predictions of the outcome answer to treatment as the outcome itself does: the estimate is "
            "eta_T times the effect, with eta_T how far predictions move when treatment moves the outcome "
            "by one"
        )

    def warnings(self, *, with_features: bool) -> list[str]:
        """Return what a reader must know of an outcome from images."""
        told = [
            f"the outcome was predicted from {self.source()}: fixed effects on it recover the response of the "
            "prediction to treatment, eta_T times the effect, however well it predicts across places; "
            "ec.debias(..., unit=, period=) with outcomes measured in two rounds and ec.panel(design, correct=) "
            "say how large the effect would be if predictions answered to treatment as they do to other changes "
            "(docs/panels.md); outcomes measured in treated places tell more: ec.predict_then_debias"
        ]
        if with_features:
            told.append(
                "image features adjust for what the outcome was predicted from too: where both come from the same "
                "pictures, their errors go together and look like a confounder; use other days or another sensor"
            )
        return told
