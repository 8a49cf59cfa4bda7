"""One self-contained page about finished runs: nothing is fetched, every picture stands inside."""

from collections.abc import Sequence
from pathlib import Path

from alnico.report.chapters import Chapter
from alnico.report.views import view_of
from alnico.storage import write_text
from alnico.template import filled


def write_page(
    path: Path, title: str, chapters: Sequence[Chapter], metric: str, introduction: Sequence[str] = ()
) -> None:
    """Write ``page`` as one file. Raises StorageError if it cannot be written."""
    write_text(path, page(title, chapters, metric, introduction))


def page(title: str, chapters: Sequence[Chapter], metric: str, introduction: Sequence[str] = ()) -> str:
    """A page about these runs as HTML; within a chapter all runs are compared with the main one by
    ``metric``.

    Raises StorageError if a run is not finished, ConfigError if a run lacks the measure.
    """
    views = [view_of(chapter, metric) for chapter in chapters]
    return filled("alnico.report", "page.html", title=title, introduction=introduction, chapters=views)
