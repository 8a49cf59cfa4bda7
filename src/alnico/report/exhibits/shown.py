"""What a study's page shows as a figure, or why it does not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from alnico.report.figures.canvas import Picture


@dataclass(frozen=True)
class StudyFigure:
    """A figure with its file name, title and what to see in it."""

    name: str
    title: str
    picture: Picture = field(repr=False)
    caption: str


@dataclass(frozen=True)
class LeftOut:
    """A figure or table that cannot be made of these runs, and why, in one sentence."""

    name: str
    title: str
    why: str


Figures = Sequence[StudyFigure | LeftOut]
