"""Worker processes that make a search's trials side by side.

They share the trial store. What they are to do comes to them, and what they have done goes back, through a pipe each.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Literal

import torch

from alnico.errors import AlnicoError
from alnico.experiment.bench import SearchWatcher, make_trial, open_bench
from alnico.experiment.space import Point, Search
from alnico.experiment.trials import Task, Trial, TrialStore, open_store
from alnico.training.checkpoint import Progress
from alnico.training.trainer import Interrupted, on_signal

LIVES = 2
"""Processes that may die of one trial before it is not tried any more."""
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_LEAVE = 10.0
"""How long a worker that was asked to stop may take for its current step."""


@dataclass(frozen=True)
class News:
    """What a worker tells: its trial began, an epoch or the trial is over, or the search cannot go on."""

    kind: Literal["began", "epoch", "ended", "stopped", "failed"]
    number: int = 0
    stage: str = ""
    settings: Point | None = None
    value: float | None = None
    progress: Progress | None = None
    message: str = ""


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    task: Task | None = None


class Crew:
    """Worker processes, each with at most one trial at a time."""

    def __init__(
        self, size: int, path: Path, store: TrialStore, search: Search, watcher: SearchWatcher
    ) -> None:
        self.path, self.store, self.search, self.watcher = path, store, search, watcher
        self.threads = max(1, torch.get_num_threads() // size)
        self.asked_to_stop = False
        self.deaths: Counter[tuple[int, int, int]] = Counter()
        self.workers = [self._hire() for _ in range(size)]

    @property
    def has_room(self) -> bool:
        """Whether a worker is idle."""
        return any(worker.task is None for worker in self.workers)

    @property
    def busy(self) -> Mapping[int, Task]:
        """Trials under way, by number."""
        return {worker.task.number: worker.task for worker in self.workers if worker.task is not None}

    def take(self, task: Task) -> None:
        """Give the trial to an idle worker."""
        worker = next(worker for worker in self.workers if worker.task is None)
        try:
            worker.pipe.send(task)
        except ConnectionError:  # it died while it had nothing to do
            self._replace(worker)
            worker.pipe.send(task)
        worker.task = task

    def wait(self) -> None:
        """Return when a trial has ended; pass on what workers tell until then.

        A trial whose worker died is lost, or after ``LIVES`` deaths given up. Raises Interrupted when this process was
        asked to stop, AlnicoError when a worker cannot go on, or when workers die before anything was measured.
        """
        n_busy = len(self.busy)
        while len(self.busy) == n_busy:
            for ready in wait([worker.pipe for worker in self.workers], SECONDS_BETWEEN_LOOKS):
                worker = next(worker for worker in self.workers if worker.pipe is ready)
                try:
                    self._hear(worker, worker.pipe.recv())
                except (EOFError, ConnectionResetError):
                    if not self.asked_to_stop:
                        self._replace(worker)
            if self.asked_to_stop:
                raise Interrupted("the search was asked to stop")

    def stop(self) -> None:
        """Ask every worker to stop after its current step, and see to it that all are gone."""
        for worker in self.workers:
            if worker.task is None:
                worker.pipe.close()
            else:
                worker.process.terminate()
        for worker in self.workers:
            worker.process.join(SECONDS_TO_LEAVE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()
            worker.pipe.close()
        self.store.abandon()

    def _hear(self, worker: _Worker, news: News) -> None:
        if news.kind == "began":
            self.watcher.began(news.number, news.stage, news.settings or {})
        elif news.kind == "epoch" and news.progress is not None:
            self.watcher.epoch(news.number, news.value, news.progress)
        elif news.kind == "ended":
            worker.task = None
        elif news.kind == "stopped":
            self.asked_to_stop = True
        elif news.kind == "failed":
            worker.task = None
            raise AlnicoError(news.message)

    def _replace(self, worker: _Worker) -> None:
        worker.process.join()
        code, task = worker.process.exitcode, worker.task
        worker.pipe.close()
        worker.process.close()
        fresh = self._hire()
        worker.process, worker.pipe, worker.task = fresh.process, fresh.pipe, None
        if task is None:
            return
        position = (task.stage, task.sweep, task.place)
        self.deaths[position] += 1
        for_good = self.deaths[position] >= LIVES
        hopeless = for_good and not any(trial.is_measured for trial in self.store.trials())
        self.store.abandon(task.number, for_good=for_good and not hopeless)
        if hopeless:
            raise AlnicoError(
                f"{LIVES} worker processes died of the same trial, the last with exit code {code}, and nothing was "
                "measured yet; they may lack memory, try fewer --workers"
            )

    def _hire(self) -> _Worker:
        # Spawned, because compiled kernels and their threads do not survive a fork.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, self.path, self.search, self.threads), daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)


@contextmanager
def hired(size: int, path: Path, store: TrialStore, search: Search, watcher: SearchWatcher) -> Iterator[Crew]:
    """A crew at work, which is gone at the end whatever happens."""
    crew = Crew(size, path, store, search, watcher)

    def ask_to_stop() -> None:
        crew.asked_to_stop = True

    try:
        with on_signal(ask_to_stop):
            yield crew
    finally:
        crew.stop()


# -- in the worker -----------------------------------------------------------------------------------


class _Teller:
    """Sends what happens to the process that hired this one."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def found(self, trials: Sequence[Trial]) -> None:
        """Nothing."""

    def began(self, number: int, stage: str, settings: Point) -> None:
        """Tell it."""
        self.pipe.send(News("began", number, stage, settings))

    def epoch(self, number: int, value: float | None, progress: Progress) -> None:
        """Tell it."""
        self.pipe.send(News("epoch", number, value=value, progress=progress))

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """Nothing: who hired this process reads the store."""


def _work(pipe: Connection, path: Path, search: Search, threads: int) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        bench = open_bench(search)
        with open_store(path, search) as store:
            while True:
                task: Task = pipe.recv()
                make_trial(bench, store, task, _Teller(pipe))
                pipe.send(News("ended", task.number))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # Nobody has anything to do for this process any more.
    except Interrupted:
        pipe.send(News("stopped"))
    except AlnicoError as problem:
        pipe.send(News("failed", message=str(problem)))


def _leave_with_parent() -> None:
    """End this process when the one that hired it is gone, in the middle of whatever it does."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
