"""The same computations the way research code does them: plain torch, COO tensors, Python loops, whole tensors."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from alnico.data.interactions import Interactions


def coo_of(train_users: np.ndarray, train_items: np.ndarray, n_users: int, n_items: int) -> Tensor:
    """The symmetrically normalised user-item graph as a COO tensor."""
    users, items = torch.from_numpy(np.array(train_users)), torch.from_numpy(np.array(train_items)) + n_users
    nodes = n_users + n_items
    places = torch.stack([torch.cat([users, items]), torch.cat([items, users])])
    degrees = torch.bincount(places[0], minlength=nodes).float().clamp(min=1)
    values = degrees[places[0]].rsqrt() * degrees[places[1]].rsqrt()
    return torch.sparse_coo_tensor(places, values, (nodes, nodes), check_invariants=False).coalesce()


def propagate(graph: Tensor, table: Tensor, layers: int) -> Tensor:
    """Mean of the layers, every one kept by autograd."""
    found = [table]
    for _ in range(layers):
        found.append(torch.sparse.mm(graph, found[-1]))
    return torch.stack(found, dim=1).mean(1)


def triples(train: Interactions, rng: np.random.Generator) -> np.ndarray:
    """One epoch of (user, positive, negative), each negative drawn and rejected one by one."""
    taken = [set() for _ in range(train.n_users)]
    for user, item in zip(train.users.tolist(), train.items.tolist(), strict=True):
        taken[user].add(item)
    rows = []
    for place in rng.permutation(len(train)).tolist():
        user, positive = int(train.users[place]), int(train.items[place])
        negative = int(rng.integers(train.n_items))
        while negative in taken[user]:
            negative = int(rng.integers(train.n_items))
        rows.append((user, positive, negative))
    return np.array(rows)


class LightGcn(nn.Module):
    """LightGCN as its toolkits have it: COO graph, full propagation in each step, gradients of every layer."""

    def __init__(self, train: Interactions, width: int, layers: int) -> None:
        super().__init__()
        self.train_set, self.layers = train, layers
        self.graph = coo_of(train.users, train.items, train.n_users, train.n_items)
        self.users, self.items = nn.Embedding(train.n_users, width), nn.Embedding(train.n_items, width)
        for table in (self.users, self.items):
            nn.init.xavier_uniform_(table.weight)
        self.optimiser = torch.optim.Adam(self.parameters(), lr=1e-3)

    def epoch(self, batch_size: int, rng: np.random.Generator) -> None:
        """All training pairs once."""
        rows = torch.from_numpy(triples(self.train_set, rng))
        for start in range(0, len(rows), batch_size):
            users, positives, negatives = rows[start : start + batch_size].T
            self.optimiser.zero_grad()
            table = torch.cat([self.users.weight, self.items.weight])
            final = propagate(self.graph, table, self.layers)
            own, others = torch.split(final, [self.train_set.n_users, self.train_set.n_items])
            left, right, wrong = own[users], others[positives], others[negatives]
            gap = (left * right).sum(1) - (left * wrong).sum(1)
            norms = self.users(users).norm() + self.items(positives).norm() + self.items(negatives).norm()
            loss = -functional.logsigmoid(gap).mean() + 1e-4 * norms / len(users)
            loss.backward()
            self.optimiser.step()


def routed_top(
    users: Tensor,
    items: Tensor,
    user_logits: Tensor,
    item_logits: Tensor,
    kept: int,
    k: int,
    readout: Tensor | None = None,
    second: nn.Linear | None = None,
    block: int = 64,
) -> Tensor:
    """The k best items of each user from users x items x experts tensors, a block of users at a time.

    ``users`` and ``items`` are [experts, rows, width]. With ``second`` the logits are a hidden layer that it reads;
    with ``readout`` experts score by a rectified sum.
    """
    best = []
    for start in range(0, users.shape[1], block):
        some = slice(start, start + block)
        logits = user_logits[some][:, None] + item_logits
        if second is not None:
            logits = second(logits.relu())
        if readout is None:
            scores = torch.einsum("eud,eid->uie", users[:, some], items)
        else:
            summed = (users[:, some][:, :, None] + items[:, None]).relu()
            scores = (summed @ readout).permute(1, 2, 0)
        values, order = logits.topk(kept, dim=2)
        mixed = (values.softmax(2) * scores.gather(2, order)).sum(2)
        best.append(mixed.topk(k).indices)
    return torch.cat(best)
