"""The finished forms of the simple models."""

import numpy as np
import pytest
import torch

import worlds
from alnico.contracts import Likeness
from alnico.errors import UnsupportedError
from alnico.models.item_knn import ItemKnn
from alnico.ranking import Seen
from alnico.scorers import DotScorer, NeighbourScorer, PopularityScorer, frozen_dot, resembled

CPU = torch.device("cpu")
N_USERS, N_ITEMS = 7, 9


def dot():
    """Random tables with whole numbers, so that scores are exact and tie often."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return torch.from_numpy(rng.integers(-2, 3, shape).astype(np.float32))

    return DotScorer(draw(N_USERS, 3), draw(N_ITEMS, 3), draw(N_ITEMS))


def popular():
    """Counts with ties."""
    return PopularityScorer(torch.tensor([3.0, 1, 3, 0, 2, 2, 3, 0, 1]), N_USERS)


def neighbours():
    """Random lists; user 0 has no history."""
    rng = np.random.default_rng(1)
    rows = []
    for item in range(N_ITEMS):
        others = rng.choice(np.delete(np.arange(N_ITEMS), item), 3, replace=False)
        rows.append([(int(other), weight) for other, weight in zip(others, (1.0, 0.5, 0.25), strict=True)])
    lists = worlds.neighbour_lists([*rows[:-1], rows[-1][:1]], 3)
    pairs = [(user, int(i)) for user in range(1, N_USERS) for i in rng.choice(N_ITEMS, 3, replace=False)]
    train = worlds.interactions(pairs, N_USERS, N_ITEMS)
    return NeighbourScorer(lists, train.offsets, train.items)


EVERY = pytest.mark.parametrize("make", [dot, popular, neighbours])


def everyone(scorer):
    """Scores of all users."""
    return scorer.scores(torch.arange(scorer.n_users))


@EVERY
def test_pairs_are_scored_as_in_the_whole_table(make):
    scorer = make()
    users = torch.tensor([3, 0, 3, 6, 3])
    items = torch.tensor([8, 0, 1, 4, 8])
    torch.testing.assert_close(scorer.score_pairs(users, items), everyone(scorer)[users, items])


@EVERY
@pytest.mark.parametrize("block", [1, 3, 1024])
def test_lists_are_the_sorted_scores_without_what_was_seen(make, block):
    scorer = make()
    table = everyone(scorer).numpy()
    lists = [[0, 5], [], [1, 2, 3], [], list(range(N_ITEMS)), [8], [0]]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    seen = Seen(offsets, np.array([item for row in lists for item in row], dtype=np.int64))
    users = np.array([6, 2, 4, 0, 5], dtype=np.int64)
    ranking = scorer.top(users, seen, 4, block=block)
    assert ranking.users.tolist() == users.tolist()
    for row, user in enumerate(users.tolist()):
        free = [item for item in range(N_ITEMS) if item not in lists[user]]
        best = sorted(free, key=lambda item: (-table[user, item], item))[:4]
        assert ranking.items[row].tolist() == best + [-1] * (4 - len(best))
        assert ranking.scores[row, : len(best)].tolist() == table[user, best].tolist()


@pytest.mark.parametrize(("n_bytes", "blocks"), [(2 * 4 * N_ITEMS, [2, 2, 1]), (1, [1] * 5), (2**20, [5])])
def test_tables_of_scores_are_no_larger_than_allowed(monkeypatch, n_bytes, blocks):
    asked = []

    class Watched(DotScorer):
        def scores(self, users):
            asked.append(len(users))
            return super().scores(users)

    monkeypatch.setattr("alnico.contracts.SCORED_BYTES", n_bytes)
    scorer = Watched(torch.ones(N_USERS, 2), torch.ones(N_ITEMS, 2))
    scorer.top(np.arange(5), Seen.nothing(N_USERS), 3)
    assert asked == blocks


@EVERY
def test_state_gives_the_same_bits_back(make):
    scorer = make()
    again = type(scorer).from_state(scorer.state())
    assert torch.equal(everyone(again), everyone(scorer))
    assert again.state().kind == scorer.kind
    assert (again.n_users, again.n_items) == (N_USERS, N_ITEMS)


@EVERY
def test_moving_to_the_cpu_changes_nothing(make):
    scorer = make()
    moved = scorer.to(CPU)
    assert moved.device == CPU
    assert torch.equal(everyone(moved), everyone(scorer))


@EVERY
def test_no_users_is_a_question_too(make):
    ranking = make().top(np.zeros(0, np.int64), Seen.nothing(N_USERS), 3)
    assert ranking.items.shape == (0, 3)


def test_dot_scores_by_hand():
    scorer = DotScorer(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([0.5, -1])
    )
    # 1 * 3 + 2 * 0 + 0.5 and 1 + 2 - 1.
    assert everyone(scorer).tolist() == [[3.5, 2.0]]


def test_dot_without_bias_has_none():
    scorer = DotScorer(torch.tensor([[1.0]]), torch.tensor([[2.0], [3.0]]))
    assert everyone(scorer).tolist() == [[2, 3]]


def test_new_users_of_a_dot_stand_at_the_mean_of_their_items_at_the_usual_length():
    # Known users have lengths 5 and 1: typical 3.
    scorer = DotScorer(
        torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
    )
    new = scorer.fold_in([np.array([0, 1]), np.array([], dtype=np.int64), np.array([1])])
    direction = 3 / np.sqrt(2)
    np.testing.assert_allclose(new.users.numpy(), [[direction, direction], [0, 0], [0, 3]], rtol=1e-6)
    assert (new.n_users, new.n_items) == (3, 3)


def test_a_dot_cannot_rank_items_that_nobody_took():
    with pytest.raises(UnsupportedError, match="DotScorer knows items only by who took them"):
        dot().with_items(worlds.features(1))


def test_a_frozen_dot_does_not_move_with_its_tables():
    users, items = torch.ones(2, 2, requires_grad=True), torch.ones(3, 2, requires_grad=True)
    scorer = frozen_dot(users, items, torch.ones(3, requires_grad=True))
    with torch.no_grad():
        users += 1
    assert everyone(scorer).tolist() == [[3, 3, 3]] * 2
    assert not everyone(scorer).requires_grad


def test_popularity_gives_everybody_the_same():
    assert everyone(popular()).tolist() == [[3, 1, 3, 0, 2, 2, 3, 0, 1]] * N_USERS


def test_new_items_are_as_popular_as_those_nobody_took():
    more = popular().with_items(worlds.features(2))
    assert everyone(more)[0].tolist() == [3, 1, 3, 0, 2, 2, 3, 0, 1, 0, 0]


def test_popularity_serves_any_number_of_new_users():
    new = popular().fold_in([np.array([1])] * 3)
    assert new.n_users == 3


def test_neighbour_scores_by_hand():
    lists = worlds.neighbour_lists([[(1, 0.5), (2, 0.25)], [(2, 1.0)], []], 2)
    scorer = NeighbourScorer(lists, np.array([0, 2, 2]), np.array([0, 1]))
    # User 0 has items 0 and 1: item 1 gets 0.5, item 2 gets 0.25 + 1. User 1 has nothing.
    assert everyone(scorer).tolist() == [[0, 0.5, 1.25], [0, 0, 0]]


def test_folding_in_a_known_history_gives_that_users_scores():
    world = worlds.scattered()
    train = world.split.train
    model = ItemKnn.build(ItemKnn.Config(neighbours=4), world.data, np.random.default_rng(0))
    scorer = model.scorer()
    new = scorer.fold_in([train.of_user(5), np.zeros(0, np.int64), train.of_user(0)])
    assert torch.equal(
        everyone(new), torch.stack([everyone(scorer)[5], torch.zeros(15), everyone(scorer)[0]])
    )


def test_neighbour_lists_cannot_rank_items_that_nobody_took():
    with pytest.raises(UnsupportedError, match="cannot rank items that nobody has"):
        neighbours().with_items(worlds.features(1))


def test_new_items_of_a_dot_point_as_those_they_resemble():
    scorer = DotScorer(
        torch.tensor([[1.0, 0.0]]),
        torch.tensor([[3.0, 0.0], [0.0, 1.0], [5.0, 5.0]]),
        torch.tensor([0.1, 0.3, -1.0]),
    )
    near = Likeness(np.array([[0, 1], [2, 0]]), np.array([[3, 1], [0, 0]], np.float32))
    more = scorer.with_items_like(near)
    # Three quarters of [3, 0] and a quarter of [0, 1]; the mean length is 3/4 * 3 + 1/4 * 1 = 2.5.
    direction = torch.tensor([2.25, 0.25]) / torch.tensor([2.25, 0.25]).norm()
    torch.testing.assert_close(more.items[3], 2.5 * direction)
    assert more.bias[3].item() == pytest.approx(0.75 * 0.1 + 0.25 * 0.3)
    # Like nothing: no direction, and the lowest bias that any item has.
    assert more.items[4].tolist() == [0, 0]
    assert more.bias[4].item() == -1.0
    assert torch.equal(more.items[:3], scorer.items)


def test_new_items_of_neighbour_lists_stand_where_those_stand_that_they_resemble():
    lists = worlds.neighbour_lists([[(1, 0.5), (2, 0.25)], [(2, 1.0)], []], 2)
    scorer = NeighbourScorer(lists, np.array([0, 1, 2, 3]), np.array([0, 1, 2]))
    more = scorer.with_items_like(Likeness(np.array([[1, 2]]), np.array([[0.3, 0.1]], np.float32)))
    # Item 0 lists item 1 with .5 and item 2 with .25: the new one is three quarters the one, a quarter the other.
    assert everyone(more)[:, 3].tolist() == pytest.approx([0.75 * 0.5 + 0.25 * 0.25, 0.25 * 1.0, 0])
    assert torch.equal(everyone(more)[:, :3], everyone(scorer))
    # Who has the new one is led where its likes lead: item 1 lists item 2 with 1, item 2 nothing.
    own = more.fold_in([np.array([3])])
    assert everyone(own)[0].tolist() == pytest.approx([0, 0, 0.75, 0])


def test_the_most_alike_are_found_by_all_that_a_new_item_has():
    known = worlds.features(
        3, image=worlds.modality(np.eye(3)), text=worlds.modality(np.eye(3)[:, ::-1], absent=[2])
    )
    new = worlds.features(
        2,
        image=worlds.modality([[0.8, 0.6, 0], [0, 0, 0]], absent=[1]),
        text=worlds.modality([[0, 1, 0], [0, -1, 0]]),
    )
    near = resembled(known, new, np.array([0, 1, 2]), 2)
    # Image: .8 and .6; text: 1 with item 1. The mean over both: .4 for item 0, .8 for item 1.
    assert near.items[0].tolist() == [1, 0]
    assert near.weights[0].tolist() == pytest.approx([0.8, 0.4])
    assert near.weights[1].tolist() == [0, 0]
    assert resembled(known, new, np.array([2, 0]), 5).items[0].tolist() == [0, 2]
