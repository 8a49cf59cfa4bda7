"""Matrix factorisation trained on pairs."""

from typing import Self

import numpy as np
from pydantic import NonNegativeFloat, PositiveInt

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.model_card import ModelCard
from alnico.nn.losses import bpr, unsquared_l2
from alnico.nn.propagation import xavier_table
from alnico.nn.seeding import seeded
from alnico.scorers import DotScorer, frozen_dot


class BprMfConfig(ModelConfig):
    """Settings of BPR-MF."""

    width: PositiveInt = 64
    """Length d of the embeddings."""
    l2: NonNegativeFloat = 0.1
    """Weight of the unsquared norm of the batch's embeddings."""


class BprMf(TrainableRecommender):
    """score(u, i) = <P_u, Q_i>, trained so that taken items score above others.

    Source: Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009. The regulariser
    is the unsquared norm on which the published multimodal tables rest.
    """

    Config = BprMfConfig
    card = ModelCard("BPR-MF", "BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009", 2009)

    def __init__(self, config: BprMfConfig, n_users: int, n_items: int) -> None:
        super().__init__()
        self.config = config
        self.users = xavier_table(n_users, config.width, "normal")
        self.items = xavier_table(n_items, config.width, "normal")

    @classmethod
    def build(cls, config: BprMfConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        with seeded(rng):
            return cls(config, data.interactions.n_users, data.interactions.n_items)

    def loss_terms(self, batch: Batch) -> Step:
        users, positives = self.users(batch.users), self.items(batch.positives)
        negatives = self.items(batch.negatives)
        ranking = bpr((users * positives).sum(1), (users * negatives).sum(1), batch.weights)
        return Step({"bpr": ranking, "l2": self.config.l2 * unsquared_l2(users, positives, negatives)})

    def scorer(self) -> DotScorer:
        return frozen_dot(self.users.weight, self.items.weight)
