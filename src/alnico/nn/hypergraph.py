"""Soft hyperedges: groups of items, and of the users who took them, that content suggests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import Batch
from alnico.data.features import Modality
from alnico.graphs.graph import Graph
from alnico.nn.features import FeatureTable
from alnico.nn.losses import info_nce
from alnico.nn.propagation import light_propagate, light_propagate_rows
from alnico.nn.triples import Distinct


class HyperedgeContent(nn.Module):
    """One modality's vectors read twice, without bias: as embeddings, and as leanings towards hyperedges.

    Both come from one pass over the vectors. Without ``edges`` there are no leanings.
    """

    def __init__(self, modality: Modality, width: int, edges: int, *, trainable: bool) -> None:
        super().__init__()
        self.table = FeatureTable(modality, trainable=trainable)
        self.width = width
        self.maps = nn.ParameterList(
            nn.init.xavier_uniform_(torch.empty(columns, self.table.width))
            for columns in (width, edges)
            if columns
        )

    def forward(self) -> tuple[Float[Tensor, "items width"], Float[Tensor, "items edges"]]:
        """The embeddings X T and the leanings X V of all items."""
        both = functional.linear(self.table(), torch.cat(list(self.maps)))
        return both[:, : self.width], both[:, self.width :]

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """As ``forward``."""
        result: tuple[Tensor, Tensor] = super().__call__(*args, **kwargs)
        return result


def propagated_with_all_items(
    hops: Sequence[Graph], table: Float[Tensor, "all width"], n_users: int, rows: Distinct | None
) -> tuple[Float[Tensor, "nodes width"], Float[Tensor, "items width"]]:
    """Rows of ``light_propagate``: of a batch's nodes, or of all, and of all items, which hyperedges gather."""
    if rows is None:
        whole = light_propagate(hops, table)
        return whole, whole[n_users:]
    every_item = torch.arange(n_users, len(table), device=table.device)
    some = light_propagate_rows(hops, table, torch.cat([rows.users, every_item]))[0]
    users, items = rows.apart(some)
    return torch.cat([users, items.index_select(0, rows.items)]), items


def memberships(
    leanings: Float[Tensor, "rows edges"], temperature: float, *, noisy: bool
) -> Float[Tensor, "rows edges"]:
    """Each row's shares in the hyperedges: the softmax of its leanings / temperature.

    Where ``noisy``, Gumbel noise from torch's stream is added to the leanings first.
    Source: Jang et al., Categorical Reparameterization with Gumbel-Softmax, ICLR 2017.
    """
    if noisy:
        return functional.gumbel_softmax(leanings, temperature)
    return (leanings / temperature).softmax(1)


def hyperedge_messages(
    members: Float[Tensor, "items edges"], items: Float[Tensor, "items width"], rounds: int = 1
) -> Float[Tensor, "edges width"]:
    """What hyperedges gather from their members, H'x; more ``rounds`` give it back to them, x = HH'x, in between.

    Rounds after the first go through the overlaps of hyperedges: (H'H)^(rounds - 1) H'x.
    """
    gathered = members.T @ items
    if rounds > 1:
        overlaps = members.T @ members
        for _ in range(rounds - 1):
            gathered = overlaps @ gathered
    return gathered


def exchanged(
    messages: Sequence[Float[Tensor, "edges width"]], weight: float
) -> list[Float[Tensor, "edges width"]]:
    """Each modality's messages plus ``weight`` times the mean of the other modalities' messages."""
    if len(messages) == 1:
        return list(messages)
    total = torch.stack(list(messages)).sum(0)
    return [own + weight / (len(messages) - 1) * (total - own) for own in messages]


@dataclass(frozen=True)
class Hypergraph:
    """One modality's hyperedges: the shares of users and items in them, and the messages they hold."""

    users: Float[Tensor, "users edges"]
    items: Float[Tensor, "items edges"]
    messages: Float[Tensor, "edges width"]

    @classmethod
    def of(
        cls,
        users: Float[Tensor, "users edges"],
        items: Float[Tensor, "items edges"],
        embeddings: Float[Tensor, "items width"],
        temperature: float,
        *,
        noisy: bool = False,
        dropout: float = 0.0,
        rounds: int = 1,
    ) -> Self:
        """From the leanings of users and items; some shares are dropped, what is left gathers the embeddings."""
        shares = [
            functional.dropout(memberships(leanings, temperature, noisy=noisy), dropout)
            for leanings in (users, items)
        ]
        return cls(shares[0], shares[1], hyperedge_messages(shares[1], embeddings, rounds))

    def nodes(self, rows: Distinct | None = None) -> Float[Tensor, "nodes width"]:
        """What hyperedges tell users and then items, all of them or those of a batch."""
        if rows is None:
            shares = torch.cat([self.users, self.items])
        else:
            shares = torch.cat(
                [self.users.index_select(0, rows.users), self.items.index_select(0, rows.items)]
            )
        return shares @ self.messages


def mean_over_pairs(
    graphs: Sequence[Hypergraph], contrast: Callable[[Hypergraph, Hypergraph], Tensor]
) -> Float[Tensor, ""]:
    """The mean of a contrast over all pairs of modalities, the earlier one first; there must be two or more."""
    return torch.stack([contrast(one, other) for one, other in combinations(graphs, 2)]).mean()


def contrast_among_all(
    one: Hypergraph, other: Hypergraph, batch: Batch, temperature: float
) -> Float[Tensor, ""]:
    """A SUM over triples: InfoNCE, by cosine, of what ``one`` tells the user among what ``other`` tells all users.

    And the same of positives among all items. Who has no share in any hyperedge has the cosine 0 to everybody.
    Source: the contrast of LGMRec (Guo et al., AAAI 2024) as in its official code.
    """
    told, said = one.messages, other.messages
    return _among_all(one.users, told, other.users, said, batch.users, temperature) + _among_all(
        one.items, told, other.items, said, batch.positives, temperature
    )


def _among_all(
    left: Float[Tensor, "nodes edges"],
    told: Float[Tensor, "edges width"],
    right: Float[Tensor, "nodes edges"],
    said: Float[Tensor, "edges width"],
    chosen: Int[Tensor, " chosen"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Of the chosen rows of ``left @ told`` among all rows of ``right @ said``.

    Where there are fewer hyperedges than columns, products are taken over hyperedges: (H Z) (K Y)' = (H Z Y') K'.
    """
    left = left.index_select(0, chosen)
    if len(told) >= told.shape[1]:
        return info_nce(left @ told, right @ said, temperature, own=chosen, reduction="sum")
    return info_nce(
        _divided(left @ (told @ said.T), left @ told),
        _divided(right, right @ said),
        temperature,
        own=chosen,
        cosine=False,
        reduction="sum",
    )


def _divided(
    table: Float[Tensor, "rows edges"], by: Float[Tensor, "rows width"]
) -> Float[Tensor, "rows edges"]:
    """Rows over the lengths of the rows of ``by``."""
    lengths: Tensor = by.norm(dim=1, keepdim=True)
    return table / lengths.clamp_min(1e-12)
