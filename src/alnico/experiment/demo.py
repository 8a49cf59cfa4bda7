"""The demo's work: a made-up shop whose truth is known, a control world beside it, three models on each."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alnico.catalogue.shop import KINDS, ShopPlan
from alnico.catalogue.truth import Truth, read_truth
from alnico.catalogue.writing import PLAN_FILE, make_shop
from alnico.data.describe import check
from alnico.data.sources import read_dataset
from alnico.data.store import is_data_folder, open_dataset, read_manifest, save_dataset
from alnico.encoders.encode import encode_folder
from alnico.encoders.encoder import LIGHT
from alnico.errors import StorageError
from alnico.experiment.answer import explain_pair, named
from alnico.experiment.examples import LIST_LENGTH, hits_of_test, routing_by_kind
from alnico.experiment.folder import RECORD, Run, finite, open_run
from alnico.experiment.machine import peak_memory_bytes
from alnico.experiment.results import Duel, RunRecord, duels, record_of, summary, warning
from alnico.experiment.run import resume as resume_run
from alnico.experiment.run import run as train_and_test
from alnico.experiment.spec import RunSpec, read_spec
from alnico.storage import read_json, write_json
from alnico.training.plan import TrainPlan
from alnico.training.trainer import Watcher

FORMAT = "alnico demo"
MARK = "demo.json"
REPORT = "report.html"
METRIC = "ndcg@20"
"""Chooses the epochs, and is what the paired tests compare."""
SEED = 7

KIND_NAMES = {"visual": "visual-minded", "textual": "text-minded", "fashion": "fashion-minded"}
DECIDES = {"visual": "image", "textual": "text", "fashion": "behaviour"}
"""What truly decides for each kind of user, as a part of MAGNET."""
NO_LEAN = 0.005
"""A difference of shares below this is called none."""

Settings = Mapping[str, Any]
Tell = Callable[[str], None]
Watching = Callable[[TrainPlan], AbstractContextManager[Watcher]]

MAGNET, LIGHTGCN, ITEM_KNN = "MAGNET", "LightGCN", "item-kNN on content"
CONTENDERS: Mapping[str, Settings] = {
    ITEM_KNN: {"model": {"name": "item_knn", "source": "content"}},
    LIGHTGCN: {
        "model": {"name": "lightgcn"},
        "training": {"batch_size": 512, "learning_rate": 1e-3, "patience": 20, "epochs": 300},
    },
    MAGNET: {
        "model": {"name": "magnet", "views": "dual", "neighbours": 10, "induced": 5, "contrast": 0.0},
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


def run_demo(
    folder: Path,
    *,
    seed: int = SEED,
    small: bool = False,
    force: bool = False,
    started: float,
    tell: Tell,
    watching: Watching,
) -> Demo:
    """Do everything once in ``folder``; what an interrupted call has finished there is used again.

    ``tell`` is given lines for a person; ``watching`` gives the watcher of one training; ``started`` is the
    reading of ``time.perf_counter`` from which wall time counts. With ``force`` the demo that stands there is
    removed first. Raises StorageError if the folder holds something else, or a demo
    with other settings.
    """
    plans = worlds(seed, small=small)
    resumed = _claim(folder, _fingerprint(plans, seed, small), force)
    shop, control = (_world(plan, folder, seed, tell, watching) for plan in plans)
    tell("explaining three recommendations")
    explanations = explain_one_of_each_kind(shop)
    return Demo(folder, small, seed, shop, control, explanations, resumed, started)


def keep(demo: Demo) -> Mapping[str, Any]:
    """Write what was measured to ``demo.json`` and return it.

    Wall time is that of this call; where it went on with the work of an earlier one, the earlier measurement
    stays if there is one, because a part of the work says nothing of the whole.
    """
    mark = read_json(demo.folder / MARK)
    measured = {
        "wall_seconds": round(time.perf_counter() - demo.started, 1),
        "peak_memory_bytes": peak_memory_bytes(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }
    if demo.resumed:
        measured = mark.get("measured")
    content = {
        **mark,
        "measured": measured,
        "worlds": {world.plan.name: _told(world) for world in (demo.shop, demo.control)},
        "control": control_sentences(demo),
        "explained": [
            {key: told[key] for key in ("kind", "user", "rank", "hit")} for told in demo.explanations
        ],
    }
    write_json(demo.folder / MARK, finite(content))
    return content


def explain_one_of_each_kind(world: World) -> list[dict[str, Any]]:
    """One recommendation of MAGNET for each kind of user, explained, with outside ids.

    Of each kind it takes the user with the largest share of that taste who has a test item among the first
    twenty, and that item at the best place; without any hit, the first recommendation of the most typical
    user.
    """
    run = world.runs[MAGNET]
    scorer = run.scorer()
    told = []
    for kind, column in zip(KINDS, ("style_share", "purpose_share", "fashion_share"), strict=True):
        users = world.truth.users
        own = users.filter(users["kind"] == kind).sort([column, "user_id"], descending=[True, False])
        user, item, hit = _pair_to_explain(run, own["user_id"].to_list())
        why = named(run, explain_pair(run, user, item, scorer))
        share = float(own.filter(own["user_id"] == user)[column][0])
        found = f"a test item in the first {LIST_LENGTH}" if hit else "the first recommendation"
        words = (
            f"{found}; by the truth {share:.0%} of this user's choices go by {column.removesuffix('_share')}"
        )
        told.append({"kind": kind, "hit": hit, "why": f"{KIND_NAMES[kind]}: {words}", **why})
    return told


def kind_of_users(truth: Truth, run: Run) -> dict[int, str]:
    """Inside user number -> kind, for the users that the run's data know."""
    numbers = run.dataset.users.numbers_or_absent(truth.users["user_id"].to_list())
    return {
        int(number): kind for number, kind in zip(numbers, truth.users["kind"], strict=True) if number >= 0
    }


