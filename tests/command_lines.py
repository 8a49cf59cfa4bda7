"""What the fixtures that run the command line give to a test."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What one command line gave back."""

    code: int
    out: str
    err: str


CommandLine = Callable[..., Answer]
