"""The floor under every comparison: the same list for everybody."""

from typing import Self

import numpy as np
import torch

from alnico.contracts import ModelConfig, Recommender, TrainingData
from alnico.model_card import ModelCard
from alnico.scorers import PopularityScorer


class PopularityConfig(ModelConfig):
    """Popularity has nothing to set."""


class Popularity(Recommender):
    """Items by the number of users who took them in training."""

    Config = PopularityConfig
    card = ModelCard("Popularity", "counts of training interactions", None, reproduction="own")

    def __init__(self, counts: torch.Tensor, n_users: int) -> None:
        self.counts = counts
        self.n_users = n_users

    @classmethod
    def build(cls, config: PopularityConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        del config, rng
        counts = torch.from_numpy(data.interactions.item_degrees.astype(np.float32))
        return cls(counts, data.interactions.n_users)

    def scorer(self) -> PopularityScorer:
        return PopularityScorer(self.counts.clone(), self.n_users)
