"""LightGCN with a contrast between two views that lack different edges."""

from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph, symmetric_graph
from alnico.model_card import ModelCard
from alnico.nn.losses import info_nce, unsquared_l2
from alnico.nn.propagation import light_propagate, light_propagate_rows, xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot


class SglConfig(ModelConfig):
    """Settings of SGL with edge dropout. Defaults follow public runs on the common split (Baby)."""

    width: PositiveInt = 64
    """Length d of the embeddings."""
    layers: PositiveInt = 2
    """Number L of hops."""
    dropped: float = Field(0.1, ge=0, lt=1)
    """Share rho of edges that each view lacks, drawn anew each epoch."""
    temperature: PositiveFloat = 0.2
    """Temperature tau of the contrast."""
    contrast: NonNegativeFloat = 0.01
    """Weight lambda of the contrast; grid 1, .1, .01, .001."""
    l2: NonNegativeFloat = 0.0
    """Weight of the unsquared norm of the batch's final embeddings; 1e-4 in some public code."""


class Sgl(TrainableRecommender):
    """LightGCN whose users and items must be recognised across two graphs that lack different edges.

    Each epoch draws two views: every edge stays with probability 1 - rho, degrees are counted anew. Loss: BPR on the
    full graph + lambda * (InfoNCE of the batch's distinct users + InfoNCE of its distinct items) between the views.

    Source: Wu et al., Self-supervised Graph Learning for Recommendation, SIGIR 2021, SGL-ED, Eqs. (10) to (14). Views
    are drawn per epoch as there, not per batch as in some later code.
    """

    Config = SglConfig
    card = ModelCard(
        "SGL",
        "Self-supervised Graph Learning for Recommendation, SIGIR 2021",
        2021,
        remark="views lack edges at random, drawn once an epoch; public runs on Baby drew them by degree in each batch",
    )

    def __init__(self, config: SglConfig, train: Interactions) -> None:
        super().__init__()
        self.config = config
        self.train_set = train
        self.graph = symmetric_graph(train.users, train.items, train.n_users, train.n_items)
        self.views = (self.graph, self.graph)
        self.users = xavier_table(train.n_users, config.width)
        self.items = xavier_table(train.n_items, config.width)

    @classmethod
    def build(cls, config: SglConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        with seeded(rng):
            return cls(config, data.interactions)

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw the two views."""
        self.views = self._view(rng), self._view(rng)

    def _view(self, rng: np.random.Generator) -> Graph:
        train = self.train_set
        kept = rng.random(len(train)) >= self.config.dropped
        return symmetric_graph(train.users[kept], train.items[kept], train.n_users, train.n_items)

    def _table(self) -> Float[Tensor, "nodes width"]:
        return torch.cat([self.users.weight, self.items.weight])

    def loss_terms(self, batch: Batch) -> Step:
        config, table = self.config, self._table()
        rows = Distinct.of(batch)
        nodes = rows.nodes(self.users.num_embeddings)
        users, items = rows.apart(light_propagate_rows([self.graph] * config.layers, table, nodes)[0])
        one, other = (
            rows.apart(light_propagate_rows([view] * config.layers, table, nodes)[0]) for view in self.views
        )
        contrast = info_nce(one[0], other[0], config.temperature)
        contrast = contrast + info_nce(one[1], other[1], config.temperature)
        return Step(
            {
                "bpr": rows.bpr(users, items),
                "contrast": config.contrast * contrast,
                "l2": config.l2 * unsquared_l2(*rows.spread(users, items)),
            }
        )

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        final = light_propagate([self.graph] * self.config.layers, self._table())
        n_users = self.users.num_embeddings
        return frozen_dot(final[:n_users], final[n_users:])
