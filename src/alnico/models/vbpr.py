"""Matrix factorisation whose items have a part that is read from their content."""

from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.features import ItemFeatures
from alnico.model_card import ModelCard
from alnico.nn.features import FeatureTable, content_of
from alnico.nn.losses import bpr, unsquared_l2
from alnico.nn.propagation import xavier_linear, xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot


class VbprConfig(ModelConfig):
    """Settings of VBPR. Defaults are those of the public code on which the published tables rest."""

    width: PositiveInt = 64
    """Length of an item's factors gamma_i and of its projected content theta_i; users' vectors have both."""
    l2: NonNegativeFloat = 1.0
    """Weight of the unsquared norm of the batch's vectors; 1 on Baby and Sports, .1 on Clothing, grid 2 to 1e-5."""
    features_trainable: bool = False
    """Whether the raw vectors are trained too; the source leaves them as they are."""


class Vbpr(TrainableRecommender):
    """score(u, i) = <P_u, [Q_i ; W x_i + b]>, x_i all modalities' vectors of the item one after another.

    Loss: BPR + l2 * unsquared norm of the batch's user, positive and negative vectors.

    Source: He and McAuley, VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback, AAAI 2016, Eqs. (2) and
    (3), in the form of the public code on which the published tables rest: no biases of users, items and looks, one
    matrix for images and texts together, hence for any number of modalities from one on.
    """

    Config = VbprConfig
    card = ModelCard(
        "VBPR",
        "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback, AAAI 2016",
        2016,
        ("content",),
        remark="as in the published multimodal tables: reads all modalities, has no biases",
    )

    def __init__(self, config: VbprConfig, n_users: int, content: ItemFeatures) -> None:
        super().__init__()
        self.config = config
        self.users = xavier_table(n_users, 2 * config.width)
        self.items = xavier_table(content.n_items, config.width)
        self.features = nn.ModuleList(
            FeatureTable(modality, trainable=config.features_trainable) for modality in content.values()
        )
        self.widths = [modality.width for modality in content.values()]
        self.projection = xavier_linear(sum(self.widths), config.width, "normal", zero_bias=True)

    @classmethod
    def build(cls, config: VbprConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "vbpr")
        with seeded(rng):
            return cls(config, data.interactions.n_users, content)

    def _items(self, rows: Int[Tensor, " rows"] | None = None) -> Float[Tensor, "rows vector"]:
        """The vectors of all items, or of these; modalities meet in the sum, not in one wide table."""
        own = self.items.weight if rows is None else self.items.weight.index_select(0, rows)
        told = self.projection.bias.expand_as(own)
        parts = torch.split(self.projection.weight, self.widths, 1)
        for table, part in zip(self.features, parts, strict=True):
            told = told + functional.linear(table(rows), part)
        return torch.cat([own, told], 1)

    def loss_terms(self, batch: Batch) -> Step:
        rows = Distinct.of(batch)
        known = self.users.weight.index_select(0, rows.users)
        users, positives, negatives = rows.spread(known, self._items(rows.items))
        ranking = bpr((users * positives).sum(1), (users * negatives).sum(1), batch.weights)
        return Step({"bpr": ranking, "l2": self.config.l2 * unsquared_l2(users, positives, negatives)})

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        return frozen_dot(self.users.weight, self._items())
