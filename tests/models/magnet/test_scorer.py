"""The finished MAGNET: lists, explanations, newcomers, storage."""

import itertools
import json

import numpy as np
import pytest
import torch

import plain
import worlds
from alnico.contracts import Likeness
from alnico.errors import DataError
from alnico.graphs.content import nearest_neighbours
from alnico.kernels import routed_stages
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.model import Magnet
from alnico.models.magnet.scorer import MagnetScorer
from alnico.ranking import Seen, ranking_from_scores
from alnico.training.checkpoint import load_scorer_state, save_scorer

SMALL = {"width": 5, "neighbours": 3, "induced": 4}
KINDS = {
    "projected": {"preset": "projected"},
    "paper": {"preset": "paper"},
    "whole": plain.WHOLE,
    "concatenation head": {**plain.WHOLE, "head": "concat"},
    "router with a hidden layer": {**plain.WHOLE, "router": "mlp"},
    "no mixture": {**plain.WHOLE, "mixture": False},
    "learned templates": {**plain.WHOLE, "templates": "learned"},
    "network, standardised": {
        **plain.WHOLE,
        "projection": "mlp",
        "feature_input": "standardised",
        "router_input": "behaviour",
    },
}
PROJECTED = pytest.mark.parametrize("settings", list(KINDS.values()), ids=list(KINDS))
NEAR = {"preset": "projected", "cue": "neighbourhood", "cue_neighbours": 4}
KINDS |= {
    "as delivered": {},
    "neighbourhood": {**plain.WHOLE, **NEAR},
    "gated": {**NEAR, "cue_gate": True, "anchored": True},
    "on an anchor": {**NEAR, "anchored": True, "cue_weight": 0.3, "cue_hops": 2, "induced_between": "items"},
}
EVERY = pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)


def world(seed=11):
    """Random pairs, absent content, cold items and an idle user."""
    return worlds.scattered(seed=seed, absent_share=0.25, idle_users=1)


def finished(settings=plain.WHOLE, made=None):
    """A shaken model's scorer, the model and its data."""
    data = (made or world()).data
    model = plain.shaken(Magnet.build(MagnetConfig(**{**SMALL, **settings}), data, np.random.default_rng(0)))
    return model.scorer(), model, data


def everyone(scorer):
    """Scores of all pairs."""
    return scorer.scores(torch.arange(scorer.n_users))


def some_pairs(data):
    """All pairs of a few users."""
    users, items = np.meshgrid([0, 3, 7], np.arange(data.interactions.n_items), indexing="ij")
    return torch.from_numpy(users.flatten()), torch.from_numpy(items.flatten())


# -- lists and storage -----------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("block", [2, 1024])
def test_lists_are_the_sorted_scores_without_what_was_seen(settings, block):
    scorer, _, data = finished(settings)
    table = everyone(scorer).numpy()
    seen = worlds.seen_of(data.interactions)
    ranking = scorer.top(np.array([4, 0, 12, 9]), seen, 6, block=block)
    for row, user in enumerate([4, 0, 12, 9]):
        free = np.setdiff1d(np.arange(15), data.interactions.of_user(user))
        best = sorted(free.tolist(), key=lambda item: (-table[user, item], item))[:6]
        assert ranking.items[row].tolist() == best
        np.testing.assert_allclose(ranking.scores[row], table[user, best], rtol=1e-5, atol=1e-6)


@EVERY
def test_lists_have_the_bits_of_the_scores(settings):
    scorer, _, data = finished(settings)
    users = np.arange(scorer.n_users)
    seen = worlds.seen_of(data.interactions)
    ranking = scorer.top(users, seen, 20)
    sorted_scores = ranking_from_scores(everyone(scorer), users, seen.rows(users), 20)
    np.testing.assert_array_equal(ranking.items, sorted_scores.items)
    np.testing.assert_array_equal(ranking.scores, sorted_scores.scores)


