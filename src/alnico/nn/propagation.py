"""Linear propagation of embeddings, without weights or non-linearities."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from alnico.graphs.graph import Graph
from alnico.kernels.propagation import product, product_of_rows_transposed


class _LightPropagate(torch.autograd.Function):
    """All hops in one: no layer is kept for the way back, and rows' gradients are added where they belong."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, graph: Graph, layers: int, rows: Tensor | None) -> Tensor:
        ctx.graph, ctx.layers, ctx.rows = graph, layers, rows
        hop = table
        total = table.clone() if rows is None else table.index_select(0, rows)
        for layer in range(1, layers + 1):
            if rows is None:
                hop = product(graph.matrix, hop)
                total += hop
            elif layer == layers:
                total += product(graph.matrix, hop, rows)
            else:
                hop = product(graph.matrix, hop)
                total += hop.index_select(0, rows)
        return total.div_(layers + 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        graph, rows = ctx.graph, ctx.rows
        own = grads[0] / (ctx.layers + 1)
        if rows is None:
            total = own
            for _ in range(ctx.layers):
                total = product(graph.transposed, total).add_(own)
            return total, None, None, None
        if not ctx.layers:
            empty = own.new_zeros((graph.shape[1], own.shape[1]))
            return empty.index_copy_(0, rows, own), None, None, None
        total = product_of_rows_transposed(graph.matrix, graph.transposed, own, rows)
        for _ in range(ctx.layers - 1):
            # Rows are distinct, so each is added to once.
            total = product(graph.transposed, total.index_add_(0, rows, own))
        return total.index_add_(0, rows, own), None, None, None


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
    here = graph.on(table.device)
    result: Tensor = _LightPropagate.apply(table, here, layers, rows)  # type: ignore[no-untyped-call]
    return result


def xavier_table(n_rows: int, width: int, law: str = "uniform") -> torch.nn.Embedding:
    """An embedding table with Xavier initialisation (Glorot and Bengio, 2010), uniform or normal."""
    table = torch.nn.Embedding(n_rows, width)
    if law == "normal":
        torch.nn.init.xavier_normal_(table.weight)
    else:
        torch.nn.init.xavier_uniform_(table.weight)
    return table
