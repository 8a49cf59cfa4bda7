"""Lists against held-out items: one number per user and metric, means only on demand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from alnico.data.interactions import frozen
from alnico.data.split import Targets
from alnico.errors import ConfigError, DataError, nearest
from alnico.evaluation.metrics import parse_metric
from alnico.ranking import Ranking

# Held-out items compared with their users' lists at a time: 25 MB of item numbers for lists of 50.
_PAIRS_PER_BLOCK = 65_536


@dataclass(frozen=True, eq=False)
class Scores:
    """Metric values per user, in full precision: ``values["recall@20"][j]`` belongs to user ``users[j]``.

    Arrays are copies and read-only. Raises DataError if a metric has not one finite value for each user.
    """

    users: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        for name, column in self.values.items():
            if column.shape != self.users.shape:
                raise DataError(f"metric {name!r} has {len(column)} values for {len(self.users)} users")
            if not np.isfinite(column).all():
                first = int(self.users[~np.isfinite(column)][0])
                raise DataError(f"metric {name!r} of user number {first} is not a finite number")
        object.__setattr__(self, "users", frozen(self.users, np.int64))
        object.__setattr__(
            self, "values", {name: frozen(column, np.float64) for name, column in self.values.items()}
        )

    def __len__(self) -> int:
        return len(self.users)

    def of(self, name: str) -> NDArray[np.float64]:
        """The values of one metric, one per user. Raises ConfigError for a metric that was not computed."""
        if name not in self.values:
            raise ConfigError(f"metric {name!r} was not computed here{nearest(name, self.values)}")
        return self.values[name]

    def mean(self, name: str) -> float:
        """The mean of one metric over users, never rounded; NaN when there are no users."""
        column = self.of(name)
        return float(column.mean()) if len(column) else math.nan

    def means(self) -> dict[str, float]:
        """The mean of every metric over users."""
        return {name: self.mean(name) for name in self.values}


def evaluate(ranking: Ranking, targets: Targets, metrics: Sequence[str]) -> Scores:
    """The metrics of each user of ``targets``, in their order; other users of the ranking are left out.

    Metrics are named like ``ndcg@20``. Each cut-off must be within the ranked length, unless the lists are
    shorter because the candidates ran out.
    Raises: ConfigError for an unknown metric or a cut-off beyond the lists; DataError if a user is not
    ranked.
    """
    wanted = [parse_metric(text) for text in metrics]
    longest = max((metric.cutoff for metric in wanted), default=0)
    require_length(ranking, longest)
    hits = hits_of(ranking, targets)
    # Lists that ran out of candidates: the places up to the cut-off are empty, hence misses.
    hits = np.pad(hits, ((0, 0), (0, max(0, longest - ranking.k))))
    return Scores(targets.users, {str(metric): metric(hits, targets.counts) for metric in wanted})


def hits_of(ranking: Ranking, targets: Targets) -> Bool[NDArray[np.bool_], "users k"]:
    """Whether the item at each rank was held out, one row per user of ``targets``, in their order.

    Places that hold no item never hit. Raises: DataError if a user of ``targets`` is not ranked or ranked
    twice.
    """
    row_of_user = _rows_of(ranking, targets.users)
    hits = np.zeros((len(targets), ranking.k), dtype=np.bool_)
    owners = np.repeat(np.arange(len(targets)), targets.counts)
    for start in range(0, len(owners), _PAIRS_PER_BLOCK):
        owner = owners[start : start + _PAIRS_PER_BLOCK]
        held_out = targets.items[start : start + _PAIRS_PER_BLOCK]
        pair, rank = np.nonzero(ranking.items[row_of_user[owner]] == held_out[:, None])
        hits[owner[pair], rank] = True
    return hits


def require_length(ranking: Ranking, cutoff: int) -> None:
    """Raise ConfigError if the lists end before the cut-off although they could go on.

    A list whose last place is empty holds all there was to rank; it counts as long enough.
    """
    if cutoff > ranking.k and (ranking.k == 0 or (ranking.items[:, -1] >= 0).any()):
        raise ConfigError(
            f"a metric looks at the first {cutoff} ranks but the lists hold {ranking.k} items; "
            f"rank at least {cutoff} items for each user"
        )


def _rows_of(ranking: Ranking, users: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of the ranking that belongs to each user."""
    order = np.argsort(ranking.users, kind="stable")
    ranked = ranking.users[order]
    twice = np.flatnonzero(ranked[1:] == ranked[:-1])
    if len(twice):
        raise DataError(f"the ranking holds user number {int(ranked[twice[0]])} twice; rank each user once")
    missing = ~np.isin(users, ranked)
    if missing.any():
        raise DataError(
            f"the ranking holds {len(ranked)} users but lacks {int(missing.sum())} of the {len(users)} users "
            f"with held-out items, first user number {int(users[missing][0])}; rank all users of the targets"
        )
    return order[np.searchsorted(ranked, users)]
