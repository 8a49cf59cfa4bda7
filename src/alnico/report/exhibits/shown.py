"""What a study's page shows as a figure, or why it does not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from alnico.errors import AlnicoError
from alnico.experiment.variants import Field, StudyRow, fields
from alnico.report.figures.canvas import Picture
from alnico.report.study_tables.sheet import place_names


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
Make = Callable[[str, str, Field], Sequence[StudyFigure] | str]
"""From a figure's name and title and a field to the field's figures, or why there are none, in one sentence."""

NOT_ROUTED = "it needs the run folder of a MAGNET with a mixture of experts"


def of_each_field(rows: Sequence[StudyRow], name: str, title: str, make: Make) -> Figures:
    """What ``make`` gives for each field, named after its place; left out where it gives none or meets an error."""
    made: list[StudyFigure | LeftOut] = []
    found = fields(rows)
    for place, own in zip(place_names(found), found, strict=True):
        try:
            told = make(f"{name}-{place}", f"{title}, {place}", own)
        except AlnicoError as problem:
            told = str(problem)
        made += [LeftOut(name, f"{title}, {place}", told)] if isinstance(told, str) else told
    return made
