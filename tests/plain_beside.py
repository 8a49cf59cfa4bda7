"""MGCN and its kin once more, as directly as it can be written: dense tables, loops, double precision.

Slow and only for tiny worlds; the tests hold the real code to it.
"""

import math

import numpy as np


def numbers(tensor):
    """A tensor as a table in double precision."""
    return tensor.detach().double().numpy()


def logistic(table):
    """1 / (1 + e^-x)."""
    return 1 / (1 + np.exp(-table))


def linear(layer, table):
    """What a linear layer makes of a table."""
    bias = 0 if layer.bias is None else numbers(layer.bias)
    return table @ numbers(layer.weight).T + bias


def perceptron(layers, table):
    """What a linear layer, tanh and another linear layer make of a table."""
    return linear(layers[2], np.tanh(linear(layers[0], table)))


def filled(modality):
    """Vectors with absent ones at the mean of the present."""
    vectors = modality.vectors.astype(np.float64)
    vectors[~modality.present] = vectors[modality.present].mean(0)
    return vectors


def cosines(modality):
    """Items x items cosines of one modality; nan where one of the two lacks it, 1 from an item to itself."""
    unit = modality.vectors.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    # Rounded, or what ties may differ in the last place.
    table = (unit @ unit.T).round(9)
    table[~modality.present] = np.nan
    table[:, ~modality.present] = np.nan
    return table


def by_row_sums(matrix):
    """w_rc / sqrt(d_r d_c), d the row sums; 0 where a sum is not positive."""
    sums = matrix.sum(1)
    scale = np.array([1 / math.sqrt(total) if total > 0 else 0 for total in sums])
    return scale[:, None] * matrix * scale[None, :]


def nearest_graph(modality, k, least=None):
    """The cosines of each item's k nearest, itself always the first of them, normalised by row sums."""
    table, n = cosines(modality), len(modality.vectors)
    matrix, kept = np.zeros((n, n)), np.eye(n, dtype=bool)
    np.fill_diagonal(matrix, 1)
    for item in range(n):
        others = [other for other in range(n) if other != item and not np.isnan(table[item, other])]
        for other in sorted(others, key=lambda other: (-table[item, other], other))[: k - 1]:
            matrix[item, other], kept[item, other] = table[item, other], True
    values = by_row_sums(matrix)
    return values if least is None else np.where(kept, np.maximum(values, least), 0)


def histories(train):
    """The items of each user, ascending."""
    return [sorted(train.of_user(user).tolist()) for user in range(train.n_users)]


def best(scores, candidates, k):
    """The k candidates of highest score, ties to the smaller."""
    return sorted(candidates, key=lambda other: (-scores[other].round(9), other))[:k]


def interests(train, features, k):
    """Per modality the items x items table of summed cosines between histories and interests, and where entries are."""
    tables = {name: cosines(modality) for name, modality in features.items()}
    n = train.n_items
    sums = {name: np.zeros((n, n)) for name in features}
    there = {name: np.zeros((n, n), dtype=bool) for name in features}
    for history in histories(train):
        wanted = set()
        for name, modality in features.items():
            own = [item for item in history if modality.present[item]]
            if own:
                wanted |= set(best(tables[name][own].sum(0), np.flatnonzero(modality.present), k))
        for name in features:
            for item in history:
                for other in wanted:
                    if not np.isnan(tables[name][item, other]):
                        sums[name][item, other] += tables[name][item, other]
                        there[name][item, other] = True
    return sums, there


def second_order(train, features, added):
    """Users x items: 1 for what a user has, and the likeness of the entries of the second order added to it."""
    tables = np.stack([cosines(modality) for modality in features.values()])
    common = (~np.isnan(tables)).sum(0)
    product = np.where(np.isnan(tables), 1, tables).prod(0)
    # A modality that either lacks counts as the geometric mean of the others.
    likeness = np.sign(product) * np.abs(product) ** (len(tables) / np.maximum(common, 1))
    likeness = np.where(common == 0, -np.inf, likeness)
    edges = np.zeros((train.n_users, train.n_items))
    for user, history in enumerate(histories(train)):
        entries = []
        for item in history:
            edges[user, item] += 1
            entries += [(-likeness[item, j], j, item) for j in range(train.n_items) if j != item]
        for value, other, _ in sorted(entries)[:added]:
            edges[user, other] += max(-value, 0)
    return edges


def taken(train):
    """Users x items: 1 for what a user has."""
    table = np.zeros((train.n_users, train.n_items))
    table[train.users, train.items] = 1
    return table


def symmetric(block):
    """D^-1/2 A D^-1/2 of the bipartite adjacency with this users x items block."""
    n_users, n_items = block.shape
    matrix = np.zeros((n_users + n_items,) * 2)
    matrix[:n_users, n_users:], matrix[n_users:, :n_users] = block, block.T
    return by_row_sums(matrix)


def mean_of_layers(matrix, table, layers):
    """LightGCN: the mean of the table and of what 1, 2, ... hops make of it."""
    total = table.copy()
    for _ in range(layers):
        table = matrix @ table
        total += table
    return total / (layers + 1)


def attention(module, views):
    """The sum of the views, weighed per row by a softmax over them."""
    weights = np.exp(np.concatenate([perceptron(module.query, view) for view in views], axis=1))
    weights /= weights.sum(1, keepdims=True)
    return sum(weights[:, [m]] * view for m, view in enumerate(views))


def gated_views(model, features, item_graphs, block):
    """Identities that content lets through, over the item graphs, and users' sums of them."""
    views = []
    for purify, modality, graph in zip(model.purifiers, features.values(), item_graphs, strict=True):
        content = linear(purify.gate, linear(purify.project, filled(modality)))
        items = numbers(model.items.weight) * logistic(content)
        for _ in range(model.settings.item_layers):
            items = graph @ items
        views.append(np.concatenate([block @ items, items]))
    return views


def identities(model):
    """The users' and the items' embeddings."""
    return np.concatenate([numbers(model.users.weight), numbers(model.items.weight)])


def contrast(left, right, temperature):
    """InfoNCE in a plain loop."""
    left = left / np.linalg.norm(left, axis=1, keepdims=True)
    right = right / np.linalg.norm(right, axis=1, keepdims=True)
    losses = []
    for row, vector in enumerate(left):
        terms = np.exp(right @ vector / temperature)
        losses.append(-math.log(terms[row] / terms.sum()))
    return sum(losses) / len(losses)


class Triples:
    """The rows of a batch in tables over users and then items."""

    def __init__(self, batch, n_users):
        self.users = batch.users.tolist()
        self.positives = (batch.positives + n_users).tolist()
        self.negatives = (batch.negatives + n_users).tolist()
        self.full_size = batch.full_size

    def bpr(self, table):
        """-log sigmoid of the margin, averaged."""
        margins = (table[self.users] * (table[self.positives] - table[self.negatives])).sum(1)
        return np.log1p(np.exp(-margins)).mean()

    def contrast(self, one, other, temperature):
        """Of positives and of users."""
        return sum(contrast(one[rows], other[rows], temperature) for rows in (self.positives, self.users))

    def half_l2(self, table, *sides):
        """Half the squared entries of these rows over the planned size of the batch."""
        rows = sides or (self.users, self.positives, self.negatives)
        return sum((table[side] ** 2).sum() for side in rows) / (2 * self.full_size)
