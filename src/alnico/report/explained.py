"""Explanations in the words of the page's template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alnico.contracts import ExplainingScorer
from alnico.experiment.answer import explain_pair, named
from alnico.experiment.examples import pairs_to_show
from alnico.experiment.folder import Run
from alnico.experiment.results import listed
from alnico.report.pictures import inlined

N_COLOURS = 5
"""Colours of parts in the page's style."""


@dataclass(frozen=True)
class Bar:
    """A labelled bar; ``start`` and ``length`` are percentages of the full width, ``colour`` numbers the
    part."""

    label: str
    text: str
    start: float
    length: float
    colour: int


@dataclass(frozen=True)
class Grid:
    """Routing mass by anchor group (rows) and family (columns); a cell is its text and its strength, 0 to
    100."""

    families: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[str, float]], str]]


@dataclass(frozen=True)
class Card:
    """An item as a person sees it; ``picture`` is an address that needs no network, or None.

    Without a title of its own it is called by its id.
    """

    item_id: str
    titled: bool
    title: str
    category: str
    picture: str | None


@dataclass(frozen=True)
class Spoke:
    """A history item and what it says: (modality, cosine, colour) where both have it, effect on the score,
    edges."""

    card: Card
    similarity: Sequence[tuple[str, str, int]]
    shared_users: int
    effect: str
    edges: Sequence[str]


@dataclass(frozen=True)
class Told:
    """One explained recommendation."""

    user: str
    why: str
    card: Card
    place: str
    sentence: str
    grid: Grid | None
    reliance: Sequence[Bar]
    faithfulness: Sequence[Bar]
    experts: Sequence[tuple[str, str, str, str]]
    history: Sequence[Spoke]
    edge: str


def chosen_explanations(run: Run, scorer: ExplainingScorer) -> list[dict[str, Any]]:
    """Explanations of the recommendations that ``pairs_to_show`` picks."""
    users, items = run.dataset.users, run.dataset.items
    return [
        {"why": why, **named(run, explain_pair(run, users.name(user), items.name(item), scorer))}
        for user, item, why in pairs_to_show(run, scorer.parts)
    ]


def told(explanation: Mapping[str, Any], run: Run) -> Told:
    """An explanation (plain values with outside ids) with its pictures."""
    folder = Path(run.spec.dataset)
    parts = list(explanation["reliance"])
    routing = explanation["routing"]
    return Told(
        user=str(explanation["user"]),
        why=str(explanation["why"]),
        card=_card(explanation["item"], folder),
        place=f"place {explanation['rank']}" if explanation["rank"] else "had already",
        sentence=_sentence(explanation),
        grid=grid(routing) if sum(len(row) for row in routing.values()) > 1 else None,
        reliance=_contribution_bars(explanation, parts),
        faithfulness=_faithfulness(explanation, parts),
        experts=[
            (one["label"], f"{one['weight']:.1%}", f"{one['score']:.3f}", signed(one["contribution"]))
            for one in explanation["experts"]
        ],
        history=[_spoke(witness, folder, parts) for witness in explanation["witnesses"]],
        edge=_edge(explanation),
    )


def grid(routing: Mapping[str, Mapping[str, float]]) -> Grid:
    """Group -> family -> mass as a heat map; the strongest cell is full."""
    families = list(dict.fromkeys(family for row in routing.values() for family in row))
    top = max(mass for row in routing.values() for mass in row.values()) or 1.0
    rows = [
        (
            group,
            [
                (f"{row.get(family, 0.0):.1%}", round(100 * row.get(family, 0.0) / top, 1))
                for family in families
            ],
            f"{sum(row.values()):.1%}",
        )
        for group, row in routing.items()
    ]
    return Grid(families, rows)


def share_bars(shares: Mapping[str, float], parts: Sequence[str]) -> list[Bar]:
    """Shares of 1 as bars one after the other; a part keeps its colour everywhere."""
    bars, start = [], 0.0
    for place, (name, share) in enumerate(shares.items()):
        colour = list(parts).index(name) if name in parts else place
        bars.append(
            Bar(name, f"{share:.1%}", round(100 * start, 2), round(100 * share, 2), colour % N_COLOURS)
        )
        start += share
    return bars


def _contribution_bars(explanation: Mapping[str, Any], parts: Sequence[str]) -> list[Bar]:
    contributions = [explanation["contributions"][part] for part in parts]
    texts = [
        f"{signed(value)} ({explanation['reliance'][part]:.0%})"
        for part, value in zip(parts, contributions, strict=True)
    ]
    return _around_zero(parts, contributions, texts, range(len(parts)))


def _faithfulness(explanation: Mapping[str, Any], parts: Sequence[str]) -> list[Bar]:
    labels = ["as it is", *(f"average {part}" for part in parts), "average in all"]
    values = [
        explanation["score"],
        *(explanation["without"][part] for part in parts),
        explanation["baseline"],
    ]
    # The last colour of the style is the neutral one.
    colours = [N_COLOURS, *range(len(parts)), N_COLOURS]
    return _around_zero(labels, values, [f"{value:.3f}" for value in values], colours)


def _around_zero(
    labels: Sequence[str], values: Sequence[float], texts: Sequence[str], colours: Sequence[int]
) -> list[Bar]:
    """Bars from a common zero to each value, on one scale."""
    low, high = min(0.0, *values), max(0.0, *values)
    width = (high - low) or 1.0
    return [
        Bar(
            label,
            text,
            round(100 * (min(0.0, value) - low) / width, 2),
            round(100 * abs(value) / width, 2),
            colour if colour == N_COLOURS else colour % N_COLOURS,
        )
        for label, value, text, colour in zip(labels, values, texts, colours, strict=True)
    ]


def _sentence(explanation: Mapping[str, Any]) -> str:
    """The gist: how far the item is from an average one, and which part speaks loudest for it and which
    against it."""
    contributions = explanation["contributions"]
    distance = explanation["score"] - explanation["baseline"]
    first = max(contributions, key=lambda part: contributions[part])
    against = [part for part, value in contributions.items() if value < 0]
    side = "more" if distance >= 0 else "less"
    gist = f"It scores {abs(distance):.3f} {side} than an item that is average in everything"
    if contributions[first] <= 0:
        return f"{gist}; no part of it speaks for it."
    loudest = f"{first} speaks for it most ({contributions[first]:+.3f})"
    if against:
        return (
            f"{gist}; {loudest}, {listed(against)} {'speaks' if len(against) == 1 else 'speak'} against it."
        )
    return f"{gist}; {loudest}."


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign; what rounds to nothing has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if not float(text) else text


def _edge(explanation: Mapping[str, Any]) -> str:
    if explanation["induced"]:
        return (
            "An item of the history lists it among its nearest neighbours by content: an edge can be induced."
        )
    return "No item of the history lists it among its nearest neighbours by content, so no edge is induced."


def _card(item: Mapping[str, Any], folder: Path) -> Card:
    return Card(
        str(item["item_id"]),
        bool(item["title"]),
        str(item["title"] or f"item {item['item_id']}"),
        str(item["category"] or ""),
        inlined(str(item["image"] or ""), folder),
    )


def _spoke(witness: Mapping[str, Any], folder: Path, parts: Sequence[str]) -> Spoke:
    similarity = [
        (
            name,
            "absent" if value is None else signed(value, 2).removeprefix("+"),
            parts.index(name) % N_COLOURS if name in parts else N_COLOURS,
        )
        for name, value in witness["similarity"].items()
    ]
    return Spoke(
        _card(witness["item"], folder),
        similarity,
        witness["shared_users"],
        signed(witness["effect"]),
        witness["listed_in"],
    )
