"""LightGCN with a contrast between two passes that noise has moved."""

from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.graphs.graph import Graph, symmetric_graph
from alnico.model_card import ModelCard
from alnico.nn.losses import info_nce, unsquared_l2
from alnico.nn.noise import perturbed
from alnico.nn.propagation import xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot


class SimGclConfig(ModelConfig):
    """Settings of SimGCL. Defaults follow public runs on the common split (Baby)."""

    width: PositiveInt = 64
    """Length d of the embeddings."""
    layers: PositiveInt = 2
    """Number L of hops."""
    noise: NonNegativeFloat = 0.1
    """Length epsilon of the random vector added after each hop."""
    temperature: PositiveFloat = 0.2
    """Temperature tau of the contrast."""
    contrast: NonNegativeFloat = 0.01
    """Weight lambda of the contrast; .01 on Baby and Sports, .001 on Clothing in public runs, .5 in its code."""
    identity_layer: bool = True
    """Whether the mean over layers counts the embeddings before the first hop; the paper's code leaves them out."""
    l2: NonNegativeFloat = 0.0
    """Weight of the unsquared norm of the batch's final embeddings."""


class SimGcl(TrainableRecommender):
    """LightGCN whose users and items must be recognised across two passes with random noise after every hop.

    Loss: BPR on the pass without noise + lambda * (InfoNCE of the batch's distinct users + InfoNCE of its distinct
    items) between the noisy passes.

    Source: Yu et al., Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for Recommendation, SIGIR
    2022, Eqs. (3) to (6). ``identity_layer`` chooses between the two forms that circulate.
    """

    Config = SimGclConfig
    card = ModelCard("SimGCL", "Are Graph Augmentations Necessary?, SIGIR 2022", 2022)

    def __init__(self, config: SimGclConfig, graph: Graph, n_users: int, n_items: int) -> None:
        super().__init__()
        self.config = config
        self.graph = graph
        self.users = xavier_table(n_users, config.width)
        self.items = xavier_table(n_items, config.width)

    @classmethod
    def build(cls, config: SimGclConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        train = data.interactions
        graph = symmetric_graph(train.users, train.items, train.n_users, train.n_items)
        with seeded(rng):
            return cls(config, graph, train.n_users, train.n_items)

    def _pass(self, *, noisy: bool) -> Float[Tensor, "nodes width"]:
        layer = torch.cat([self.users.weight, self.items.weight])
        total = layer if self.config.identity_layer else torch.zeros_like(layer)
        for _ in range(self.config.layers):
            layer = self.graph.propagate(layer)
            if noisy:
                layer = perturbed(layer, self.config.noise)
            total = total + layer
        return total / (self.config.layers + self.config.identity_layer)

    def loss_terms(self, batch: Batch) -> Step:
        config = self.config
        rows = Distinct.of(batch)
        nodes = rows.nodes(self.users.num_embeddings)
        users, items = rows.apart(self._pass(noisy=False).index_select(0, nodes))
        one, other = (rows.apart(self._pass(noisy=True).index_select(0, nodes)) for _ in range(2))
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
        final = self._pass(noisy=False)
        n_users = self.users.num_embeddings
        return frozen_dot(final[:n_users], final[n_users:])
