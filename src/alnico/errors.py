"""What can go wrong, by name.

Each message says what was expected, what was found, where, and what to do. The command line prints it
as one sentence and leaves with exit code 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class AlnicoError(Exception):
    """Anything that the caller can put right."""


class DataError(AlnicoError):
    """The data given cannot be used as it is."""


class UnknownIdError(DataError):
    """An id names nobody and nothing here."""


class ConfigError(AlnicoError):
    """A setting is unknown, out of range or contradicts another."""


class UnsupportedError(AlnicoError):
    """The model has no meaningful answer to this request."""


class StorageError(AlnicoError):
    """A file could not be written, read back, or is not what it claims to be."""


class DivergedError(AlnicoError):
    """A loss term stopped being a finite number."""

    def __init__(self, epoch: int, term: str, value: float) -> None:
        super().__init__(
            f"training diverged: loss term {term!r} became {value} in epoch {epoch}; "
            "lower training.learning_rate or the weight of that term"
        )
        self.epoch = epoch
        self.term = term


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint like ``; did you mean 'width'?``, or the sorted choices when nothing is near."""
    known = sorted(choices)
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""
