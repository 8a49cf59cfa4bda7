"""What a data set is like, and what about it should worry its owner."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alnico.data.dataset import TEST, TRAIN, VALID, Dataset
from alnico.data.features import Modality
from alnico.data.filtering import core_masks
from alnico.randomness import rng

Severity = Literal["error", "warning", "note"]
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Spread:
    """Quantiles and mean of counts."""

    smallest: float
    quarter: float
    median: float
    three_quarters: float
    largest: float
    mean: float


@dataclass(frozen=True)
class ModalityFacts:
    """How much of the catalogue one modality describes; shares are 0..1."""

    width: int
    present_items: int
    present_share: float
    covered_interactions_share: float


@dataclass(frozen=True)
class PartFacts:
    """The parts of a split that came with the data, in interactions, and who is new outside training."""

    train_interactions: int
    valid_interactions: int
    test_interactions: int
    users_without_training: int
    items_without_training: int
    cold_valid_interactions: int
    cold_test_interactions: int


@dataclass(frozen=True)
class DatasetFacts:
    """A data set in numbers.

    ``popularity_gini`` is 0 where all items are taken alike, near 1 where few are taken by all;
    ``first_time`` and ``last_time`` are as given with the data; ``filled_cards`` is the share of items that
    have each column of text.
    """

    name: str
    users: int
    items: int
    interactions: int
    density: float
    interactions_per_user: Spread
    interactions_per_item: Spread
    items_without_interactions: int
    popularity_gini: float
    first_time: float | None
    last_time: float | None
    weighted: bool
    modalities: Mapping[str, ModalityFacts]
    neighbours: Mapping[str, int]
    parts: PartFacts | None
    filled_cards: Mapping[str, float]


@dataclass(frozen=True)
class Finding:
    """One thing to know about the data. An ``error`` makes it unusable, a ``warning`` deserves a look."""

    severity: Severity
    topic: str
    message: str


def describe(dataset: Dataset) -> DatasetFacts:
    """The data set in numbers."""
    events = dataset.interactions
    return DatasetFacts(
        name=dataset.name,
        users=dataset.n_users,
        items=dataset.n_items,
        interactions=len(events),
        density=len(events) / (dataset.n_users * dataset.n_items),
        interactions_per_user=spread(events.user_degrees),
        interactions_per_item=spread(events.item_degrees),
        items_without_interactions=int((events.item_degrees == 0).sum()),
        popularity_gini=gini(events.item_degrees),
        first_time=None if events.times is None else float(events.times.min()),
        last_time=None if events.times is None else float(events.times.max()),
        weighted=events.weights is not None,
        modalities={name: _modality_facts(dataset, name) for name in dataset.features},
        neighbours={name: lists.k for name, lists in dataset.neighbours.items()},
        parts=None if dataset.labels is None else _part_facts(dataset, dataset.labels),
        filled_cards={
            name: sum(map(bool, values)) / len(values) for name, values in dataset.cards.columns.items()
        },
    )


def check(dataset: Dataset, *, notices: Sequence[str] = (), core: int = 5) -> list[Finding]:
    """What about the data should worry its owner, worst first.

    ``notices`` are what the import had to say (merged duplicates among it); ``core`` is the k of the k-core
    whose effect is foretold. Looks at tables and vectors; pictures and texts are not opened.
    """
    findings = [Finding("note", "import", notice) for notice in notices]
    findings += _check_interactions(dataset, core)
    if dataset.labels is not None:
        findings += _check_parts(_part_facts(dataset, dataset.labels))
    if not dataset.features:
        findings.append(
            Finding("warning", "content", "there are no features; only models of behaviour can be trained")
        )
    for name, modality in dataset.features.items():
        findings += _check_modality(dataset, name, modality)
    findings += _check_pictures(dataset)
    return by_severity(findings)


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, notes last, else in the order given."""
    ranks: Mapping[Severity, int] = {"error": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda finding: ranks[finding.severity])


def spread(counts: NDArray[np.int64]) -> Spread:
    """Minimum, quartiles, maximum and mean."""
    smallest, quarter, median, three_quarters, largest = np.quantile(counts, (0, 0.25, 0.5, 0.75, 1)).tolist()
    return Spread(smallest, quarter, median, three_quarters, largest, float(counts.mean()))


def gini(counts: NDArray[np.int64]) -> float:
    """The Gini coefficient of counts: half the mean difference of two of them over their mean; 0..1."""
    ordered = np.sort(counts).astype(np.float64)
    n, total = len(ordered), ordered.sum()
    if total == 0:
        return 0.0
    return float(2 * (np.arange(1, n + 1) * ordered).sum() / (n * total) - (n + 1) / n)


