import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import ndcg_score

from alnico.errors import ConfigError, DataError
from alnico.evaluation.metrics import (
    METRICS,
    Metric,
    average_precision,
    hit_rate,
    ndcg,
    parse_metric,
    precision,
    recall,
    reciprocal_rank,
)


@st.composite
def hit_tables(draw):
    """Hits [users, k] with a number of held-out items that such hits allow."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 8)))
    hits = draw(arrays.arrays(np.bool_, shape))
    beyond = draw(arrays.arrays(np.int64, shape[0], elements=st.integers(0, 10)))
    return hits, np.maximum(hits.sum(axis=1) + beyond, 1)


def table(*rows):
    return np.array([[mark == "x" for mark in row] for row in rows])


def test_recall_divides_by_all_held_out_items_even_beyond_the_cutoff():
    # 2 of 4; 1 of 1; two places can hold only 2 of 5.
    assert recall(table("x.x"), np.array([4])) == pytest.approx([0.5])
    assert recall(table("..x"), np.array([1])) == pytest.approx([1.0])
    assert recall(table("xx"), np.array([5])) == pytest.approx([0.4])


def test_ndcg_of_one_hit_at_rank_two():
    # DCG = 1 / log2(3); ideal puts the single held-out item first: 1 / log2(2) = 1.
    assert ndcg(table(".x."), np.array([1])) == pytest.approx([0.6309297535714575])


def test_ndcg_of_two_hits_among_three_held_out_items():
    # DCG = 1 / log2(2) + 1 / log2(4) = 1.5; ideal = 1 + 1 / log2(3) + 1 / 2 = 2.1309297535714573.
    assert ndcg(table("x.x."), np.array([3])) == pytest.approx([1.5 / 2.1309297535714573])


def test_ndcg_is_one_for_a_full_list_of_a_user_with_more_held_out_items_than_places():
    # The ideal list has 2 places too, so it is not asked for the other 3 items.
    assert ndcg(table("xx"), np.array([5])) == pytest.approx([1.0])


def test_precision_counts_every_place_up_to_the_cutoff():
    # 2 hits in 5 places.
    assert precision(table("x..x."), np.array([2])) == pytest.approx([0.4])


def test_average_precision_takes_the_precision_at_each_hit():
    # Hits at ranks 1, 3, 4: (1/1 + 2/3 + 3/4) / min(5, 3) = 29/12 / 3.
    assert average_precision(table("x.xx."), np.array([3])) == pytest.approx([29 / 36])
    # One hit at rank 2 of 3 places, 6 held out: (1/2) / min(3, 6).
    assert average_precision(table(".x."), np.array([6])) == pytest.approx([1 / 6])


def test_reciprocal_rank_looks_at_the_first_hit_only():
    # First hits at rank 3, at rank 1, nowhere.
    hits = table("..xx", "x..x", "....")
    assert reciprocal_rank(hits, np.array([2, 2, 2])) == pytest.approx([1 / 3, 1.0, 0.0])


def test_hit_rate_is_one_for_any_hit():
    assert hit_rate(table("..xx", "...."), np.array([2, 2])) == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_of_no_users_is_an_empty_column(name):
    found = METRICS[name](np.zeros((0, 5), np.bool_), np.zeros(0, np.int64))
    assert found.shape == (0,)
    assert found.dtype == np.float64


@pytest.mark.parametrize("name", METRICS)
@given(world=hit_tables())
def test_every_metric_lies_between_zero_and_one(name, world):
    found = METRICS[name](*world)
    # The sum of gains over the same sum in another order may exceed 1 in the last bit.
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()


@pytest.mark.parametrize("name", METRICS)
@given(world=hit_tables(), data=st.data())
def test_permuting_users_permutes_rows(name, world, data):
    hits, n_targets = world
    order = np.array(data.draw(st.permutations(range(len(hits)))))
    assert METRICS[name](hits[order], n_targets[order]) == pytest.approx(
        METRICS[name](hits, n_targets)[order]
    )


@pytest.mark.parametrize("name", ["recall", "precision", "hit_rate"])
@given(world=hit_tables(), data=st.data())
def test_recall_precision_and_hit_rate_ignore_the_order_of_the_list(name, world, data):
    hits, n_targets = world
    order = np.array(data.draw(st.permutations(range(hits.shape[1]))))
    assert METRICS[name](hits[:, order], n_targets) == pytest.approx(METRICS[name](hits, n_targets))


@pytest.mark.parametrize("name", METRICS)
@given(world=hit_tables(), data=st.data())
def test_moving_hits_one_rank_up_lowers_no_metric(name, world, data):
    hits, n_targets = world
    rank = data.draw(st.integers(0, hits.shape[1] - 1))
    better = hits.copy()
    # Swap ranks `rank` and `rank - 1` where the lower place holds a hit and the upper one does not.
    rows = hits[:, rank] & ~hits[:, rank - 1] if rank else np.zeros(len(hits), np.bool_)
    better[rows, rank], better[rows, rank - 1] = False, True
    assert (METRICS[name](better, n_targets) >= METRICS[name](hits, n_targets) - 1e-12).all()


@pytest.mark.parametrize("name", ["recall", "ndcg", "average_precision"])
@pytest.mark.parametrize("n_targets", [0, 1])
def test_a_row_that_no_list_can_give_is_refused(name, n_targets):
    with pytest.raises(DataError, match=f"row 1 has 2 hits for {n_targets} held-out items"):
        METRICS[name](table("x..", "xx."), np.array([1, n_targets]))


def test_metrics_agree_with_ir_measures():
    random = np.random.default_rng(4)
    n_users, n_items, k = 30, 40, 10
    lists = np.argsort(random.random((n_users, n_items)), axis=1)
    # Between 1 and 15 held-out items: some users have more than the cut-off.
    relevant = random.random((n_users, n_items)).argsort(axis=1) < random.integers(1, 16, size=(n_users, 1))
    hits = np.take_along_axis(relevant, lists, axis=1)[:, :k]
    n_targets = relevant.sum(axis=1)
    judged = {str(u): {str(i): 1 for i in np.flatnonzero(relevant[u])} for u in range(n_users)}
    ranked = {str(u): {str(i): float(n_items - r) for r, i in enumerate(lists[u])} for u in range(n_users)}
    measures = {
        "ndcg": ir_measures.nDCG @ k,
        "recall": ir_measures.R @ k,
        "precision": ir_measures.P @ k,
        "reciprocal_rank": ir_measures.RR @ k,
        "average_precision": ir_measures.AP @ k,
        "hit_rate": ir_measures.Success @ k,
    }
    theirs = {name: np.zeros(n_users) for name in measures}
    for name, measure in measures.items():
        for found in ir_measures.iter_calc([measure], judged, ranked):
            theirs[name][int(found.query_id)] = found.value
    # They divide average precision by all held-out items, we by those that fit the list.
    theirs["average_precision"] *= n_targets / np.minimum(n_targets, k)

    for name, expected in theirs.items():
        assert METRICS[name](hits, n_targets) == pytest.approx(expected, abs=1e-12), name


def test_ndcg_agrees_with_scikit_learn():
    random = np.random.default_rng(5)
    relevant = random.random((20, 25)) < 0.3
    relevant[:, 0] = True
    scores = random.random((20, 25))
    hits = np.take_along_axis(relevant, np.argsort(-scores, axis=1), axis=1)
    expected = [
        ndcg_score(relevant[u : u + 1].astype(float), scores[u : u + 1], k=6) for u in range(len(relevant))
    ]
    assert ndcg(hits[:, :6], relevant.sum(axis=1)) == pytest.approx(expected, abs=1e-12)


def test_a_metric_name_is_read_and_written_alike():
    metric = parse_metric("ndcg@20")
    assert metric == Metric("ndcg", 20)
    assert str(metric) == "ndcg@20"


def test_a_metric_looks_at_its_first_ranks_only():
    # Among the first 2 ranks 1 of 2 held-out items, among all 4 both.
    hits, n_targets = table("x..x"), np.array([2])
    assert parse_metric("recall@2")(hits, n_targets) == pytest.approx([0.5])
    assert parse_metric("recall@4")(hits, n_targets) == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recal@20", r"no metric 'recal' \(in 'recal@20'\); did you mean 'recall'\?"),
        ("Recall@20", r"no metric 'Recall'.*did you mean 'recall'\?"),
        ("MAP@10", r"no metric 'MAP'.*did you mean 'average_precision'\?"),
        ("mrr@10", r"did you mean 'reciprocal_rank'\?"),
        ("speed@20", r"no metric 'speed'.*known: average_precision, hit_rate, ndcg, precision, rec"),
        ("recall", r"metric 'recall' lacks its cut-off; write for example 'recall@20'"),
        ("recall@", r"must be a whole number from 1 upward, found ''"),
        ("recall@0", r"must be a whole number from 1 upward, found '0'"),
        ("recall@-5", r"must be a whole number from 1 upward, found '-5'"),
        ("recall@2.5", r"must be a whole number from 1 upward, found '2.5'"),
        ("recall@20@5", r"must be a whole number from 1 upward, found '20@5'"),
    ],
)
def test_a_misspelt_metric_is_refused_with_a_hint(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_metric(text)
