"""A graph that signals can be propagated over."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from alnico.errors import DataError
from alnico.kernels.compress import compress_symmetric
from alnico.kernels.edges import Pattern
from alnico.kernels.propagation import Csr, csr_from_edges, multiply


@dataclass(frozen=True, eq=False)
class Graph:
    """A sparse matrix with its transpose, ready for forward and backward passes.

    ``normalisation`` says what the stored values are ("symmetric", "row", "none").
    """

    matrix: Csr
    transposed: Csr
    normalisation: str
    _moved: dict[torch.device, "Graph"] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.matrix.n_rows, self.matrix.n_columns

    @property
    def n_entries(self) -> int:
        """Stored values; an undirected edge counts twice."""
        return len(self.matrix.columns)

    def on(self, device: torch.device) -> "Graph":
        """The same graph on ``device``; moved once, then remembered."""
        if self.matrix.values.device.type == device.type:
            return self
        if device not in self._moved:
            matrix = self.matrix.to(device)
            transposed = matrix if self.transposed is self.matrix else self.transposed.to(device)
            self._moved[device] = Graph(matrix, transposed, self.normalisation)
        return self._moved[device]

    @cached_property
    def turned(self) -> Int[Tensor, " entries"]:
        """For each entry of the transpose, its place among the entries of the matrix."""
        return torch.argsort(self.matrix.columns, stable=True)

    def edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """The stored values as (row, column, value), row by row."""
        lengths = self.matrix.starts.diff().cpu().numpy()
        rows = np.repeat(np.arange(self.matrix.n_rows), lengths)
        return rows, self.matrix.columns.cpu().numpy().astype(np.int64), self.matrix.values.cpu().numpy()

    def propagate(
        self, table: Float[Tensor, "nodes width"], rows: Int[Tensor, " chosen"] | None = None
    ) -> Float[Tensor, "out width"]:
        """One hop: each node's weighted sum of its neighbours' rows; only distinct ``rows`` when given."""
        here = self.on(table.device)
        return multiply(here.matrix, table, here.transposed, rows)


def symmetric_graph(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    n_users: int,
    n_items: int,
    weights: NDArray[np.float32] | None = None,
) -> Graph:
    """The undirected user-item graph with each edge divided by the square roots of its two degrees.

    Nodes 0..n_users-1 are users, items follow. Nodes without edges stay without edges; nothing is added on the
    diagonal. With ``weights`` degrees are sums of weights, so unit weights give the unweighted graph.

    Raises DataError if a weight is not positive.
    Implements: Eq. (4). Source: He et al., LightGCN, SIGIR 2020, Eq. (3).
    """
    strengths = np.ones(len(users)) if weights is None else weights.astype(np.float64)
    if len(strengths) and strengths.min() <= 0:
        raise DataError(f"edge weights must be positive; found {strengths.min()}")
    # In place: with tens of millions of edges each temporary counts.
    # As floats: the counts of no edges at all come as integers.
    product = np.bincount(users, strengths, n_users).astype(np.float64, copy=False)[users]
    product *= np.bincount(items, strengths, n_items)[items]
    np.sqrt(product, out=product)
    values = np.divide(strengths, product, out=product).astype(np.float32)
    starts, columns, entries = compress_symmetric(users, items, values, n_users, n_items)
    matrix = Csr(
        torch.from_numpy(starts), torch.from_numpy(columns), torch.from_numpy(entries), n_users + n_items
    )
    return Graph(matrix, matrix, "symmetric")


def averaging_graph(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    n_users: int,
    n_items: int,
    *,
    own: bool,
) -> Graph:
    """The undirected user-item graph in which each node takes the mean over its neighbours.

    With ``own`` every node is its own neighbour too; without it nodes without edges have empty rows. Rows sum to 1.
    Source: the user-item graphs of LATTICE (with ``own``) and MMGCN (without).
    """
    rows, columns = _both_ways(users, items, n_users, n_users + n_items, own=own)
    degrees = np.bincount(rows, minlength=n_users + n_items)
    values = (1.0 / degrees[rows]).astype(np.float32)
    return directed_graph(rows, columns, values, (n_users + n_items, n_users + n_items), "row")


def symmetric_graph_with_own(
    users: NDArray[np.int64], items: NDArray[np.int64], n_users: int, n_items: int
) -> Graph:
    """``symmetric_graph`` in which every node has an edge to itself, counted in its degree.

    Source: the user-item graph of MIG-GT.
    """
    n_nodes = n_users + n_items
    rows, columns = _both_ways(users, items, n_users, n_nodes, own=True)
    scale = 1.0 / np.sqrt(np.bincount(rows, minlength=n_nodes))
    matrix = csr_from_edges(rows, columns, (scale[rows] * scale[columns]).astype(np.float32), (n_nodes,) * 2)
    return Graph(matrix, matrix, "symmetric")


def _both_ways(
    users: NDArray[np.int64], items: NDArray[np.int64], n_users: int, n_nodes: int, *, own: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of all edges in both directions, with each node's edge to itself where asked for."""
    loops = np.arange(n_nodes if own else 0)
    right = items + n_users
    return np.concatenate([users, right, loops]), np.concatenate([right, users, loops])


