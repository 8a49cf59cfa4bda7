"""How far content foretells choices: what a content-induced edge may weigh, measured on training data alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.graphs.augment import Likeness, Visibility, what_decides
from alnico.graphs.cache import Arrays, GraphCache
from alnico.randomness import rng

ROUNDS = 4
MOST_USERS = 2_000
"""Users of whom an item is hidden in one round, at most."""
MARGIN = 2.0
"""Standard deviations of a count by chance that are not taken for foresight."""


@dataclass(frozen=True)
class Evidence:
    """Hidden training items that came back as induced edges, and how many would have by popularity alone."""

    hidden: int
    hits: int
    by_chance: float

    @property
    def weight(self) -> float:
        """Share of the hits that chance does not explain, 0..1: what an induced edge weighs beside an observed one.

        1 - (c + 2 sqrt(c)) / hits for c hits expected by chance (their deviation is about sqrt(c)), at least 0.
        """
        if not self.hits:
            return 0.0
        return max(0.0, 1 - (self.by_chance + MARGIN * math.sqrt(self.by_chance)) / self.hits)


def content_evidence(
    train: Interactions,
    features: ItemFeatures,
    neighbours: Mapping[str, ItemNeighbours],
    per_user: int,
    visibility: Visibility = "full",
    cache: GraphCache | None = None,
) -> Evidence:
    """Hide one training item of each user, induce edges from the rest, and count how many hidden items they find.

    In each of four rounds up to 2,000 users with at least two items lose one, drawn by chance (the same draw for
    the same data, whatever the seed of a run). By chance a list finds the hidden item with the share that the
    list has of all training interactions outside the user's rest, as if popularity alone had chosen.
    """

    def make() -> Arrays:
        like = Likeness.of(features, neighbours, visibility)
        counted = [_round(train, like, per_user, number) for number in range(ROUNDS)]
        return {"counted": np.array(counted, dtype=np.float64).sum(0)}

    decided = what_decides(train, features, neighbours, per_user, visibility)
    made = (cache or GraphCache()).get("content_evidence", 2, *decided, make)
    hidden, hits, by_chance = made["counted"].tolist()
    return Evidence(int(hidden), int(hits), float(by_chance))


def _round(train: Interactions, like: Likeness, per_user: int, number: int) -> tuple[int, int, float]:
    """Hidden items, hits, and hits by chance of one round."""
    random = rng(0, "content evidence", number)
    able = np.flatnonzero(train.user_degrees >= 2)
    users = np.sort(random.permutation(able)[:MOST_USERS])
    # Rows are sorted by user, so a user's place among them is an offset and a number below the degree.
    rows = train.offsets[users] + random.integers(train.user_degrees[users])
    hidden = np.zeros(len(train), np.bool_)
    hidden[rows] = True
    rest = train.select(np.isin(train.users, users) & ~hidden)
    edges = like.edges(rest, per_user)
    own = np.isin(train.pair_keys[hidden], edges.users * train.n_items + edges.items)
    # Popularity among everybody, the hidden ones included: what chance would draw from.
    popularity = train.item_degrees.astype(np.float64)
    listed = np.bincount(edges.users, weights=popularity[edges.items], minlength=train.n_users)
    kept = np.bincount(rest.users, weights=popularity[rest.items], minlength=train.n_users)
    return len(users), int(own.sum()), float((listed[users] / (popularity.sum() - kept[users])).sum())
