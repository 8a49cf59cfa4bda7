"""Content that went astray: items that carry what another one looks, reads or sounds like."""

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from alnico.data.dataset import Dataset
from alnico.data.features import ItemFeatures, Modality
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import DataError

_log = logging.getLogger(__name__)


def dealt_out(dataset: Dataset, name: str, rng: np.random.Generator, share: float = 1.0) -> Dataset:
    """The data with one modality dealt out anew among the items that have it, or among a share of them drawn by chance.

    Each of them carries the vector of the next one in an order drawn by chance, and none its own: what the modality
    holds as a whole stays, what it says of an item is another one's. Given neighbour lists of this name go with the
    vectors, under the new holders' numbers; item graphs of other names are left out, since nobody knows what they are
    made of.

    Raises DataError for an unknown modality, or where fewer than two items could change.
    """
    if name not in dataset.features:
        raise DataError(
            f"there is no modality {name!r} whose content could be dealt out; "
            f"found {', '.join(dataset.features) or 'none'}"
        )
    own = dataset.features[name]
    drawn = rng.permutation(np.flatnonzero(own.present))
    drawn = drawn[: round(share * len(drawn))]
    if share > 0 and len(drawn) < 2:
        raise DataError(
            f"{len(drawn)} of the items with {name!r} should get the content of another; it takes two at least"
        )
    source = np.arange(dataset.n_items)
    source[drawn] = np.roll(drawn, 1)
    vectors = own.vectors[source]
    # A table of its own already, which nobody else could change: it need not be copied again.
    vectors.flags.writeable = False
    lists = dataset.neighbours.get(name)
    told = {} if lists is None else {name: _carried(lists, source)}
    return _with_content(dataset, name, Modality(vectors, own.present), told)


def left_bare(dataset: Dataset, name: str, items: NDArray[np.int64]) -> Dataset:
    """The data in which these items lack a modality: they have neither vectors nor given neighbours, and are nobody's.

    Item graphs that are named after no modality are left out. Raises DataError for an unknown modality.
    """
    own = dataset.features.only(name)[name]
    vectors, present = np.array(own.vectors), np.array(own.present)
    vectors[items], present[items] = 0, False
    vectors.flags.writeable = False
    lists = dataset.neighbours.get(name)
    told = {} if lists is None else {name: _without(lists, items)}
    return _with_content(dataset, name, Modality(vectors, present), told)


def _with_content(
    dataset: Dataset, name: str, modality: Modality, lists: Mapping[str, ItemNeighbours]
) -> Dataset:
    features = ItemFeatures(dataset.n_items, {**dataset.features.modalities, name: modality})
    neighbours = {**dataset.neighbours, **lists}
    if mixed := [graph for graph in neighbours if graph not in features]:
        _log.info(
            "item graph %s is left out: it is named after no modality, and may hold content that %s no longer shows",
            ", ".join(mixed),
            name,
        )
    own = {graph: told for graph, told in neighbours.items() if graph in features}
    return replace(dataset, features=features, neighbours=own)


def _carried(lists: ItemNeighbours, source: NDArray[np.int64]) -> ItemNeighbours:
    """The lists where item i carries the content of item ``source[i]``: the list of that item, whose entries are named
    by who carries them now."""
    holder = np.full(len(source) + 1, -1, np.int64)
    holder[source] = np.arange(len(source))
    # The extra last place answers for -1, the filler.
    return ItemNeighbours(holder[lists.items[source]].astype(np.int32), lists.weights[source], lists.recall)


def _without(lists: ItemNeighbours, items: NDArray[np.int64]) -> ItemNeighbours:
    """The lists without these items, as owners and as entries; entries behind them move up."""
    gone = np.zeros(lists.n_items + 1, np.bool_)
    gone[items] = True
    kept = np.where(gone[lists.items] | gone[:-1, None], -1, lists.items)
    order = np.argsort(kept < 0, axis=1, kind="stable")
    return ItemNeighbours(
        np.take_along_axis(kept, order, axis=1),
        np.take_along_axis(lists.weights, order, axis=1),
        lists.recall,
    )
