"""A tiny study: data of thirty users, short runs of models without content, a protocol and a plan as files, and who
makes its runs without a process for each."""

import shutil
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import worlds
from alnico.data.store import save_dataset
from alnico.experiment.conducting import Unwatched, conduct
from alnico.experiment.course import Course, lay_out
from alnico.experiment.executor import Job, Outcome, perform
from alnico.experiment.ledger import Ledger
from alnico.experiment.plan import load_plan
from alnico.experiment.protocol import read_protocol
from alnico.experiment.study import Study

PROTOCOL = """
name = "tiny"
seeds = [1, 2]
ablation_seed = 3
min_user = 2

[split]
rule = "random"
seed = "run"

[training]
metric = "recall@5"
patience = {patience}
epochs = {epochs}

[evaluation]
metrics = ["recall@5", "recall@10", "recall@20", "ndcg@20"]
k = 20
"""
MODELS = {
    "bpr": """
[model]
name = "bpr_mf"
width = 4
[training]
batch_size = 32
learning_rate = 0.05
""",
    "popular": '[model]\nname = "popularity"\n',
    "magnet": '[model]\nname = "magnet"\npreset = "projected"\nwidth = 8\nneighbours = 5\ninduced = 5\n',
}

SMALL = """
[models.small]
file = "{folder}/bpr.toml"
label = "small BPR"
"""
OVERALL = """
[[parts]]
name = "overall"
table = "overall"
models = ["{folder}/popular.toml", "{folder}/bpr.toml"]
"""
WIDTHS = """
[[parts]]
name = "grid"
figure = "sensitivity"
base = "{folder}/bpr.toml"
seeds = "ablation"
grids = [{ settings = { model.width = [4, 6] } }]
"""


def furnish(folder: Path, parts: str, *, epochs: int = 2, patience: int = 5, head: str = "") -> Path:
    """Data, settings files and protocol in ``folder``, and a plan with these parts; returns the plan's path."""
    data = folder / "data"
    if not data.exists():
        world = worlds.scattered(seed=4, n_users=30, n_items=20, per_user=6)
        save_dataset(worlds.dataset_of(world, "toy"), data)
    for name, text in MODELS.items():
        (folder / f"{name}.toml").write_text(text)
    (folder / "protocol.toml").write_text(PROTOCOL.format(epochs=epochs, patience=patience))
    plan = folder / "plan.toml"
    plan.write_text(
        f'name = "tiny"\nprotocol = "{folder}/protocol.toml"\n[datasets]\ntoy = "{data}"\n{head}\n'
        + parts.replace("{folder}", str(folder))
    )
    return plan


def laid_out(plan: Path, places: Mapping[str, str] | None = None) -> Course:
    """The runs of the plan in this file."""
    read = load_plan(plan, places)
    return lay_out(read, read_protocol(read.protocol))


def names(course: Course, part: str) -> list[tuple[str, str]]:
    """Variant and run of each entry of a part."""
    return [(placed.variant, placed.run) for placed in course.placed[part]]


def same_bytes(first: Path, second: Path, files: Iterable[str]) -> bool:
    """Whether these files are equal in both folders."""
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


@dataclass
class Here:
    """Makes each run in this process, one after the other."""

    ended: list[Outcome] = field(default_factory=list)

    @property
    def room(self) -> int:
        """One, once the last one's end was told."""
        return int(not self.ended)

    def submit(self, job: Job) -> None:
        """Make the run; returns when it has ended."""
        outcome = perform(job)
        self.ended.append(outcome)
        if outcome.ending == "stopped":
            # The training loop caught a signal that was meant for whoever gave the job.
            signal.raise_signal(signal.SIGINT)

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """What ended; there is nothing to wait for."""
        del seconds
        told, self.ended = self.ended, []
        return told

    def stop(self) -> None:
        """Nothing: a run at work has heard the signal itself."""


PARTS = (
    SMALL
    + """
[[parts]]
name = "overall"
table = "overall"
models = ["{folder}/popular.toml", "small"]

[[parts]]
name = "chain"
table = "ablations"
base = "small"
seeds = "ablation"
[parts.variants]
"dependent" = { model.width = { from = "full", fact = "epochs", times = 1.5 } }
"full" = {}

[[parts]]
name = "grid"
figure = "sensitivity"
base = "small"
seeds = "ablation"
[[parts.grids]]
settings = { model.width = [3, 4, 6] }
"""
)


class Order(Unwatched):
    """Remembers which runs began, and how they ended."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.outcomes: list[Outcome] = []

    def began(self, name: str, dataset: str) -> None:
        self.names.append(name)

    def ended(self, outcome: Outcome, standing: object) -> None:
        self.outcomes.append(outcome)


def study(
    plan: Path, folder: Path, records: Path | None = None, part: str | None = None, oracle: bool = False
) -> tuple[Study, list[str]]:
    """The plan's runs made in this process, and the names of those that were."""
    order = Order()
    ledger = Ledger(laid_out(plan), folder, records or folder / "records", part=part)
    return conduct(ledger, Here(), order, oracle=oracle), order.names


def copied(made: Study, to: Path) -> Path:
    """A copy of the study's folder, to be changed."""
    shutil.copytree(made.folder, to)
    return to
