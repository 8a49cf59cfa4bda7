"""How training looks on a screen: a live line for a terminal, plain lines for a file."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alnico.training.checkpoint import Progress
    from alnico.training.plan import TrainPlan
    from alnico.training.trainer import Watcher


class Lines:
    """One plain line per epoch."""

    def __init__(self, plan: "TrainPlan") -> None:
        self.plan = plan

    def step(self, epoch: int, done: int, total: int) -> None:
        """Nothing."""

    def epoch(self, row: Mapping[str, float], progress: "Progress") -> None:
        """Print the epoch's line."""
        print(summary(row, progress, self.plan), flush=True)


class Live:
    """A progress bar over the epoch's steps, with rate and time left, above which epochs scroll by."""

    def __init__(self, plan: "TrainPlan") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.plan = plan
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            transient=True,
        )
        self.task = self.bar.add_task("epoch 1", total=None, rate="")
        self.began = time.perf_counter()

    def step(self, epoch: int, done: int, total: int) -> None:
        """Move the bar."""
        if done == 1:
            self.began = time.perf_counter()
            self.bar.reset(self.task, description=f"epoch {epoch}", total=total, rate="")
        rate = done / max(time.perf_counter() - self.began, 1e-9)
        self.bar.update(self.task, completed=done, rate=f"{rate:.1f} steps/s")

    def epoch(self, row: Mapping[str, float], progress: "Progress") -> None:
        """Print the epoch's line above the bar."""
        self.bar.console.print(summary(row, progress, self.plan), highlight=False)


def summary(row: Mapping[str, float], progress: "Progress", plan: "TrainPlan") -> str:
    """One epoch in one line."""
    parts = [f"epoch {int(row['epoch']):4d}"]
    parts += [f"{key[5:]} {value:.4f}" for key, value in row.items() if key.startswith("loss/")]
    if f"valid/{plan.metric}" in row:
        value = row[f"valid/{plan.metric}"]
        best = f"best {progress.best_value:.4f}, epoch {progress.best_epoch}"
        parts.append(f"| {plan.metric} {value:.4f} ({best})")
    if "stage" in row:
        parts.append(f"| stage {int(row['stage'])}")
    parts.append(f"| {row['epoch_seconds']:.1f} s")
    if progress.finished:
        parts.append(f"| {progress.finished}")
    return "  ".join(parts)


@contextmanager
def watching(plan: "TrainPlan", quiet: bool = False) -> "Iterator[Watcher]":
    """A watcher that suits where the output goes."""
    import sys

    if quiet:
        from alnico.training.trainer import Silent

        yield Silent()
    elif sys.stdout.isatty():
        live = Live(plan)
        with live.bar:
            yield live
    else:
        yield Lines(plan)
