"""The ruler that training is measured with: LightGCN with alnico's sparse product and nothing saved.

Kept as it is on purpose, so that a faster product does not move the ruler: two hops over all nodes in each step, every
layer through autograd, the last one for all rows.
"""

import numpy as np
import torch
from torch import nn

from alnico.contracts import Batch, ModelConfig, Scorer, Step, TrainableRecommender, TrainingData
from alnico.graphs.graph import symmetric_graph
from alnico.kernels.propagation import multiply
from alnico.nn.losses import bpr, unsquared_l2
from alnico.scorers import frozen_dot

LAYERS, WIDTH = 2, 64


class Yardstick(TrainableRecommender):
    """LightGCN, two layers, width 64."""

    Config = ModelConfig

    def __init__(self, data: TrainingData) -> None:
        super().__init__()
        train = data.interactions
        self.graph = symmetric_graph(train.users, train.items, train.n_users, train.n_items)
        self.users, self.items = nn.Embedding(train.n_users, WIDTH), nn.Embedding(train.n_items, WIDTH)
        for table in (self.users, self.items):
            nn.init.xavier_uniform_(table.weight)

    @classmethod
    def build(cls, config: ModelConfig, data: TrainingData, rng: np.random.Generator) -> "Yardstick":
        """One from global random state."""
        del config, rng
        return cls(data)

    def _final(self) -> torch.Tensor:
        layer = total = torch.cat([self.users.weight, self.items.weight])
        for _ in range(LAYERS):
            layer = multiply(self.graph.matrix, layer, self.graph.transposed)
            total = total + layer
        return total / (LAYERS + 1)

    def loss_terms(self, batch: Batch) -> Step:
        """BPR and the norm of the batch's embeddings."""
        final, n_users = self._final(), self.users.num_embeddings
        users = final.index_select(0, batch.users)
        positives = final.index_select(0, batch.positives + n_users)
        negatives = final.index_select(0, batch.negatives + n_users)
        ranking = bpr((users * positives).sum(1), (users * negatives).sum(1), batch.weights)
        ego = (self.users(batch.users), self.items(batch.positives), self.items(batch.negatives))
        return Step({"bpr": ranking, "l2": 1e-4 * unsquared_l2(*ego)})

    @torch.no_grad()
    def scorer(self) -> Scorer:
        """Dot products of the final tables."""
        final, n_users = self._final(), self.users.num_embeddings
        return frozen_dot(final[:n_users], final[n_users:])
