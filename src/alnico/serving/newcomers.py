"""Items that came after training, taken into a bundle by what they look and read like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from alnico.contracts import Scorer
from alnico.data.dataset import ItemCards
from alnico.data.features import ItemFeatures, Modality
from alnico.data.ids import IdMap
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import DataError, UnsupportedError, nearest
from alnico.graphs.content import of_length_one
from alnico.scorers import resembled
from alnico.serving.bundle import BEHAVIOUR, BY_CONTENT, BY_NOTHING, LIKE_OTHERS, TRAINED, UNTAKEN, Bundle


@dataclass(frozen=True, eq=False)
class Newcomers:
    """New items: ids, and in their order vectors by modality, columns of the item table, small pictures.

    Vectors are as the bundle's own were before they were scaled, from the same encoder; a modality that is not given,
    or whose mask says so, is absent. Columns that the bundle has not got are left out.
    """

    ids: Sequence[int | str]
    content: ItemFeatures
    cards: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pictures: Sequence[bytes | None] = ()


def add_items(bundle: Bundle, new: Newcomers) -> Bundle:
    """A bundle that also lists, compares and explains the new items; nothing is trained, the old one stays as it is.

    A model that reads content ranks them by it. Any other ranks them as it ranks the known items that they resemble;
    answers say so (``Listed.basis``). An item without content is known by its id and listed nowhere.
    Raises DataError if an id is known already or a vector is not what the bundle's own are.
    """
    ids = _ids(bundle, new)
    raw = _in_order(bundle, new)
    content = of_length_one(raw)
    scorer, standing = _placed(bundle, raw, content)
    told = np.any([own.present for own in content.values()], axis=0) if content else np.zeros(len(ids), bool)
    return replace(
        bundle,
        scorer=scorer,
        items=IdMap(np.concatenate([bundle.items.names, ids]), "item"),
        cards=_cards(bundle, new),
        content=_joined(bundle.content, content),
        neighbours=_lists(bundle, content),
        takers=np.concatenate([bundle.takers, np.zeros(len(ids), np.int64)]),
        standing=np.concatenate([bundle.standing, np.where(told, standing, BY_NOTHING).astype(np.int8)]),
        pictures=(*bundle.pictures, *(new.pictures or [None] * len(ids))),
    )


def _ids(bundle: Bundle, new: Newcomers) -> NDArray[np.int64] | NDArray[np.character]:
    """The new ids in the kind that the bundle's own have."""
    whole = bundle.items.names.dtype.kind == "i"
    for name in new.ids:
        if name in bundle.items:
            raise DataError(f"item {name!r} is in the bundle already; new items need ids of their own")
        if whole and not _is_integer(name):
            raise DataError(f"item ids of this bundle are integers of at most 18 digits; found {name!r}")
    names: NDArray[np.int64] | NDArray[np.character] = (
        np.array([int(name) for name in new.ids], np.int64)
        if whole
        else np.array([str(name) for name in new.ids], np.str_)
    )
    if len(IdMap(names, "item")) != new.content.n_items:
        raise DataError(f"{len(names)} new items have {new.content.n_items} rows of vectors")
    for what, n in (("pictures", len(new.pictures)), *((key, len(own)) for key, own in new.cards.items())):
        if n and n != len(names):
            raise DataError(f"{len(names)} new items have {n} values of {what}")
    return names


def _is_integer(name: int | str) -> bool:
    digits = str(name).removeprefix("-")
    return digits.isdecimal() and len(digits) <= 18


def _in_order(bundle: Bundle, new: Newcomers) -> ItemFeatures:
    """The new items' vectors as they came, in the bundle's modalities; what is not given is absent."""
    n_new = new.content.n_items
    for name in new.content:
        if name not in bundle.content:
            raise DataError(f"the bundle knows no modality {name!r}{nearest(name, bundle.content)}")
    told = {}
    for name, known in bundle.content.items():
        own = new.content.modalities.get(name)
        if own is None:
            own = Modality(np.zeros((n_new, known.width), np.float32), np.zeros(n_new, bool))
        if own.width != known.width:
            raise DataError(
                f"new items' {name!r} vectors have width {own.width}, those of the bundle {known.width}; they must "
                "come from the same encoder"
            )
        if not np.isfinite(own.vectors[own.present]).all():
            raise DataError(f"a new item's {name!r} vector holds a value that is not a finite number")
        told[name] = own
    return ItemFeatures(n_new, told)


