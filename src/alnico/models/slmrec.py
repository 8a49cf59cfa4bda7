"""A LightGCN per modality, joined by a softmax over the batch and by contrasts between modalities."""

from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.features import ItemFeatures
from alnico.graphs.graph import Graph, symmetric_graph
from alnico.model_card import ModelCard
from alnico.nn.features import FeatureTable, content_of
from alnico.nn.losses import info_nce
from alnico.nn.propagation import light_propagate, light_propagate_rows, xavier_linear, xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot


class SlmRecConfig(ModelConfig):
    """Settings of SLMRec. Defaults are those of public runs on Baby; the plan's weight_decay is 1e-4 there."""

    width: PositiveInt = 64
    """Length d of the embeddings."""
    layers: PositiveInt = 3
    """Hops over the user-item graph."""
    temperature: PositiveFloat = 0.2
    """Temperature of the softmax over the batch, fixed in the source."""
    contrast: NonNegativeFloat = 0.01
    """Weight alpha of the contrasts; .01 on Baby and Sports, .05 on Clothing, grid .01, .05, .1, .5, 1."""
    contrast_temperature: PositiveFloat = 0.2
    """Temperature tau of the contrasts; .2 on Baby and Sports, 1 on Clothing, grid .1, .2, .5, 1."""
    coarse_width: PositiveInt = 32
    """Length of the vectors that are compared in the coarse space."""
    features_trainable: bool = False
    """Whether the raw vectors are trained too; the source leaves them as they are."""


class SlmRec(TrainableRecommender):
    """score(u, i) = <L_u [u_0 ; u_1 ; ..], L_i [i_0 ; i_1 ; ..]>: linear maps of what each LightGCN says.

    LightGCN 0 starts from the identities [P ; Q], the one of modality m from [P ; W_m x_m + b_m] with the rows of x_m
    of length one; all share P. Loss: softmax over the batch's positives of cos(user, item) / temperature, + contrast *
    sum over modalities of another such softmax over the positives, of plain products between two linear maps: in the
    fine space g1(i_0) and g2(i_1), in the coarse space g5(g3(g1(i_0))) and g6(i_2). An item that is the positive of
    several pairs stands there several times. Negatives are not read.

    Source: Tao et al., Self-supervised Learning for Multimedia Recommendation, IEEE Transactions on Multimedia 2022,
    the task of fine and coarse spaces (FAC), in the form of the public code on which the published tables rest: image
    and text, fixed raw vectors. There the sigmoid of the product ranks, which orders alike, and tables left over from
    the last batch; here they are those after it. Any number of modalities from one on, in the order of the data: the
    first (image) is compared in the fine space, each further one (text) in the one coarse space by a g6 of its own;
    with one modality there is no coarse space.
    """

    Config = SlmRecConfig
    card = ModelCard(
        "SLMRec",
        "Self-supervised Learning for Multimedia Recommendation, IEEE TMM 2022",
        2022,
        ("content",),
    )

    def __init__(self, config: SlmRecConfig, graph: Graph, n_users: int, content: ItemFeatures) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.graph = graph
        self.names = content.names
        self.users = xavier_table(n_users, width)
        self.items = xavier_table(content.n_items, width)
        self.features = nn.ModuleList(
            FeatureTable(modality, trainable=config.features_trainable, unit=True)
            for modality in content.values()
        )
        self.projections = nn.ModuleList(
            xavier_linear(modality.width, width) for modality in content.values()
        )
        self.join_users = nn.Linear((1 + len(content)) * width, width)
        self.join_items = nn.Linear((1 + len(content)) * width, width)
        if config.contrast:
            self.fine_identity, self.fine_content = nn.Linear(width, width), nn.Linear(width, width)
            if len(content) > 1:
                self.coarse_identity = nn.Sequential(
                    nn.Linear(width, width), nn.Linear(width, config.coarse_width)
                )
                self.coarse_content = nn.ModuleList(
                    nn.Linear(width, config.coarse_width) for _ in self.names[1:]
                )

    @classmethod
    def build(cls, config: SlmRecConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "slmrec")
        train = data.interactions
        graph = symmetric_graph(train.users, train.items, train.n_users, train.n_items)
        with seeded(rng):
            return cls(config, graph, train.n_users, content)

    def _table(self) -> Float[Tensor, "nodes wide"]:
        """What all LightGCNs start from, beside each other, so that one propagation does for all."""
        told = [project(table()) for project, table in zip(self.projections, self.features, strict=True)]
        users = self.users.weight.repeat(1, 1 + len(told))
        return torch.cat([users, torch.cat([self.items.weight, *told], 1)])

    def loss_terms(self, batch: Batch) -> Step:
        config, rows = self.config, Distinct.of(batch, negatives=False)
        nodes = rows.nodes(self.users.num_embeddings)
        final = light_propagate_rows([self.graph] * config.layers, self._table(), nodes)[0]
        users, items = rows.apart(final)
        ranking = info_nce(
            self.join_users(users),
            self.join_items(items),
            config.temperature,
            pairs=(rows.user_place, rows.item_place),
            weights=batch.weights,
        )
        if not config.contrast:
            return Step({"softmax": ranking})
        both = rows.item_place, rows.item_place
        contrasts = [
            info_nce(one, other, config.contrast_temperature, cosine=False, pairs=both)
            for one, other in self._faces(items)
        ]
        terms = {
            f"contrast/{name}": config.contrast * contrast
            for name, contrast in zip(self.names, contrasts, strict=True)
        }
        return Step({"softmax": ranking, **terms})

    def _faces(self, items: Float[Tensor, "items wide"]) -> list[tuple[Tensor, Tensor]]:
        """For each modality the identities' and its own vectors in the space in which they are compared."""
        identity, first, *further = torch.split(items, self.config.width, 1)
        fine = self.fine_identity(identity)
        faces = [(fine, self.fine_content(first))]
        if further:
            coarse = self.coarse_identity(fine)
            faces += [
                (coarse, see(content)) for see, content in zip(self.coarse_content, further, strict=True)
            ]
        return faces

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        final = light_propagate([self.graph] * self.config.layers, self._table())
        n_users = self.users.num_embeddings
        return frozen_dot(self.join_users(final[:n_users]), self.join_items(final[n_users:]))
