"""Best-first lists: the one place where scores become an order."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from alnico.data.interactions import frozen
from alnico.kernels.top_items import top_items


@dataclass(frozen=True, eq=False)
class Seen:
    """Items not to be recommended, per user: those of user u are ``items[offsets[u]:offsets[u + 1]]``, ascending."""

    offsets: NDArray[np.int64]
    items: NDArray[np.int64]

    @classmethod
    def nothing(cls, n_users: int) -> "Seen":
        """No user has seen anything."""
        return cls(np.zeros(n_users + 1, np.int64), np.zeros(0, np.int64))

    @classmethod
    def by_one(cls, n_users: int, user: int, items: NDArray[np.int64]) -> "Seen":
        """``user`` has seen these items, in any order; nobody else has seen anything."""
        offsets = np.zeros(n_users + 1, np.int64)
        own = np.unique(items)
        offsets[user + 1 :] = len(own)
        return cls(offsets, own)

    def rows(self, users: NDArray[np.int64]) -> "Seen":
        """The lists of these users only, renumbered in the order given."""
        counts = self.offsets[users + 1] - self.offsets[users]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        return Seen(offsets, self.items[np.repeat(self.offsets[users], counts) + within])


@dataclass(frozen=True, eq=False)
class Ranking:
    """Lists of recommended items: row j ranks ``items[j]`` for user ``users[j]``, best first.

    Ties break toward the smaller item number. Seen items are absent; -1 with score -inf fills a list that
    has fewer than k candidates. Shapes: users [U], items [U, K], scores [U, K].
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", frozen(self.users, np.int64))
        object.__setattr__(self, "items", frozen(self.items, np.int64))
        object.__setattr__(self, "scores", frozen(self.scores, np.float32))

    @property
    def k(self) -> int:
        """Length of the lists."""
        return int(self.items.shape[1])


def ranking_from_scores(
    scores: Float[Tensor, "users items"], users: NDArray[np.int64], seen: Seen, k: int
) -> Ranking:
    """The k best unseen items of each row; ``seen`` is indexed by row, ``users`` names the rows."""
    items, values = top_items(scores, seen.offsets, seen.items, k)
    return Ranking(users, items, values)


def stack(rankings: list[Ranking], k: int) -> Ranking:
    """Rankings of consecutive blocks of users as one."""
    if not rankings:
        return Ranking(np.zeros(0, np.int64), np.zeros((0, k), np.int64), np.zeros((0, k), np.float32))
    return Ranking(
        np.concatenate([r.users for r in rankings]),
        np.concatenate([r.items for r in rankings]),
        np.concatenate([r.scores for r in rankings]),
    )


def as_users(users: NDArray[np.int64], device: torch.device) -> Tensor:
    """User numbers as a tensor where the tables are."""
    return torch.from_numpy(np.array(users, dtype=np.int64)).to(device)