def _claim(folder: Path, plan: Mapping[str, Any], force: bool) -> bool:
    """Make the folder ours; whether a demo with this plan stands there already."""
    mark = folder / MARK
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"{folder} is a file, and the demo needs a folder; choose another place with --to")
    ours = mark.is_file() and _is_mark(read_json(mark))
    if not ours and folder.is_dir() and any(folder.iterdir()):
        raise StorageError(
            f"{folder} holds something that is no demo of alnico; choose another place with --to"
        )
    if ours and not force:
        if read_json(mark)["plan"] != plan:
            raise StorageError(
                f"{folder} holds a demo with other settings; pass --force to replace it, or choose another "
                "place with --to"
            )
        return True
    for name in ("runs", *(world for world in plan["worlds"])):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / REPORT).unlink(missing_ok=True)
    write_json(mark, {"format": FORMAT, "plan": plan})
    return False


def _is_mark(content: object) -> bool:
    return isinstance(content, dict) and content.get("format") == FORMAT


def _fingerprint(plans: Sequence[WorldPlan], seed: int, small: bool) -> dict[str, Any]:
    """All settings of the demo, to tell one from another."""
    told: dict[str, Any] = {"seed": seed, "small": small, "worlds": {}}
    for plan in plans:
        specs = {name: plan.spec(name, Path(), seed).resolved() for name in plan.contenders}
        told["worlds"][plan.name] = {"shop": plan.shop.model_dump(mode="json"), "runs": specs}
    # As it comes back from the file: tuples as lists, for one.
    return dict(finite(told))


def _world(plan: WorldPlan, folder: Path, seed: int, tell: Tell, watching: Watching) -> World:
    tell(f"== {plan.title} ==")
    shop, data = folder / plan.name / "files", folder / plan.name / "data"
    _make_files(plan.shop, shop, tell)
    findings = _import(plan.name, shop, data, tell)
    runs = {}
    for contender in plan.contenders:
        place = folder / "runs" / f"{plan.name}-{CONTENDERS[contender]['model']['name']}"
        runs[contender] = _trained(plan.spec(contender, data, seed), place, contender, tell, watching)
    records = {name: record_of(run) for name, run in runs.items()}
    others = [record for name, record in records.items() if name != MAGNET]
    truth = read_truth(shop)
    fought = duels([(records[MAGNET], other) for other in others], METRIC)
    kinds = routing_by_kind(runs[MAGNET], kind_of_users(truth, runs[MAGNET]))
    return World(plan, folder / plan.name, truth, runs, records, fought, kinds, findings)


def _make_files(plan: ShopPlan, shop: Path, tell: Tell) -> None:
    began = time.perf_counter()
    if (shop / PLAN_FILE).is_file():
        tell(f"{shop}: interactions, items and pictures are there already")
    else:
        made = make_shop(plan, shop)
        tell(
            f"{shop}: {made.n_users} users, {made.n_items} items, {made.n_interactions} interactions, "
            f"{made.n_images} drawn pictures, {made.n_texts} texts{_took(began)}"
        )
    began = time.perf_counter()
    report = encode_folder(shop, LIGHT, LIGHT)
    widths = ", ".join(
        f"{made.modality} ({made.width} numbers, {made.encoder})" for made in report.modalities
    )
    tell(f"encoded {widths}{_took(began)}")


def _import(name: str, shop: Path, data: Path, tell: Tell) -> list[str]:
    """Import the files if that is not done yet; what the checks of the data found, worst first."""
    began = time.perf_counter()
    if not is_data_folder(data):
        dataset, notices = read_dataset(shop, name=f"demo-{name}")
        save_dataset(dataset, data, notices=notices)
    findings = check(open_dataset(data), notices=read_manifest(data).notices)
    tell(f"imported to {data} and checked{_took(began)}")
    lines = [f"{finding.severity} ({finding.topic}): {finding.message}" for finding in findings]
    for line in lines:
        tell(f"  {line}")
    return lines


