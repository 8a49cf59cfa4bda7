"""An item graph mined anew from trained content, beside any model of who took what."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph, averaging_graph
from alnico.graphs.items import content_lists, item_graph
from alnico.kernels.edges import Pattern, edge_products, weighted_sums
from alnico.model_card import ModelCard
from alnico.nn.edges import nearest_edges, scaled_by_row_sums
from alnico.nn.features import FeatureTable, content_of
from alnico.nn.losses import half_squared_l2
from alnico.nn.propagation import light_propagate, light_propagate_rows, xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot

Items = Float[Tensor, "items width"]


class LatticeConfig(ModelConfig):
    """Settings of LATTICE. Defaults are those of the official code, l2 that of public runs on Baby and Sports."""

    width: PositiveInt = 64
    """Length d of the embeddings and of projected content."""
    layers: NonNegativeInt = 2
    """Hops of LightGCN over the user-item graph; 0 is matrix factorisation."""
    item_layers: PositiveInt = 1
    """Hops over the item graph."""
    neighbours: PositiveInt = 10
    """Neighbours k per item and modality, the item itself among them."""
    original: float = Field(0.9, ge=0, le=1)
    """Share lambda of the graphs of raw vectors beside those of projected ones; with 1 none is learned."""
    l2: NonNegativeFloat = 0.0
    """Weight of half the squared norm of the batch's final embeddings; 1e-5 by its authors."""
    features_trainable: bool = True
    """Whether the raw vectors are trained too, as in the official code."""


