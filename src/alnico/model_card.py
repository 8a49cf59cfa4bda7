"""Where a model comes from."""

from dataclasses import dataclass
from typing import Literal

Reproduction = Literal["full", "partly reconstructed", "reconstructed", "own"]


@dataclass(frozen=True)
class ModelCard:
    """Where a model comes from and how far the implementation follows its source.

    ``reads`` are its inputs beyond interactions. ``reproduction``: "full" follows a published description and its
    official behaviour; "partly reconstructed" and "reconstructed" fill gaps that the source leaves by what ``remark``
    says, and no table may show them without saying so; "own" is this project's, or its own reading of a source.
    """

    title: str
    paper: str
    year: int | None
    reads: tuple[str, ...] = ()
    reproduction: Reproduction = "full"
    remark: str = ""

    @property
    def reservation(self) -> str | None:
        """What tables must say about the reproduction, None where nothing."""
        return self.reproduction if "reconstructed" in self.reproduction else None

    def named(self, label: str | None = None) -> str:
        """``label``, or else the title, with the reservation that tables must show."""
        shown = label or self.title
        if self.reservation is None or self.reservation in shown:
            return shown
        return f"{shown} ({self.reservation})"
