"""The users and items of a batch, each computed once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alnico.contracts import Batch
from alnico.kernels.precision import in_full_precision
from alnico.nn.losses import bpr, info_nce


@dataclass(frozen=True)
class Distinct:
    """The distinct users and items of a batch, ascending, and where each triple finds its own among them.

    Rows are gathered by ``index_select``: the gradient of plain indexing is summed in whatever order threads come.
    """

    batch: Batch
    users: Int[Tensor, " users"]
    items: Int[Tensor, " items"]
    user_place: Int[Tensor, " batch"]
    item_place: Int[Tensor, " pairs"]

    @classmethod
    def of(cls, batch: Batch, *, negatives: bool = True) -> Self:
        """The distinct nodes of ``batch``; items are its positives and negatives together, or the former alone.

        Without negatives ``spread`` and ``bpr`` have no meaning and ``item_place`` has a place per positive.
        """
        users, user_place = torch.unique(batch.users, return_inverse=True)
        named = torch.cat([batch.positives, batch.negatives]) if negatives else batch.positives
        items, item_place = torch.unique(named, return_inverse=True)
        return cls(batch, users, items, user_place, item_place)

    def nodes(self, n_users: int) -> Int[Tensor, " nodes"]:
        """Rows of a graph over users and then items: first the users, then the items."""
        return torch.cat([self.users, self.items + n_users])

    def apart(
        self, table: Float[Tensor, "nodes width"]
    ) -> tuple[Float[Tensor, "users width"], Float[Tensor, "items width"]]:
        """The users' and the items' rows of a table in the order of ``nodes``."""
        return table[: len(self.users)], table[len(self.users) :]

    def spread(
        self, users: Float[Tensor, "users width"], items: Float[Tensor, "items width"]
    ) -> tuple[
        Float[Tensor, "batch width"],
        Float[Tensor, "batch width"],
        Float[Tensor, "batch width"],
    ]:
        """The rows of each triple's user, positive and negative."""
        if len(self.item_place) != 2 * len(self.batch):
            raise ValueError("these nodes were taken without the negatives of their batch")
        positives, negatives = items.index_select(0, self.item_place).chunk(2)
        return users.index_select(0, self.user_place), positives, negatives

    @in_full_precision
    def bpr(
        self, users: Float[Tensor, "users width"], items: Float[Tensor, "items width"]
    ) -> Float[Tensor, ""]:
        """The mean BPR loss of inner products, triples weighted as the batch says."""
        chosen, positives, negatives = self.spread(users, items)
        return bpr((chosen * positives).sum(1), (chosen * negatives).sum(1), self.batch.weights)

    def contrast(
        self,
        one: tuple[Float[Tensor, "users width"], Float[Tensor, "items width"]],
        other: tuple[Float[Tensor, "users width"], Float[Tensor, "items width"]],
        temperature: float,
        user_temperature: float | None = None,
    ) -> Float[Tensor, ""]:
        """InfoNCE between two views of the triples' positives plus that of their users, both as (users, items).

        As in the source of MGCN and its kin a node that stands in several triples is there several times, also among
        its own negatives. ``user_temperature`` is that of the users where it is another one.
        """
        rows, place = self._positives
        one_items, other_items = one[1].index_select(0, rows), other[1].index_select(0, rows)
        of_items = info_nce(one_items, other_items, temperature, pairs=(place, place))
        return of_items + self.contrast_of_users(one[0], other[0], user_temperature or temperature)

    def contrast_of_users(
        self, one: Float[Tensor, "users width"], other: Float[Tensor, "users width"], temperature: float
    ) -> Float[Tensor, ""]:
        """InfoNCE between two views of the triples' users; who stands in several is there several times."""
        return info_nce(one, other, temperature, pairs=(self.user_place, self.user_place))

    def contrast_across(
        self, users: Float[Tensor, "users width"], items: Float[Tensor, "items width"], temperature: float
    ) -> Float[Tensor, ""]:
        """InfoNCE between the triples' users and their positives; candidates are the positives of all triples."""
        rows, place = self._positives
        return info_nce(users, items.index_select(0, rows), temperature, pairs=(self.user_place, place))

    @cached_property
    def _positives(self) -> tuple[Int[Tensor, " items"], Int[Tensor, " batch"]]:
        """Which of the distinct items are positives, and where each triple finds its own among these."""
        rows, place = torch.unique(self.item_place[: len(self.batch)], return_inverse=True)
        return rows, place
