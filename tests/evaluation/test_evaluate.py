import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alnico.data.split import Targets
from alnico.errors import ConfigError, DataError
from alnico.evaluation import evaluate as module
from alnico.evaluation.evaluate import Scores, evaluate, hits_of
from alnico.ranking import Ranking


def ranking_of(lists):
    """A ranking from user -> list of items, in the order of the mapping."""
    items = np.array(list(lists.values()), dtype=np.int64)
    return Ranking(np.array(list(lists)), items, np.zeros(items.shape, np.float32))


def targets_of(held_out):
    """Targets from user -> held-out items."""
    pairs = [(user, item) for user, items in held_out.items() for item in items]
    return Targets.of(np.array([u for u, _ in pairs], np.int64), np.array([i for _, i in pairs], np.int64))


@st.composite
def lists_and_targets(draw):
    """Lists of 5 of 8 items for users 0 to n - 1, some cut short, and held-out items of some users."""
    n_users = draw(st.integers(1, 6))
    lists, held_out = {}, {}
    for user in range(n_users):
        length = draw(st.integers(0, 5))
        lists[user] = draw(st.permutations(range(8)))[:length] + [-1] * (5 - length)
        chosen = draw(st.sets(st.integers(0, 7), max_size=4))
        if chosen:
            held_out[user] = chosen
    order = draw(st.permutations(range(n_users)))
    return {user: lists[user] for user in order}, held_out


def test_hits_follow_the_users_of_the_targets_whatever_the_order_of_the_ranking():
    ranking = ranking_of({7: [3, 1, 2], 4: [0, 1, 9], 2: [5, 6, 0]})
    targets = targets_of({2: [0, 5], 7: [1]})
    # User 2: items 5 and 0 stand at ranks 1 and 3. User 7: item 1 stands at rank 2. User 4 has no targets.
    assert hits_of(ranking, targets).tolist() == [[True, False, True], [False, True, False]]


def test_empty_places_never_hit():
    ranking = ranking_of({0: [4, -1, -1], 1: [-1, -1, -1]})
    assert hits_of(ranking, targets_of({0: [3], 1: [0]})).tolist() == [[False] * 3, [False] * 3]


@given(world=lists_and_targets())
def test_hits_agree_with_looking_up_each_place(world):
    lists, held_out = world
    expected = [[item in held_out[user] for item in lists[user]] for user in sorted(held_out)]
    assert hits_of(ranking_of(lists), targets_of(held_out)).tolist() == expected


def test_hits_do_not_depend_on_the_block_size(monkeypatch):
    random = np.random.default_rng(1)
    ranking = ranking_of({user: random.permutation(12)[:6] for user in range(9)})
    targets = targets_of({user: random.permutation(12)[: 1 + user % 4] for user in range(9)})
    whole = hits_of(ranking, targets)
    monkeypatch.setattr(module, "_PAIRS_PER_BLOCK", 4)
    assert (hits_of(ranking, targets) == whole).all()
    assert whole.any()


def test_values_stand_in_the_order_of_the_targets_in_full_precision():
    ranking = ranking_of({1: [2, 0, 4], 0: [5, 3, 1]})
    scores = evaluate(ranking, targets_of({0: [1, 3, 4], 1: [2]}), ["recall@3", "recall@1", "ndcg@3"])
    assert scores.users.tolist() == [0, 1]
    # User 0: items 3 and 1 at ranks 2 and 3 of 3 held out. User 1: item 2 at rank 1.
    assert scores.values["recall@3"].tolist() == [2 / 3, 1.0]
    assert scores.values["recall@1"].tolist() == [0.0, 1.0]
    # DCG = 1/log2(3) + 1/log2(4) = 1.1309297535714573; ideal = that + 1.
    assert scores.values["ndcg@3"] == pytest.approx([1.1309297535714573 / 2.1309297535714573, 1.0])
    assert scores.mean("recall@3") == pytest.approx(5 / 6, abs=1e-15)
    assert list(scores.means()) == ["recall@3", "recall@1", "ndcg@3"]


