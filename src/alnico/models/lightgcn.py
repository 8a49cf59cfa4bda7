"""Linear propagation of identities over the interaction graph."""

from typing import Self

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.graphs.graph import Graph, symmetric_graph
from alnico.model_card import ModelCard
from alnico.nn.losses import bpr, unsquared_l2
from alnico.nn.propagation import light_propagate, light_propagate_rows, xavier_table
from alnico.nn.seeding import seeded
from alnico.scorers import DotScorer, frozen_dot


class LightGcnConfig(ModelConfig):
    """Settings of LightGCN."""

    width: PositiveInt = 64
    """Length d of the embeddings."""
    layers: PositiveInt = 3
    """Number L of hops."""
    l2: NonNegativeFloat = 1e-4
    """Weight of the unsquared norm of the batch's embeddings before propagation."""


class LightGcn(TrainableRecommender):
    """score(u, i) = <e_u, e_i>, e the mean over layers 0..L of embeddings propagated over the normalised graph.

    Source: He et al., LightGCN, SIGIR 2020, Eqs. (3) to (8).
    """

    Config = LightGcnConfig
    card = ModelCard(
        "LightGCN", "LightGCN: Simplifying and Powering Graph Convolution Network, SIGIR 2020", 2020
    )

    def __init__(self, config: LightGcnConfig, graph: Graph, n_users: int, n_items: int) -> None:
        super().__init__()
        self.config = config
        self.graph = graph
        self.users = xavier_table(n_users, config.width)
        self.items = xavier_table(n_items, config.width)

    @classmethod
    def build(cls, config: LightGcnConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        train = data.interactions
        graph = symmetric_graph(train.users, train.items, train.n_users, train.n_items)
        with seeded(rng):
            return cls(config, graph, train.n_users, train.n_items)

    def _table(self) -> torch.Tensor:
        return torch.cat([self.users.weight, self.items.weight])

    def loss_terms(self, batch: Batch) -> Step:
        n_users = self.users.num_embeddings
        nodes = torch.cat([batch.users, batch.positives + n_users, batch.negatives + n_users])
        rows, place = torch.unique(nodes, return_inverse=True)
        final, first = light_propagate_rows([self.graph] * self.config.layers, self._table(), rows)
        # Not final[place]: the gradient of plain indexing is summed in whatever order the threads come.
        users, positives, negatives = final.index_select(0, place).chunk(3)
        ranking = bpr((users * positives).sum(1), (users * negatives).sum(1), batch.weights)
        ego = first.index_select(0, place).chunk(3)
        return Step({"bpr": ranking, "l2": self.config.l2 * unsquared_l2(*ego)})

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        final = light_propagate([self.graph] * self.config.layers, self._table())
        n_users = self.users.num_embeddings
        return frozen_dot(final[:n_users], final[n_users:])
