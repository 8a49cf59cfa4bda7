"""Progress of a countable job: a bar in a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def counting(
    things: str, spoken: Callable[[float], str] = "{:.0f}".format
) -> Iterator[Callable[[int, int], None]]:
    """A function to be told (done, total), total 0 where it is not known.

    Shows the count, the rate and the time left on stderr; ``spoken`` says a count for people.
    """
    if sys.stderr.isatty():
        with _bar(things, spoken) as tell:
            yield tell
    else:
        yield _lines(things, spoken)


@contextmanager
def _bar(things: str, spoken: Callable[[float], str]) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
    from rich.text import Text

    class Count(ProgressColumn):
        """How many of how many."""

        def render(self, task: Task) -> Text:
            return Text(f"{spoken(task.completed)}/{spoken(task.total) if task.total else '?'}")

    class Rate(ProgressColumn):
        """Things per second, over the last moments."""

        def render(self, task: Task) -> Text:
            return Text(f"{spoken(task.speed)} per second" if task.speed else "")

    columns = (f"{things}", BarColumn(), Count(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(things, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total or None)

        yield tell


def _of(done: float, total: float, spoken: Callable[[float], str]) -> str:
    return f"{spoken(done)} of {spoken(total)}" if total else spoken(done)


def _lines(things: str, spoken: Callable[[float], str]) -> Callable[[int, int], None]:
    started = last = time.perf_counter()
    before = -1

    def tell(done: int, total: int) -> None:
        nonlocal last, before
        if before < 0:
            # What was there already, such as the beginning of a file, was not done now.
            before = done if done != total else 0
        now = time.perf_counter()
        if done == total or now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            rate = spoken((done - before) / max(now - started, 1e-9))
            typer.echo(f"{things}: {_of(done, total, spoken)}, {rate} per second", err=True)

    return tell