@EVERY
def test_a_stored_scorer_has_the_same_bits(settings, tmp_path):
    scorer, _, data = finished(settings)
    save_scorer(tmp_path / "scorer.safetensors", scorer.state())
    again = MagnetScorer.from_state(load_scorer_state(tmp_path / "scorer.safetensors"))
    assert torch.equal(everyone(again), everyone(scorer))
    assert again.config == scorer.config
    assert (again.parts, again.experts) == (scorer.parts, scorer.experts)
    told, told_again = (s.explain_pairs(*some_pairs(data)) for s in (scorer, again))
    assert torch.equal(told.reliance, told_again.reliance)
    more, more_again = (s.with_items(data.features.rows(np.array([1]))) for s in (scorer, again))
    assert torch.equal(everyone(more), everyone(more_again))


def test_settings_of_a_stored_scorer_are_plain_json():
    scorer, _, _ = finished({"preset": "paper"})
    assert json.loads(json.dumps(scorer.state().settings))["names"] == ["image", "text"]


@EVERY
def test_moving_to_the_cpu_changes_nothing(settings):
    scorer, _, _ = finished(settings)
    assert torch.equal(everyone(scorer.to(torch.device("cpu"))), everyone(scorer))


@EVERY
def test_the_scorer_does_not_move_when_training_goes_on(settings):
    scorer, model, _ = finished(settings)
    before = everyone(scorer).clone()
    plain.shaken(model, seed=1)
    assert torch.equal(everyone(scorer), before)
    assert torch.equal(everyone(scorer.fold_in([])), before[:0])


# -- explanations ----------------------------------------------------------------------------------


@EVERY
def test_kept_experts_add_up_to_the_score(settings):
    scorer, _, data = finished(settings)
    users, items = some_pairs(data)
    told = scorer.explain_pairs(users, items)
    torch.testing.assert_close((told.gate * told.expert_scores).sum(1), told.score)
    torch.testing.assert_close(told.score, scorer.score_pairs(users, items))
    torch.testing.assert_close(told.gate.sum(1), torch.ones(len(users)))
    torch.testing.assert_close(told.routing.sum(1), torch.ones(len(users)))
    assert ((told.gate > 0).sum(1) <= scorer.config.experts_per_pair).all()
    assert told.gate.shape[1] == len(scorer.experts)


@EVERY
def test_reliance_adds_up_to_what_sets_the_score_apart_from_the_average_items(settings):
    scorer, _, data = finished(settings)
    told = scorer.explain_pairs(*some_pairs(data))
    torch.testing.assert_close(told.reliance.sum(1), told.score - told.baseline, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [plain.WHOLE, {**plain.WHOLE, "head": "concat", "router": "mlp"}],
    ids=["product", "concatenation"],
)
def test_reliance_is_the_mean_effect_over_all_orders_of_putting_parts_back(settings):
    scorer, model, data = finished(settings)
    lists = {name: nearest_neighbours(m, 3) for name, m in data.features.items()}
    judge = plain.PlainMagnet(model, data, lists)
    users, items = torch.tensor([0, 3, 3, 7]), torch.tensor([1, 2, 14, 6])
    told = scorer.explain_pairs(users, items)
    for row, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
        expected = np.zeros(3)
        for order in itertools.permutations(range(3)):
            for place, part in enumerate(order):
                before, after = set(order[:place]), set(order[: place + 1])
                gain = judge.score_keeping(user, item, after) - judge.score_keeping(user, item, before)
                expected[part] += gain / 6
        np.testing.assert_allclose(told.reliance[row], expected, rtol=2e-3, atol=2e-4)
        without = [judge.score_keeping(user, item, {0, 1, 2} - {part}) for part in range(3)]
        np.testing.assert_allclose(told.without[row], without, rtol=2e-3, atol=2e-4)
        assert told.baseline[row].item() == pytest.approx(
            judge.score_keeping(user, item, ()), rel=2e-3, abs=2e-4
        )


