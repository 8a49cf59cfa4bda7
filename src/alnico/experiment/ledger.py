"""Where a study stands: which of its runs are finished, which can begin, which cannot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from alnico.errors import AlnicoError, DataError
from alnico.experiment.course import Course, PlannedRun
from alnico.experiment.executor import Job, Outcome
from alnico.experiment.plan import StudyPlan
from alnico.experiment.shelf import Known, Shelf
from alnico.experiment.spec import RunSpec

State = Literal["waiting", "started", "running", "finished", "failed", "blocked", "missing"]
"""started: begun earlier and not finished. blocked: waits for a run that failed. missing: its data are not there."""


class Ledger:
    """The runs of a study and their states; ``names`` are those of their folders, by the name in the plan."""

    def __init__(
        self,
        course: Course,
        folder: Path,
        records: Path,
        *,
        part: str | None = None,
        device: str | None = None,
    ) -> None:
        self.course, self.folder, self.records, self.device = course, folder, records, device
        self.shelf = Shelf(folder / "runs", records)
        self.wanted: Sequence[PlannedRun] = course.serving(part)
        self.missing = missing_data(course.plan)
        self.states: dict[str, State] = {run.name: "waiting" for run in course.runs}
        self.sentences: dict[str, str] = {}
        self.names = {run.name: run.name for run in course.runs}
        self.known: dict[str, Known] = {}
        self.at_work: dict[str, str] = {}
        for run in course.runs:
            self._recognise(run)

    @property
    def results(self) -> Mapping[str, Mapping[str, Any]]:
        """What the finished runs found, by their name in the plan."""
        return {name: known.result for name, known in self.known.items()}

    def folder_of(self, name: str) -> str | None:
        """The folder in ``runs`` of the run with this name in the plan; None where it has none."""
        has_folder = (
            self.known[name].run is not None
            if name in self.known
            else self.states[name] in ("started", "running")
        )
        return self.names[name] if has_folder else None

    def record_of(self, name: str) -> str | None:
        """The record, as DATASET/NAME, of the run with this name in the plan; None where it has none."""
        return self.known[name].place if name in self.known else None

    def device_of(self, run: PlannedRun) -> str:
        """Where a run is to be trained."""
        return self.device or str(run.settings.get("device") or "cpu")

    def ready(self) -> list[PlannedRun]:
        """The wanted runs that can begin, in order."""
        return [
            run
            for run in self.wanted
            if self.states[run.name] in ("waiting", "started") and run.needs <= self.known.keys()
        ]

    def counted(self, *states: State) -> int:
        """How many wanted runs are in one of these states."""
        return sum(self.states[run.name] in states for run in self.wanted)

    def begin(self, run: PlannedRun) -> Job | None:
        """The job of a run that is ready; None where it turns out to be finished already, or cannot be made (now)."""
        spec = self._spec(run)
        if spec is None:
            return None
        identity = self.shelf.identity(spec)
        known = self.shelf.find(identity)
        if known is not None and known.is_finished:
            self._finish(run, known)
            return None
        if identity in self.at_work.values():
            # Another run turned out to be the same, by the outcome of what it waited for; its end will be this one's.
            return None
        self.at_work[run.name] = identity
        name = self.names[run.name] = known.name if known else self.shelf.name(run.name, identity)
        self.states[run.name] = "running"
        plain = spec.resolved()
        stamp = self.course.protocol.stamp(run.exception)
        return Job(run.name, str(self.folder / "runs" / name), plain, run.label, stamp)

    def close(self, outcome: Outcome) -> None:
        """Enter how a job ended."""
        name = outcome.name
        del self.at_work[name]
        if outcome.ending == "finished":
            self._finish(self.course.run(name), self.shelf.keep(self.names[name]))
        elif outcome.ending == "stopped":
            self.states[name] = "started"
        else:
            self._fail(name, "failed", outcome.sentence)

    def _recognise(self, run: PlannedRun) -> None:
        """Enter what is known of a run before anything is made; those it needs were entered before it."""
        if run.dataset in self.missing:
            self._fail(run.name, "missing", self.missing[run.dataset])
            return
        if not run.needs <= self.known.keys():
            self._block(run)
            return
        spec = self._spec(run)
        known = None if spec is None else self.shelf.find(self.shelf.identity(spec))
        if known is None:
            return
        self.names[run.name] = known.name
        if known.is_finished:
            self._finish(run, known)
        else:
            self.states[run.name] = "started"

    def _spec(self, run: PlannedRun) -> RunSpec | None:
        try:
            spec = run.spec({name: self.known[name].result for name in run.needs})
        except AlnicoError as problem:
            self._fail(run.name, "failed", str(problem))
            return None
        return spec if self.device is None else spec.model_copy(update={"device": self.device})

    def _finish(self, run: PlannedRun, known: Known) -> None:
        self.known[run.name] = known
        self.names[run.name] = known.name
        self.states[run.name] = "finished"

    def _fail(self, name: str, state: State, sentence: str) -> None:
        self.states[name], self.sentences[name] = state, sentence
        for other in self.course.runs:
            if name in other.needs:
                self._block(other)

    def _block(self, run: PlannedRun) -> None:
        lost = [name for name in sorted(run.needs) if self.states[name] in ("failed", "blocked", "missing")]
        if lost and self.states[run.name] == "waiting":
            self._fail(run.name, "blocked", f"it waits for {lost[0]}, which is {self.states[lost[0]]}")


def missing_data(plan: StudyPlan) -> dict[str, str]:
    """The data sets of a plan that are not where it says, each with a sentence."""
    return {
        name: f"the data set {name!r} is not at {place}: import it with `alnico data import`, name its place with "
        f"--data {name}=PATH, or leave it out with --available"
        for name, place in plan.datasets.items()
        if not Path(place).exists()
    }


def lacking_data(course: Course, part: str | None = None) -> dict[str, str]:
    """The data sets that one part (None: any) and what it waits for need and that are missing, each with a sentence."""
    needed = {run.dataset for run in course.serving(part)}
    return {name: told for name, told in missing_data(course.plan).items() if name in needed}


def require_data(course: Course, part: str | None, available: bool) -> None:
    """Raise DataError if a data set that the part needs is missing, or with ``available`` if all are."""
    lacking = lacking_data(course, part)
    if lacking and (not available or len(lacking) == len({run.dataset for run in course.serving(part)})):
        raise DataError(next(iter(lacking.values())))
