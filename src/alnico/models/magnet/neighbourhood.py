"""Cues that are made of identities: what an item's like are, as far as content lets it through."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from alnico.data.features import Modality
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.graphs.content import nearest_of_some, unit_rows
from alnico.graphs.graph import Graph, mean_pooling, symmetric_graph, user_block
from alnico.graphs.items import item_graph
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.cues import Cue, Reader, Reading, coherence_of
from alnico.nn.features import GatedContent

BLOCK_BYTES = 64 * 2**20


class NeighbourhoodCues(nn.Module):
    """Gates identities by content and gathers them from like items, and from histories.

    h_i = S^hops (e_i * sigmoid(W' (W x_i + b) + b')), S the graph of items of like content; h_u = sum of
    h_i / sqrt(d_u d_i) over the user's training items that have the modality, d_u how many these are and d_i how many
    users have i. An item without the modality gives nothing to anybody; a history without any is an absent cue.

    Source: Yu et al., MGCN, MM 2023 (gates and graphs).
    Departs: A64.
    """

    present: Tensor
    counts: Tensor
    weights: Tensor
    vectors: Tensor
    pooled: Tensor

    def __init__(
        self, modality: Modality, lists: ItemNeighbours, train: Interactions, config: MagnetConfig
    ) -> None:
        super().__init__()
        self.hops = config.cue_hops
        self.lists = lists
        self.graph = item_graph(lists, "cosine")
        self.gated = GatedContent(modality, config.width, trainable=config.features_trainable)
        has = modality.present[train.items]
        users, items = train.users[has], train.items[has]
        size = train.n_users, train.n_items
        self.pool: Graph = user_block(symmetric_graph(users, items, *size), train.n_users)
        degrees = np.bincount(items, minlength=train.n_items)
        numbers = {
            "present": np.array(modality.present),
            "counts": np.bincount(users, minlength=train.n_users).astype(np.float32),
            # Nobody has a cold item in training; a history told later may.
            "weights": (1 / np.sqrt(np.maximum(degrees, 1))).astype(np.float32),
            "vectors": unit_rows(np.where(modality.present[:, None], modality.vectors, np.float32(0))),
        }
        for name, values in numbers.items():
            self.register_buffer(name, torch.from_numpy(values), persistent=False)
        self.all_present = bool(modality.present.all())
        coherent = config.router_input == "coherence"
        pooled = mean_pooling(users, items, *size).propagate(self.vectors) if coherent else None
        self.register_buffer("pooled", pooled, persistent=False)

    def reading(
        self, identities: Float[Tensor, "items width"], users: Int[Tensor, " users"] | None = None
    ) -> Reading:
        """The cues that these identities of all items give, to be asked for items and, distinct and ascending,
        these users; or for all."""
        items = self._layers(identities, self.hops)[-1]
        return Neighbourhood(self, items, users, self.pool.propagate(items, users))

    def _layers(self, identities: Float[Tensor, "items width"], hops: int) -> list[Tensor]:
        """Gated identities, and these after each hop."""
        gated = self.gated(identities)
        layers = [gated if self.all_present else gated * self.present[:, None]]
        for _ in range(hops):
            layers.append(self.graph.propagate(layers[-1]))
        return layers

    def coherence(
        self, rows: Int[Tensor, " rows"], rest: Float[Tensor, " rows"], taken: Tensor | None
    ) -> Float[Tensor, " rows"] | None:
        """How alike the ``rest`` items of these users' pools are, their vectors summed without ``taken``."""
        if self.pooled is None:
            return None
        total = self.pooled.index_select(0, rows) * self.counts[rows][:, None]
        return coherence_of(total if taken is None else total - taken, rest)

    @torch.no_grad()
    def reader(self, identities: Float[Tensor, "items width"]) -> "NeighbourReader":
        """What the finished model needs for new items; ``identities`` are those of all known ones."""
        # Each item weighs itself with 1.
        sums = 1 + self.lists.weights.sum(1, dtype=np.float64)
        return NeighbourReader(
            self.vectors,
            self.present.nonzero().squeeze(1),
            torch.from_numpy(sums.astype(np.float32)).to(self.vectors.device),
            torch.stack(self._layers(identities, self.hops - 1)).detach().clone(),
        )


