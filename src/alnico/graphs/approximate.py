"""Nearest rows by faiss, which walks a graph of near rows instead of comparing all with all."""

import numpy as np
import torch
from numpy.typing import NDArray

from alnico.errors import UnsupportedError

LINKS = 32
"""Neighbours that a row keeps in the graph."""
SEARCHED = 64
"""Best rows that a walk keeps in view, at least; twice the list's length where that is more."""


def nearest_by_faiss(table: NDArray[np.float32], width: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Of each row about the ``width`` rows of largest product, mostly itself among them, and the products.

    Best first, ties by number; -1 with -inf fills lists that came out short. Rows have length one or zero.
    The same table gives the same lists on any number of threads. Shapes: both [rows, width].
    Raises UnsupportedError without faiss.
    Source: Malkov and Yashunin, Hierarchical Navigable Small World graphs, TPAMI 2020, as faiss has it.
    """
    try:
        import faiss
    except ImportError as missing:
        raise UnsupportedError(
            "approximate neighbours need faiss; install alnico[ann], or set neighbour_search = 'exact'"
        ) from missing
    index = faiss.IndexHNSWFlat(table.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = max(SEARCHED, 2 * width)
    threads = torch.get_num_threads()
    try:
        # Rows that several threads add at once are linked in an order that nobody can repeat.
        faiss.omp_set_num_threads(1)
        index.add(table)
    finally:
        # Both may share one pool of threads.
        faiss.omp_set_num_threads(threads)
    values, rows = index.search(table, width)
    values = np.where(rows < 0, -np.inf, values).astype(np.float32)
    order = np.lexsort((rows, -values))
    return np.take_along_axis(rows, order, 1).astype(np.int32), np.take_along_axis(values, order, 1)