def _placed(bundle: Bundle, raw: ItemFeatures, content: ItemFeatures) -> tuple[Scorer, int]:
    """The model with the new items, and what their place rests on."""
    scorer = bundle.scorer
    known = np.flatnonzero((bundle.standing == TRAINED) & (bundle.takers > 0))
    if scorer.reads_content:
        k = min(scorer.reads_neighbours, bundle.facts.induced)
        near = resembled(bundle.content, content, known, k) if k else None
        return scorer.with_items(raw, near), BY_CONTENT
    try:
        return scorer.with_items_like(resembled(bundle.content, content, known)), LIKE_OTHERS
    except UnsupportedError:
        return scorer.with_items(raw), UNTAKEN


def _joined(old: ItemFeatures, new: ItemFeatures) -> ItemFeatures:
    told = {}
    for name, own in old.items():
        vectors = np.concatenate([own.vectors, new[name].vectors])
        vectors.flags.writeable = False
        told[name] = Modality(vectors, np.concatenate([own.present, new[name].present]))
    return ItemFeatures(old.n_items + new.n_items, told)


def _cards(bundle: Bundle, new: Newcomers) -> ItemCards:
    missing = ("",) * len(new.ids)
    return ItemCards(
        {name: (*values, *(new.cards.get(name) or missing)) for name, values in bundle.cards.columns.items()}
    )


def _lists(bundle: Bundle, content: ItemFeatures) -> dict[str, ItemNeighbours]:
    """Neighbour lists with the new items in them: their own, and in those of known items where they are near enough."""
    n_new = content.n_items
    lists = {}
    for name, old in bundle.neighbours.items():
        if name == BEHAVIOUR:
            nobody = np.full((n_new, old.k), -1, np.int32)
            lists[name] = ItemNeighbours(
                np.concatenate([old.items, nobody]),
                np.concatenate([old.weights, np.zeros((n_new, old.k), np.float32)]),
                old.recall,
            )
        else:
            lists[name] = _with_rows(old, bundle.content[name], content[name])
    return lists


def _with_rows(old: ItemNeighbours, known: Modality, new: Modality) -> ItemNeighbours:
    n_known, n_new, k = old.n_items, len(new.vectors), old.k
    cosines = new.vectors @ np.concatenate([known.vectors, new.vectors]).T
    cosines[~new.present] = -np.inf
    cosines[:, ~np.concatenate([known.present, new.present])] = -np.inf
    np.fill_diagonal(cosines[:, n_known:], -np.inf)
    names = np.arange(n_known + n_new, dtype=np.int32)
    below = _best(np.broadcast_to(names, cosines.shape), cosines, k)
    # A known item's list gains whatever newcomer is nearer than its last; fillers stand behind everything.
    weights = np.where(old.items < 0, -np.inf, old.weights)
    arriving = cosines[:, :n_known].T
    gains = np.flatnonzero(known.present & (arriving.max(axis=1, initial=-np.inf) > weights.min(axis=1)))
    items, values = np.array(old.items), np.array(old.weights)
    candidates = np.broadcast_to(names[n_known:], (len(gains), n_new))
    items[gains], values[gains] = _best(
        np.concatenate([items[gains], candidates], axis=1),
        np.concatenate([weights[gains], arriving[gains]], axis=1),
        k,
    )
    return ItemNeighbours(np.concatenate([items, below[0]]), np.concatenate([values, below[1]]), old.recall)


def _best(
    items: NDArray[np.int32], weights: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k heaviest of each row, best first, ties to what stands first; -1 where the weight is -inf."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :k]
    found, values = np.take_along_axis(items, order, axis=1), np.take_along_axis(weights, order, axis=1)
    short = k - found.shape[1]
    found, values = (
        np.pad(found, ((0, 0), (0, short))),
        np.pad(values, ((0, 0), (0, short)), constant_values=-np.inf),
    )
    nothing = np.isneginf(values)
    return np.where(nothing, -1, found).astype(np.int32), np.where(nothing, 0, values).astype(np.float32)
