"""How training looks on a screen: a live line for a terminal, plain lines for a file."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alnico.experiment.conducting import Standing, StudyWatcher
    from alnico.experiment.executor import Outcome
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


class StudyLines:
    """One plain line for each run that begins or ends."""

    def looks(self, standing: "Standing") -> None:
        """Nothing."""

    def began(self, name: str, dataset: str) -> None:
        """Print the run's name."""
        del dataset
        print(f"began {name}", flush=True)

    def ended(self, outcome: "Outcome", standing: "Standing") -> None:
        """Print how it ended and what is left."""
        print(f"{ending(outcome)}; {remaining(standing)}", flush=True)


class StudyLive(StudyLines):
    """A table of the runs at work, above which runs that ended scroll by."""

    def __init__(self) -> None:
        from rich.live import Live

        self.live = Live(transient=True, refresh_per_second=2)

    def looks(self, standing: "Standing") -> None:
        """Draw the table."""
        from rich.console import Group
        from rich.table import Table

        table = Table("run", "epoch", "best", "trained", box=None)
        for run in standing.running:
            best = "" if run.best is None else f"{run.best:.4f}"
            table.add_row(run.name, str(run.epoch), best, spoken_time(run.seconds))
        self.live.update(Group(table, remaining(standing)))

    def began(self, name: str, dataset: str) -> None:
        """Nothing: the table shows it."""

    def ended(self, outcome: "Outcome", standing: "Standing") -> None:
        """Print how it ended above the table."""
        self.live.console.print(ending(outcome), highlight=False)


def ending(outcome: "Outcome") -> str:
    """How a run ended, in one line."""
    return f"{outcome.ending} {outcome.name}" + (f": {outcome.sentence}" if outcome.sentence else "")


def remaining(standing: "Standing") -> str:
    """How far a study is, in one line."""
    running = len(standing.running)
    waiting = standing.wanted - standing.finished - standing.failed - running
    counts = {"running": running, "waiting": waiting, "failed": standing.failed}
    told = "".join(f", {count} {state}" for state, count in counts.items() if count)
    left = f", about {spoken_time(standing.seconds_left)} left" if standing.seconds_left else ""
    return f"{standing.finished} of {standing.wanted} runs finished{told}{left}"


def spoken_time(seconds: float) -> str:
    """A time for a person."""
    from alnico.cli.estimate import duration

    return duration(seconds)


@contextmanager
def studying(quiet: bool = False) -> "Iterator[StudyWatcher]":
    """A watcher of a study that suits where the output goes."""
    import sys

    from alnico.experiment.conducting import Unwatched

    if quiet:
        yield Unwatched()
    elif sys.stdout.isatty():
        live = StudyLive()
        with live.live:
            yield live
    else:
        yield StudyLines()
