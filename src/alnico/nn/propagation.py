"""Linear propagation of embeddings, without weights or non-linearities."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alnico.graphs.graph import Graph


def light_propagate(
    graph: Graph,
    table: Float[Tensor, "nodes width"],
    layers: int,
    rows: Int[Tensor, " chosen"] | None = None,
) -> Float[Tensor, "out width"]:
    """The mean of layers 0 to ``layers``, each the graph's one-hop sum of the one before.

    With distinct ``rows`` only their means are computed; the last hop then reads just what they need, and the
    values are those of the full computation.

    Implements: Eq. (4), Eq. (5). Source: He et al., LightGCN, SIGIR 2020.
    """
    total = table if rows is None else table.index_select(0, rows)
    hop = table
    for layer in range(1, layers + 1):
        if layer == layers:
            total = total + graph.propagate(hop, rows)
        else:
            hop = graph.propagate(hop)
            total = total + (hop if rows is None else hop.index_select(0, rows))
    return total / (layers + 1)


def xavier_table(n_rows: int, width: int, law: str = "uniform") -> torch.nn.Embedding:
    """An embedding table with Xavier initialisation (Glorot and Bengio, 2010), uniform or normal."""
    table = torch.nn.Embedding(n_rows, width)
    if law == "normal":
        torch.nn.init.xavier_normal_(table.weight)
    else:
        torch.nn.init.xavier_uniform_(table.weight)
    return table