def test_taking_away_what_an_item_does_not_have_changes_nothing():
    # In a single view cold items have no behaviour; others lack image or text.
    scorer, _, data = finished({**plain.WHOLE, "views": "single"})
    users, items = some_pairs(data)
    told = scorer.explain_pairs(users, items)
    absent = scorer.items.present[items] == 0
    assert absent.any(0).all()
    torch.testing.assert_close(told.without[absent], told.score[:, None].expand(-1, 3)[absent])
    torch.testing.assert_close(told.reliance[absent], torch.zeros(int(absent.sum())), atol=1e-6, rtol=0)


def test_forgetting_a_history_item_pools_without_it():
    scorer, model, data = finished({**plain.WHOLE, "router_input": "behaviour"})
    lists = {name: nearest_neighbours(m, 3) for name, m in data.features.items()}
    judge = plain.PlainMagnet(model, data, lists)
    for user in (0, 4):
        history = data.interactions.of_user(user)
        found = scorer.forgetting(user, 2, history)
        expected = [judge.score(user, 2, left_out=item) for item in history.tolist()]
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def test_experts_and_parts_are_named_in_the_order_of_the_columns():
    scorer, _, _ = finished()
    assert scorer.parts == ("behaviour", "image", "text")
    assert [expert.label for expert in scorer.experts][:4] == [
        "behaviour dominant",
        "behaviour balanced",
        "behaviour complementary",
        "image dominant",
    ]
    alone, _, _ = finished({**plain.WHOLE, "mixture": False})
    assert len(alone.experts) == 1


# -- people and things that training did not know --------------------------------------------------


@EVERY
def test_folding_in_a_known_history_gives_that_users_cues_exactly(settings):
    scorer, _, data = finished(settings)
    users = [0, 3, 7, 11]
    new = scorer.fold_in([data.interactions.of_user(user) for user in users])
    had = scorer.users.present[users]
    assert torch.equal(new.users.present, had)
    shown = had[:, 1:].bool()
    torch.testing.assert_close(new.users.cues[shown], scorer.users.cues[users][shown], rtol=1e-4, atol=1e-5)
    if scorer.users.coherence is not None:
        torch.testing.assert_close(new.users.coherence, scorer.users.coherence[users], rtol=1e-4, atol=1e-5)
    assert (new.n_users, new.n_items) == (4, 15)


def test_new_users_lack_what_all_their_items_lack():
    scorer, _, data = finished({**plain.WHOLE, "views": "single"})
    no_image = int(np.flatnonzero(~data.features["image"].present & (data.interactions.item_degrees > 0))[0])
    new = scorer.fold_in([np.array([no_image]), np.array([13])])
    assert new.users.present[0].tolist() == [1, 0, float(data.features["text"].present[no_image])]
    # Item 13 was taken by nobody and has no identity to give.
    assert new.users.present[1, 0] == 0
    assert not new.users.z[1].any()


def test_identity_of_a_new_user_is_the_mean_of_the_items_at_the_usual_length():
    scorer, _, _ = finished()
    new = scorer.fold_in([np.array([1, 4])])
    mean = scorer.items.z[[1, 4]].mean(0)
    torch.testing.assert_close(new.users.z[0], mean / mean.norm() * scorer.users.length)


@EVERY
def test_new_users_with_and_without_history_get_finite_scores(settings):
    scorer, _, _ = finished(settings)
    new = scorer.fold_in([np.array([1, 14]), np.zeros(0, np.int64), np.array([13])])
    assert torch.isfinite(everyone(new)).all()
    assert new.users.present[1].tolist() == [0, 0, 0]


