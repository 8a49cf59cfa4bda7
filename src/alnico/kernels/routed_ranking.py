"""Scores and best lists of a sparse mixture of experts over all items.

The routing depends on the pair: each pair keeps its k experts of largest logit (ties to the lower expert) and mixes
their scores by a softmax over those k. Tensors of users x items x experts are formed by the reference alone; the
kernel holds a few rows at a time.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from alnico.errors import ConfigError
from alnico.kernels import routed_tiles
from alnico.kernels.lanes import N_LANES
from alnico.kernels.place import by_torch
from alnico.kernels.routed_tables import FOUR, TILE, USERS_AT_ONCE, Audience, Catalogue, Lists
from alnico.kernels.threads import follow_torch

NUMBERS_AT_ONCE = 2**27
"""How many numbers the reference may form for one block of users and items."""
LARGEST = 2**15 - 1
"""The largest whole number in a rough copy."""
EVEN = 10.0
"""Largest distance of a row's logits at which weights are products of a user's and an item's exponentials."""


class HiddenLayer(NamedTuple):
    """What a router does with the sum of its two parts before it is a logit: weights @ relu(sum) + offset."""

    weights: Float[Tensor, "experts inner"]
    offset: Float[Tensor, " experts"]


class Readout(NamedTuple):
    """The end of the concatenation head: <weights, relu(user + item)> + constant."""

    weights: Float[Tensor, " width"]
    constant: float


@dataclass(frozen=True, eq=False)
class RoutedItems:
    """Everything that scoring needs besides the users; ``kept`` experts speak for each pair.

    An expert scores a pair by the product of its two vectors, or by ``readout`` of their sum. The pair's logits are
    the user's and the item's ``routing`` added up, or ``hidden`` of that sum.
    """

    vectors: Float[Tensor, "experts items width"]
    routing: Float[Tensor, "items inner"]
    kept: int
    readout: Readout | None = None
    hidden: HiddenLayer | None = None

    @property
    def n_experts(self) -> int:
        """Experts in the pool."""
        return self.vectors.shape[0]

    @property
    def n_items(self) -> int:
        """Items that are scored."""
        return self.vectors.shape[1]

    def logits(
        self, users: Float[Tensor, "batch inner"], items: Float[Tensor, "some inner"]
    ) -> Float[Tensor, "batch some experts"]:
        """All logits of some users and items, from their routing."""
        summed = users[:, None, :] + items
        if self.hidden is None:
            return summed
        return functional.linear(functional.relu(summed), self.hidden.weights, self.hidden.offset)

    @cached_property
    def packed(self) -> "Packed":
        """These items as the kernel reads them."""
        return _pack(self)


class Packed(NamedTuple):
    """The kernel's view, and per expert what the error of a rough score is made of.

    That is the width of a rough step, the largest sum of absolute values and the largest length among the items'
    vectors (weighed by the readout).
    """

    catalogue: Catalogue
    step: Tensor
    largest_sum: Tensor
    largest_length: Tensor


def routed_scores(
    users: Float[Tensor, "experts batch width"], routing: Float[Tensor, "batch inner"], items: RoutedItems
) -> Float[Tensor, "batch items"]:
    """The mixed score of every item for these users."""
    if by_torch(users):
        return _scores_in_blocks(users, routing, items)
    out = torch.empty((users.shape[1], items.n_items))
    follow_torch()
    routed_tiles.score(audience(users, routing, items), items.packed.catalogue, items.kept, out.numpy())
    return out


