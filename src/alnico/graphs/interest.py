"""What users' histories resemble: edges between items by shared interests, and edges to what nobody clicked.

Source of both: SOIL (Su et al., MM 2024), whose official code holds four tables of items by items and goes through
the users one by one; here blocks of such a table come and go.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from alnico.data.features import ItemFeatures, Modality
from alnico.data.interactions import Interactions
from alnico.graphs.cache import Arrays, GraphCache
from alnico.graphs.content import BLOCK_BYTES, distinct_rows, nearest_by_blocks, unit_rows
from alnico.graphs.items import Edges
from alnico.kernels.edges import pair_products
from alnico.kernels.nearest import feed_row_lists, spread_lists
from alnico.kernels.propagation import csr_from_edges, product

Lists = tuple[NDArray[np.int32], NDArray[np.float32]]


def interest_edges(
    train: Interactions,
    features: ItemFeatures,
    per_user: int,
    cache: GraphCache | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> dict[str, Edges]:
    """Per modality the edges (item, interest, weight) from what users have to what their histories resemble.

    A user's interests are in each modality the ``per_user`` items whose cosines to the history have the largest sum,
    the history itself not left out, ties to the smaller item number; those of all modalities are put together. Each
    pair of a history item and an interest that both have a modality gets an edge there; it weighs their cosine, times
    the number of users to whom the pair belongs. Entries are distinct, ascending. Memory is that of the edges, of the
    interests [users, per_user] and of blocks of about ``block_bytes``.
    """

    def make() -> Arrays:
        return _interest_edges(train, features, per_user, block_bytes)

    inputs = _inputs(train, features)
    found = (cache or GraphCache()).get("interest_edges", 1, {"per_user": per_user}, inputs, make)
    rows, columns = found["rows"].astype(np.int64), found["columns"].astype(np.int64)
    edges = {}
    for number, (name, modality) in enumerate(features.items()):
        kept = modality.present[rows] & modality.present[columns]
        edges[name] = rows[kept], columns[kept], found[f"weights_{number}"].astype(np.float32)[kept]
    return edges


def second_order_edges(
    train: Interactions,
    features: ItemFeatures,
    added: int,
    cache: GraphCache | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Edges:
    """The edges (user, item, weight) to what a user has and to what resembles it in all modalities at once.

    Two items are alike by the product of their cosines over all modalities. One that either lacks is taken to be as
    alike as the others are in the geometric mean, so that absence neither draws edges nor keeps them off; without a
    common modality two items are not alike. An item is like itself by 1.

    Of a user with a history of n items, the n + ``added`` largest entries of the table of the history by all items each
    add their likeness to the edge of user and item. First come those of an item with itself, since nothing is more
    alike, then others, ties to the smaller item, then to the smaller history item. Likeness that is not positive makes
    no edge. Entries are distinct, ascending. Memory is that of the edges, of ``added`` places per item and per
    interaction, of a table of unit vectors and of blocks.
    """

    def make() -> Arrays:
        users, items, weights = _second_order_edges(train, features, added, block_bytes)
        return {"users": users, "items": items, "weights": weights}

    inputs = _inputs(train, features)
    found = (cache or GraphCache()).get("second_order_edges", 2, {"added": added}, inputs, make)
    return found["users"], found["items"], found["weights"]  # type: ignore[return-value]


def _inputs(train: Interactions, features: ItemFeatures) -> list[NDArray[np.generic]]:
    inputs: list[NDArray[np.generic]] = [train.users, train.items, np.array([train.n_users, train.n_items])]
    for modality in features.values():
        inputs += [modality.vectors, modality.present]
    return inputs


def _interest_edges(train: Interactions, features: ItemFeatures, per_user: int, block_bytes: int) -> Arrays:
    shape = train.n_users, train.n_items
    wanted = sparse.csr_matrix(shape, dtype=np.int32)
    for modality in features.values():
        users, items = _interests(train, modality, per_user, block_bytes)
        wanted = wanted + sparse.csr_matrix((np.ones(len(users), np.int32), (users, items)), shape)
    wanted.data[:] = 1
    taken = sparse.csr_matrix((np.ones(len(train), np.int32), (train.users, train.items)), shape)
    counts = (taken.T @ wanted).tocsr()
    counts.sort_indices()
    rows = np.repeat(np.arange(train.n_items), np.diff(counts.indptr)).astype(np.int32)
    columns = counts.indices.astype(np.int32)
    often = counts.data.astype(np.float32)
    arrays: Arrays = {"rows": rows, "columns": columns}
    for number, modality in enumerate(features.values()):
        table = torch.from_numpy(unit_rows(modality.vectors))
        products = pair_products(torch.from_numpy(rows), torch.from_numpy(columns), table, table)
        arrays[f"weights_{number}"] = often * products.numpy()
    return arrays


def _interests(
    train: Interactions, modality: Modality, per_user: int, block_bytes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(user, item) pairs: the items with the largest sums of cosines to each history, in one modality."""
    known = np.flatnonzero(modality.present)
    # Twins tie exactly only if their sums are computed once.
    distinct, copy_of = distinct_rows(unit_rows(modality.vectors[known]))
    place = np.full(train.n_items, -1)
    place[known] = copy_of
    kept = modality.present[train.items]
    keys, counts = np.unique(train.users[kept] * len(distinct) + place[train.items[kept]], return_counts=True)
    users, row = np.unique(keys // max(len(distinct), 1), return_inverse=True)
    if not len(users):
        nobody = np.zeros(0, np.int64)
        return nobody, nobody
    histories = csr_from_edges(
        row, keys % len(distinct), counts.astype(np.float32), (len(users), len(distinct))
    )
    width = min(per_user, len(distinct))
    items, values = _empty_lists(len(users), width)
    table = torch.from_numpy(distinct)
    # A multiple of 16: the product is fastest then.
    step = max(16, block_bytes // (4 * len(distinct)) // 16 * 16)
    some = max(1, block_bytes // (4 * step))
    for left in range(0, len(distinct), step):
        cosines = table @ table[left : left + step].T
        for start in range(0, len(users), some):
            sums = product(histories, cosines, torch.arange(start, min(start + some, len(users))))
            feed_row_lists(sums, start, left, items, values)
    rows = np.arange(len(users))
    nearest, _ = spread_lists(
        items, values, rows, np.full(len(users), -1), copy_of, min(per_user, len(known))
    )
    return np.repeat(users, nearest.shape[1]), known[nearest.ravel()]


def _empty_lists(n_rows: int, width: int) -> Lists:
    return np.full((n_rows, width), -1, np.int32), np.full((n_rows, width), -np.inf, np.float32)


def _second_order_edges(train: Interactions, features: ItemFeatures, added: int, block_bytes: int) -> Edges:
    nearest, likeness = _alike_in_all(features, added, block_bytes)
    others, weights = nearest[train.items].ravel(), likeness[train.items].ravel()
    users, origins = np.repeat(train.users, added), np.repeat(train.items, added)
    positive = (others >= 0) & (weights > 0)
    others, weights = others[positive], weights[positive]
    users, origins = users[positive], origins[positive]
    order = np.lexsort((origins, others, -weights, users))
    lengths = np.bincount(users, minlength=train.n_users)
    rank = np.arange(len(users)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    chosen = order[rank < added]
    keys = np.concatenate([train.pair_keys, users[chosen] * train.n_items + others[chosen]])
    entries = np.concatenate([np.ones(len(train)), weights[chosen]])
    edges, place = np.unique(keys, return_inverse=True)
    summed = np.bincount(place, entries, len(edges)).astype(np.float32)
    return edges // train.n_items, edges % train.n_items, summed


def _alike_in_all(features: ItemFeatures, k: int, block_bytes: int) -> Lists:
    """Of each item the k others that are most alike in all modalities at once, and how much; -1 fills."""
    n_items, modalities = features.n_items, list(features.values())
    if not k:
        return _empty_lists(n_items, 0)
    present = np.stack([modality.present for modality in modalities], axis=1)
    vectors = [unit_rows(modality.vectors) for modality in modalities]
    distinct, copy_of = distinct_rows(np.concatenate([*vectors, present], axis=1, dtype=np.float32))
    bounds = np.cumsum([0] + [modality.width for modality in modalities]).tolist()
    parts = [torch.from_numpy(distinct[:, low:high]) for low, high in pairwise(bounds)]
    has = torch.from_numpy(distinct[:, bounds[-1] :])
    one_lacks_some = bool((has == 0).any())

    def fill(upper: slice, lower: slice, block: Tensor) -> None:
        block.fill_(1)
        for number, part in enumerate(parts):
            cosines = part[upper] @ part[lower].T
            if one_lacks_some:
                both = torch.outer(has[upper, number], has[lower, number])
                cosines.masked_fill_(both == 0, 1)
            block.mul_(cosines)
        if one_lacks_some:
            common = has[upper] @ has[lower].T
            grown = block.sign() * block.abs().pow(len(parts) / common.clamp_min(1))
            block.copy_(torch.where(common < len(parts), grown, block))
            block.masked_fill_(common == 0, -torch.inf)

    lists = nearest_by_blocks(len(distinct), min(k + 1, len(distinct)), block_bytes, fill)
    return spread_lists(*lists, copy_of, np.arange(n_items), copy_of, k)