def twins(modality: Modality) -> int:
    """How many items with this modality share their vector, bit for bit, with another item."""
    present = np.flatnonzero(modality.present)
    # A row is known by a wrapping sum of its bits times fixed random odd numbers: equal rows always meet,
    # unequal ones hardly ever. Comparing the rows themselves would copy the whole table.
    factors = rng(0, "twins").integers(0, 2**63, modality.width, dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    prints = np.empty(len(present), np.uint64)
    for start in range(0, len(present), _ROWS_AT_ONCE):
        # Adding zero turns -0.0 into 0.0, which is the same number.
        rows = modality.vectors[present[start : start + _ROWS_AT_ONCE]] + np.float32(0)
        prints[start : start + _ROWS_AT_ONCE] = (rows.view(np.uint32) * factors).sum(axis=1, dtype=np.uint64)
    _, counts = np.unique(prints, return_counts=True)
    return int(counts[counts > 1].sum())


def constant_columns(modality: Modality) -> int:
    """How many of the vectors' dimensions have one value in all items that have this modality."""
    present = np.flatnonzero(modality.present)
    lowest = np.full(modality.width, np.inf, np.float32)
    highest = -lowest
    for start in range(0, len(present), _ROWS_AT_ONCE):
        rows = modality.vectors[present[start : start + _ROWS_AT_ONCE]]
        lowest, highest = np.minimum(lowest, rows.min(axis=0)), np.maximum(highest, rows.max(axis=0))
    return int((lowest == highest).sum())


def _modality_facts(dataset: Dataset, name: str) -> ModalityFacts:
    modality = dataset.features[name]
    return ModalityFacts(
        width=modality.width,
        present_items=int(modality.present.sum()),
        present_share=float(modality.present.mean()),
        covered_interactions_share=float(modality.present[dataset.interactions.items].mean()),
    )


def _part_facts(dataset: Dataset, labels: NDArray[np.int8]) -> PartFacts:
    events = dataset.interactions
    train = labels == TRAIN
    user_trained = np.bincount(events.users[train], minlength=dataset.n_users) > 0
    item_trained = np.bincount(events.items[train], minlength=dataset.n_items) > 0
    cold = ~item_trained[events.items]
    return PartFacts(
        train_interactions=int(train.sum()),
        valid_interactions=int((labels == VALID).sum()),
        test_interactions=int((labels == TEST).sum()),
        users_without_training=int((~user_trained).sum()),
        items_without_training=int((~item_trained).sum()),
        cold_valid_interactions=int((cold & (labels == VALID)).sum()),
        cold_test_interactions=int((cold & (labels == TEST)).sum()),
    )


def _check_interactions(dataset: Dataset, core: int) -> Iterator[Finding]:
    events = dataset.interactions
    lonely = int((events.item_degrees == 0).sum())
    if lonely:
        yield Finding(
            "note", "items", f"{lonely} items have no interactions; only content can recommend them"
        )
    kept, users, items = core_masks(events, core, core)
    if not kept.all():
        yield Finding(
            "note",
            "core",
            f"a {core}-core would drop {int((~users).sum())} of {dataset.n_users} users, "
            f"{int((~items).sum())} of {dataset.n_items} items and {int((~kept).sum())} of {len(events)} "
            "interactions",
        )
    top = max(dataset.n_items // 10, 1)
    share = np.sort(events.item_degrees)[-top:].sum() / len(events)
    skew = gini(events.item_degrees)
    yield Finding(
        "warning" if skew > 0.8 else "note",
        "popularity",
        f"the most popular {top} of {dataset.n_items} items have {share:.0%} of the interactions "
        f"(Gini {skew:.2f})",
    )
    if events.times is not None and events.times.min() == events.times.max():
        yield Finding(
            "warning", "times", "all interactions have the same time; a split by time means nothing"
        )


def _check_parts(parts: PartFacts) -> Iterator[Finding]:
    if parts.train_interactions == 0:
        yield Finding("error", "labels", "no interaction is labelled for training")
    for name, count in (("validation", parts.valid_interactions), ("test", parts.test_interactions)):
        if count == 0:
            yield Finding("warning", "labels", f"no interaction is labelled for {name}")
    if parts.users_without_training:
        yield Finding(
            "warning",
            "labels",
            f"{parts.users_without_training} users have no training interaction; they cannot be evaluated",
        )
    for name, cold, count in (
        ("validation", parts.cold_valid_interactions, parts.valid_interactions),
        ("test", parts.cold_test_interactions, parts.test_interactions),
    ):
        if cold:
            yield Finding(
                "warning" if cold > count / 20 else "note",
                "labels",
                f"{cold} of {count} {name} interactions ({cold / count:.1%}) are on items unseen in "
                "training; only content can find them",
            )


def _check_modality(dataset: Dataset, name: str, modality: Modality) -> Iterator[Finding]:
    facts = _modality_facts(dataset, name)
    if facts.present_items == 0:
        yield Finding("error", "content", f"no item has {name!r} features")
        return
    absent = dataset.n_items - facts.present_items
    if absent:
        yield Finding(
            "warning" if facts.covered_interactions_share < 0.8 else "note",
            "content",
            f"{absent} of {dataset.n_items} items have no {name!r} features; "
            f"{facts.covered_interactions_share:.1%} of the interactions are on items that have them",
        )
    constant = constant_columns(modality)
    if constant == modality.width:
        yield Finding(
            "error", "content", f"all items have the same {name!r} vector; it cannot tell them apart"
        )
        return
    if constant:
        yield Finding(
            "warning",
            "content",
            f"{constant} of {modality.width} dimensions of {name!r} are the same in every item",
        )
    alike = twins(modality)
    if alike:
        yield Finding(
            "warning" if alike > facts.present_items / 20 else "note",
            "content",
            f"{alike} of {facts.present_items} items share their {name!r} vector with another item",
        )


def _check_pictures(dataset: Dataset) -> Iterator[Finding]:
    # Relative paths and web addresses cannot be looked up from here.
    paths = [Path(text) for text in dataset.cards.columns.get("image", ()) if Path(text).is_absolute()]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        yield Finding(
            "warning",
            "pictures",
            f"{len(missing)} of {len(paths)} pictures named in the item table are not there, the first is "
            f"{missing[0]}",
        )
