"""Tiny worlds whose truth is known.

Each function builds training data directly, without files; what is random comes from a seed and is
the same on every machine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from alnico.contracts import Batch, TrainingData
from alnico.data.dataset import Dataset
from alnico.data.features import ItemFeatures, Modality
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.data.split import Split, Targets
from alnico.ranking import Seen

Pairs = Iterable[tuple[int, int]]


@dataclass(frozen=True)
class World:
    """A split with content, and for some users the one item that is the right recommendation."""

    split: Split
    features: ItemFeatures
    answers: Mapping[int, int]

    @property
    def data(self) -> TrainingData:
        """What a model may see, with a graph cache of its own."""
        return TrainingData(self.split.train, self.features)

    @property
    def seen(self) -> Seen:
        """The training items of each user, to be masked."""
        return seen_of(self.split.train)

    def hits(self, items: NDArray[np.int64]) -> int:
        """How many users find their answer first in their list; row j belongs to the j-th answer."""
        right = np.array(list(self.answers.values()))
        return int((items[:, 0] == right).sum())

    @property
    def asked(self) -> NDArray[np.int64]:
        """The users that have an answer, in its order."""
        return np.array(list(self.answers), dtype=np.int64)


def interactions(pairs: Pairs, n_users: int, n_items: int, **columns: NDArray[np.generic]) -> Interactions:
    """Interactions from (user, item) pairs; ``columns`` are times or weights."""
    table = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    return Interactions(table[:, 0], table[:, 1], n_users, n_items, **columns)  # type: ignore[arg-type]


def targets(pairs: Pairs) -> Targets:
    """Held-out items from (user, item) pairs."""
    table = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    return Targets.of(table[:, 0], table[:, 1])


def modality(vectors: object, absent: Iterable[int] = ()) -> Modality:
    """A table of vectors; rows named in ``absent`` are masked and zero."""
    table = np.array(vectors, dtype=np.float32)
    present = np.ones(len(table), dtype=bool)
    present[list(absent)] = False
    table[~present] = 0
    return Modality(table, present)


def features(n_items: int, **modalities: Modality) -> ItemFeatures:
    """Modalities by name."""
    return ItemFeatures(n_items, modalities)


def neighbour_lists(rows: Iterable[Iterable[tuple[int, float]]], k: int) -> ItemNeighbours:
    """Neighbour lists from one list of (item, weight) per item."""
    rows = [list(row) for row in rows]
    items = np.full((len(rows), k), -1, dtype=np.int32)
    weights = np.zeros((len(rows), k), dtype=np.float32)
    for item, row in enumerate(rows):
        for place, (other, weight) in enumerate(row):
            items[item, place], weights[item, place] = other, weight
    return ItemNeighbours(items, weights)


def seen_of(train: Interactions) -> Seen:
    """The training items of each user as a mask."""
    return Seen(train.offsets, train.items_by_id)


def batch(triples: Iterable[tuple[int, int, int]], weights: Iterable[float] | None = None) -> Batch:
    """A batch from (user, positive, negative) triples; weights are ones unless given."""
    table = torch.tensor(list(triples), dtype=torch.int64).reshape(-1, 3)
    strengths = torch.ones(len(table)) if weights is None else torch.tensor(list(weights))
    return Batch(table[:, 0].contiguous(), table[:, 1].contiguous(), table[:, 2].contiguous(), strengths)


def random_batch(train: Interactions, size: int, seed: int) -> Batch:
    """``size`` training pairs with negatives that the users did not take; every user must have one."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(train), size=size)
    taken = set(train.pair_keys.tolist())
    triples = []
    for row in rows:
        user, item = int(train.users[row]), int(train.items[row])
        free = [other for other in range(train.n_items) if user * train.n_items + other not in taken]
        triples.append((user, item, int(rng.choice(free))))
    return batch(triples)


def dataset_of(world: World, name: str = "world") -> Dataset:
    """The world's training part and content as a data set in which inside and outside ids agree."""
    train = world.split.train
    return Dataset(
        name, train, world.features, IdMap.range(train.n_users, "user"), IdMap.range(train.n_items, "item")
    )


