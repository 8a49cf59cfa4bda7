"""Graphs between users, from what they took together."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alnico.data.interactions import Interactions
from alnico.errors import ConfigError
from alnico.graphs.cache import Arrays, GraphCache
from alnico.graphs.graph import Graph, directed_graph

BLOCK = 2**21
"""Pairs of interactions with the same item that are looked at in one go."""


@dataclass(frozen=True, eq=False)
class Companions:
    """Who takes the same things: user ``users[e]`` has ``counts[e]`` training items in common with ``others[e]``.

    Users ascend; each user's companions stand with the most items in common first, ties by user number. A user has
    at most ``k`` of them and is never their own.
    """

    users: NDArray[np.int64]
    others: NDArray[np.int64]
    counts: NDArray[np.int64]
    n_users: int
    k: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of companions of each user."""
        return np.bincount(self.users, minlength=self.n_users)


def companions_of(
    train: Interactions, k: int, cache: GraphCache | None = None, block: int = BLOCK
) -> Companions:
    """Each user's k companions with most items in common, ties to the smaller user number.

    The counts are the product of the users x items matrix with its transpose, formed for some users at a time, so
    that memory does not grow with users x users. Raises ConfigError if k is below 1.
    """
    if k < 1:
        raise ConfigError(f"the number of companions must be at least 1; found {k}")

    def make() -> Arrays:
        found = [np.zeros((3, 0), np.int64), *_best(train, k, block)]
        return {"companions": np.concatenate(found, axis=1)}

    inputs = [train.users, train.items]
    users, others, counts = (cache or GraphCache()).get(
        "companions", 1, {"k": k, "n_users": train.n_users}, inputs, make
    )["companions"]
    return Companions(users, others, counts, train.n_users, k)


def _best(train: Interactions, k: int, block: int) -> Iterator[NDArray[np.int64]]:
    """Users, companions and counts [3, entries] of one run of users after the other."""
    n_users, ones = train.n_users, np.ones(len(train), np.int32)
    taken = sparse.csr_matrix((ones, (train.users, train.items)), (n_users, train.n_items))
    takers = taken.T.tocsr()
    most = int(train.user_degrees.max(initial=0)) + 1
    pairs = np.bincount(train.users, train.item_degrees[train.items], n_users)
    runs = np.flatnonzero(np.diff(np.cumsum(pairs) // block, prepend=0, append=np.inf))
    for start, stop in zip([0, *runs[:-1].tolist()], runs.tolist(), strict=True):
        common = taken[start:stop] @ takers
        rows = np.repeat(np.arange(stop - start), np.diff(common.indptr))
        others = common.indices.astype(np.int64)
        apart = others != rows + start
        # One number per pair, in the order that is wanted: by user, most in common, smallest companion.
        keys = ((rows * most + most - common.data) * n_users + others)[apart]
        keys.sort()
        rows, others = keys // (most * n_users), keys % n_users
        lengths = np.bincount(rows, minlength=stop - start)
        first = np.repeat(np.cumsum(lengths) - lengths, lengths)
        kept = np.arange(len(keys)) - first < k
        counts = most - keys // n_users % most
        yield np.stack([rows + start, others, counts])[:, kept]


def companion_graph(companions: Companions, rng: np.random.Generator | None = None) -> Graph:
    """The directed graph of users' companions, weighted by a softmax of the counts over lists of k places.

    Lists that are shorter are filled up with companions of the same list. With ``rng`` these are drawn at random: one
    that stands there r times weighs r exp(count). Without it each stands there equally often, as it does on average,
    which leaves the softmax over the list as it is. So filling up only moves weight between a user's own companions;
    full lists, and rows of users without companions (which are empty), are always the same.

    Source: the user graph of DRAGON (Zhou et al., ECAI 2023) as in its official code; COHESION uses the same.
    """
    users, counts, lengths = companions.users, companions.counts, companions.lengths
    starts = np.cumsum(lengths) - lengths
    times = np.ones(len(users))
    if rng is not None:
        short = np.flatnonzero((lengths > 0) & (lengths < companions.k))
        places = np.repeat(short, companions.k - lengths[short])
        drawn = starts[places] + rng.integers(lengths[places])
        times += np.bincount(drawn, minlength=len(users))
    # The first of a list has the highest count.
    weights = times * np.exp(counts - counts[starts[users]])
    weights /= np.bincount(users, weights, companions.n_users)[users]
    shape = companions.n_users, companions.n_users
    return directed_graph(users, companions.others, weights.astype(np.float32), shape, "row")
