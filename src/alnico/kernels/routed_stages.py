"""Best lists of a sparse mixture of experts in two stages: candidates by 8-bit vectors, then exact scores of these.

Meant for one user or a few and a large catalogue, where ``routed_top`` waits for memory: vectors are read at a byte per
number, and only those of experts that one of sixteen items keeps. Each score has proven bounds, so no item of the exact
list is ever missing among the candidates, and the lists are those of ``routed_top`` to the bit.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from alnico.errors import ConfigError
from alnico.kernels import routed_bounds
from alnico.kernels.lanes import N_LANES
from alnico.kernels.place import by_torch
from alnico.kernels.routed_bounds import Bounds, Halves, SmallCopies
from alnico.kernels.routed_ranking import (
    LARGEST,
    RoutedItems,
    audience,
    flat,
    in_tiles,
    rough_addends,
    routed_top,
    router_tables,
    widened,
)
from alnico.kernels.routed_tables import FOUR, Audience, Catalogue, Lists

LARGEST_BYTE = 127
LEAST = 1e-30
"""Vectors with no larger number are rounded as if they had this one."""
FEW = 256
"""As many items that may be listed (or four for each place) are scored exactly at once."""


class Found(NamedTuple):
    """Lists, shapes [users, k], as ``routed_top`` has them; how many candidates each user had, [users]."""

    items: NDArray[np.int64]
    values: NDArray[np.float32]
    candidates: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TwoStages:
    """Items with the 8-bit copies that the first stage reads: experts * width bytes an item."""

    items: RoutedItems

    @cached_property
    def _copies(self) -> "_Copies":
        return _copied(self.items)

    def top(
        self,
        users: Float[Tensor, "experts batch width"],
        routing: Float[Tensor, "batch inner"],
        seen_offsets: NDArray[np.int64],
        seen_items: NDArray[np.int64],
        k: int,
    ) -> Found:
        """What ``routed_top`` gives, one user after the other. Raises ConfigError if k is below 1.

        Where torch itself works there is one stage, and every item is a candidate.
        """
        if k < 1:
            raise ConfigError(f"a list needs at least one place; found k = {k}")
        n_users, items = users.shape[1], self.items
        if by_torch(users):
            best = routed_top(users, routing, items, seen_offsets, seen_items, k)
            return Found(*best, np.full(n_users, items.n_items, np.int64))
        lists = Lists(
            np.full((n_users, k), -1, np.int64),
            np.full((n_users, k), -np.inf, np.float32),
            np.zeros(n_users, np.int64),
        )
        people, halves = audience(users, routing, items), _halves(users, items, self._copies)
        counts = np.zeros(n_users, np.int64)
        for user in range(n_users):
            seen = seen_items[seen_offsets[user] : seen_offsets[user + 1]]
            if items.n_items - len(seen) > max(FEW, 4 * k):
                among = self._candidates(people, halves, user, seen, k)
            else:
                among = np.setdiff1d(np.arange(items.n_items), seen, assume_unique=True)
            counts[user] = len(among)
            routed_bounds.rank_among(people, user, items.packed.catalogue, items.kept, among, lists)
        return Found(lists.items, lists.values, counts)

    def _candidates(
        self, people: Audience, halves: Halves, user: int, seen: NDArray[np.int64], k: int
    ) -> NDArray[np.int64]:
        # Ascending. As many items as there are places surely score at least the k-th largest lower bound.
        copies, n_items = self._copies, self.items.n_items
        bounds = Bounds(*(np.full(n_items + -n_items % N_LANES, -np.inf, np.float32) for _ in range(2)))
        left_out = np.zeros(len(bounds.lower), np.bool_)
        left_out[copies.places[seen]] = left_out[n_items:] = True
        routed_bounds.bound(
            people, user, copies.catalogue, self.items.kept, halves, copies.small, left_out, bounds
        )
        bounds.lower[left_out] = bounds.upper[left_out] = -np.inf
        least = np.partition(bounds.lower, len(bounds.lower) - k)[-k]
        found: NDArray[np.int64] = np.sort(copies.order[np.flatnonzero(bounds.upper >= least)])
        return found


class _Copies(NamedTuple):
    # What the first stage reads; the order of its items, and the place of each item in it. For the concatenation head
    # each expert's step and the largest sum of absolute values.
    catalogue: Catalogue
    small: SmallCopies
    order: NDArray[np.int64]
    places: NDArray[np.int64]
    steps: Tensor
    largest_sum: Tensor


def _copied(items: RoutedItems) -> _Copies:
    order = _by_routing(items)
    n_groups = -(-items.n_items // N_LANES)
    # Bytes in pairs, sixteen items side by side.
    vectors = widened(items.vectors[:, order], 2 * FOUR).transpose(0, 1)
    own, signs = np.zeros(0, np.float32), np.zeros(0, np.int32)
    if items.readout is None:
        steps = vectors.abs().amax(2).clamp(min=LEAST) / LARGEST_BYTE
        whole, of_experts = vectors / steps[:, :, None], steps.new_zeros(0)
    else:
        weights = widened(items.readout.weights, 2 * FOUR)
        vectors = vectors * weights.abs()
        of_experts = vectors.abs().amax((0, 2)).clamp(min=LEAST) / LARGEST_BYTE
        steps, whole = of_experts.expand(items.n_items, -1), -vectors / of_experts[:, None]
        own = flat(in_tiles(vectors @ weights.sign(), n_groups, N_LANES))
        signs = flat(weights.sign().to(torch.int16)).view(np.int32)
    whole = whole.round().clamp(-LARGEST_BYTE, LARGEST_BYTE).to(torch.int8)
    pairs = in_tiles(whole.contiguous().view(torch.int16), n_groups, N_LANES)
    small = SmallCopies(
        vectors.shape[2], flat(pairs).view(np.int8), flat(in_tiles(steps, n_groups, N_LANES)), own, signs
    )
    routing, factors = router_tables(replace(items, routing=items.routing[order]))
    catalogue = items.packed.catalogue._replace(routing=routing, factors=factors)
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order))
    return _Copies(catalogue, small, order.numpy(), places.numpy(), of_experts, vectors.abs().sum(2).amax(0))


def _by_routing(items: RoutedItems) -> Int[Tensor, " items"]:
    # Items that lean to the same experts stand together: then sixteen of them keep few experts between them.
    logits = items.logits(torch.zeros_like(items.routing[:1]), items.routing)[0]
    ranked = logits.sort(dim=1, descending=True, stable=True).indices[:, : items.kept]
    return torch.from_numpy(np.lexsort(ranked.T.flip(0).numpy()))


def _halves(users: Tensor, items: RoutedItems, copies: _Copies) -> Halves:
    vectors = widened(users.transpose(0, 1), 2 * FOUR)
    n_experts, width = vectors.shape[1:]
    if items.readout is not None:
        whole, _, shift, error = rough_addends(
            vectors, copies.steps, copies.largest_sum, items.readout, LARGEST_BYTE
        )
        scale, margin = torch.ones_like(shift), error / copies.steps
    else:
        finest = min(LARGEST, (2**31 - 1) // (LARGEST_BYTE * width))
        step = vectors.abs().amax(2).clamp(min=LEAST) / finest
        whole, scale, shift = (vectors / step[:, :, None]).round(), step, torch.zeros_like(step)
        # In steps of the item: it is off by half a step per number, weighed by the user's numbers, and these by half
        # a step of theirs, weighed by at most 127. The last term is several times what arithmetic in 32 bits can add.
        margin = vectors.abs().sum(2) / 2 + (LARGEST_BYTE + 1) / 2 * width * step
        margin += 1e-6 * (width + n_experts) * vectors.norm(dim=2) * (LARGEST_BYTE + 1) * width**0.5
    return Halves(flat(whole.to(torch.int16)).view(np.int32), flat(scale), flat(shift), flat(margin))