def _trained(spec: RunSpec, place: Path, label: str, tell: Tell, watching: Watching) -> Run:
    if (place / RECORD).exists() and (run := open_run(place)).is_tested:
        tell(f"{label}: trained and tested already, {place}")
        return run
    began = time.perf_counter()
    tell(f"{label}: training")
    with watching(spec.training) as watcher:
        if (place / RECORD).exists():
            run = resume_run(place, watcher=watcher)
        else:
            run = train_and_test(spec, place, label=label, watcher=watcher)
    epochs = run.result["epochs"]
    best = f", {epochs} epochs, best {run.result['best_epoch']}" if epochs else ""
    tell(f"{label}: tested once, {METRIC} {run.result['test'][METRIC]:.4f}{best}{_took(began)}")
    return run


def _took(began: float) -> str:
    return f" [{time.perf_counter() - began:.1f} s]"


def _pair_to_explain(run: Run, users: Sequence[str]) -> tuple[str, str, bool]:
    """The best placed hit of the first of these users who has one, else the first user's first
    recommendation."""
    ids, ranking = run.dataset.users, run.test_ranking()
    best: dict[int, int] = {}
    for user, item, _ in hits_of_test(run):
        best.setdefault(user, item)
    numbers = ids.numbers_or_absent(users).tolist()
    found = next((number for number in numbers if number in best), None)
    if found is not None:
        return str(ids.name(found)), str(run.dataset.items.name(best[found])), True
    row = int(np.flatnonzero(np.isin(ranking.users, numbers))[0])
    item = int(ranking.items[row, 0])
    return str(ids.name(int(ranking.users[row]))), str(run.dataset.items.name(item)), False


def _told(world: World) -> dict[str, Any]:
    """A world for demo.json."""
    return {
        "title": world.plan.title,
        "runs": {
            name: {
                "folder": run.folder.name,
                "valid": run.result["valid"],
                "test": run.result["test"],
                "epochs": run.result["epochs"],
                "best_epoch": run.result["best_epoch"],
                "train_seconds_per_epoch": run.result["train_seconds_per_epoch"],
                "peak_memory_bytes": run.result["peak_memory_bytes"],
                "switch_step": run.result.get("switch_step"),
                "effective_experts_at_end": run.result.get("effective_experts_at_end"),
            }
            for name, run in world.runs.items()
        },
        "warning": warning(world.duels),
        "leaning": leaning_sentences(world),
        "duels": [summary(duel) for duel in world.duels],
        "reliance": dict(world.reliance),
        "kinds": world.kinds,
    }


def control_sentences(demo: Demo) -> list[str]:
    """What the control world was made to show, and whether it does, in plain sentences."""
    against = demo.control.duels[0]
    if against.verdict == "worse":
        first = "In the control world MAGNET falls significantly below LightGCN, which it should not"
    else:
        first = "In the control world, where content is noise, MAGNET is not significantly below LightGCN"
    true_share, control_share = (world.reliance["behaviour"] for world in (demo.shop, demo.control))
    numbers = f"{control_share:.1%} against {true_share:.1%} in the shop"
    if control_share > true_share:
        second = f"There it relies more on behaviour, as it should: {numbers}."
    else:
        second = f"It does not rely more on behaviour there, although it should: {numbers}."
    return [f"{first} (difference {against.comparison.difference:+.4f}, p = {against.p_holm:.2g}).", second]


def leaning_sentences(world: World) -> list[str]:
    """Whether MAGNET leans, for each kind of user, towards what truly decides for them, in plain sentences.

    Both in what it relied on and in where its router sent the pairs, against the mean of the other kinds. None in
    a world where pictures and texts are noise: there nothing that a model can see decides for these users.
    """
    sentences: list[str] = []
    if world.plan.shop.noise:
        return sentences
    for kind, part in DECIDES.items():
        others = [means for name, means in world.kinds.items() if name != kind]
        if kind not in world.kinds or not others:
            continue
        leans = [
            _lean(words, part, world.kinds[kind][measure], [means[measure] for means in others])
            for measure, words in (("reliance", "relies on"), ("groups", "routes to"))
        ]
        sentences.append(f"For users who are {KIND_NAMES[kind]}, MAGNET {leans[0]}, and it {leans[1]}.")
    return sentences


def _lean(words: str, part: str, own: Mapping[str, float], others: Sequence[Mapping[str, float]]) -> str:
    share, usual = own.get(part, 0.0), float(np.mean([means.get(part, 0.0) for means in others]))
    numbers = f"({share:.1%} against {usual:.1%} for the other kinds)"
    if abs(share - usual) < NO_LEAN:
        return f"{words} {part} no more than for others, although the truth would ask for it {numbers}"
    if share < usual:
        return f"{words} {part} less, although the truth would ask for more {numbers}"
    return f"{words} {part} more, as the truth has it {numbers}"
