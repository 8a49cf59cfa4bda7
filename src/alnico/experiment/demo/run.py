"""The whole demo in one folder: claimed, made or gone on with, and what was measured kept."""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from alnico.errors import StorageError
from alnico.experiment.demo.explaining import explain_one_of_each_kind
from alnico.experiment.demo.making import Tell, Watching, make_world
from alnico.experiment.demo.sentences import control_sentences, leaning_sentences
from alnico.experiment.demo.worlds import REPORT, Demo, World, WorldPlan, worlds
from alnico.experiment.folder import finite
from alnico.experiment.machine import peak_memory_bytes
from alnico.experiment.results import summary, warning
from alnico.storage import read_json, write_json

FORMAT = "alnico demo"
MARK = "demo.json"
SEED = 7


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
    shop, control = (make_world(plan, folder, seed, tell, watching) for plan in plans)
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
