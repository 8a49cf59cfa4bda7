"""Questions to the routed kernels, and how their answers are compared."""

import numpy as np
import pytest
import torch

from alnico.kernels.routed_ranking import HiddenLayer, Readout, RoutedItems

KINDS = pytest.mark.parametrize(
    ("head", "router"),
    [
        ("products", "linear"),
        ("concatenation", "linear"),
        ("products", "hidden"),
        ("concatenation", "hidden"),
    ],
)


def draw(rng, *shape):
    """Random float32."""
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def question(
    n_experts, kept, head="products", router="linear", n_users=5, n_items=7, width=4, tied=False, seed=0
):
    """Users, their routing and items; tied logits are small whole numbers, so that sums tie exactly."""
    rng = np.random.default_rng(seed)
    inner = 3 if router == "hidden" else n_experts

    def routing(n):
        whole = torch.from_numpy(rng.integers(0, 2, (n, inner)).astype(np.float32))
        return whole if tied else draw(rng, n, inner)

    users, vectors = draw(rng, n_experts, n_users, width), draw(rng, n_experts, n_items, width)
    readout = Readout(draw(rng, width), 0.25) if head == "concatenation" else None
    weights = draw(rng, n_experts, inner)
    hidden = HiddenLayer(weights.round() if tied else weights, torch.zeros(n_experts))
    items = RoutedItems(vectors, routing(n_items), kept, readout, hidden if router == "hidden" else None)
    return users, routing(n_users), items


def seen_arrays(rng, n_users, n_items, share):
    """Offsets and items of random seen lists; the first user has seen everything."""
    lists = [np.flatnonzero(rng.random(n_items) < share) for _ in range(n_users)]
    lists[0] = np.arange(n_items)
    return np.cumsum([0, *map(len, lists)]), np.concatenate(lists)


def nothing_seen(n_users):
    """Offsets and items of users who have seen nothing."""
    return np.zeros(n_users + 1, np.int64), np.zeros(0, np.int64)


def assert_equal_lists(one, other):
    """The same items, and scores to the bit."""
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
