"""What the demo consists of: its two worlds, the models that are trained on each, and both when they are done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alnico.catalogue.shop import ShopPlan
from alnico.catalogue.truth import Truth
from alnico.experiment.folder import Run
from alnico.experiment.results import Duel, RunRecord
from alnico.experiment.spec import RunSpec, read_spec

REPORT = "report.html"
METRIC = "ndcg@20"
"""Chooses the epochs, and is what the paired tests compare."""

Settings = Mapping[str, Any]

MAGNET, LIGHTGCN, ITEM_KNN = "MAGNET", "LightGCN", "item-kNN on content"
CONTENDERS: Mapping[str, Settings] = {
    ITEM_KNN: {"model": {"name": "item_knn", "source": "content"}},
    LIGHTGCN: {
        "model": {"name": "lightgcn"},
        "training": {"batch_size": 512, "learning_rate": 1e-3, "patience": 20, "epochs": 300},
    },
    # Tastes in the made-up shop are linear in the vectors, so that projected cues can find them, and each expert of one
    # part shows by its reliance what a kind of user looks at.
    MAGNET: {
        "model": {
            **{"name": "magnet", "preset": "projected"},
            **{"views": "dual", "neighbours": 10, "induced": 5, "contrast": 0.0},
        },
        "training": {"batch_size": 512, "learning_rate": 1e-3, "patience": 20, "epochs": 160},
    },
}
"""What is trained, in this order: settings of each run but for its data, split and seed."""


@dataclass(frozen=True)
class WorldPlan:
    """One world of the demo: a shop to be made, and the models that are trained on it."""

    name: str
    title: str
    shop: ShopPlan
    contenders: tuple[str, ...]
    most_epochs: int | None = None

    def spec(self, contender: str, data: Path, seed: int) -> RunSpec:
        """The settings of one run."""
        settings = CONTENDERS[contender]
        training = {**settings.get("training", {}), "metric": METRIC}
        if self.most_epochs is not None and "epochs" in training:
            training["epochs"] = min(training["epochs"], self.most_epochs)
        return read_spec(
            {
                "dataset": str(data),
                "model": settings["model"],
                "seed": seed,
                "split": {"rule": "random", "seed": seed},
                "training": training,
            }
        )


def worlds(seed: int, *, small: bool) -> tuple[WorldPlan, WorldPlan]:
    """The true world and the control world, in which pictures and texts say nothing of what people choose."""
    true_title, control_title = "The shop", "Control: pictures and texts are noise"
    if small:
        shop = ShopPlan(seed=seed, n_users=300, n_items=200, n_interactions=4_000)
        control = shop.model_copy(update={"noise": True})
        epochs = 60
    else:
        shop = ShopPlan(seed=seed)
        control = ShopPlan(seed=seed, n_users=700, n_items=450, n_interactions=9_000, noise=True)
        epochs = None
    return (
        WorldPlan("shop", true_title, shop, (ITEM_KNN, LIGHTGCN, MAGNET), epochs),
        WorldPlan("control", control_title, control, (LIGHTGCN, MAGNET), epochs),
    )


@dataclass(frozen=True)
class World:
    """A world after training: its truth, its finished runs by contender, and what the tests said.

    ``duels`` hold MAGNET against each other contender; ``kinds`` gives, for each kind of user, MAGNET's mean
    group mass and reliance on the test pairs.
    """

    plan: WorldPlan
    folder: Path
    truth: Truth
    runs: Mapping[str, Run]
    records: Mapping[str, RunRecord]
    duels: Sequence[Duel]
    kinds: Mapping[str, Mapping[str, Mapping[str, float]]]
    findings: Sequence[str]

    @property
    def reliance(self) -> Mapping[str, float]:
        """MAGNET's mean reliance on each part over all test pairs."""
        shares: Mapping[str, float] = self.runs[MAGNET].result["routing"]["reliance"]
        return shares

    @property
    def kind_of_users(self) -> dict[int, str]:
        """Inside user number -> kind."""
        return kind_of_users(self.truth, self.runs[MAGNET])


def kind_of_users(truth: Truth, run: Run) -> dict[int, str]:
    """Inside user number -> kind, for the users that the run's data know."""
    numbers = run.dataset.users.numbers_or_absent(truth.users["user_id"].to_list())
    return {
        int(number): kind for number, kind in zip(numbers, truth.users["kind"], strict=True) if number >= 0
    }


@dataclass(frozen=True)
class Demo:
    """A finished demo: its worlds, the three explained recommendations, and how much was done this time."""

    folder: Path
    small: bool
    seed: int
    shop: World
    control: World
    explanations: Sequence[Mapping[str, Any]] = field(repr=False)
    resumed: bool
    started: float

    @property
    def report(self) -> Path:
        """Where the page belongs."""
        return self.folder / REPORT
