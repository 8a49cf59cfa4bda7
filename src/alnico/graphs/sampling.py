"""A few neighbours of each node instead of all."""

import numpy as np
import torch

from alnico.graphs.graph import Graph
from alnico.kernels.propagation import Csr, csr_from_edges
from alnico.kernels.sampling import choose_within_rows


def sample_neighbours(graph: Graph, fanout: int, rng: np.random.Generator) -> Graph:
    """The graph with at most ``fanout`` neighbours per node, drawn uniformly without replacement.

    Kept values are scaled up by the number of neighbours over the number kept, so that what a node gathers is on
    average what it gathers from all of them. Not symmetric: u may keep i without i keeping u.

    Source: the MAGNET paper, section 3.2.3; the scaling is that of Hamilton et al., GraphSAGE, NeurIPS 2017, for
    sums in place of means.
    """
    matrix = graph.matrix
    before = matrix.starts.numpy()
    starts, kept = choose_within_rows(before, fanout, rng)
    lengths, wanted = np.diff(starts), np.diff(before)
    scale = np.repeat(wanted / np.maximum(lengths, 1), lengths).astype(np.float32)
    columns, values = matrix.columns.numpy()[kept], matrix.values.numpy()[kept] * scale
    rows = np.repeat(np.arange(matrix.n_rows), lengths)
    return Graph(
        Csr(torch.from_numpy(starts), torch.from_numpy(columns), torch.from_numpy(values), matrix.n_columns),
        csr_from_edges(columns.astype(np.int64), rows, values, (matrix.n_columns, matrix.n_rows)),
        "sampled",
    )
