"""Who the users are, and what they choose."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alnico.catalogue.shop import (
    KINDS,
    LATE_ARRIVAL,
    N_FASHIONS,
    N_PURPOSES,
    N_STYLES,
    Items,
    ShopPlan,
    longest_history,
)
from alnico.data.interactions import Interactions, frozen
from alnico.randomness import rng

START_SECONDS, PERIOD_SECONDS = 1_704_067_200, 365 * 86_400
"""The shop's period: the year that begins on 1 January 2024."""

_BLOCK = 512

# How much users of one kind are alike: the main share of most lies within a tenth of its mean.
_CONCENTRATION = 40.0


@dataclass(frozen=True, eq=False)
class Users:
    """What every user likes.

    ``kinds`` index KINDS. ``shares[u]`` weigh style, purpose and fashion and sum to 1. ``likes_style[u, s]``
    is the grade (0..1) in which user u likes style s, likewise for purposes and fashions; each row has the
    plan's number of favourites, the first with grade 1.
    """

    kinds: NDArray[np.int64]
    shares: NDArray[np.float64]
    likes_style: NDArray[np.float64]
    likes_purpose: NDArray[np.float64]
    likes_fashion: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            column = getattr(self, name)
            object.__setattr__(self, name, frozen(column, column.dtype.type))

    def __len__(self) -> int:
        return len(self.kinds)


def draw_users(plan: ShopPlan) -> Users:
    """The users of this plan; the kinds come in the planned shares, rounded."""
    random = rng(plan.seed, "shop users")
    # Rounded where the kinds meet, so that the sizes always add up.
    borders = [
        round(plan.n_users * part) for part in (plan.visual_share, plan.visual_share + plan.textual_share)
    ]
    sizes = np.diff([0, *borders, plan.n_users])
    kinds = random.permutation(np.repeat(np.arange(len(KINDS)), sizes))
    means = np.full((len(KINDS), 3), (1 - plan.own_taste) / 2)
    np.fill_diagonal(means, plan.own_taste)
    # Gamma draws, normalised, are a Dirichlet draw per user.
    amounts = random.gamma(np.maximum(means[kinds] * _CONCENTRATION, 1e-6))
    return Users(
        kinds=kinds,
        shares=amounts / amounts.sum(axis=1, keepdims=True),
        likes_style=_likes(plan, N_STYLES, random),
        likes_purpose=_likes(plan, N_PURPOSES, random),
        likes_fashion=_likes(plan, N_FASHIONS, random),
    )


def _likes(plan: ShopPlan, groups: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Grades [users, groups]: 1 for the first favourite, a little less for each further one."""
    order = np.argsort(random.random((plan.n_users, groups)), axis=1)[:, : plan.favourites]
    likes = np.zeros((plan.n_users, groups))
    np.put_along_axis(likes, order, 0.9 ** np.arange(plan.favourites)[None, :], axis=1)
    return likes


def utilities(plan: ShopPlan, users: Users, items: Items, who: slice = slice(None)) -> NDArray[np.float64]:
    """What each item is worth to each of these users: tastes plus appeal, in log odds. [users, items]"""
    shares = plan.taste_strength * users.shares[who]
    return (
        shares[:, :1] * users.likes_style[who][:, items.styles]
        + shares[:, 1:2] * users.likes_purpose[who][:, items.purposes]
        + shares[:, 2:] * users.likes_fashion[who][:, items.fashions]
        + items.appeal
    )


def draw_choices(plan: ShopPlan, users: Users, items: Items) -> Interactions:
    """Who chose what and when: exactly ``n_interactions`` pairs.

    Each user takes items one after the other without replacement, with probability proportional to the
    exponential of utility among the items that have arrived. Times are whole seconds.
    Source: adding Gumbel noise to log weights and taking the n largest is such a sequential draw
    (Kool et al., Stochastic Beams and Where to Find Them, ICML 2019, Section 2.3).
    """
    lengths = draw_lengths(plan)
    moments = _moments(plan, lengths)
    random = rng(plan.seed, "shop choices")
    chosen = np.concatenate(list(_chosen(plan, users, items, lengths, moments, random)))
    times = START_SECONDS + np.floor(np.concatenate(moments) * PERIOD_SECONDS)
    return Interactions(np.repeat(np.arange(len(users)), lengths), chosen, len(users), len(items), times)


def draw_lengths(plan: ShopPlan) -> NDArray[np.int64]:
    """Interactions of each user: the minimum plus a log-normal part, cut at a third of the catalogue."""
    weights = rng(plan.seed, "shop lengths").lognormal(0, 1, plan.n_users)
    room = longest_history(plan) - plan.min_history
    spare = plan.n_interactions - plan.min_history * plan.n_users
    low, high = 0.0, (room + 1) / weights.min()
    # The scale at which the cut log-normal parts sum to what is to be spread.
    for _ in range(200):
        middle = (low + high) / 2
        if np.minimum(weights * middle, room).sum() < spare:
            low = middle
        else:
            high = middle
    parts = np.minimum(weights * high, room)
    extra = np.floor(parts).astype(np.int64)
    rest = spare - int(extra.sum())
    extra[np.argsort(extra - parts, kind="stable")[:rest]] += 1
    lengths: NDArray[np.int64] = plan.min_history + extra
    return lengths


def _moments(plan: ShopPlan, lengths: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Rising moments (0..1 of the period) of each user's choices, from the day the user joined."""
    random = rng(plan.seed, "shop moments")
    joined = random.uniform(0, 0.8, len(lengths))
    return [np.sort(random.uniform(start, 1, n)) for start, n in zip(joined, lengths, strict=True)]


def _chosen(
    plan: ShopPlan,
    users: Users,
    items: Items,
    lengths: NDArray[np.int64],
    moments: list[NDArray[np.float64]],
    random: np.random.Generator,
) -> Iterator[NDArray[np.int64]]:
    """The items of each user in the order in which they were taken."""
    late = items.arrival > 0
    for start in range(0, len(users), _BLOCK):
        worth = utilities(plan, users, items, slice(start, start + _BLOCK))
        worth[:, np.isinf(items.arrival)] = -np.inf
        early_keys = worth + random.gumbel(size=worth.shape)
        early_keys[:, late] = -np.inf
        # Late items join with fresh noise: what was left over earlier must not count against anybody.
        late_keys = worth + random.gumbel(size=worth.shape)
        for row in range(len(worth)):
            user = start + row
            n_early = int((moments[user] < LATE_ARRIVAL).sum())
            first = _largest(early_keys[row], n_early)
            late_keys[row, first] = -np.inf
            yield np.concatenate([first, _largest(late_keys[row], int(lengths[user]) - n_early)])


def _largest(keys: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Positions of the n largest keys, largest first."""
    if n == 0:
        return np.zeros(0, np.int64)
    found = np.argpartition(-keys, n - 1)[:n]
    return found[np.argsort(-keys[found], kind="stable")]
