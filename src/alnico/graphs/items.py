"""Graphs between items, from what they look, read and sound like."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alnico.data.features import ItemFeatures
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import ConfigError, DataError
from alnico.graphs.cache import GraphCache
from alnico.graphs.content import nearest_neighbours
from alnico.graphs.graph import Graph, directed_graph, row_sum_graph

Weighting = Literal["binary", "cosine"]
USUAL_SHARES = {"image": 0.1, "text": 0.9}
"""Shares of two modalities in a mixed item graph, as the published multimodal tables use them."""

ROUNDING = 1e-5
"""By how much a sum of 32-bit weights may miss 1."""

Edges = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def content_lists(
    features: ItemFeatures, given: Mapping[str, ItemNeighbours], graphs: GraphCache, k: int
) -> dict[str, ItemNeighbours]:
    """Per modality each item's k nearest items, the item itself counted as the first of them and left out here.

    Lists given with the data stand before computed ones where they are long enough. k = 1 gives empty lists.
    Raises ConfigError if k is below 1.
    """
    if k < 1:
        raise ConfigError(f"a neighbourhood that counts the item itself has at least 1 member; found {k}")
    lists = {}
    for name, modality in features.items():
        known = given.get(name)
        if known is not None and known.k >= k - 1:
            lists[name] = known.first(k - 1)
        elif k == 1:
            nobody = np.zeros((features.n_items, 0), np.int32)
            lists[name] = ItemNeighbours(nobody, nobody.astype(np.float32))
        else:
            lists[name] = nearest_neighbours(modality, k - 1, graphs)
    return lists


def item_graph(lists: ItemNeighbours, weighting: Weighting, least: float | None = None) -> Graph:
    """The directed graph of these lists and of each item's edge to itself, normalised by row sums at both ends.

    Every item is its own neighbour with weight 1; others weigh 1 ("binary") or their cosine. An entry is w_ij /
    sqrt(d_i d_j), d the sums of the *rows* i and j; where a sum is not positive the entry is 0. So in a binary graph
    with full lists of k (the item among them) every entry is 1 / k. An item without content has only itself. Entries
    below ``least`` are raised to it.

    Source: the item graphs of LATTICE (Zhang et al., MM 2021) and FREEDOM (Zhou and Shen, MM 2023).
    """
    rows, columns, weights = lists.edges()
    own = np.arange(lists.n_items)
    rows, columns = np.concatenate([rows, own]), np.concatenate([columns, own])
    if weighting == "binary":
        weights = np.ones_like(weights)
    weights = np.concatenate([weights, np.ones(len(own), np.float32)])
    return row_sum_graph(rows, columns, weights, lists.n_items, least)


def common_neighbours(lists: Sequence[ItemNeighbours]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The (item, neighbour) pairs that stand in all of these lists.

    So an item that lacks one of the modalities has no common neighbours.
    """
    parts = [one.edges() for one in lists]
    n_items = lists[0].n_items
    keys = reduce(np.intersect1d, (rows * n_items + columns for rows, columns, _ in parts))
    return keys // n_items, keys % n_items


def graph_as_given(lists: ItemNeighbours) -> Graph:
    """The directed graph whose entries are the lists' own weights; what a row lacks to 1 is the item's own entry.

    For published item graphs whose rows sum to 1, such as FREEDOM's: nothing is normalised again.
    Raises DataError if a weight is negative or a row sums to more than 1.
    """
    rows, columns, weights = lists.edges()
    rest = 1.0 - np.bincount(rows, weights, lists.n_items)
    if (len(weights) and weights.min() < 0) or rest.min(initial=0) < -ROUNDING:
        raise DataError(
            "an item graph to be taken as it is needs weights of at least 0 and rows that sum to at most 1; found "
            f"weight {weights.min():.6g} and row sum {1 - rest.min():.6g}"
        )
    own = np.flatnonzero(rest > ROUNDING)
    rows, columns = np.concatenate([rows, own]), np.concatenate([columns, own])
    values = np.concatenate([weights, rest[own].astype(np.float32)])
    return directed_graph(rows, columns, values, (lists.n_items, lists.n_items), "as given")


def content_shares(names: Sequence[str], given: Mapping[str, float] | None) -> dict[str, float]:
    """The share of each modality in a mixed graph; shares sum to 1.

    Without ``given``: .1 and .9 where the modalities are image and text, else even shares.
    Raises ConfigError if ``given`` does not name exactly these modalities or sums to nothing.
    """
    if given is None:
        even = {name: 1 / len(names) for name in names}
        return {name: USUAL_SHARES[name] for name in names} if set(names) == set(USUAL_SHARES) else even
    if set(given) != set(names):
        raise ConfigError(
            f"shares must name each modality once; the data have {', '.join(names)}, found {', '.join(given)}"
        )
    total = sum(given.values())
    if min(given.values()) < 0 or total <= 0:
        raise ConfigError(f"shares must not be negative and must sum to more than 0; found {dict(given)}")
    return {name: given[name] / total for name in names}


def mixed_graph(graphs: Sequence[Graph], shares: Sequence[float]) -> Graph:
    """The weighted sum of graphs over the same nodes."""
    rows, columns, values = _all_edges(graphs, shares)
    keys, place = np.unique(rows * graphs[0].shape[1] + columns, return_inverse=True)
    summed = np.bincount(place, values, len(keys)).astype(np.float32)
    return _from_keys(keys, summed, graphs[0].shape)


def mixed_content_graph(
    features: ItemFeatures,
    given: Mapping[str, ItemNeighbours],
    graphs: GraphCache,
    k: int,
    shares: Mapping[str, float] | None,
) -> Graph:
    """The ``mixed_graph`` of binary graphs of the k nearest by each modality, in these shares or the usual ones.

    Source: the frozen item graph of FREEDOM (Zhou and Shen, MM 2023); DRAGON, MENTOR and COHESION use the same.
    """
    lists = content_lists(features, given, graphs, k)
    chosen = content_shares(features.names, shares)
    return mixed_graph(
        [item_graph(lists[name], "binary") for name in features], [chosen[name] for name in features]
    )


def strongest_graph(graphs: Sequence[Graph]) -> Graph:
    """The union of the edges of graphs over the same nodes, each with the largest value that it has in any."""
    rows, columns, values = _all_edges(graphs, [1.0] * len(graphs))
    keys, place = np.unique(rows * graphs[0].shape[1] + columns, return_inverse=True)
    largest = np.full(len(keys), -np.inf, np.float32)
    np.maximum.at(largest, place, values)
    return _from_keys(keys, largest, graphs[0].shape)


def _all_edges(graphs: Sequence[Graph], shares: Sequence[float]) -> Edges:
    parts = [graph.edges() for graph in graphs]
    values = [(share * part[2]).astype(np.float32) for part, share in zip(parts, shares, strict=True)]
    return (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate(values),
    )


def _from_keys(keys: NDArray[np.int64], values: NDArray[np.float32], shape: tuple[int, int]) -> Graph:
    return directed_graph(keys // shape[1], keys % shape[1], values, shape, "mixed")
