"""Bounds on the mutual information of paired rows, by critics that have one hidden unit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from alnico.kernels.precision import in_full_precision

BiasStart = Literal["drawn", "zero"]
Pair = tuple[Float[Tensor, "rows _"], Float[Tensor, "rows _"]]


@dataclass(frozen=True)
class PairOrder:
    """Which pairs of rows r, s have left_r + right_s above zero.

    ``rows`` are the left rows, smallest first; those from place ``first[s]`` on are above zero with the right row s.
    """

    rows: Int[Tensor, "*critics rows"]
    first: Int[Tensor, "*critics rows"]

    @classmethod
    @torch.no_grad()
    def of(cls, left: Float[Tensor, "*critics rows"], right: Float[Tensor, "*critics rows"]) -> Self:
        """The order of these; of what is exactly zero nothing is above it."""
        ordered, rows = left.sort(dim=-1, stable=True)
        return cls(rows, torch.searchsorted(ordered, -right.contiguous(), right=True))


@dataclass(frozen=True)
class PairScores:
    """The tables f(x_r, y_s) = scale * relu(left_r + right_s) of some critics for all pairs of rows, not written out.

    Row r of the left side and row r of the right side are a pair that belongs together.
    """

    left: Float[Tensor, "*critics rows"]
    right: Float[Tensor, "*critics rows"]
    scale: Float[Tensor, "*critics"]
    order: PairOrder

    def only(self, critics: slice) -> "PairScores":
        """The tables of some of the critics."""
        order = PairOrder(self.order.rows[critics], self.order.first[critics])
        return PairScores(self.left[critics], self.right[critics], self.scale[critics], order)


def nce_lower_bound(scores: PairScores) -> Float[Tensor, "*critics"]:
    """mean_r f(x_r, y_r) - mean_s log mean_r exp f(x_r, y_s), which the information of x about y exceeds.

    With the left rows in order those above zero are the last ones, and the sum of their exponentials is one of as many
    tail sums as rows: n log n steps and memory for n rows, not n^2.
    Source: the InfoNCE bound of Liang et al., Factorized Contrastive Learning, NeurIPS 2023; the normaliser runs over
    x, as in its official code.
    """
    left, right, scale = _exact(scores)
    grown = (scale * left).gather(-1, scores.order.rows)
    tails = grown.flip(-1).logcumsumexp(-1).flip(-1)
    nothing = torch.full_like(tails[..., :1], -math.inf)
    above = torch.cat([tails, nothing], -1).gather(-1, scores.order.first) + scale * right
    # Pairs that are not above zero count one each.
    logs = torch.logaddexp(above, scores.order.first.to(above.dtype).log())
    own = scale * torch.relu(left + right)
    bound = own.mean(-1) - logs.mean(-1) + math.log(left.shape[-1])
    return bound.to(scores.left.dtype)


def club_upper_bound(scores: PairScores) -> Float[Tensor, "*critics"]:
    """mean_r f(x_r, y_r) - mean_{r,s} f(x_r, y_s), which exceeds the information where the critic is well fitted.

    From tail sums as in ``nce_lower_bound``.
    Source: Cheng et al., CLUB, ICML 2020, with the critics of Liang et al., Factorized Contrastive Learning, NeurIPS
    2023.
    """
    left, right, scale = _exact(scores)
    n, first = left.shape[-1], scores.order.first
    tails = left.gather(-1, scores.order.rows).flip(-1).cumsum(-1).flip(-1)
    tails = torch.cat([tails, torch.zeros_like(tails[..., :1])], -1)
    above = tails.gather(-1, first) + (n - first) * right
    bound = scale * (torch.relu(left + right).mean(-1, keepdim=True) - above.sum(-1, keepdim=True) / n**2)
    return bound.squeeze(-1).to(scores.left.dtype)


def _exact(scores: PairScores) -> tuple[Tensor, Tensor, Tensor]:
    """Left, right and scale in double precision: the bounds are differences of means that are nearly equal."""
    return scores.left.double(), scores.right.double(), scores.scale.double()[..., None]


class PairCritic(nn.Module):
    """f(x, y) = w relu(<a, [x; y]> + b): a perceptron with one hidden unit that reads both rows.

    The constant that the source adds at the end cancels in every bound of this file and is left out. While the unit
    passes no pair nothing moves the critic; with a bias that starts at 0 small rows pass from the beginning.
    Source: Liang et al., Factorized Contrastive Learning, NeurIPS 2023, with the sizes that CMDL gives it.
    """

    def __init__(self, left: int, right: int, bias: BiasStart = "drawn") -> None:
        super().__init__()
        self.read = nn.Linear(left + right, 1)
        if bias == "zero":
            nn.init.zeros_(self.read.bias)
        self.scale = nn.Linear(1, 1, bias=False)
        self.left = left

    def forward(
        self, pair: Pair, *, learns: bool
    ) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"], Float[Tensor, ""]]:
        """Left and right, whose sum the unit rectifies, and the scale w.

        The gradient goes to the critic only if it ``learns``, else to the rows only.
        """
        x, y = (rows.detach() if learns else rows for rows in pair)
        weight, bias, scale = (
            tensor if learns else tensor.detach()
            for tensor in (self.read.weight, self.read.bias, self.scale.weight)
        )
        left = functional.linear(x, weight[:, : self.left])
        right = functional.linear(y, weight[:, self.left :], bias)
        return left.squeeze(1), right.squeeze(1), scale.reshape(())


class PairCritics(nn.Module):
    """One critic for each of several pairs of tables, ``widths`` their left and right widths."""

    def __init__(self, widths: Sequence[tuple[int, int]], bias: BiasStart = "drawn") -> None:
        super().__init__()
        self.critics = nn.ModuleList(PairCritic(left, right, bias) for left, right in widths)

    @in_full_precision
    def forward(
        self, pairs: Sequence[Pair], place: Int[Tensor, "batches batch"]
    ) -> tuple[PairScores, PairScores]:
        """The critics' tables for each batch of rows, which ``place`` finds in the pairs' tables; twice the same.

        Through the first the gradient reaches the rows only, through the second the critics only: from a bound on
        each, one backward pass moves both, each by its own loss.
        """
        order: PairOrder | None = None
        found = []
        for learns in (False, True):
            told = [critic(pair, learns=learns) for critic, pair in zip(self.critics, pairs, strict=True)]
            left, right, scale = (torch.stack(part) for part in zip(*told, strict=True))
            left, right = (
                side.index_select(1, place.flatten()).view(-1, *place.shape) for side in (left, right)
            )
            scale = scale[:, None].expand(left.shape[:-1])
            order = order or PairOrder.of(left, right)
            found.append(PairScores(left, right, scale, order))
        return found[0], found[1]

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[PairScores, PairScores]:
        """As ``forward``."""
        result: tuple[PairScores, PairScores] = super().__call__(*args, **kwargs)
        return result
