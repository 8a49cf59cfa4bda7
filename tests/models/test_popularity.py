"""The same list for everybody."""

import numpy as np
import torch

import worlds
from alnico.contracts import TrainingData
from alnico.models.popularity import Popularity


def test_items_are_ranked_by_the_number_of_their_users():
    train = worlds.interactions([(0, 2), (1, 2), (2, 2), (0, 1), (1, 3), (2, 3)], 4, 5)
    model = Popularity.build(
        Popularity.Config(), TrainingData(train, worlds.features(5)), np.random.default_rng(0)
    )
    scorer = model.scorer()
    assert scorer.scores(torch.tensor([3])).tolist() == [[0, 1, 3, 2, 0]]
    ranking = scorer.top(np.array([0, 3]), worlds.seen_of(train), 3)
    # User 0 has seen items 1 and 2; items 0 and 4 tie.
    assert ranking.items.tolist() == [[3, 0, 4], [2, 3, 1]]
