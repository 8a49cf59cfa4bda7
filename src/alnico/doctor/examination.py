"""The whole examination of a catalogue: numbers, lists to act on, and findings in sentences."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from alnico.data.dataset import TRAIN, Dataset
from alnico.data.describe import Finding
from alnico.doctor.conflict import NEIGHBOURS, conflict
from alnico.doctor.copies import Labels, members, picture_copies, text_copies, united
from alnico.doctor.pictures import print_pictures
from alnico.encoders.encoder import Progress, Watch

LISTED = 50
"""Groups and items that a list shows at most; counts are always of all."""

_SHOWN_COPIES = 12


class Named(BaseModel, frozen=True):
    """One item as a person knows it."""

    item: str
    title: str = ""
    image: str = ""


class Quarantined(BaseModel, frozen=True):
    """An item whose picture cannot be read, and why; encoding and training go on without it."""

    item: str
    path: str
    reason: str


class Copies(BaseModel, frozen=True):
    """Items with the same content: how many stand in groups of copies, how many groups, and the largest."""

    items: int
    groups: int
    largest: tuple[tuple[Named, ...], ...]


class Gap(BaseModel, frozen=True):
    """Items without one kind of content, and the share (0..1) of the interactions that are on them."""

    items: int
    share: float
    interactions_share: float


class Contradicting(BaseModel, frozen=True):
    """An item and how far its modalities contradict: 0 not at all, from 1 on entirely."""

    item: Named
    score: float


class ConflictFacts(BaseModel, frozen=True):
    """Two modalities: mean share of common neighbours, the same by chance, how many items stand out as
    contradicting, and the items of highest score whether they stand out or not."""

    first: str
    second: str
    neighbours: int
    overlap: float
    chance: float
    mean_score: float
    contradicting: int
    worst: tuple[Contradicting, ...]


class Leaks(BaseModel, frozen=True):
    """Interactions outside training on a copy of what the same user has in training."""

    groups_across: int
    interactions: int
    share: float


class Examination(BaseModel, frozen=True):
    """What a close look at pictures and texts found; a part is None where there is nothing to look at."""

    same_files: Copies | None
    same_pictures: Copies | None
    same_texts: Copies | None
    near_texts: Copies | None
    quarantined: tuple[Quarantined, ...]
    unreadable: int
    flat: int
    gaps: dict[str, Gap]
    conflicts: tuple[ConflictFacts, ...]
    leaks: Leaks | None


@contextmanager
def _unwatched(things: str) -> Iterator[Progress]:
    yield lambda done, total: None


def examine(dataset: Dataset, watch: Watch | None = None) -> Examination:
    """Look at the pictures and texts of the item cards, and at the vectors.

    Every picture is opened once. Prints and neighbours are compared in blocks, texts by minimal hashes: nothing
    of size items x items is ever formed.
    """
    columns = dataset.cards.columns
    texts = _texts(dataset)
    named = columns.get("image", ("",) * dataset.n_items)
    paths = [Path(path) if path.strip() and "://" not in path else None for path in named]
    gaps: dict[str, Gap] = {}
    none = np.full(dataset.n_items, -1, np.int64)
    files = looks = None
    quarantined: list[Quarantined] = []
    unreadable = flat = 0
    if any(paths):
        with (watch or _unwatched)("pictures") as tell:
            prints = print_pictures(paths, tell)
        files, looks = picture_copies(prints)
        unreadable, flat = len(prints.unreadable), int(prints.flat.sum())
        quarantined = [
            Quarantined(item=str(dataset.items.name(bad.row)), path=bad.path, reason=bad.reason)
            for bad in prints.unreadable[: LISTED * 20]
        ]
        gaps["image"] = _gap(dataset, prints.files < 0)
    same = near = None
    if any(texts):
        same, near = text_copies(texts)
        gaps["text"] = _gap(dataset, np.array([not text.strip() for text in texts]))
    either = united(none if looks is None else looks, none if near is None else near)
    return Examination(
        same_files=_copies(dataset, files),
        same_pictures=_copies(dataset, looks),
        same_texts=_copies(dataset, same),
        near_texts=_copies(dataset, near),
        quarantined=tuple(quarantined),
        unreadable=unreadable,
        flat=flat,
        gaps=gaps,
        conflicts=tuple(_conflicts(dataset)),
        leaks=_leaks(dataset, either) if any(paths) or any(texts) else None,
    )


def findings_of(found: Examination, dataset: Dataset) -> Iterator[Finding]:
    """The examination in sentences."""
    n = dataset.n_items
    if found.unreadable:
        first = found.quarantined[0]
        yield Finding(
            "warning",
            "pictures",
            f"{found.unreadable} pictures cannot be read and are left out of encoding and training; the first is "
            f"{first.path} ({first.reason})",
        )
    if found.flat:
        yield Finding("note", "pictures", f"{found.flat} pictures show a single colour; they say little")
    for copies, what in (
        (found.same_files, "have a picture file that another item has too"),
        (found.same_pictures, "look nearly the same as another item (after resizing and compressing)"),
        (found.same_texts, "have the same text as another item"),
        (found.near_texts, "have nearly the same text as another item"),
    ):
        if copies is not None and copies.items:
            names = ", ".join(named.item for named in copies.largest[0][:3])
            yield Finding(
                "warning" if copies.items > n / 20 else "note",
                "copies",
                f"{copies.items} items in {copies.groups} groups {what}, such as {names}",
            )
    for name, gap in found.gaps.items():
        if gap.items:
            yield Finding(
                "warning" if gap.interactions_share > 0.2 else "note",
                "content",
                f"{gap.items} of {n} items ({gap.share:.1%}) have no {name} that can be read; "
                f"{gap.interactions_share:.1%} of the interactions are on them",
            )
    for facts in found.conflicts:
        names = ", ".join(bad.item.item for bad in facts.worst[: min(facts.contradicting, 3)])
        yield Finding(
            "warning" if facts.overlap <= facts.chance else "note",
            "conflict",
            f"{facts.first!r} and {facts.second!r} share {facts.overlap:.1%} of {facts.neighbours} neighbours "
            f"({facts.chance:.1%} by chance); {facts.contradicting} items stand out as contradicting"
            + (f", the worst are {names}" if facts.contradicting else ""),
        )
    if found.leaks is not None and found.leaks.interactions:
        yield Finding(
            "warning",
            "leaks",
            f"{found.leaks.interactions} interactions outside training ({found.leaks.share:.1%}) are on a copy of "
            "an item that the same user has in training; they are easier than they look",
        )


def _texts(dataset: Dataset) -> list[str]:
    columns = [dataset.cards.columns.get(name) for name in ("title", "category", "description")]
    filled = [column for column in columns if column is not None]
    return [" ".join(parts) for parts in zip(*filled, strict=True)] if filled else [""] * dataset.n_items


def _named(dataset: Dataset, item: int) -> Named:
    cards = dataset.cards
    return Named(
        item=str(dataset.items.name(item)), title=cards.get("title", item), image=cards.get("image", item)
    )


def _copies(dataset: Dataset, labels: Labels | None) -> Copies | None:
    if labels is None:
        return None
    groups = members(labels)
    return Copies(
        items=int((labels >= 0).sum()),
        groups=len(groups),
        largest=tuple(
            tuple(_named(dataset, item) for item in group[:_SHOWN_COPIES]) for group in groups[:LISTED]
        ),
    )


def _gap(dataset: Dataset, without: NDArray[np.bool_]) -> Gap:
    return Gap(
        items=int(without.sum()),
        share=float(without.mean()),
        interactions_share=float(without[dataset.interactions.items].mean()),
    )


def _conflicts(dataset: Dataset) -> Iterator[ConflictFacts]:
    """Every pair of modalities."""
    names: Sequence[str] = dataset.features.names
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            found = conflict(dataset.features[first], dataset.features[second])
            if found is None:
                continue
            order = np.argsort(-np.nan_to_num(found.scores, nan=-1.0), kind="stable")[:LISTED]
            worst = [
                Contradicting(item=_named(dataset, int(item)), score=round(float(found.scores[item]), 4))
                for item in order
                if not np.isnan(found.scores[item])
            ]
            yield ConflictFacts(
                first=first,
                second=second,
                neighbours=NEIGHBOURS,
                overlap=found.overlap,
                chance=found.chance,
                mean_score=float(np.nanmean(found.scores)),
                contradicting=len(found.contradicting),
                worst=tuple(worst),
            )


def _leaks(dataset: Dataset, groups: Labels) -> Leaks | None:
    """Copies across the parts of the split that came with the data; None where it came without."""
    if dataset.labels is None:
        return None
    events, outside = dataset.interactions, dataset.labels != TRAIN
    group = groups[events.items]
    grouped = group >= 0
    across = np.intersect1d(group[grouped & outside], group[grouped & ~outside])
    keys = events.users.astype(np.int64) * (int(groups.max(initial=0)) + 1) + group
    leaking = grouped & outside & np.isin(keys, keys[grouped & ~outside])
    n_outside = int(outside.sum())
    return Leaks(
        groups_across=len(across),
        interactions=int(leaking.sum()),
        share=float(leaking.sum() / n_outside) if n_outside else 0.0,
    )
