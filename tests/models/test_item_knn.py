"""Nearest neighbours by co-purchase and by content, by hand and against scikit-learn."""

import logging
import math

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

import worlds
from alnico.contracts import TrainingData
from alnico.data.neighbours import rank_within
from alnico.errors import DataError
from alnico.models.item_knn import ItemKnn


def scores_of(data, **settings):
    """Scores of all users."""
    model = ItemKnn.build(ItemKnn.Config(**settings), data, np.random.default_rng(0))
    return model.scorer().scores(torch.arange(data.interactions.n_users)).numpy()


def by_hand():
    """Item 0 is taken by users 0, 1, 2; item 1 by 0, 1; item 2 by 2; item 3 by nobody."""
    train = worlds.interactions([(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 2)], 4, 4)
    return TrainingData(train, worlds.features(4))


def test_scores_by_behaviour_by_hand():
    scores = scores_of(by_hand())
    # cos(0, 1) = 2 / sqrt(3 * 2), cos(0, 2) = 1 / sqrt(3), cos(1, 2) = 0; an item is not its own neighbour.
    zero_one, zero_two = 2 / math.sqrt(6), 1 / math.sqrt(3)
    expected = [
        [zero_one, zero_one, zero_two, 0],
        [zero_one, zero_one, zero_two, 0],
        [zero_two, zero_one, zero_two, 0],
        [0, 0, 0, 0],
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_shrinkage_by_hand():
    scores = scores_of(by_hand(), shrinkage=2.0)
    # User 2 has items 0 and 2: item 1 gets cos(0, 1), shrunk.
    assert scores[2, 1] == pytest.approx(2 / (math.sqrt(6) + 2))


def test_scores_by_behaviour_agree_with_scikit_learn():
    world = worlds.scattered(seed=2, n_users=30)
    train = world.split.train
    taken = np.zeros((30, 15))
    taken[train.users, train.items] = 1
    similar = cosine_similarity(taken.T)
    np.fill_diagonal(similar, 0)
    np.testing.assert_allclose(scores_of(world.data), taken @ similar, atol=1e-5)


def test_only_the_nearest_are_kept():
    world = worlds.scattered(seed=2, n_users=30)
    train = world.split.train
    taken = np.zeros((30, 15))
    taken[train.users, train.items] = 1
    similar = cosine_similarity(taken.T)
    np.fill_diagonal(similar, 0)
    for row in similar:
        # Ties go to the smaller number.
        order = sorted(range(15), key=lambda item, row=row: (-round(row[item], 9), item))
        row[order[3:]] = 0
    np.testing.assert_allclose(scores_of(world.data, neighbours=3), taken @ similar, atol=1e-5)


def test_scores_by_content_by_hand():
    # Image cosines: (0, 1) 1, (0, 2) 0, (1, 2) 0. Text: (0, 2) .8, all others with item 1 absent.
    features = worlds.features(
        3,
        image=worlds.modality([[1, 0], [2, 0], [0, 1]]),
        text=worlds.modality([[1, 0], [0, 0], [4, 3]], absent=[1]),
    )
    data = TrainingData(worlds.interactions([(0, 0)], 1, 3), features)
    # The mean over both modalities.
    np.testing.assert_allclose(scores_of(data, source="content"), [[0, 0.5, 0.4]], atol=1e-6)
    np.testing.assert_allclose(
        scores_of(data, source="content", modalities=("text",)), [[0, 0, 0.8]], atol=1e-6
    )


def test_negative_cosines_say_nothing():
    features = worlds.features(2, image=worlds.modality([[1, 0], [-1, 0]]))
    data = TrainingData(worlds.interactions([(0, 0)], 1, 2), features)
    assert scores_of(data, source="content").tolist() == [[0, 0]]


def test_given_item_graphs_replace_computed_neighbours():
    features = worlds.features(3, image=worlds.modality([[1, 0], [1, 0], [0, 1]]))
    given = {"image": worlds.neighbour_lists([[(2, 0.25)], [], []], 1)}
    data = TrainingData(worlds.interactions([(0, 0)], 1, 3), features, given)
    assert scores_of(data, source="content").tolist() == [[0, 0, 0.25]]


def test_an_approximate_search_is_passed_on(caplog):
    pytest.importorskip("faiss")
    data = worlds.checkerboard(12).data
    with caplog.at_level(logging.INFO, logger="alnico"):
        near = scores_of(data, source="content", neighbour_search="approximate")
    assert caplog.text.count("searched approximately") == 2
    np.testing.assert_allclose(near, scores_of(data, source="content"), atol=1e-5)


def test_content_is_needed_for_content():
    with pytest.raises(DataError, match="item_knn on content needs at least one modality"):
        scores_of(by_hand(), source="content")


def test_a_modality_that_is_not_there_is_named():
    with pytest.raises(DataError, match="there is no modality 'sound'"):
        scores_of(worlds.checkerboard(12).data, source="content", modalities=("sound",))


def test_content_that_misleads_misleads_and_behaviour_does_not():
    world = worlds.misleading_image()

    def hits(**settings):
        model = ItemKnn.build(ItemKnn.Config(**settings), world.data, np.random.default_rng(0))
        return world.hits(model.scorer().top(world.asked, world.seen, 1).items)

    assert hits(source="behaviour") == 40
    assert hits(source="content", modalities=("text",), neighbours=19) >= 36
    assert hits(source="content", modalities=("image",), neighbours=19) <= 12


def test_rank_within_by_hand():
    assert rank_within(np.array([5, 5, 7, 7, 7, 5])).tolist() == [0, 1, 0, 1, 2, 0]
    assert rank_within(np.zeros(0, np.int64)).tolist() == []