@dataclass(frozen=True)
class Neighbourhood:
    """Cues of all items and of some users (all, without ``own``) under one state of the parameters."""

    cues: NeighbourhoodCues
    table: Float[Tensor, "items width"]
    own: Int[Tensor, " users"] | None
    pooled: Float[Tensor, "users width"]

    def items(self, rows: Int[Tensor, " rows"]) -> Cue:
        """Cues of these items."""
        return Cue(self.table.index_select(0, rows), self.cues.present[rows])

    def users(self, rows: Int[Tensor, " rows"], left_out: Int[Tensor, " rows"] | None = None) -> Cue:
        """Cues of these users; with ``left_out`` each without that item's term, the count of items one less."""
        cues = self.cues
        place = rows if self.own is None else torch.searchsorted(self.own, rows)
        pooled, counts = self.pooled.index_select(0, place), cues.counts[rows]
        if left_out is None:
            return Cue(pooled, counts > 0, cues.coherence(rows, counts, None))
        inside = cues.present[left_out].float()
        rest = counts - inside
        term = self.table.index_select(0, left_out) * (cues.weights[left_out] * inside)[:, None]
        without = (pooled * counts.sqrt()[:, None] - term) / rest.clamp(min=1).sqrt()[:, None]
        taken = None
        if cues.pooled is not None:
            taken = cues.vectors.index_select(0, left_out) * inside[:, None]
        return Cue(without, rest > 0, cues.coherence(rows, rest, taken))


@dataclass(frozen=True)
class NeighbourReader:
    """Vectors of length one, and what training items give to a new item that resembles them.

    ``known`` are the training items that have the modality, ``sums`` [items] the sums of their rows of the item graph,
    ``layers`` [hops, items, width] what each hop gathers. ``vectors`` may hold newcomers too, which give nothing.
    """

    vectors: Float[Tensor, "items raw"]
    known: Int[Tensor, " known"]
    sums: Float[Tensor, " training_items"]
    layers: Float[Tensor, "hops training_items width"]

    @property
    def width(self) -> int:
        """Width of the raw vectors."""
        return int(self.vectors.shape[1])

    def read(
        self, modality: Modality, config: MagnetConfig, device: torch.device
    ) -> tuple[Float[Tensor, "new width"], Reader]:
        """The new items' rows of the item graph, times what each hop gathers; a new item's own identity is zero."""
        known = np.where(modality.present[:, None], modality.vectors, np.float32(0))
        vectors = torch.from_numpy(unit_rows(known)).to(device)
        near, cosines = self._nearest(vectors, config.cue_neighbours - 1)
        own = 1 + cosines.sum(1)
        entries = cosines * _root(own)[:, None] * _root(self.sums[near])
        found = torch.zeros((len(vectors), config.width), device=device)
        for layer in self.layers:
            gathered = (layer[near] * entries[:, :, None]).sum(1)
            # What an item gives itself: nothing at first, then what it has gathered.
            found = gathered + found * _root(own).square()[:, None]
        return found, replace(self, vectors=torch.cat([self.vectors, vectors]))

    def _nearest(
        self, vectors: Float[Tensor, "new raw"], k: int
    ) -> tuple[Int[Tensor, "new k"], Float[Tensor, "new k"]]:
        """The k known items of highest cosine, ties to the smaller number, and the cosines; fillers weigh 0."""
        k = min(k, len(self.known))
        if not k or not len(vectors):
            nobody = torch.zeros((len(vectors), k), device=vectors.device)
            return nobody.long(), nobody
        known = self.vectors[self.known].cpu().numpy()
        near, cosines = nearest_of_some(known, vectors.cpu().numpy(), k, BLOCK_BYTES)
        own = self.known[torch.from_numpy(near.astype(np.int64)).to(vectors.device)]
        return own, torch.from_numpy(cosines).to(vectors.device)

    def tensors(self) -> dict[str, Tensor]:
        """By name, for storing."""
        return {"vectors": self.vectors, "known": self.known, "sums": self.sums, "layers": self.layers}

    @classmethod
    def from_tensors(cls, own: Mapping[str, Tensor]) -> "NeighbourReader":
        """What ``tensors`` described."""
        return cls(own["vectors"], own["known"], own["sums"], own["layers"])


def _root(sums: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1 / sqrt of row sums; 0 where a sum is not positive."""
    return torch.where(sums > 0, sums.clamp(min=1e-12).rsqrt(), torch.zeros_like(sums))
