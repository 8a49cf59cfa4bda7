"""A graph that signals can be propagated over."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from alnico.errors import DataError
from alnico.kernels.compress import compress_symmetric
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
    product = np.bincount(users, strengths, n_users)[users]
    product *= np.bincount(items, strengths, n_items)[items]
    np.sqrt(product, out=product)
    values = np.divide(strengths, product, out=product).astype(np.float32)
    starts, columns, entries = compress_symmetric(users, items, values, n_users, n_items)
    matrix = Csr(
        torch.from_numpy(starts), torch.from_numpy(columns), torch.from_numpy(entries), n_users + n_items
    )
    return Graph(matrix, matrix, "symmetric")


def mean_pooling(users: NDArray[np.int64], items: NDArray[np.int64], n_users: int, n_items: int) -> Graph:
    """The users x items matrix whose product with a table of item rows is each user's mean over their items."""
    counts = np.bincount(users, minlength=n_users)
    values = (1.0 / counts[users]).astype(np.float32) if len(users) else np.zeros(0, np.float32)
    return Graph(
        csr_from_edges(users, items, values, (n_users, n_items)),
        csr_from_edges(items, users, values, (n_items, n_users)),
        "row",
    )