@given(world=lists_and_targets())
def test_scores_do_not_depend_on_the_order_of_the_ranking(world):
    lists, held_out = world
    names = ["recall@5", "ndcg@3", "average_precision@5"]
    given_order = evaluate(ranking_of(lists), targets_of(held_out), names)
    sorted_order = evaluate(ranking_of(dict(sorted(lists.items()))), targets_of(held_out), names)
    for name in names:
        assert given_order.values[name].tolist() == sorted_order.values[name].tolist()


def test_a_user_who_is_not_ranked_is_named():
    with pytest.raises(DataError, match="lacks 2 of the 3 users with held-out items, first user number 5"):
        evaluate(ranking_of({1: [0]}), targets_of({1: [0], 5: [1], 6: [2]}), ["recall@1"])


def test_a_user_ranked_twice_is_refused():
    ranking = Ranking(np.array([3, 1, 3]), np.array([[0], [1], [2]]), np.zeros((3, 1), np.float32))
    with pytest.raises(DataError, match="holds user number 3 twice"):
        evaluate(ranking, targets_of({1: [0]}), ["recall@1"])


def test_a_cutoff_beyond_the_lists_is_refused():
    with pytest.raises(ConfigError, match=r"first 3 ranks but the lists hold 2 items; rank at least 3 items"):
        evaluate(ranking_of({0: [1, 2], 1: [2, -1]}), targets_of({0: [1]}), ["recall@1", "ndcg@3"])


def test_a_cutoff_beyond_lists_that_ran_out_of_items_counts_the_rest_as_misses():
    ranking = ranking_of({0: [1, 2, -1]})
    scores = evaluate(ranking, targets_of({0: [2]}), ["precision@5", "recall@5"])
    # One hit in 5 places; the only held-out item is found.
    assert scores.means() == pytest.approx({"precision@5": 0.2, "recall@5": 1.0})


def test_an_item_listed_twice_is_refused():
    with pytest.raises(DataError, match="row 0 has 2 hits for 1 held-out items"):
        evaluate(ranking_of({0: [1, 1]}), targets_of({0: [1]}), ["recall@2"])


def test_no_targets_give_no_users_and_undefined_means():
    scores = evaluate(ranking_of({0: [1, 2]}), targets_of({}), ["recall@2"])
    assert len(scores) == 0
    assert math.isnan(scores.mean("recall@2"))


def test_a_metric_that_was_not_computed_is_named_with_a_hint():
    scores = Scores(np.array([0]), {"recall@20": np.array([1.0])})
    with pytest.raises(ConfigError, match=r"'recall@10' was not computed here; did you mean 'recall@20'\?"):
        scores.mean("recall@10")


def test_scores_are_copies_that_nobody_can_change():
    column = np.array([0.5, 1.0])
    scores = Scores(np.array([0, 1]), {"recall@1": column})
    column[0] = 0.0
    assert scores.mean("recall@1") == 0.75
    with pytest.raises(ValueError, match="read-only"):
        scores.values["recall@1"][0] = 0.0


def test_a_column_of_another_length_or_a_value_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="'recall@1' has 1 values for 2 users"):
        Scores(np.array([0, 1]), {"recall@1": np.array([0.5])})
    with pytest.raises(DataError, match="metric 'recall@1' of user number 8 is not a finite number"):
        Scores(np.array([3, 8]), {"recall@1": np.array([0.5, np.nan])})


@pytest.mark.slow
def test_ten_metrics_of_twenty_thousand_users_take_less_than_a_third_of_a_second():
    random = np.random.default_rng(2)
    n_users, k = 20_000, 50
    # Every 35th of 7,000 items, 50 of them in random order.
    items = 35 * random.random((n_users, 200)).argsort(axis=1)[:, :k]
    ranking = Ranking(np.arange(n_users), items, np.zeros(items.shape, np.float32))
    pairs = np.unique(random.integers(n_users * 7_000, size=40_000))
    targets = Targets.of(pairs // 7_000, pairs % 7_000)
    names = ["recall", "ndcg", "precision", "average_precision", "reciprocal_rank"]
    start = time.perf_counter()
    evaluate(ranking, targets, [f"{name}@{cutoff}" for name in names for cutoff in (20, 50)])
    assert time.perf_counter() - start < 0.3
