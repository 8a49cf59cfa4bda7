"""Small searches: stored data with all three parts, and search files over them."""

from pathlib import Path
from typing import Any

import numpy as np

import worlds
from alnico.data.dataset import TEST, TRAIN, VALID, Dataset
from alnico.data.ids import IdMap
from alnico.data.store import save_dataset
from alnico.experiment.space import Search, load_search
from alnico.experiment.spec import settings_toml
from alnico.experiment.tune import Tuned

RATE, WIDTH = "training.learning_rate", "model.width"
NO_PRUNING = {"rule": "none"}
Pairs = list[tuple[int, int]]

BPR = {
    "seed": 3,
    "split": {"rule": "given"},
    "model": {"name": "bpr_mf", "width": 8, "l2": 0.0},
    "training": {"epochs": 6, "batch_size": 40, "learning_rate": 0.05, "metric": "recall@5"},
}
"""A base that learns a checkerboard within its epochs, unless its step is too small."""
KNN = {
    "seed": 3,
    "split": {"rule": "given"},
    "model": {"name": "item_knn", "source": "behaviour"},
    "training": {"metric": "recall@5"},
}
"""A base without parameters."""


def store(folder: Path, train: Pairs, valid: Pairs, test: Pairs, content: worlds.World) -> Path:
    """A data folder whose labels are these parts."""
    n_users, n_items = content.split.train.n_users, content.split.train.n_items
    part = dict.fromkeys(train, TRAIN) | dict.fromkeys(valid, VALID) | dict.fromkeys(test, TEST)
    events = worlds.interactions(part, n_users, n_items)
    labels = [
        part[user, item] for user, item in zip(events.users.tolist(), events.items.tolist(), strict=True)
    ]
    ids = IdMap.range(n_users, "user"), IdMap.range(n_items, "item")
    dataset = Dataset(folder.name, events, content.features, *ids, np.array(labels, np.int8))
    save_dataset(dataset, folder)
    return folder


def checkerboard(folder: Path, test_item: int = 2, n: int = 16) -> Path:
    """A checkerboard: item u is user u's validation, item u + ``test_item`` the test, u + 2 and u + 4 are never
    trained on, so that ``test_item`` 2 and 4 differ in the test part alone."""
    board = worlds.checkerboard(n)
    held_out = {(u, (u + away) % n) for u in range(n) for away in (2, 4)}
    users, items = board.split.train.users.tolist(), board.split.train.items.tolist()
    train = [pair for pair in zip(users, items, strict=True) if pair not in held_out]
    test = [(u, (u + test_item) % n) for u in range(n)]
    return store(folder, train, list(board.answers.items()), test, board)


def two_tastes(folder: Path) -> Path:
    """Two tastes, whose validation items are new: content alone can tell them. Test items are known ones."""
    world = worlds.two_tastes()
    train = world.split.train
    pairs = list(zip(train.users.tolist(), train.items.tolist(), strict=True))
    side = [range(11), range(12, 23)]
    test = [(u, next(i for i in side[u % 2] if (u, i) not in set(pairs))) for u in range(train.n_users)]
    return store(folder, pairs, list(world.answers.items()), test, world)


def search_file(path: Path, search: dict[str, Any], base: dict[str, Any], data: Path) -> Path:
    """A search file with its base inside."""
    stages = search.pop("stage", [])
    text = settings_toml({**search, "base": {"dataset": str(data), **base}})
    for stage in stages:
        plain = settings_toml({"stage": stage}).replace("[stage]", "[[stage]]")
        text += f"\n{plain}"
    path.write_text(text)
    return path


def search(folder: Path, search: dict[str, Any], base: dict[str, Any], data: Path) -> Search:
    """A search over stored data, read from a file as a person writes it."""
    return load_search(search_file(folder / "space.toml", search, base, data))


def drawn(sampler: str, trials: int = 5, **more: Any) -> dict[str, Any]:
    """A search that draws step and width."""
    return {
        "trials": trials,
        "joint": {"sampler": sampler, **more},
        "space": {RATE: {"low": 1e-3, "high": 0.1, "log": True}, WIDTH: {"low": 2, "high": 8, "step": 2}},
        "pruning": {"warm_up": 2, "startup": 1},
    }


def facts(done: Tuned) -> list[tuple[Any, ...]]:
    """What trials tried and measured, in their order, without what the clock says and without lost ones."""
    return [
        (trial.position, dict(trial.settings), trial.outcome, trial.value, trial.best_epoch, trial.epochs)
        for trial in done.trials
        if trial.is_over
    ]
