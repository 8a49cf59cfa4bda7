"""A frozen item graph and a user-item graph pruned anew each epoch."""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.errors import ConfigError, nearest
from alnico.graphs.graph import Graph, pruned_graph, symmetric_graph
from alnico.graphs.items import graph_as_given, mixed_content_graph
from alnico.model_card import ModelCard
from alnico.nn.features import FeatureTable, content_of
from alnico.nn.propagation import light_propagate, light_propagate_rows, xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot


class FreedomConfig(ModelConfig):
    """Settings of FREEDOM. Defaults are those of the official code; pruning and content_weight from its grid."""

    width: PositiveInt = 64
    """Length d of the embeddings."""
    layers: PositiveInt = 2
    """Hops over the user-item graph."""
    neighbours: PositiveInt = 10
    """Neighbours k per item and modality, the item itself among them."""
    shares: Mapping[str, PositiveFloat] | None = None
    """Share of each modality in the item graph; by default .1 for image and .9 for text, others even."""
    given_graph: str | None = None
    """Name of an item graph given with the data that stands as it is in place of one built from content."""
    pruning: float = Field(0.8, ge=0, lt=1)
    """Share p of training edges left out in each epoch; grid .8, .9."""
    content_weight: NonNegativeFloat = 1e-3
    """Weight lambda of the ranking losses on projected content; grid 0, 1e-5, 1e-4, 1e-3."""
    features_trainable: bool = True
    """Whether the raw vectors are trained too, as in the official code."""


class Freedom(TrainableRecommender):
    """score(u, i) = <e_u, e_i + h_i>: LightGCN over a pruned graph, plus one hop over a frozen item graph.

    The item graph mixes binary nearest-neighbour graphs of the modalities and is built once from raw vectors (or
    from lists given with the data). In training, edges are drawn anew each epoch; evaluation uses all.
    Loss: BPR + lambda * sum over modalities of BPR on <e_u, W_m x_m>.

    Source: Zhou and Shen, A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal
    Recommendation, MM 2023, Eqs. (1) to (13); details as in its official code: directed lists that include the item,
    trained raw vectors, no L2. Any number of modalities from one on.
    """

    Config = FreedomConfig
    card = ModelCard("FREEDOM", "A Tale of Two Graphs, MM 2023", 2023, ("content",))

    def __init__(
        self, config: FreedomConfig, train: Interactions, items: Graph, content: ItemFeatures
    ) -> None:
        super().__init__()
        self.config = config
        self.train_set = train
        self.item_graph = items
        self.graph = symmetric_graph(train.users, train.items, train.n_users, train.n_items)
        self.pruned = self.graph
        self.users = xavier_table(train.n_users, config.width)
        self.items = xavier_table(train.n_items, config.width)
        # Without their losses the vectors have no part in the model.
        used = content if config.content_weight else content.only()
        self.names = used.names
        self.features = nn.ModuleList(
            FeatureTable(modality, trainable=config.features_trainable) for modality in used.values()
        )
        self.projections = nn.ModuleList(
            nn.Linear(modality.width, config.width) for modality in used.values()
        )

    @classmethod
    def build(cls, config: FreedomConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        unread = config.given_graph is not None and not config.content_weight
        content = data.features.only() if unread else content_of(data.features, "freedom")
        items = _item_graph(config, data, content)
        with seeded(rng):
            return cls(config, data.interactions, items, content)

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw the edges that this epoch's training sees."""
        if self.config.pruning:
            train = self.train_set
            self.pruned = pruned_graph(
                train.users, train.items, train.n_users, train.n_items, self.config.pruning, rng
            )

    def _table(self) -> Float[Tensor, "nodes width"]:
        return torch.cat([self.users.weight, self.items.weight])

    def loss_terms(self, batch: Batch) -> Step:
        rows = Distinct.of(batch)
        hops = [self.pruned] * self.config.layers
        nodes = rows.nodes(self.users.num_embeddings)
        users, from_users = rows.apart(light_propagate_rows(hops, self._table(), nodes)[0])
        final = from_users + self.item_graph.propagate(self.items.weight, rows.items)
        terms = {"bpr": rows.bpr(users, final)}
        for name, table, project in zip(self.names, self.features, self.projections, strict=True):
            told = rows.bpr(users, project(table(rows.items)))
            terms[f"content/{name}"] = self.config.content_weight * told
        return Step(terms)

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        n_users = self.users.num_embeddings
        final = light_propagate([self.graph] * self.config.layers, self._table())
        return frozen_dot(final[:n_users], final[n_users:] + self.item_graph.propagate(self.items.weight))


def _item_graph(config: FreedomConfig, data: TrainingData, content: ItemFeatures) -> Graph:
    if config.given_graph is not None:
        if config.given_graph not in data.neighbours:
            raise ConfigError(
                f"the data hold no item graph {config.given_graph!r} to take for model.given_graph; import one with "
                f"--neighbours {config.given_graph}=FILE.npz{nearest(config.given_graph, data.neighbours)}"
            )
        return graph_as_given(data.neighbours[config.given_graph])
    return mixed_content_graph(content, data.neighbours, data.graphs, config.neighbours, config.shares)