@PROJECTED
def test_a_new_item_is_scored_as_a_known_one_of_the_same_content_that_nobody_took(settings):
    # Items 13 and 14 have no training pair; in a single view only their content speaks.
    scorer, _, data = finished({**settings, "views": "single"})
    more = scorer.with_items(data.features.rows(np.array([14, 13])))
    assert (more.n_users, more.n_items) == (13, 17)
    table, before = everyone(more), everyone(scorer)
    torch.testing.assert_close(table[:, :15], before, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(table[:, 15:], before[:, [14, 13]], rtol=1e-4, atol=1e-5)


def test_a_new_item_stands_half_way_to_those_it_is_like_where_edges_are_induced():
    scorer, _, data = finished()
    near = Likeness(np.array([[3, 5], [0, 0]]), np.array([[0.6, 0.2], [0, 0]], np.float32))
    more = scorer.with_items(data.features.rows(np.array([2, 4])), near)
    z = scorer.items.z
    torch.testing.assert_close(more.items.z[15], (0.75 * z[3] + 0.25 * z[5]) / 2)
    assert more.items.z[16].abs().sum() == 0
    assert more.items.present[15:, 0].tolist() == [1, 0]
    single, _, _ = finished({**plain.WHOLE, "views": "single"})
    assert (single.reads_neighbours, scorer.reads_neighbours) == (0, scorer.config.neighbours)
    alone = single.with_items(data.features.rows(np.array([2, 4])), near)
    assert alone.items.present[15:, 0].tolist() == [0, 0]


@EVERY
def test_new_items_take_part_in_lists_and_histories(settings):
    scorer, _, data = finished(settings)
    more = scorer.with_items(data.features.rows(np.array([2])))
    new = more.fold_in([np.array([15, 3])])
    assert torch.isfinite(everyone(new)).all()
    seen = worlds.seen_of(worlds.interactions([(0, 3)], 1, 16))
    assert 15 in new.top(np.array([0]), seen, 16).items[0].tolist()


def test_a_new_item_without_any_content_has_nothing_to_say():
    scorer, _, data = finished({**plain.WHOLE, "views": "single"})
    nothing = worlds.features(
        1,
        image=worlds.modality(np.zeros((1, 4)), absent=[0]),
        text=worlds.modality(np.zeros((1, 3)), absent=[0]),
    )
    more = scorer.with_items(nothing)
    assert more.items.present[-1].tolist() == [0, 0, 0]
    assert torch.isfinite(everyone(more)).all()
    del data


def test_new_items_without_a_modality_of_the_model_are_refused():
    scorer, _, data = finished()
    with pytest.raises(DataError, match="new items need modality 'text'; found image"):
        scorer.with_items(data.features.only("image"))


def test_new_items_of_another_width_are_refused():
    scorer, _, _ = finished()
    wrong = worlds.features(1, image=worlds.modality(np.ones((1, 4))), text=worlds.modality(np.ones((1, 9))))
    with pytest.raises(DataError, match="'text' vectors have width 9; the model was trained on 3"):
        scorer.with_items(wrong)


# -- lists for a few ---------------------------------------------------------------------------------------


@EVERY
def test_lists_for_a_few_are_those_for_everybody_to_the_bit(settings, monkeypatch):
    # However few items there are, candidates come first.
    monkeypatch.setattr(routed_stages, "FEW", 0)
    made = worlds.scattered(seed=5, n_items=90, absent_share=0.25)
    scorer, _, _ = finished(settings, made)
    folded = scorer.fold_in([np.array([3, 60]), np.zeros(0, np.int64)])
    for one, seen in ((scorer, made.seen), (folded, Seen.by_one(2, 0, np.array([3, 60])))):
        everybody = np.arange(one.n_users)
        for k in (1, 8):
            exact, found = one.top(everybody, seen, k), one.top_of_few(everybody, seen, k)
            np.testing.assert_array_equal(found.items, exact.items)
            np.testing.assert_array_equal(found.scores, exact.scores)


def test_lists_for_a_few_know_new_items_and_turned_parts(monkeypatch):
    monkeypatch.setattr(routed_stages, "FEW", 0)
    made = worlds.scattered(seed=5, n_items=90, absent_share=0.25)
    scorer, _, data = finished(plain.WHOLE, made)
    nobody = Seen.nothing(scorer.n_users)
    before = scorer.top_of_few(np.arange(3), nobody, 5)
    for changed in (scorer.with_items(data.features), scorer.emphasising({"image": 5.0, "text": 0.0})):
        exact, found = changed.top(np.arange(3), nobody, 5), changed.top_of_few(np.arange(3), nobody, 5)
        np.testing.assert_array_equal(found.items, exact.items)
        np.testing.assert_array_equal(found.scores, exact.scores)
        assert not np.array_equal(found.scores, before.scores)