def user_item_graph_with_links(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    n_users: int,
    n_items: int,
    links: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Graph:
    """The user-item graph with directed edges between items, normalised by row sums at both ends.

    ``links`` are distinct (from, to) pairs of different items. An entry is 1 / sqrt(d_r d_c), d how many edges leave a
    node: the items of a user, of an item its users and its links. Without links it is ``symmetric_graph``.
    Source: the extended user-item graph of GUME.
    """
    rows, columns = _both_ways(users, items, n_users, n_users + n_items, own=False)
    rows = np.concatenate([rows, links[0] + n_users])
    columns = np.concatenate([columns, links[1] + n_users])
    return row_sum_graph(rows, columns, np.ones(len(rows), np.float32), n_users + n_items)


def row_sum_graph(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: NDArray[np.float32],
    n_nodes: int,
    least: float | None = None,
) -> Graph:
    """The directed graph whose entries are w_rc / sqrt(d_r d_c), d the sums of the *rows* r and c.

    Where a sum is not positive the entry is 0. Stored entries below ``least`` are raised to it.
    """
    sums = np.bincount(rows, weights, n_nodes).astype(np.float64, copy=False)
    scale = np.divide(1.0, np.sqrt(np.maximum(sums, 0)), out=np.zeros_like(sums), where=sums > 0)
    values = (weights * scale[rows] * scale[columns]).astype(np.float32)
    if least is not None:
        np.maximum(values, np.float32(least), out=values)
    return directed_graph(rows, columns, values, (n_nodes, n_nodes), "row sums")


def directed_graph(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float32],
    shape: tuple[int, int],
    normalisation: str,
) -> Graph:
    """The matrix with these entries as they are; entries must be distinct."""
    return Graph(
        csr_from_edges(rows, columns, values, shape),
        csr_from_edges(columns, rows, values, (shape[1], shape[0])),
        normalisation,
    )


def edge_pattern(users: NDArray[np.int64], items: NDArray[np.int64], n_users: int, n_items: int) -> Pattern:
    """Where the undirected user-item graph has entries: each node's row names the nodes that it hears from.

    Nodes 0..n_users-1 are users, items follow; nobody hears from itself.
    """
    n_nodes = n_users + n_items
    rows, columns = _both_ways(users, items, n_users, n_nodes, own=False)
    return Pattern.of(rows, columns, (n_nodes, n_nodes))[0]


def user_block(graph: Graph, n_users: int) -> Graph:
    """Of a graph over users and items the rows of users and the columns of items.

    Its product with a table of items gives each user the same weighted sum of items as the whole graph would.
    Raises DataError if users are joined to users.
    """
    rows, columns, values = graph.edges()
    own = rows < n_users
    if (columns[own] < n_users).any():
        raise DataError("the graph joins users to users; only edges between users and items can be cut out")
    shape = n_users, graph.shape[1] - n_users
    return directed_graph(rows[own], columns[own] - n_users, values[own], shape, graph.normalisation)


def pruned_graph(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    n_users: int,
    n_items: int,
    pruned: float,
    rng: np.random.Generator,
) -> Graph:
    """``symmetric_graph`` of the edges that are left when a share ``pruned`` of them is taken away at random.

    floor((1 - pruned) * edges) edges are drawn without replacement with probability proportional to
    1 / sqrt(d_u d_i), so that edges between popular nodes go first; degrees are counted anew on what is left.
    Source: degree-sensitive edge pruning, Zhou and Shen, FREEDOM, MM 2023.
    """
    product = np.bincount(users, minlength=n_users)[users] * np.bincount(items, minlength=n_items)[items]
    # The smallest of exponential times whose rates are the weights: a draw without replacement.
    times = rng.standard_exponential(len(users)) * np.sqrt(product)
    kept = int(len(users) * (1 - pruned))
    some = np.sort(np.argpartition(times, kept)[:kept]) if kept < len(users) else np.arange(len(users))
    return symmetric_graph(users[some], items[some], n_users, n_items)


def mean_pooling(users: NDArray[np.int64], items: NDArray[np.int64], n_users: int, n_items: int) -> Graph:
    """The users x items matrix whose product with a table of item rows is each user's mean over their items."""
    counts = np.bincount(users, minlength=n_users)
    values = (1.0 / counts[users]).astype(np.float32) if len(users) else np.zeros(0, np.float32)
    return Graph(
        csr_from_edges(users, items, values, (n_users, n_items)),
        csr_from_edges(items, users, values, (n_items, n_users)),
        "row",
    )


def with_dropped_values(graph: Graph, share: float) -> Graph:
    """The graph in which each stored value is 0 with probability ``share`` and else divided by 1 - share.

    Drawn from torch's stream. The two directions of an edge, and a node's edge to itself, are dropped independently.
    Degrees are not counted anew: what a node gathers is on average what it gathers from all.
    Source: dropout of edge weights in MIG-GT (Hu et al., AAAI 2025).
    """
    matrix, transposed = graph.matrix, graph.transposed
    kept = torch.rand_like(matrix.values) >= share
    values = matrix.values * kept / (1 - share)
    return Graph(
        replace(matrix, values=values),
        replace(transposed, values=values.index_select(0, graph.turned)),
        f"{graph.normalisation}, values dropped",
    )
