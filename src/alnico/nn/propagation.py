"""Linear propagation of embeddings, without weights or non-linearities."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from alnico.graphs.graph import Graph
from alnico.kernels.place import by_torch
from alnico.kernels.precision import in_full_precision
from alnico.kernels.propagation import Csr, columns_of_rows, cut_out, product, product_of_rows_transposed


class _LightPropagate(torch.autograd.Function):
    """All hops in one: no layer is kept for the way back, and rows' gradients are added where they belong."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, hops: tuple[Graph, ...]) -> Tensor:
        ctx.hops = hops
        total, layer = table.clone(), table
        for graph in hops:
            layer = product(graph.matrix, layer)
            total += layer
        return total.div_(len(hops) + 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        own = grads[0] / (len(ctx.hops) + 1)
        total = own.clone()
        for graph in reversed(ctx.hops):
            total = product(graph.transposed, total).add_(own)
        return total, None


class _LightPropagateRows(torch.autograd.Function):
    """The same for some rows; gives their rows of the table too, whose gradient then costs nothing extra."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, hops: tuple[Graph, ...], rows: Tensor) -> tuple[Tensor, Tensor]:
        ctx.rows, ctx.n_rows = rows, len(table)
        ctx.steps = steps = _steps(hops, rows)
        first = table.index_select(0, rows)
        total, layer = first.clone(), table
        for step in steps:
            layer = product(step.matrix, layer, step.rows)
            total += layer if step.places is None else layer.index_select(0, step.places)
        return total.div_(len(hops) + 1), first

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        own = grads[0] / (len(ctx.steps) + 1)
        total: Tensor | None = None
        for step in reversed(ctx.steps):
            if total is None:
                total = own
            else:
                # Places are distinct, so each is added to once.
                total.index_add_(0, step.places, own)
            if step.rows is None and step.transposed is not None:
                total = product(step.transposed, total)
            else:
                chosen = step.rows
                if chosen is None:
                    chosen = torch.arange(len(total), device=total.device)
                total = product_of_rows_transposed(step.matrix, step.transposed, total, chosen)
        if total is None:
            total = own.new_zeros((ctx.n_rows, own.shape[1]))
        return total.index_add_(0, ctx.rows, own + grads[1]), None, None


class _Step(NamedTuple):
    """One hop of some rows: the matrix, its transpose (none for a cut-out), the rows of it that are computed (none:
    all), and where the batch's rows stand in the result (none: they are the result)."""

    matrix: Csr
    transposed: Csr | None
    rows: Tensor | None
    places: Tensor | None


def _steps(hops: Sequence[Graph], rows: Tensor) -> list[_Step]:
    needed, steps = _needed(hops, rows), []
    before: Tensor | None = None
    for number, (graph, own) in enumerate(zip(hops, needed, strict=True), start=1):
        places: Tensor | None = None
        if number < len(hops):
            places = rows if own is None else torch.searchsorted(own, rows)
        if before is None or own is None:
            steps.append(_Step(graph.matrix, graph.transposed, own, places))
        else:
            # The layer before holds some rows only, one after the other.
            steps.append(_Step(cut_out(graph.matrix, own, before), None, None, places))
        before = own
    return steps


def _needed(hops: Sequence[Graph], rows: Tensor) -> list[Tensor | None]:
    """For each hop the rows of its result that anything later reads; none where that would be about all of them."""
    needed: list[Tensor | None] = [None] * len(hops)
    own: Tensor | None = rows
    for number in range(len(hops) - 1, -1, -1):
        if own is None:
            break
        needed[number] = own
        own = None if by_torch(own) else columns_of_rows(hops[number].matrix, own, own)
    return needed


@in_full_precision
def light_propagate(
    hops: Sequence[Graph], table: Float[Tensor, "nodes width"]
) -> Float[Tensor, "nodes width"]:
    """The mean of the layers: the table, and after each of ``hops`` that graph's one-hop sum of the layer before.

    Implements: Eq. (4), Eq. (5). Source: He et al., LightGCN, SIGIR 2020.
    """
    here = tuple(graph.on(table.device) for graph in hops)
    result: Tensor = _LightPropagate.apply(table, here)  # type: ignore[no-untyped-call]
    return result


@in_full_precision
def light_propagate_rows(
    hops: Sequence[Graph], table: Float[Tensor, "nodes width"], rows: Int[Tensor, " chosen"]
) -> tuple[Float[Tensor, "chosen width"], Float[Tensor, "chosen width"]]:
    """Distinct rows of ``light_propagate``, and the same rows of ``table``.

    The values are those of the full computation, but the last hop computes these rows only, and earlier ones what
    later ones read.
    """
    here = tuple(graph.on(table.device) for graph in hops)
    means, first = _LightPropagateRows.apply(table, here, rows)  # type: ignore[no-untyped-call]
    return means, first


class _DampedPropagate(torch.autograd.Function):
    """All hops in one: the map is linear, so nothing is kept for the way back."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, graph: Graph, hops: int, alpha: float, beta: float) -> Tensor:
        ctx.graph, ctx.hops, ctx.alpha, ctx.beta = graph, hops, alpha, beta
        layer = table
        for _ in range(hops):
            layer = product(graph.matrix, layer).mul_(beta).add_(table, alpha=alpha)
        return layer / _damped_total(hops, alpha, beta)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        hops, alpha, beta = ctx.hops, ctx.alpha, ctx.beta
        layer = grads[0] / _damped_total(hops, alpha, beta)
        own = torch.zeros_like(layer)
        for _ in range(hops):
            own.add_(layer, alpha=alpha)
            layer = product(ctx.graph.transposed, layer).mul_(beta)
        return own.add_(layer), None, None, None, None


def _damped_total(hops: int, alpha: float, beta: float) -> float:
    """What the weights of all layers sum to."""
    return beta**hops + alpha * sum(beta**j for j in range(hops))


@in_full_precision
def damped_propagate(
    graph: Graph, table: Float[Tensor, "nodes width"], hops: int, *, alpha: float, beta: float
) -> Float[Tensor, "nodes width"]:
    """h_k / gamma, where h_0 is the table, h_j = beta A h_(j-1) + alpha h_0, gamma = beta^k + alpha sum_(j<k) beta^j.

    Without hops the table itself. Source: Hu et al., MGDCF: Distance Learning via Markov Graph Diffusion for Neural
    Collaborative Filtering, TKDE 2024.
    """
    here = graph.on(table.device)
    result: Tensor = _DampedPropagate.apply(table, here, hops, alpha, beta)  # type: ignore[no-untyped-call]
    return result


def xavier_table(n_rows: int, width: int, law: str = "uniform") -> torch.nn.Embedding:
    """An embedding table with Xavier initialisation (Glorot and Bengio, 2010), uniform or normal."""
    table = torch.nn.Embedding(n_rows, width)
    if law == "normal":
        torch.nn.init.xavier_normal_(table.weight)
    else:
        torch.nn.init.xavier_uniform_(table.weight)
    return table


def xavier_tables(n_users: int, n_items: int, width: int) -> tuple[torch.nn.Embedding, torch.nn.Embedding]:
    """Tables of users and of items whose rows are drawn as those of one table."""
    drawn = xavier_table(n_users + n_items, width).weight
    users, items = torch.nn.Embedding(n_users, width), torch.nn.Embedding(n_items, width)
    with torch.no_grad():
        users.weight.copy_(drawn[:n_users])
        items.weight.copy_(drawn[n_users:])
    return users, items


def xavier_linear(n_in: int, n_out: int, law: str = "uniform", *, zero_bias: bool = False) -> torch.nn.Linear:
    """A linear layer with Xavier initialisation of its matrix, uniform or normal; the bias is torch's own or zero."""
    layer = torch.nn.Linear(n_in, n_out)
    if law == "normal":
        torch.nn.init.xavier_normal_(layer.weight)
    else:
        torch.nn.init.xavier_uniform_(layer.weight)
    if zero_bias:
        torch.nn.init.zeros_(layer.bias)
    return layer
