"""What each part is worth to a score: Shapley values over the parts that are kept."""

from collections.abc import Mapping
from itertools import combinations
from math import factorial

import torch
from torch import Tensor


def coalitions(n_parts: int) -> list[frozenset[int]]:
    """Every choice of parts, from none to all."""
    return [frozenset(own) for size in range(n_parts + 1) for own in combinations(range(n_parts), size)]


def shapley(values: Mapping[frozenset[int], Tensor], part: int, n_parts: int) -> Tensor:
    """The part's average marginal effect over all orders in which parts can be put back."""
    total = torch.zeros_like(values[frozenset()])
    others = [other for other in range(n_parts) if other != part]
    for size in range(n_parts):
        weight = factorial(size) * factorial(n_parts - size - 1) / factorial(n_parts)
        for coalition in combinations(others, size):
            own = frozenset(coalition)
            total = total + weight * (values[own | {part}] - values[own])
    return total
