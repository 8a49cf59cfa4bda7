"""What a made-up shop is asked to be, and the truth behind it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from alnico.catalogue.drawing import STYLES
from alnico.catalogue.wording import PURPOSES
from alnico.data.interactions import frozen
from alnico.errors import ConfigError
from alnico.randomness import rng

KINDS = ("visual", "textual", "fashion")
"""Kinds of users, by the taste that decides most of their choices."""

LATE_ARRIVAL = 0.9
"""The moment of the period (0..1) at which late items arrive."""

N_STYLES, N_PURPOSES, N_FASHIONS = len(STYLES), len(PURPOSES), 18


class ShopPlan(BaseModel, frozen=True, extra="forbid"):
    """Settings of one shop; the same plan gives the same files, byte for byte.

    Shares are parts of 1. Users who are neither visual-minded nor text-minded follow fashion.
    """

    seed: int = Field(7, ge=0)
    """Names every random stream."""
    n_users: int = Field(1500, ge=2)
    """Users; each has interactions."""
    n_items: int = Field(900, ge=40)
    """Items in the catalogue, sold or not."""
    n_interactions: int = Field(20_000, ge=1)
    """Distinct (user, item) pairs."""
    min_history: int = Field(5, ge=1)
    """Interactions that every user has at least."""
    visual_share: float = Field(0.35, ge=0, le=1)
    """Share of users who choose mostly by what a picture shows."""
    textual_share: float = Field(0.35, ge=0, le=1)
    """Share of users who choose mostly by what a text says."""
    own_taste: float = Field(0.9, ge=1 / 3, le=1)
    """Weight of a user's main taste on average; the other two share the rest."""
    favourites: int = Field(2, ge=1, le=N_FASHIONS)
    """Styles, purposes and fashions that a user likes."""
    taste_strength: float = Field(5.5, ge=0)
    """Log odds that separate a favourite from the rest, for a user with one taste only."""
    popularity_exponent: float = Field(0.8, ge=0)
    """Appeal of the item at rank r is (r + n_items / 30) to the power of minus this."""
    new_share: float = Field(0.03, ge=0, le=0.5)
    """Share of items that are new: half were never sold, half arrive in the last tenth of the period."""
    without_image_share: float = Field(0.05, ge=0, le=0.5)
    """Share of items without a picture (new items always have one)."""
    without_text_share: float = Field(0.05, ge=0, le=0.5)
    """Share of items without a text (none of them lacks a picture)."""
    noise: bool = False
    """The control world: the same choices, but pictures and texts say nothing about them."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.visual_share + self.textual_share > 1:
            raise ValueError("visual_share and textual_share must not exceed 1 together")
        if self.new_share + self.without_image_share + self.without_text_share > 0.9:
            raise ValueError(
                "new_share, without_image_share and without_text_share must not exceed 0.9 together"
            )
        return self


def check_feasible(plan: ShopPlan) -> None:
    """Pass if the asked number of interactions can be spread over users and items.

    Raises: ConfigError if users would have fewer than ``min_history`` items or more than a third of the
    catalogue.
    """
    if plan.min_history > longest_history(plan):
        raise ConfigError(
            f"min_history is {plan.min_history}, but of {plan.n_items} items a user can have a third, "
            f"{longest_history(plan)}; lower min_history or raise n_items"
        )
    least, most = plan.min_history * plan.n_users, longest_history(plan) * plan.n_users
    if not least <= plan.n_interactions <= most:
        raise ConfigError(
            f"{plan.n_users} users and {plan.n_items} items need between {least} and {most} interactions "
            f"(every user {plan.min_history} to {longest_history(plan)}); found {plan.n_interactions}; "
            "change n_interactions, n_users or n_items"
        )


def longest_history(plan: ShopPlan) -> int:
    """Interactions that a user has at most: a third of the catalogue."""
    return plan.n_items // 3


@dataclass(frozen=True, eq=False)
class Items:
    """What every item truly is, and what its picture and text show of it.

    ``styles``, ``purposes`` and ``fashions`` move choices. ``pictured`` and ``told`` are the style drawn and
    the purpose written; they equal styles and purposes except in the control world. ``appeal`` is the
    logarithm of popularity before tastes. ``arrival`` is 0 for ordinary items, the moment in the period
    (0..1) from which a late item can be bought, and infinity for an item that was never sold. All have shape
    [items].
    """

    styles: NDArray[np.int64]
    purposes: NDArray[np.int64]
    fashions: NDArray[np.int64]
    pictured: NDArray[np.int64]
    told: NDArray[np.int64]
    appeal: NDArray[np.float64]
    arrival: NDArray[np.float64]
    has_image: NDArray[np.bool_]
    has_text: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            column = getattr(self, name)
            object.__setattr__(self, name, frozen(column, column.dtype.type))

    def __len__(self) -> int:
        return len(self.styles)

    @property
    def new(self) -> NDArray[np.bool_]:
        """Items that were never sold or arrived late."""
        return self.arrival > 0


def draw_items(plan: ShopPlan) -> Items:
    """The catalogue of this plan.

    Style, purpose, fashion and appeal are independent of each other and of everything else about an item.
    """
    n = plan.n_items
    random = rng(plan.seed, "shop items")
    styles, purposes, fashions = (_even(n, groups, random) for groups in (N_STYLES, N_PURPOSES, N_FASHIONS))
    ranks = random.permutation(n)
    roles = random.permutation(n)
    n_new, n_blind, n_mute = (
        round(n * share) for share in (plan.new_share, plan.without_image_share, plan.without_text_share)
    )
    arrival = np.zeros(n)
    arrival[roles[:n_new]] = LATE_ARRIVAL
    arrival[roles[: (n_new + 1) // 2]] = np.inf
    has_image, has_text = np.ones(n, bool), np.ones(n, bool)
    has_image[roles[n_new : n_new + n_blind]] = False
    has_text[roles[n_new + n_blind : n_new + n_blind + n_mute]] = False
    pictured, told = styles, purposes
    if plan.noise:
        shuffle = rng(plan.seed, "shop noise")
        pictured, told = shuffle.permutation(styles), shuffle.permutation(purposes)
    return Items(
        styles=styles,
        purposes=purposes,
        fashions=fashions,
        pictured=pictured,
        told=told,
        appeal=-plan.popularity_exponent * np.log(ranks + 1 + n / 30),
        arrival=arrival,
        has_image=has_image,
        has_text=has_text,
    )


def _even(n: int, groups: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Group numbers in random order; group sizes differ by one at most."""
    return random.permutation(np.arange(n) % groups)