def checkerboard(n: int = 40) -> World:
    """n users and n items; user u takes every item of the own parity but item u, which is the answer.

    All items have the same popularity, so that a list which is the same for everybody finds one answer: ties
    go to item 0, the answer of user 0. Images and texts tell the parity; some items lack one of them.
    """
    train = [(u, i) for u in range(n) for i in range(n) if (u + i) % 2 == 0 and u != i]
    answers = {u: u for u in range(n)}
    rng = np.random.default_rng(0)
    parity = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)[:, None]
    image = parity * np.array([1.0, 0.5, 0, 0, 0]) + 0.3 * rng.standard_normal((n, 5))
    text = parity * np.array([0, 1.0, 1.0]) + 0.3 * rng.standard_normal((n, 3))
    content = features(n, image=modality(image, absent=[3, 8]), text=modality(text, absent=[5]))
    split = Split(interactions(train, n, n), targets(answers.items()), targets(()), {"rule": "checkerboard"})
    return World(split, content, answers)


def two_tastes(n_users: int = 24, per_side: int = 12) -> World:
    """Two kinds of users and of items; the last item of each side is new: nobody took it in training.

    Items 0 to per_side - 1 look and read one way, the others the other way. Each user takes eight known items
    of the own side. The answer of each user is the new item of the own side, which content alone can tell.
    """
    rng = np.random.default_rng(1)
    n_items = 2 * per_side
    train, answers = [], {}
    for user in range(n_users):
        side = user % 2
        known = np.arange(side * per_side, (side + 1) * per_side - 1)
        train += [(user, int(item)) for item in rng.choice(known, 8, replace=False)]
        answers[user] = (side + 1) * per_side - 1
    direction = np.where(np.arange(n_items) < per_side, 1.0, -1.0)[:, None]
    content = features(
        n_items,
        image=modality(direction * np.array([1.0, 1, 0, 0]) + 0.2 * rng.standard_normal((n_items, 4))),
        text=modality(direction * np.array([0, 1.0, 1]) + 0.2 * rng.standard_normal((n_items, 3))),
    )
    split = Split(
        interactions(train, n_users, n_items), targets(answers.items()), targets(()), {"rule": "tastes"}
    )
    return World(split, content, answers)


def misleading_image(n: int = 40) -> World:
    """The checkerboard with images that group items by halves, not by parity; texts still tell the parity."""
    board = checkerboard(n)
    rng = np.random.default_rng(2)
    half = np.where(np.arange(n) < n // 2, 1.0, -1.0)[:, None]
    image = modality(half * np.array([1.0, 0.5, 0, 0, 0]) + 0.1 * rng.standard_normal((n, 5)))
    text = modality(board.features["text"].vectors, absent=[5])
    return World(board.split, features(n, image=image, text=text), board.answers)


def scattered(
    seed: int = 0,
    n_users: int = 12,
    n_items: int = 15,
    per_user: int = 4,
    widths: Mapping[str, int] | None = None,
    absent_share: float = 0.2,
    cold_items: int = 2,
    idle_users: int = 0,
) -> World:
    """A world without meaning, for oracles: random pairs and vectors, absent content, items that nobody took.

    The last ``cold_items`` items and, beyond ``n_users``, ``idle_users`` users have no training pair. User 0
    has one item, all others ``per_user``. The answer of a user with training pairs is a random item not taken.
    """
    rng = np.random.default_rng(seed)
    train, answers = [], {}
    for user in range(n_users):
        size = 1 if user == 0 else per_user
        taken = rng.choice(n_items - cold_items, size, replace=False)
        train += [(user, int(item)) for item in taken]
        answers[user] = int(rng.choice(np.setdiff1d(np.arange(n_items), taken)))
    modalities = {}
    for name, width in (widths or {"image": 4, "text": 3}).items():
        absent = np.flatnonzero(rng.random(n_items) < absent_share)
        modalities[name] = modality(rng.standard_normal((n_items, width)), absent=absent)
    split = Split(
        interactions(train, n_users + idle_users, n_items),
        targets(answers.items()),
        targets(()),
        {"rule": "none"},
    )
    return World(split, ItemFeatures(n_items, modalities), answers)
