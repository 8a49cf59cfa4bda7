"""MAGNET as a whole: against the method written plainly, and step by step."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import plain
import worlds
from alnico.contracts import TrainingData
from alnico.errors import ConfigError
from alnico.graphs.content import nearest_neighbours
from alnico.graphs.evidence import content_evidence
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.model import Magnet
from alnico.models.magnet.stages import StageState
from small_magnets import SMALL, all_pairs, built, plainly, world

CHANGES = {
    "whole": {},
    "concatenation head": {"head": "concat"},
    "router with a hidden layer": {"router": "mlp"},
    "both": {"head": "concat", "router": "mlp"},
    "cues as they are": {"cue_scale": "none"},
    "cues of one length": {"cue_scale": "unit"},
    "single view": {"views": "single"},
    "router on behaviour": {"router_input": "behaviour", "router_scale": 5.0},
    "learned templates": {"templates": "learned"},
    "no mixture": {"mixture": False},
    "no mixture, concatenation head": {"mixture": False, "head": "concat"},
    "replicas": {"replicas": 2, "experts_per_pair": 5},
    "two families": {"families": ("balanced", "complementary"), "delta": 0.8},
    "one part per expert": {"families": ("dominant",), "alpha": 1.0},
    "one expert per pair": {"experts_per_pair": 1},
    "all experts": {"experts_per_pair": 9},
    "content first": {"auxiliary_order": "content_first", "delta": 0.9},
    "projection by a network": {"projection": "mlp"},
    "induced edges weighed by visibility": {"induced_weight": "visibility"},
    "induced edges scaled by evidence": {"evidence": True},
    "visibility by neighbours": {"visibility": "neighbours", "layers": 3},
}


# Cues of the neighbourhood, the default, are held to dense matrices and loops in test_neighbourhood.
READINGS = {"projected": {"preset": "projected"}, "paper": {"preset": "paper"}}


READINGS |= {name: {**plain.WHOLE, **changes} for name, changes in CHANGES.items()}


# -- Algorithm 1 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", READINGS.values(), ids=READINGS)
def test_scores_are_those_of_the_method_written_plainly(settings):
    model, data = built(settings, base={})
    expected = plainly(model, data).table()
    scorer = model.scorer()
    everyone = torch.arange(scorer.n_users)
    np.testing.assert_allclose(scorer.scores(everyone).numpy(), expected, atol=2e-4, rtol=2e-4)
    users, items = (
        side.flatten() for side in torch.meshgrid(everyone, torch.arange(scorer.n_items), indexing="ij")
    )
    pairs = scorer.score_pairs(users, items).reshape(expected.shape)
    np.testing.assert_allclose(pairs.numpy(), expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("widths", [{"look": 3}, {"look": 3, "sound": 4, "text": 2}], ids=["one", "three"])
def test_any_number_of_modalities_scores_as_written_plainly(widths):
    model, data = built({"delta": 0.7}, world(widths=widths))
    assert len(model.experts) == 3 * (len(widths) + 1)
    found = model.scorer().scores(torch.arange(13)).numpy()
    np.testing.assert_allclose(found, plainly(model, data).table(), atol=2e-4, rtol=2e-4)


def test_given_item_graphs_replace_computed_neighbours_and_are_cut_to_size():
    made = world()
    rng = np.random.default_rng(0)
    rows = [[(int(j), 0.5) for j in rng.permutation(np.delete(np.arange(15), i))[:4]] for i in range(15)]
    given = worlds.neighbour_lists(rows, 4)
    data = replace(made.data, neighbours={"image": given})
    model = plain.shaken(Magnet.build(MagnetConfig(**SMALL, **plain.WHOLE), data, np.random.default_rng(0)))
    lists = {"image": given.first(3), "text": nearest_neighbours(data.features["text"], 3)}
    found = model.scorer().scores(torch.arange(13)).numpy()
    np.testing.assert_allclose(found, plain.PlainMagnet(model, data, lists).table(), atol=2e-4, rtol=2e-4)


def test_an_approximate_search_is_passed_on_and_its_recall_stands_in_the_history():
    pytest.importorskip("faiss")
    exact, _ = built()
    near, _ = built({"neighbour_search": "approximate"})
    # So small a table is searched wholly.
    np.testing.assert_array_equal(near.induced.items, exact.induced.items)
    recalls = {"neighbour_recall/image": 1.0, "neighbour_recall/text": 1.0}
    assert near.end_epoch(1) == {**exact.end_epoch(1), **recalls}


def test_without_content_there_is_no_magnet():
    data = TrainingData(world().split.train, worlds.features(15))
    with pytest.raises(ConfigError, match="needs at least one content modality"):
        Magnet.build(MagnetConfig(**SMALL, **plain.WHOLE), data, np.random.default_rng(0))


# -- one step of training (Algorithm 2) ------------------------------------------------------------


@pytest.mark.parametrize("leave_one_out", [False, True], ids=["whole pools", "leave one out"])
@pytest.mark.parametrize("settings", READINGS.values(), ids=READINGS)
def test_the_training_score_of_all_pairs_is_the_finished_models(settings, leave_one_out):
    model, data = built({**settings, "leave_one_out": leave_one_out}, base={})
    triples = all_pairs(data.interactions)
    judge = plainly(model, data, leave_one_out=leave_one_out)
    losses = []
    for user, positive, negative in triples:
        out = positive if leave_one_out else None
        # The same pool of the user for the positive and for its negative.
        gap = judge.score(user, positive, out) - judge.score(user, negative, out)
        losses.append(math.log1p(math.exp(-gap)))
    expected = sum(losses) if model.config.bpr == "sum" else sum(losses) / len(losses)
    # All training pairs in one batch: the lengths that scale cues are then those of the finished model.
    step = model.eval().loss_terms(worlds.batch(triples))
    assert step.terms["bpr"].item() == pytest.approx(expected, rel=1e-4)


def test_routing_terms_look_at_positive_pairs_only():
    model, data = built(
        {"routing": 0.4, "schedule": "constant", "leave_one_out": False, "coverage_floor": None}
    )
    triples = all_pairs(data.interactions)[:10]
    judge = plainly(model, data)
    routing = np.array([judge.routing(user, positive) for user, positive, _ in triples])
    mean = routing.mean(0)
    total = -(mean * np.log(mean)).sum()
    model.eval()
    step = model.loss_terms(worlds.batch(triples))
    # Stage 1: coverage, KL(mean || uniform) = ln 9 - H, weighs lambda_r; confidence nothing.
    assert step.terms["coverage"].item() == pytest.approx(0.4 * (math.log(9) - total), rel=1e-4)
    assert step.terms["confidence"].item() == 0
    assert step.facts["entropy"] == pytest.approx(total / math.log(9), rel=1e-5)
    assert (step.facts["stage"], step.facts["window_count"]) == (1, 0)
    model.stage_buffer.copy_(StageState(stage=2).to_tensor())
    step = model.loss_terms(worlds.batch(triples))
    single = -(routing * np.log(routing)).sum(1).mean()
    assert step.terms["confidence"].item() == pytest.approx(0.4 * single, rel=1e-4)
    assert step.terms["coverage"].item() == 0
    others = [(user, positive, (negative + 1) % 13) for user, positive, negative in triples]
    assert model.loss_terms(worlds.batch(others)).facts["entropy"] == step.facts["entropy"]


def test_entropy_inside_the_weights_is_not_differentiated():
    model, data = built(
        {"schedule": "linear", "routing": 0.4, "coverage_floor": None, "leave_one_out": False}
    )
    triples = all_pairs(data.interactions)[:10]
    model.eval()
    model.loss_terms(worlds.batch(triples)).terms["coverage"].backward()
    weighed = model.router.first.bias.grad.clone()
    constant, _ = built(
        {"schedule": "constant", "routing": 0.4, "coverage_floor": None, "leave_one_out": False}
    )
    step = constant.eval().loss_terms(worlds.batch(triples))
    step.terms["coverage"].backward()
    # The gradient is that of the bare term times the plain number 1 - H.
    expected = (1 - step.facts["entropy"]) * constant.router.first.bias.grad
    torch.testing.assert_close(weighed, expected, rtol=1e-3, atol=1e-7)


def test_views_agree_over_the_unique_users_and_positive_items_of_the_batch():
    model, data = built({"contrast": 0.5, "temperature": 0.4})
    train = data.interactions
    # User 3 and one item stand twice; they count once.
    triples = [t for t in all_pairs(train) if t[0] in (3, 5)]
    triples += [(u, i, n) for u, i, n in all_pairs(train) if i == triples[0][1] and u not in (3, 5)][:1]
    judge = plainly(model, data)
    total = 0.0
    for nodes in ({u for u, _, _ in triples}, {i + train.n_users for _, i, _ in triples}):
        nodes = sorted(nodes)
        for left, right in ((judge.plain, judge.other), (judge.other, judge.plain)):
            for own in nodes:
                powers = [
                    math.exp(
                        left[own] @ right[x] / np.linalg.norm(left[own]) / np.linalg.norm(right[x]) / 0.4
                    )
                    for x in nodes
                ]
                total -= math.log(powers[nodes.index(own)] / sum(powers)) / len(nodes) / 2
    assert model.loss_terms(worlds.batch(triples)).terms["contrast"].item() == pytest.approx(
        0.5 * total, rel=1e-4
    )


def test_a_single_view_has_nothing_to_agree_with():
    model, data = built({"views": "single"})
    assert "contrast" not in model.loss_terms(worlds.batch(all_pairs(data.interactions))).terms


def test_regularisers_by_hand():
    triples = [(1, 2, 3), (1, 4, 5)]
    model, _ = built({"l2": 0.1})
    squares = {name: parameter.pow(2).sum().item() for name, parameter in model.named_parameters()}
    users, items = model.users.weight.pow(2).sum(1), model.items.weight.pow(2).sum(1)
    batch_part = (2 * users[1] + items[2] + items[4] + items[3] + items[5]).item() / 2
    found = model.loss_terms(worlds.batch(triples)).terms["l2"].item()
    assert found == pytest.approx(0.1 * batch_part, rel=1e-4)
    model, _ = built({"l2": 0.1, "regulariser": "everything"})
    found = model.loss_terms(worlds.batch(triples)).terms["l2"].item()
    assert found == pytest.approx(0.1 * sum(squares.values()), rel=1e-4)


def test_event_strengths_weigh_the_ranking_term():
    model, _ = built({"views": "single"})
    model.eval()
    pairs = [(1, int(model.train_set.of_user(1)[0]), 3), (2, int(model.train_set.of_user(2)[0]), 4)]

    def ranking(weights):
        return model.loss_terms(worlds.batch(pairs, weights)).terms["bpr"].item()

    both = ranking([1.0, 1.0])
    assert ranking([2.0, 0.0]) + ranking([0.0, 2.0]) == pytest.approx(2 * both, rel=1e-5)
    assert ranking([3.0, 3.0]) == pytest.approx(3 * both, rel=1e-5)


def test_content_that_foretells_nothing_gets_no_edges_and_takes_nothing_away():
    telling = worlds.two_tastes()
    shuffle = np.random.default_rng(0).permutation(telling.features.n_items)
    silent = replace(telling, features=telling.features.rows(shuffle))
    settings = {"evidence": True, "neighbours": 3, "induced": 3}
    for made, trusted in ((telling, True), (silent, False)):
        model, _ = built(settings, made)
        free, _ = built({**settings, "evidence": False}, made)
        found = content_evidence(*_question(made, 3)).weight
        assert (found > 0) == trusted
        assert len(model.induced) == (len(free.induced) if trusted else 0)
        assert np.allclose(model.induced.weights, found)
        # Items that nobody took are reached by induced edges or not at all.
        assert model.item_reached[-1].item() == trusted
        rate = 1 - model.train()._kept_parts(50_000).mean().item()
        assert rate == pytest.approx(0, abs=1e-9) if not trusted else 0 < rate < 0.3


def _question(made, k):
    lists = {name: nearest_neighbours(modality, k) for name, modality in made.features.items()}
    return made.split.train, made.features, lists, k


def test_modality_dropout_leaves_each_pair_at_least_one_part_and_each_part_its_share():
    model, _ = built({"modality_dropout": 0.4})
    torch.manual_seed(0)
    kept = model.train()._kept_parts(20000)
    assert (kept.sum(1) >= 1).all()
    # A part stays with probability .6, or where all three are drawn out and it is the luckiest: .4^3 / 3.
    np.testing.assert_allclose(kept.mean(0), [0.6 + 0.4**3 / 3] * 3, atol=0.012)
    assert (model.eval()._kept_parts(100) == 1).all()


def test_without_any_dropout_training_is_the_same_each_time():
    model, data = built({"dropout": 0.0, "modality_dropout": 0.0, "router": "mlp"})
    some = worlds.batch(all_pairs(data.interactions))
    losses = [mode().loss_terms(some).terms["bpr"].item() for mode in (model.train, model.train, model.eval)]
    assert losses[0] == losses[1] == losses[2]
    model, _ = built({"dropout": 0.0, "modality_dropout": 0.4})
    one, other = (model.train().loss_terms(some).terms["bpr"].item() for _ in range(2))
    assert one != other


def test_dropout_acts_in_training_and_not_in_the_finished_model():
    model, data = built({"dropout": 0.5, "modality_dropout": 0.0, "router": "mlp"})
    some = worlds.batch(all_pairs(data.interactions))
    one, other = (model.train().loss_terms(some).terms["bpr"].item() for _ in range(2))
    assert one != other
    assert torch.equal(model.scorer().scores(torch.arange(5)), model.scorer().scores(torch.arange(5)))
    assert model.training


@pytest.mark.parametrize(
    "settings",
    [{"projection": "mlp"}, {"features_trainable": True, "router_input": "behaviour"}, {"head": "concat"}],
    ids=["projection by a network", "trained features", "concatenation head"],
)
def test_gradients_have_the_same_bits_each_time_on_several_threads(settings):
    model, data = built({**settings, "width": 16})
    batch = worlds.random_batch(data.interactions, 3000, seed=0)
    model.eval()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = set()
        for _ in range(12):
            model.zero_grad()
            torch.stack(list(model.loss_terms(batch).terms.values())).sum().backward()
            found = [p.grad for p in model.parameters() if p.grad is not None]
            seen.add(b"".join(gradient.numpy().tobytes() for gradient in found))
    finally:
        torch.set_num_threads(before)
    assert len(seen) == 1
