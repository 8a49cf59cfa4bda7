"""Who makes runs: processes beside this one, or whatever else keeps to ``Executor``."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Protocol, runtime_checkable

from alnico.errors import AlnicoError
from alnico.experiment.folder import RECORD
from alnico.experiment.run import resume, run
from alnico.experiment.spec import read_spec
from alnico.training.trainer import Interrupted

Ending = Literal["finished", "failed", "stopped"]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What torch and numba read once, when they load."""


@dataclass(frozen=True)
class Job:
    """A run to be made, as plain values that any machine can read: its folder, settings, label, protocol's stamp."""

    name: str
    folder: str
    spec: Mapping[str, Any]
    label: str | None = None
    protocol: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended, and in one sentence why, where it did not finish."""

    name: str
    ending: Ending
    sentence: str = ""


@runtime_checkable
class Executor(Protocol):
    """Takes jobs and tells how they ended. How a run goes on meanwhile stands in its folder."""

    @property
    def room(self) -> int:
        """How many further jobs it would begin now."""

    def submit(self, job: Job) -> None:
        """Begin this job."""

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """The jobs that ended, each told once; waits up to ``seconds`` for a first one."""

    def stop(self) -> None:
        """Let the jobs save what they have and end; ``wait`` tells of them. May be said more than once."""


def perform(job: Job) -> Outcome:
    """Make the run, or go on with it where it has begun."""
    folder = Path(job.folder)
    try:
        if (folder / RECORD).exists():
            resume(folder, dataset=job.spec["dataset"], device=job.spec["device"])
        else:
            run(read_spec(job.spec), folder, label=job.label, protocol=job.protocol)
    except Interrupted as stop:
        return Outcome(job.name, "stopped", str(stop))
    except (AlnicoError, OSError) as problem:
        return Outcome(job.name, "failed", " ".join(str(problem).split()))
    return Outcome(job.name, "finished")


@dataclass
class Workers:
    """Makes each run in a process of its own, ``count`` of them at a time.

    Each process gets its thread counts before anything loads, and ends when this one does: it holds the reading end of
    a pipe that only this process writes to. ``logs`` takes what the processes complain of. ``held`` are open files
    that they inherit, so that a lock on them lasts until the last process is gone.
    """

    count: int
    threads: int
    logs: Path
    held: Sequence[int] = ()
    _running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _asked_to_stop: set[str] = field(default_factory=set)

    @property
    def room(self) -> int:
        """Processes that are not in use."""
        return self.count - len(self._running)

    def submit(self, job: Job) -> None:
        """Start a process for this job."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with self._log(job.name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "alnico.experiment.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **dict.fromkeys(THREADS, str(self.threads))},
                pass_fds=tuple(self.held),
                # Ctrl-C is for the study, which then asks its workers to stop.
                start_new_session=True,
            )
        self._running[job.name] = process
        stdin: IO[bytes] | None = process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(asdict(job)).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # it is dead already, and ``wait`` will say so

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """The processes that ended within ``seconds``, as soon as there is one."""
        until = time.monotonic() + seconds
        while True:
            ended = [name for name, process in self._running.items() if process.poll() is not None]
            if ended or time.monotonic() >= until:
                return [self._outcome(name, self._running.pop(name)) for name in ended]
            time.sleep(min(0.05, seconds))

    def stop(self) -> None:
        """Ask each process to end after its current step."""
        for name, process in self._running.items():
            if name not in self._asked_to_stop:
                self._asked_to_stop.add(name)
                process.terminate()

    def _outcome(self, name: str, process: "subprocess.Popen[bytes]") -> Outcome:
        with process:
            assert process.stdout is not None
            said = process.stdout.read()
        log = self._log(name)
        if process.returncode == 0:
            log.unlink(missing_ok=True)
            return Outcome(**json.loads(said.splitlines()[-1]))
        if process.returncode == -signal.SIGTERM and name in self._asked_to_stop:
            return Outcome(name, "stopped", "stopped before it began")
        if process.returncode < 0:
            return Outcome(name, "failed", f"its process was killed by signal {-process.returncode}")
        return Outcome(
            name, "failed", f"its process ended with exit code {process.returncode}; what it said is in {log}"
        )

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"
