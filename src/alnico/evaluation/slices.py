"""The same metrics by activity of the user, by popularity of the item, and on unseen items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alnico.data.interactions import Interactions
from alnico.data.split import Targets
from alnico.evaluation.evaluate import Scores, evaluate
from alnico.ranking import Ranking

THIRDS = ("low", "middle", "high")


@dataclass(frozen=True, eq=False)
class Slice:
    """Scores of the users that one group concerns.

    ``n_members`` users or items form the group, with training degrees (number of training interactions) from
    ``degrees[0]`` to ``degrees[1]`` (None for an empty group); ``n_targets`` held-out items were asked for.
    The scores may have no users: then their means are NaN.
    """

    scores: Scores
    n_members: int
    n_targets: int
    degrees: tuple[int, int] | None

    @property
    def n_users(self) -> int:
        """Users with at least one held-out item in this slice."""
        return len(self.scores)


def thirds(degrees: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Positions in three groups of equal size, fewest interactions first; keys as in ``THIRDS``.

    Ties go by position. Where the number is not divisible by three, the earlier groups have one more.
    """
    order = np.argsort(degrees, kind="stable")
    return dict(zip(THIRDS, np.array_split(order, len(THIRDS)), strict=True))


def by_activity(
    ranking: Ranking, targets: Targets, train: Interactions, metrics: Sequence[str]
) -> Mapping[str, Slice]:
    """Scores of the users with held-out items in three equal groups by number of training items.

    Ties go by user number. Raises: as ``evaluate``.
    """
    degrees = train.user_degrees[targets.users]
    users_of_pairs, _ = targets.pairs()
    return {
        name: _slice(ranking, targets, np.isin(users_of_pairs, targets.users[group]), degrees[group], metrics)
        for name, group in thirds(degrees).items()
    }


def by_popularity(
    ranking: Ranking, targets: Targets, train: Interactions, metrics: Sequence[str]
) -> Mapping[str, Slice]:
    """Scores on the held-out items of each third of the catalogue by number of training users.

    The thirds are over all items, ties by item number. Lists stay whole: a hit on a held-out item of another
    third takes its rank and counts as a miss. Users without a held-out item in the third are left out.
    Raises: as ``evaluate``.
    """
    return {
        name: _on_items(ranking, targets, train, group, metrics)
        for name, group in thirds(train.item_degrees).items()
    }


def on_unseen_items(ranking: Ranking, targets: Targets, train: Interactions, metrics: Sequence[str]) -> Slice:
    """Scores on held-out items that nobody has in training; lists stay whole. Raises: as ``evaluate``."""
    return _on_items(ranking, targets, train, np.flatnonzero(train.item_degrees == 0), metrics)


def all_slices(
    ranking: Ranking, targets: Targets, train: Interactions, metrics: Sequence[str]
) -> Mapping[str, Slice]:
    """All seven slices: "activity low" (middle, high), "popularity low" (middle, high), "unseen items".

    Raises: as ``evaluate``.
    """
    activity = by_activity(ranking, targets, train, metrics)
    popularity = by_popularity(ranking, targets, train, metrics)
    return {
        **{f"activity {name}": part for name, part in activity.items()},
        **{f"popularity {name}": part for name, part in popularity.items()},
        "unseen items": on_unseen_items(ranking, targets, train, metrics),
    }


def _on_items(
    ranking: Ranking, targets: Targets, train: Interactions, group: NDArray[np.int64], metrics: Sequence[str]
) -> Slice:
    return _slice(ranking, targets, np.isin(targets.items, group), train.item_degrees[group], metrics)


def _slice(
    ranking: Ranking,
    targets: Targets,
    keep: NDArray[np.bool_],
    degrees: NDArray[np.int64],
    metrics: Sequence[str],
) -> Slice:
    """Scores with only the (user, item) pairs in ``keep`` held out."""
    users, items = targets.pairs()
    return Slice(
        scores=evaluate(ranking, Targets.of(users[keep], items[keep]), metrics),
        n_members=len(degrees),
        n_targets=int(keep.sum()),
        degrees=(int(degrees.min()), int(degrees.max())) if len(degrees) else None,
    )
