"""The finished form of most models: tables that score by a product."""

from collections.abc import Sequence
from functools import cached_property
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from alnico.contracts import Likeness, Scorer, ScorerState
from alnico.data.features import ItemFeatures
from alnico.data.neighbours import ItemNeighbours


class DotScorer(Scorer):
    """score(u, i) = <user row, item row> + item bias."""

    kind = "dot"

    def __init__(
        self,
        users: Float[Tensor, "users width"],
        items: Float[Tensor, "items width"],
        bias: Float[Tensor, " items"] | None = None,
    ) -> None:
        self.users = users
        self.items = items
        self.bias = torch.zeros(len(items), device=items.device) if bias is None else bias

    @property
    def n_users(self) -> int:
        return len(self.users)

    @property
    def n_items(self) -> int:
        return len(self.items)

    @property
    def device(self) -> torch.device:
        return self.users.device

    def scores(self, users: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        return torch.addmm(self.bias, self.users[users], self.items.T)

    def score_pairs(
        self, users: Int[Tensor, " pairs"], items: Int[Tensor, " pairs"]
    ) -> Float[Tensor, " pairs"]:
        return (self.users[users] * self.items[items]).sum(1) + self.bias[items]

    def fold_in(self, histories: Sequence[NDArray[np.int64]]) -> "DotScorer":
        """New users stand at the mean of their items, at the typical length of a known user.

        A user without history stands at zero, where only the bias speaks.
        """
        rows = torch.zeros((len(histories), self.users.shape[1]), device=self.device)
        for row, history in enumerate(histories):
            if len(history):
                mean = self.items[torch.from_numpy(np.array(history))].mean(0)
                rows[row] = mean / mean.norm().clamp(min=1e-12) * self._typical_length
        return DotScorer(rows, self.items, self.bias)

    @cached_property
    def _typical_length(self) -> Float[Tensor, ""]:
        mean: Tensor = self.users.norm(dim=1).mean()
        return mean

    def with_items_like(self, near: Likeness) -> "DotScorer":
        """New items point where those point that they resemble, and are as long as these are on average."""
        known = torch.from_numpy(near.items).to(self.device)
        shares = torch.from_numpy(near.shares()).to(self.device)
        rows = self.items[known]
        mean = (rows * shares[:, :, None]).sum(1)
        length = (rows.norm(dim=2) * shares).sum(1, keepdim=True)
        fresh = mean / mean.norm(dim=1, keepdim=True).clamp(min=1e-12) * length
        lowest = self.bias.min() if len(self.bias) else self.bias.new_zeros(())
        bias = torch.where(shares.sum(1) > 0, (self.bias[known] * shares).sum(1), lowest)
        return DotScorer(self.users, torch.cat([self.items, fresh]), torch.cat([self.bias, bias]))

    def state(self) -> ScorerState:
        return ScorerState(self.kind, {"users": self.users, "items": self.items, "bias": self.bias}, {})

    @classmethod
    def from_state(cls, state: ScorerState) -> Self:
        return cls(state.tensors["users"], state.tensors["items"], state.tensors["bias"])

    def to(self, device: torch.device) -> "DotScorer":
        return DotScorer(self.users.to(device), self.items.to(device), self.bias.to(device))


class PopularityScorer(Scorer):
    """Every user gets the same scores."""

    kind = "popularity"

    def __init__(self, counts: Float[Tensor, " items"], n_users: int) -> None:
        self.counts = counts
        self._n_users = n_users

    @property
    def n_users(self) -> int:
        return self._n_users

    @property
    def n_items(self) -> int:
        return len(self.counts)

    @property
    def device(self) -> torch.device:
        return self.counts.device

    def scores(self, users: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        return self.counts.expand(len(users), -1).clone()

    def fold_in(self, histories: Sequence[NDArray[np.int64]]) -> "PopularityScorer":
        return PopularityScorer(self.counts, len(histories))

    def with_items(self, features: ItemFeatures, near: Likeness | None = None) -> "PopularityScorer":
        """New items are as popular as an item that nobody took."""
        del near
        fresh = torch.zeros(features.n_items, device=self.device)
        return PopularityScorer(torch.cat([self.counts, fresh]), self._n_users)

    def state(self) -> ScorerState:
        return ScorerState(self.kind, {"counts": self.counts}, {"n_users": self._n_users})

    @classmethod
    def from_state(cls, state: ScorerState) -> Self:
        return cls(state.tensors["counts"], int(state.settings["n_users"]))

    def to(self, device: torch.device) -> "PopularityScorer":
        return PopularityScorer(self.counts.to(device), self._n_users)


class NeighbourScorer(Scorer):
    """score(u, i) = sum over u's history of how strongly i is listed as that item's neighbour.

    Histories are kept as one flat list with offsets. Shapes: neighbour tables [items, k].
    """

    kind = "neighbours"
    holds_histories = True

    def __init__(self, lists: ItemNeighbours, offsets: NDArray[np.int64], history: NDArray[np.int64]) -> None:
        self.lists = lists
        self.offsets = offsets
        self.history = history
        # -1 fills short lists; it points at an extra column that is cut off.
        self._targets = torch.from_numpy(
            np.where(lists.items < 0, lists.n_items, lists.items).astype(np.int64)
        )
        self._weights = torch.from_numpy(np.array(lists.weights))

    @property
    def n_users(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_items(self) -> int:
        return self.lists.n_items

    def scores(self, users: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        chosen = users.cpu().numpy()
        counts = self.offsets[chosen + 1] - self.offsets[chosen]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        items = torch.from_numpy(self.history[np.repeat(self.offsets[chosen], counts) + within])
        rows = torch.from_numpy(np.repeat(np.arange(len(chosen)), counts))
        table = torch.zeros((len(chosen), self.n_items + 1))
        places = (rows[:, None] * (self.n_items + 1) + self._targets[items]).flatten()
        table.view(-1).index_add_(0, places, self._weights[items].flatten())
        return table[:, : self.n_items].contiguous()

    def fold_in(self, histories: Sequence[NDArray[np.int64]]) -> "NeighbourScorer":
        """Exactly what training with these histories would give, the lists being as they are."""
        offsets = np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64)
        flat = np.concatenate([*histories, np.zeros(0, np.int64)]).astype(np.int64)
        return NeighbourScorer(self.lists, offsets, flat)

    def with_items_like(self, near: Likeness) -> "NeighbourScorer":
        """New items stand in the lists that hold those that they resemble, and have their lists, both on average."""
        known, new = self.n_items, len(near.items)
        rows, columns, weights = self.lists.edges()
        lists = sparse.csr_matrix((weights.astype(np.float64), (rows, columns)), (known, known))
        newcomers = np.repeat(np.arange(new), near.items.shape[1])
        shares = sparse.csr_matrix(
            (near.shares().astype(np.float64).ravel(), (newcomers, near.items.ravel())), (new, known)
        )
        below, right = (shares @ lists).tocoo(), (lists @ shares.T).tocoo()
        edges = [
            (rows, columns, weights),
            (below.row + known, below.col, below.data),
            (right.row, right.col + known, right.data),
        ]
        joined = [np.concatenate([part[place] for part in edges]) for place in range(3)]
        wider = ItemNeighbours.of_edges(joined[0], joined[1], joined[2], known + new)
        return NeighbourScorer(wider, self.offsets, self.history)

    def state(self) -> ScorerState:
        tensors = {
            "items": torch.from_numpy(np.array(self.lists.items)),
            "weights": torch.from_numpy(np.array(self.lists.weights)),
            "offsets": torch.from_numpy(np.array(self.offsets)),
            "history": torch.from_numpy(np.array(self.history)),
        }
        return ScorerState(self.kind, tensors, {})

    @classmethod
    def from_state(cls, state: ScorerState) -> Self:
        parts = {name: tensor.numpy() for name, tensor in state.tensors.items()}
        return cls(ItemNeighbours(parts["items"], parts["weights"]), parts["offsets"], parts["history"])

    def to(self, device: torch.device) -> "NeighbourScorer":
        """Stays on the CPU: its work is list lookups."""
        del device
        return self


def frozen_dot(users: Tensor, items: Tensor, bias: Tensor | None = None) -> DotScorer:
    """A dot scorer on detached copies, so that further training does not move it."""
    return DotScorer(
        users.detach().clone(), items.detach().clone(), None if bias is None else bias.detach().clone()
    )


RESEMBLED = 5
"""Known items that a new one is placed by, where a model reads no content itself."""


def resembled(
    known: ItemFeatures, new: ItemFeatures, among: NDArray[np.int64], k: int = RESEMBLED
) -> Likeness:
    """The k items ``among`` the known that each new one is most like, ties to the smaller number.

    Likeness is the mean of the positive cosines over the modalities that the new item has; the vectors are of length
    one and those of absent items zero.
    """
    alike = np.zeros((new.n_items, len(among)), np.float32)
    for name, own in new.items():
        alike += np.maximum(own.vectors @ known[name].vectors[among].T, 0)
    counts = sum((own.present.astype(np.float32) for own in new.values()), np.zeros(new.n_items, np.float32))
    alike /= np.maximum(counts, 1)[:, None]
    best = np.argsort(-alike, axis=1, kind="stable")[:, :k]
    return Likeness(among[best], np.take_along_axis(alike, best, axis=1))