class Lattice(TrainableRecommender):
    """score(u, i) = <e_u, e_i + h_i / |h_i|>: LightGCN, plus identities smoothed over a learned item graph.

    The learned graph joins each item to its nearest in every modality's projected vectors W_m x_m + b_m, with weights
    a_m * cosine, normalised by row sums; a is a softmax over modalities. It is mixed with the graphs of raw vectors,
    weighed by a too: A = (1 - lambda) * learned + lambda * sum of a_m * raw_m, and h = A Q, Q the identities. LightGCN
    takes means over a node's neighbours, the node itself among them. Loss: BPR + L2 of the final embeddings.

    A is made in the first batch of each epoch, which alone trains content and a, and for evaluation; in between it
    stands still, as in the official code. In between content has no gradient, and Adam leaves it alone; torch before
    2.0 went on with momentum there, so that content moved further in an epoch. Only products along edges are formed:
    choosing the nearest has no gradient, so values and gradients are those of a full table of cosines.

    Source: Zhang et al., Mining Latent Structures for Multimedia Recommendation, MM 2021; details as in its official
    code: directed lists that include the item, trained raw vectors. An item without a modality has only its own edge
    there. Any number of modalities from one on.
    """

    Config = LatticeConfig
    card = ModelCard(
        "LATTICE", "Mining Latent Structures for Multimedia Recommendation, MM 2021", 2021, ("content",)
    )

    def __init__(
        self,
        config: LatticeConfig,
        train: Interactions,
        item_graphs: Mapping[str, Graph],
        content: ItemFeatures,
    ) -> None:
        super().__init__()
        self.config = config
        self.graph = averaging_graph(train.users, train.items, train.n_users, train.n_items, own=True)
        self.item_graphs = list(item_graphs.values())
        self.users = xavier_table(train.n_users, config.width)
        self.items = xavier_table(train.n_items, config.width)
        # Where nothing is learned from them the vectors have no part in the model.
        used = content if config.original < 1 else content.only()
        self.present = {name: modality.present for name, modality in used.items()}
        self.features = nn.ModuleList(
            FeatureTable(modality, trainable=config.features_trainable) for modality in used.values()
        )
        self.projections = nn.ModuleList(
            nn.Linear(modality.width, config.width) for modality in used.values()
        )
        self.shares = nn.Parameter(torch.full((len(item_graphs),), 1 / len(item_graphs)))
        # The item graph after the first step of an epoch, and the one that the latest first batch made.
        self._standing: Graph | None = None
        self._made: Graph | None = None

    @classmethod
    def build(cls, config: LatticeConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "lattice")
        lists = content_lists(content, data.neighbours, data.graphs, config.neighbours)
        item_graphs = {name: item_graph(lists[name], "cosine") for name in content}
        with seeded(rng):
            return cls(config, data.interactions, item_graphs, content)

    def inert_parameters(self) -> frozenset[str]:
        """A softmax over one modality is 1, whatever it is of."""
        return frozenset({"shares"} if len(self.shares) == 1 else ())

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Have the first batch make the item graph."""
        self._standing = None

    def observe(self, facts: Mapping[str, float]) -> None:
        """From the first step of an epoch on its item graph stands."""
        if self._standing is None:
            self._standing = self._made

    def _item_edges(self) -> tuple[Pattern, Float[Tensor, " entries"]]:
        """A, with a gradient to content and a."""
        shares, n_items, device = self.shares.softmax(0), self.items.num_embeddings, self.shares.device
        units = {
            name: functional.normalize(project(table()), dim=1)
            for name, project, table in zip(self.present, self.projections, self.features, strict=True)
        }
        found = list(nearest_edges(units, self.present, self.config.neighbours).values())
        raw = [graph.edges() for graph in self.item_graphs]
        parts = [*found, *(part[:2] for part in raw)]
        rows, columns = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        pattern, places = Pattern.of(rows, columns, (n_items, n_items))
        pattern = pattern.on(device)
        splits = torch.split(places.to(device), [len(part[0]) for part in parts])
        learned, original = shares.new_zeros(len(pattern)), shares.new_zeros(len(pattern))
        # Where nothing is learned there are no units.
        for share, unit, place in zip(shares, units.values(), splits, strict=False):
            listed = torch.zeros_like(original).index_fill_(0, place, 1)
            learned = learned + share * listed * edge_products(pattern, unit, unit)
        for share, (_, _, values), place in zip(shares, raw, splits[len(found) :], strict=True):
            weights = torch.from_numpy(values).to(device)
            original = original + share * torch.zeros_like(original).index_copy_(0, place, weights)
        kept = self.config.original
        return pattern, (1 - kept) * scaled_by_row_sums(pattern, learned) + kept * original

    def _smoothed(self, hop: Callable[..., Items], rows: Tensor | None = None) -> Items:
        """The identities, or these rows of them, after all hops over the item graph, scaled to length one."""
        layer: Items = self.items.weight
        for number in range(1, self.config.item_layers + 1):
            layer = hop(layer, rows if number == self.config.item_layers else None)
        return functional.normalize(layer, dim=1)

    def _table(self) -> Float[Tensor, "nodes width"]:
        return torch.cat([self.users.weight, self.items.weight])

    def loss_terms(self, batch: Batch) -> Step:
        rows = Distinct.of(batch)
        hops, nodes = [self.graph] * self.config.layers, rows.nodes(self.users.num_embeddings)
        users, items = rows.apart(light_propagate_rows(hops, self._table(), nodes)[0])
        if self._standing is None:
            pattern, values = self._item_edges()
            self._made = Graph(pattern.matrix(values), pattern.transposed(values), "mixed")
            side = self._smoothed(partial(weighted_sums, pattern, values), rows.items)
        else:
            side = self._smoothed(self._standing.propagate, rows.items)
        final = items + side
        terms = {"bpr": rows.bpr(users, final)}
        if self.config.l2:
            norm = half_squared_l2(*rows.spread(users, final), full_size=batch.full_size)
            terms["l2"] = self.config.l2 * norm
        return Step(terms)

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        n_users = self.users.num_embeddings
        final = light_propagate([self.graph] * self.config.layers, self._table())
        hop = partial(weighted_sums, *self._item_edges())
        return frozen_dot(final[:n_users], final[n_users:] + self._smoothed(hop))
