"""Progress of a countable job: a bar in a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def counting(things: str) -> Iterator[Callable[[int, int], None]]:
    """A function to be told (done, total); shows the count, the rate and the time left on stderr."""
    if sys.stderr.isatty():
        with _bar(things) as tell:
            yield tell
    else:
        yield _lines(things)


@contextmanager
def _bar(things: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Things per second, over the last moments."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f} per second" if task.speed else "")

    columns = (f"{things}", BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(things, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield tell


def _lines(things: str) -> Callable[[int, int], None]:
    started = last = time.perf_counter()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if done == total or now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            typer.echo(
                f"{things}: {done} of {total}, {done / max(now - started, 1e-9):.0f} per second", err=True
            )

    return tell
