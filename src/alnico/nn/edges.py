"""Edges that a model finds and weighs itself."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from alnico.data.features import ItemFeatures, Modality
from alnico.graphs.cache import GraphCache
from alnico.graphs.items import content_lists
from alnico.kernels.edges import Pattern, row_sums
from alnico.kernels.precision import in_full_precision

Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and columns of edges."""


@in_full_precision
def nearest_edges(
    tables: Mapping[str, Float[Tensor, "items width"]], present: Mapping[str, NDArray[np.bool_]], k: int
) -> dict[str, Places]:
    """Per table the edges of each present row to itself and to the k - 1 others of highest cosine, ties to the smaller.

    Rows that are not present have the edge to themselves alone, and nobody else names them. What is found has no
    gradient. Searched on the CPU, in blocks; rows x rows is never formed.
    """
    found = {name: table.detach().cpu().numpy() for name, table in tables.items()}
    modalities = {name: Modality(table, present[name]) for name, table in found.items()}
    n_items = len(next(iter(found.values()))) if found else 0
    lists = content_lists(ItemFeatures(n_items, modalities), {}, GraphCache(), k)
    own = np.arange(n_items)
    edges = {}
    for name in tables:
        rows, columns, _ = lists[name].edges()
        edges[name] = np.concatenate([rows, own]), np.concatenate([columns, own])
    return edges


def scaled_by_row_sums(pattern: Pattern, values: Float[Tensor, " entries"]) -> Float[Tensor, " entries"]:
    """Each value over sqrt(d_r d_c), d the sums of the *rows* r and c of a square matrix; 0 where one is not positive.

    The same as ``graphs.items.item_graph`` stores, with a gradient to the values, through the sums too.
    """
    sums = row_sums(pattern, values)
    usable = sums > 0
    scale = torch.where(usable, torch.where(usable, sums, 1).rsqrt(), 0)
    return values * scale.index_select(0, pattern.rows) * scale.index_select(0, pattern.columns)
