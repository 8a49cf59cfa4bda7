"""What a bundle is asked and what it says, in outside ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, NonNegativeFloat

Basis = Literal["trained", "history", "popularity", "untaken", "content", "like", "nothing", "similarity"]
"""What an answer rests on.

Of a whole list: ``trained`` (the user was in training), ``history`` (somebody known by a list of items alone),
``popularity`` (nothing is known of the user), ``similarity`` (items like one item).
Of one item: ``trained``; ``untaken`` (it was there in training, but nobody had it); added later and ranked by its own
``content``, or, by a model that reads none, ``like`` the known items that it resembles; ``nothing`` (it has no
content, and is listed nowhere).
"""


class Filters(BaseModel, frozen=True, extra="forbid"):
    """Which items may be listed; what is left out leaves its place to the next best.

    Ids that no item has are passed over. Categories are compared without case, an item with several passes by any of
    them; an item without a price passes no bound on prices.
    """

    allow: tuple[int | str, ...] | None = None
    """Only these items."""
    deny: tuple[int | str, ...] = ()
    """Not these items."""
    categories: tuple[str, ...] = ()
    """Only items of one of these categories; none named means all."""
    least_price: NonNegativeFloat | None = None
    """Only items that cost at least this much."""
    most_price: NonNegativeFloat | None = None
    """Only items that cost at most this much."""


EVERYTHING = Filters()


@dataclass(frozen=True)
class Listed:
    """An item of a list; ``rank`` counts from 1, ``basis`` says why the model can place it."""

    rank: int
    item: int | str
    score: float
    basis: Basis


@dataclass(frozen=True)
class Answer:
    """A list, best first, what it rests on, and what its reader should know."""

    items: tuple[Listed, ...]
    basis: Basis
    notes: tuple[str, ...] = ()


def category_names(text: str) -> list[str]:
    """The categories in one cell of an item table, in lower case; they stand apart by ``|`` or a comma."""
    return [name for part in text.split("|") for raw in part.split(",") if (name := raw.strip().casefold())]


def price_of(text: str) -> float:
    """The number in a price; not a number where there is none. A sign of currency does not matter."""
    kept = "".join(letter for letter in text if letter.isdigit() or letter in ".,")
    if "," in kept:
        # A comma before exactly three digits, or before a point, groups digits; else it is the decimal sign.
        whole, _, last = kept.rpartition(",")
        groups = "." in kept or (len(last) == 3 and bool(whole))
        kept = kept.replace(",", "") if groups else kept.replace(",", ".")
    try:
        return float(kept)
    except ValueError:
        return float("nan")


def first_of_each(names: Sequence[int]) -> list[int]:
    """The different ones in order of appearance."""
    return list(dict.fromkeys(names))