def routed_top(
    users: Float[Tensor, "experts batch width"],
    routing: Float[Tensor, "batch inner"],
    items: RoutedItems,
    seen_offsets: NDArray[np.int64],
    seen_items: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Item numbers and scores of the k best of each user, best first; -1 and -inf fill short lists.

    The lists are those of ``top_items`` on ``routed_scores``, to the bit on the CPU: ties go to the smaller item,
    and row r must not list ``seen_items[seen_offsets[r]:seen_offsets[r + 1]]`` (ascending).
    Raises ConfigError if k is below 1.
    """
    if k < 1:
        raise ConfigError(f"a list needs at least one place; found k = {k}")
    if by_torch(users):
        return routed_top_reference(users, routing, items, seen_offsets, seen_items, k)
    n_users = users.shape[1]
    lists = Lists(
        np.full((n_users, k), -1, np.int64),
        np.full((n_users, k), -np.inf, np.float32),
        np.zeros(n_users, np.int64),
    )
    follow_torch()
    rank = routed_tiles.rank if n_users > USERS_AT_ONCE else routed_tiles.rank_block
    rank(
        audience(users, routing, items),
        items.packed.catalogue,
        items.kept,
        np.ascontiguousarray(seen_offsets),
        np.ascontiguousarray(seen_items),
        lists,
    )
    return lists.items, lists.values


# -- plain torch, on any device ---------------------------------------------------------------------------


def routed_scores_reference(
    users: Float[Tensor, "experts batch width"],
    items: Float[Tensor, "experts some width"],
    logits: Float[Tensor, "batch some experts"],
    k: int,
    readout: Readout | None = None,
) -> Float[Tensor, "batch some"]:
    """The scores from whole logits: one value per user, item and expert is formed."""
    if readout is None:
        expert_scores = torch.bmm(users, items.transpose(1, 2)).permute(1, 2, 0)
    else:
        summed = functional.relu(users[:, :, None, :] + items[:, None, :, :])
        expert_scores = (summed @ readout.weights).permute(1, 2, 0) + readout.constant
    order = logits.sort(dim=2, descending=True, stable=True).indices[:, :, :k]
    gate = logits.gather(2, order).softmax(2)
    return (gate * expert_scores.gather(2, order)).sum(2)


def routed_top_reference(
    users: Float[Tensor, "experts batch width"],
    routing: Float[Tensor, "batch inner"],
    items: RoutedItems,
    seen_offsets: NDArray[np.int64],
    seen_items: NDArray[np.int64],
    k: int,
    numbers: int = NUMBERS_AT_ONCE,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """``routed_top`` by blocks of users and items, each of which forms at most about ``numbers`` numbers."""
    device, n_users = users.device, users.shape[1]
    per_pair = _numbers_per_pair(items)
    many = max(1, min(items.n_items, int((numbers // per_pair) ** 0.5)))
    some = max(1, numbers // (per_pair * many))
    all_items, all_values = np.full((n_users, k), -1, np.int64), np.full((n_users, k), -np.inf, np.float32)
    for first_user in range(0, n_users, some):
        block = slice(first_user, min(first_user + some, n_users))
        starts = seen_offsets[block.start : block.stop + 1]
        rows = torch.from_numpy(np.repeat(np.arange(len(starts) - 1), np.diff(starts))).to(device)
        seen = torch.from_numpy(np.array(seen_items[starts[0] : starts[-1]])).to(device)
        values = torch.empty((len(starts) - 1, 0), device=device)
        listed = torch.empty((len(starts) - 1, 0), dtype=torch.long, device=device)
        for first in range(0, items.n_items, many):
            scores = _block_scores(users, routing, items, block, slice(first, first + many))
            inside = (seen >= first) & (seen < first + scores.shape[1])
            scores[rows[inside], seen[inside] - first] = -torch.inf
            numbered = torch.arange(first, first + scores.shape[1], device=device).expand_as(scores)
            # Earlier items come first, and the order is stable: ties stay with the smaller item.
            values, order = torch.cat([values, scores], 1).sort(dim=1, descending=True, stable=True)
            listed = torch.cat([listed, numbered], 1).gather(1, order[:, :k])
            values = values[:, :k]
        width = values.shape[1]
        all_values[block, :width] = values.cpu().numpy()
        all_items[block, :width] = listed.masked_fill(values == -torch.inf, -1).cpu().numpy()
    return all_items, all_values


def _scores_in_blocks(users: Tensor, routing: Tensor, items: RoutedItems) -> Tensor:
    step = max(1, NUMBERS_AT_ONCE // (_numbers_per_pair(items) * items.n_items))
    everything = slice(0, items.n_items)
    blocks = [slice(start, start + step) for start in range(0, users.shape[1], step)]
    return torch.cat([_block_scores(users, routing, items, block, everything) for block in blocks])


def _block_scores(users: Tensor, routing: Tensor, items: RoutedItems, some: slice, which: slice) -> Tensor:
    logits = items.logits(routing[some], items.routing[which])
    return routed_scores_reference(users[:, some], items.vectors[:, which], logits, items.kept, items.readout)


def _numbers_per_pair(items: RoutedItems) -> int:
    hidden = 0 if items.hidden is None else items.routing.shape[1]
    return items.n_experts * (1 if items.readout is None else items.vectors.shape[2]) + hidden


# -- what the kernel reads --------------------------------------------------------------------------------


def _pack(items: RoutedItems) -> Packed:
    n_experts, n_items, _ = items.vectors.shape
    vectors = widened(items.vectors)
    width, n_tiles = vectors.shape[2], -(-n_items // TILE)
    none, weighed = np.zeros(0, np.float32), vectors
    readout, signs, own = none, np.zeros(0, np.int32), np.zeros(0, np.int32)
    if items.readout is None:
        step = _step(vectors.abs().amax((1, 2)), width)
        rough = (vectors / step[:, None, None]).round()
    else:
        weights = widened(items.readout.weights)
        weighed = vectors * weights.abs()
        largest = weighed.abs().amax((1, 2))
        # Where items are all zero, any small step will do.
        step = torch.where(largest > 0, largest / LARGEST, 1e-20)
        rough = -(weighed / step[:, None, None]).round()
        shares = ((weighed @ weights.sign()).double() / step.double()[:, None]).round().to(torch.int32)
        readout, own = flat(weights), flat(in_tiles(shares.T, n_tiles))
        signs = flat(weights.sign().to(torch.int16)).view(np.int32)
    pairs = rough.to(torch.int16).transpose(0, 1).contiguous().view(torch.int32)
    inner = items.routing.shape[1]
    mixing, offset = none, none
    if items.hidden is not None:
        n_missing = -n_experts % FOUR
        mixing = flat(functional.pad(items.hidden.weights.T, (0, n_missing)))
        offset = flat(functional.pad(items.hidden.offset, (0, n_missing)))
    routing, factors = router_tables(items)
    catalogue = Catalogue(
        n_items,
        n_experts,
        width,
        inner,
        np.float32(0 if items.readout is None else items.readout.constant),
        flat(vectors.transpose(0, 1)),
        flat(in_tiles(pairs, n_tiles)),
        routing,
        factors,
        readout,
        signs,
        own,
        mixing,
        offset,
    )
    return Packed(catalogue, step, weighed.abs().sum(2).amax(1), weighed.norm(dim=2).amax(1))


def router_tables(items: RoutedItems) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the kernel's router reads of the items: ``routing`` and ``factors`` of a ``Catalogue``."""
    n_tiles, factors = -(-items.n_items // TILE), np.zeros(0, np.float32)
    if items.hidden is None:
        of_items = _factors(items.routing)
        if (of_items >= 0).all():
            factors = flat(in_tiles(of_items, n_tiles))
    return flat(in_tiles(items.routing, n_tiles)), factors


def in_tiles(table: Tensor, n_tiles: int, size: int = TILE) -> Tensor:
    """A table [items, ...] as [tiles, ..., size]; zeros fill the last tile."""
    whole = table.new_zeros((n_tiles * size, *table.shape[1:]))
    whole[: len(table)] = table
    return whole.reshape(n_tiles, size, *table.shape[1:]).movedim(1, -1)


def audience(
    users: Float[Tensor, "experts batch width"], routing: Float[Tensor, "batch inner"], items: RoutedItems
) -> Audience:
    """These users as the kernel reads them."""
    packed = items.packed
    vectors = widened(users.transpose(0, 1))
    n_users, n_experts, width = vectors.shape
    if items.readout is None:
        halves, scale, error = _rough_factors(vectors, packed)
        shift = torch.zeros_like(scale)
    else:
        halves, scale, shift, error = rough_addends(vectors, packed.step, packed.largest_sum, items.readout)
    rough = torch.zeros((n_users + -n_users % FOUR, n_experts, width), dtype=torch.int16)
    rough[:n_users] = halves
    return Audience(
        n_users,
        flat(vectors),
        flat(rough).view(np.int32),
        flat(routing),
        flat(_factors(routing)) if items.hidden is None else np.zeros(0, np.float32),
        flat(scale),
        flat(shift),
        flat(error.amax(1)),
    )


def _rough_factors(vectors: Tensor, packed: Packed) -> tuple[Tensor, Tensor, Tensor]:
    """Whole numbers in place of users' vectors, what their products with the items' are to be multiplied by, and how
    far each expert's score can then be off."""
    sizes, width = vectors.abs(), vectors.shape[2]
    step = _step(sizes.amax(2), width)
    # Each side's rounding is at most half a step per number, weighed by the other side's numbers. The last term is
    # several times what arithmetic in 32 bits can add.
    error = packed.step / 2 * sizes.sum(2) + step / 2 * (packed.largest_sum + width * packed.step / 2)
    error += 1e-6 * (width + vectors.shape[1]) * vectors.norm(dim=2) * packed.largest_length
    return (vectors / step[:, :, None]).round(), step * packed.step, error


def rough_addends(
    vectors: Float[Tensor, "rows experts width"],
    steps: Float[Tensor, " experts"],
    largest_sum: Float[Tensor, " experts"],
    readout: Readout,
    largest: int = LARGEST,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Whole numbers of at most ``largest`` in place of users' vectors where the head concatenates.

    Second, what sums of the larger of these and the items' are to be multiplied by; third, what is then to be added
    besides the items' own shares; fourth, how far each expert's score can then be off.
    """
    _, n_experts, width = vectors.shape
    weights = widened(readout.weights, width)
    weighed, step = vectors * weights.abs(), steps[:, None]
    limit = largest * step
    beyond = (weighed - limit).clamp(min=0) @ weights.sign()
    # A larger of two numbers is off by no more than the worse of the two, half a step, and so is the item's own share.
    error = steps / 2 * (width + 1)
    # Several times what arithmetic in 32 bits can add: a sum takes a sixteenth of the width, four halvings, and
    # then the experts.
    sizes = weighed.abs().sum(2) + largest_sum + abs(readout.constant)
    error = error + 4e-7 * (width / N_LANES + n_experts + 16) * sizes
    halves = (weighed.clamp(-limit, limit) / step).round().clamp(-largest, largest)
    return halves, steps.expand(len(vectors), -1), beyond + readout.constant, error


def _factors(routing: Float[Tensor, "rows experts"]) -> Float[Tensor, "rows experts"]:
    # -1 for a row so uneven that products of factors could become too small to count with.
    below = routing - routing.amax(1, keepdim=True)
    return torch.where(below.amin(1, keepdim=True) >= -EVEN, below.exp(), -1.0)


def _step(largest: Tensor, width: int) -> Tensor:
    # As fine as a sum of ``width`` products of whole numbers can be without leaving 32 bits.
    finest = min(LARGEST, int(((2**31 - 1) / width) ** 0.5))
    return torch.where(largest > 0, largest / finest, 1.0)


def widened(vectors: Float[Tensor, "*rows width"], multiple: int = N_LANES) -> Float[Tensor, "*rows wider"]:
    """The same with zeros at the end of rows; they add nothing to products, nor to a readout."""
    return functional.pad(vectors, (0, -vectors.shape[-1] % multiple))


def flat(tensor: Tensor) -> NDArray[Any]:
    """The numbers in a row, copied to numpy's own memory: large ones get large pages, and far jumps stay cheap."""
    return np.array(tensor.detach().contiguous().numpy()).reshape(-1)
