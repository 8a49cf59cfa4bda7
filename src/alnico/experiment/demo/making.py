"""From the plan of a world to the finished world: files, data, trained and tested models."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from alnico.catalogue.shop import ShopPlan
from alnico.catalogue.truth import read_truth
from alnico.catalogue.writing import PLAN_FILE, make_shop
from alnico.data.describe import check
from alnico.data.sources import read_dataset
from alnico.data.store import is_data_folder, open_dataset, read_manifest, save_dataset
from alnico.encoders.encode import encode_folder
from alnico.encoders.encoder import LIGHT
from alnico.experiment.demo.worlds import CONTENDERS, MAGNET, METRIC, World, WorldPlan, kind_of_users
from alnico.experiment.examples import routing_by_kind
from alnico.experiment.folder import RECORD, Run, open_run
from alnico.experiment.results import duels, record_of
from alnico.experiment.run import resume as resume_run
from alnico.experiment.run import run as train_and_test
from alnico.experiment.spec import RunSpec
from alnico.training.plan import TrainPlan
from alnico.training.trainer import Watcher

Tell = Callable[[str], None]
Watching = Callable[[TrainPlan], AbstractContextManager[Watcher]]


def make_world(plan: WorldPlan, folder: Path, seed: int, tell: Tell, watching: Watching) -> World:
    """Make the world in the demo's ``folder``; what is finished there already is used again."""
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
