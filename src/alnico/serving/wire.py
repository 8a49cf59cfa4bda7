"""What goes over the wire: the records of requests and answers."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from alnico.serving.answers import Answer, Basis, Listed
from alnico.serving.bundle import Bundle

Id = Annotated[str, StringConstraints(max_length=1000)]
"""An id as text; a catalogue whose ids are integers is asked by their digits."""
Weight = Annotated[float, Field(ge=0, le=100)]


class Problem(BaseModel):
    """Why a request was not answered, in one sentence."""

    error: str


class ItemEntry(BaseModel):
    """An item of a list: ``rank`` from 1, what its score rests on (``basis``), and what a card shows."""

    rank: int
    item: int | str
    score: float
    basis: Basis
    title: str
    category: str
    price: str
    has_picture: bool


class ItemList(BaseModel):
    """A list, best first; ``basis`` says what it rests on, ``notes`` what its reader should know."""

    items: list[ItemEntry]
    basis: Basis
    notes: list[str]


class ItemPage(BaseModel):
    """Some of the items that were found, and how many there are."""

    items: list["ItemCardEntry"]
    total: int


class ItemCardEntry(BaseModel):
    """An item without a rank."""

    item: int | str
    title: str
    category: str
    price: str
    has_picture: bool
    basis: Basis


class ItemDetail(ItemCardEntry):
    """One item: its row of the item table, how many users took it in training, and what it can be compared by."""

    columns: dict[str, str]
    takers: int
    sources: list[str]


class UserPage(BaseModel):
    """Some user ids, and how many there are."""

    users: list[int | str]
    total: int


class UserHistory(BaseModel):
    """A user's training items, oldest first where the data have times."""

    user: int | str
    items: list[ItemCardEntry]


class Wishes(BaseModel, extra="forbid"):
    """How a list is to be made."""

    k: int = Field(10, ge=1, le=1_000_000_000)
    """Length of the list; at most what the service allows."""
    allow: list[Id] | None = Field(None, max_length=10_000)
    """Only these items."""
    deny: list[Id] = Field([], max_length=10_000)
    """Not these items."""
    categories: list[str] = Field([], max_length=100)
    """Only these categories."""
    least_price: float | None = Field(None, ge=0)
    most_price: float | None = Field(None, ge=0)
    keep_seen: bool = False
    """Also list items of the history."""
    diversity: float = Field(0.0, ge=0, le=1)
    """0: by score alone; 1: each item as unlike those before it as can be."""
    emphasis: dict[str, Weight] = Field({}, max_length=32)
    """How many times as much a part (behaviour or a modality) counts."""


class AnonymousWishes(Wishes):
    """A list for somebody who has these items."""

    history: list[Id]


class Question(BaseModel, extra="forbid"):
    """Why somebody who has these items would get this one."""

    history: list[Id]
    item: Id
    emphasis: dict[str, Weight] = Field({}, max_length=32)


class NewItem(BaseModel, extra="forbid"):
    """An item that came after training: an id of its own, vectors by modality from the bundle's encoder, its card.

    Without a vector a picture (a file in base64) and the card's words are encoded, where the bundle holds the encoder.
    """

    id: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    vectors: dict[str, list[float]] = Field({}, max_length=32)
    card: dict[str, str] = Field({}, max_length=32)
    picture: str | None = None


class NewItems(BaseModel, extra="forbid"):
    """Items to take in."""

    items: list[NewItem] = Field(min_length=1, max_length=1000)


class Added(BaseModel):
    """What was taken in, how many items there are now, and what their reader should know."""

    added: list[str]
    items: int
    notes: list[str]


class Health(BaseModel):
    """That the service answers, and from what."""

    status: str
    label: str
    model: str
    users: int
    items: int
    waiting: int
    two_stages: bool
    """Whether lists begin with candidates."""
    stages_recall: float | None
    """What share of exact lists these were found to hold when the bundle was made; null where that was not measured."""


class About(BaseModel):
    """What the page has to know of the bundle: names, parts, categories, and what the model can do."""

    label: str
    model: str
    title: str
    remark: str
    trained: str
    users: int
    items: int
    parts: list[str]
    sources: list[str]
    categories: list[str]
    explains: bool
    has_histories: bool
    has_prices: bool
    measures: dict[str, dict[str, float | None]]


class RoutingHealth(BaseModel):
    """The mean routing over training pairs: by expert, group and family; ``effective`` experts of it."""

    experts: dict[str, float]
    groups: dict[str, float]
    families: dict[str, float]
    reliance: dict[str, float]
    effective: float
    pairs: int
    course: dict[str, list[float]]
    """By epoch of the training the entropy of the mean routing and the stage; empty where the bundle has none."""
    notes: list[str]


Explained = dict[str, Any]


def card_entry(bundle: Bundle, number: int) -> ItemCardEntry:
    """An item by inside number."""
    return ItemCardEntry(**_shown(bundle, number), basis=bundle.basis_of(number))


def entry(bundle: Bundle, one: Listed) -> ItemEntry:
    """An item of a list with its card."""
    shown = _shown(bundle, bundle.items.number(one.item))
    return ItemEntry(rank=one.rank, score=one.score, basis=one.basis, **shown)


def item_list(bundle: Bundle, answer: Answer) -> ItemList:
    """An answer with the cards of its items."""
    return ItemList(
        items=[entry(bundle, one) for one in answer.items], basis=answer.basis, notes=list(answer.notes)
    )


def _shown(bundle: Bundle, number: int) -> dict[str, Any]:
    return {
        "item": bundle.items.name(number),
        "title": bundle.cards.get("title", number),
        "category": bundle.cards.get("category", number),
        "price": bundle.cards.get("price", number),
        "has_picture": bundle.pictures[number] is not None,
    }
