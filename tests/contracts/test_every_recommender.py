"""What every model owes: runs over all of ``MODELS``, so that a new line there is enough to be tested."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import worlds
from alnico.contracts import ExplainingScorer, Recommender, Scorer, TrainableRecommender, TrainingData
from alnico.errors import UnsupportedError
from alnico.models import MODELS, restore
from alnico.training.batches import BatchSource
from alnico.training.checkpoint import load_scorer_state, save_scorer
from alnico.training.plan import TrainPlan
from alnico.training.trainer import Desk, Fitted, Silent, fit
from kinds import BOARD, EVERY, KINDS, TRAINED, build, quick

CPU = torch.device("cpu")
PLAN = TrainPlan(epochs=8, batch_size=128, learning_rate=0.03)
# Popularity knows nobody's taste: one user of the checkerboard finds the answer by the order of ties.
KNOWS_NOBODY = {"popularity"}


@dataclass(frozen=True)
class Result:
    """A model after training on the checkerboard."""

    model: Recommender
    fitted: Fitted
    scorer: Scorer


def hits(scorer):
    """Users of the checkerboard whose first recommendation is the right one."""
    return BOARD.hits(scorer.top(BOARD.asked, BOARD.seen, 1).items)


def train(name, plan=PLAN, seed=0, **more):
    """A model trained on the checkerboard."""
    model = build(name, seed=seed)
    batches = BatchSource(BOARD.split.train, plan.batch_size)
    fitted = fit(model, batches, lambda s: {"recall@20": float(hits(s))}, plan, seed=4, device=CPU, **more)
    return Result(model, fitted, restore(fitted.scorer))


@cache
def trained(name):
    """Trained once for all tests that only look."""
    return train(name)


def same(one, other):
    """Whether two scorer states hold the same bits."""
    return set(one.tensors) == set(other.tensors) and all(
        torch.equal(tensor, other.tensors[key]) for key, tensor in one.tensors.items()
    )


def table(scorer):
    """Scores of all pairs."""
    return scorer.scores(torch.arange(scorer.n_users))


@EVERY
def test_a_personalised_model_solves_the_checkerboard(name):
    found = hits(trained(name).scorer)
    assert found <= 2 if name in KNOWS_NOBODY else found >= 36


@EVERY
def test_scores_are_finite_and_there_for_all(name):
    scores = table(trained(name).scorer)
    assert scores.shape == (40, 40)
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    assert not scores.requires_grad


@EVERY
def test_pairs_and_lists_agree_with_the_table_of_scores(name):
    scorer = trained(name).scorer
    scores = table(scorer)
    users, items = (
        side.flatten() for side in torch.meshgrid(torch.arange(40), torch.arange(40), indexing="ij")
    )
    torch.testing.assert_close(scorer.score_pairs(users, items).reshape(40, 40), scores, rtol=1e-4, atol=1e-4)
    asked = np.array([39, 0, 17])
    ranking = scorer.top(asked, BOARD.seen, 30, block=2)
    for row, user in enumerate(asked.tolist()):
        listed = ranking.items[row]
        # 19 items are seen, which leaves 21 and 9 fillers.
        assert (listed[:21] >= 0).all()
        assert (listed[21:] == -1).all()
        assert not np.isin(listed, BOARD.split.train.of_user(user)).any()
        assert len(set(listed[:21].tolist())) == 21
        assert (np.diff(ranking.scores[row, :21]) <= 0).all()
        expected = scores.numpy()[user, listed[:21]]
        np.testing.assert_allclose(ranking.scores[row, :21], expected, rtol=1e-4, atol=1e-4)


@EVERY
def test_a_finished_model_survives_a_file_bit_for_bit(name, tmp_path):
    scorer = trained(name).scorer
    save_scorer(tmp_path / "scorer.safetensors", scorer.state())
    state = load_scorer_state(tmp_path / "scorer.safetensors")
    assert same(state, scorer.state())
    assert torch.equal(table(restore(state)), table(scorer))
    assert torch.equal(table(restore(state).to(CPU)), table(scorer))


@EVERY
def test_the_same_seed_gives_the_same_bits(name):
    assert same(train(name).fitted.scorer, trained(name).fitted.scorer)


@TRAINED
def test_another_seed_gives_other_bits(name):
    assert not same(
        train(name, TrainPlan(epochs=1), seed=1).fitted.scorer, train(name, TrainPlan(epochs=1)).fitted.scorer
    )


class Killed(BaseException):
    """The machine went away."""


class KilledAfterTwo(Silent):
    """Pulls the plug after the second epoch."""

    def epoch(self, row, progress):
        if progress.epoch == 2:
            raise Killed


@TRAINED
def test_a_killed_run_ends_in_the_same_bits(name, tmp_path):
    plan = TrainPlan(epochs=4, batch_size=128, learning_rate=0.03)
    straight = train(name, plan)
    with pytest.raises(Killed):
        train(name, plan, desk=Desk(tmp_path), watcher=KilledAfterTwo())
    resumed = train(name, plan, seed=77, desk=Desk(tmp_path), resume=True)
    assert same(resumed.fitted.scorer, straight.fitted.scorer)
    assert resumed.fitted.progress == straight.fitted.progress


@TRAINED
def test_a_finished_model_does_not_move_when_training_goes_on(name):
    model = build(name)
    scorer = model.eval().scorer()
    before = table(scorer).clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert torch.equal(table(scorer), before)


@TRAINED
def test_every_parameter_but_the_inert_gets_gradient_and_every_term_is_finite(name):
    model = build(name).train()
    torch.manual_seed(0)
    moved = {key: torch.zeros_like(parameter) for key, parameter in model.named_parameters()}
    for epoch in (1, 2):
        rng = np.random.default_rng(epoch)
        model.begin_epoch(epoch, rng)
        for batch in BatchSource(BOARD.split.train, 128).epoch(rng, CPU):
            step = model.loss_terms(batch)
            assert all(math.isfinite(term.item()) for term in step.terms.values())
            assert all(math.isfinite(value) for value in step.facts.values())
            model.zero_grad()
            torch.stack(list(step.terms.values())).sum().backward()
            for key, parameter in model.named_parameters():
                if parameter.grad is not None:
                    moved[key] += parameter.grad.abs()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter -= 0.01 * parameter.grad
            model.observe(step.facts)
        assert all(math.isfinite(value) for value in model.end_epoch(epoch).values())
    still = {key for key, gradient in moved.items() if not gradient.any()}
    assert still <= model.inert_parameters()
    assert model.inert_parameters() <= set(moved)


@TRAINED
def test_gradients_have_the_same_bits_each_time_on_several_threads(name):
    # Large enough for torch to split the work: rows that stand often in the batch are where threads could meet.
    batch = worlds.random_batch(BOARD.split.train, 4096, seed=0)
    model = build(name).eval()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = set()
        for _ in range(12):
            model.zero_grad()
            torch.manual_seed(0)  # noise and dropout are drawn alike
            torch.stack(list(model.loss_terms(batch).terms.values())).sum().backward()
            found = [p.grad for p in model.parameters() if p.grad is not None]
            seen.add(b"".join(gradient.numpy().tobytes() for gradient in found))
    finally:
        torch.set_num_threads(before)
    assert len(seen) == 1


@TRAINED
def test_parameter_groups_hold_every_parameter_once(name):
    model = build(name)
    grouped = [id(parameter) for group in model.parameter_groups().values() for parameter in group]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


@TRAINED
def test_training_does_not_change_what_it_was_given(name):
    world = worlds.checkerboard()
    before = worlds.dataset_of(world).fingerprint
    model = build(name, world.data)
    fit(
        model,
        BatchSource(world.split.train, 128),
        lambda s: {"recall@20": 1.0},
        TrainPlan(epochs=1),
        seed=0,
        device=CPU,
    )
    assert worlds.dataset_of(world).fingerprint == before


@EVERY
def test_building_leaves_torchs_own_stream_alone(name):
    torch.manual_seed(8)
    expected = torch.rand(3)
    torch.manual_seed(8)
    build(name)
    assert torch.equal(torch.rand(3), expected)


@EVERY
def test_users_and_items_without_training_pairs_and_absent_content_are_no_obstacle(name):
    world = worlds.scattered(seed=3, absent_share=0.5, idle_users=2)
    model = build(name, world.data)
    fitted = fit(
        model,
        BatchSource(world.split.train, 16),
        lambda s: {"recall@20": 1.0},
        TrainPlan(epochs=2, batch_size=16),
        seed=0,
        device=CPU,
    )
    scores = table(restore(fitted.scorer))
    assert scores.shape == (14, 15)
    assert torch.isfinite(scores).all()


@EVERY
def test_a_modality_that_no_item_has_is_no_obstacle(name):
    board = worlds.checkerboard(12)
    nothing = worlds.modality(np.zeros((12, 3)), absent=range(12))
    content = worlds.features(12, image=nothing, text=board.features["text"])
    data = TrainingData(board.split.train, content)
    model = build(name, data)
    if isinstance(model, TrainableRecommender):
        step = model.loss_terms(worlds.random_batch(data.interactions, 30, 0))
        torch.stack(list(step.terms.values())).sum().backward()
        for parameter in model.parameters():
            assert parameter.grad is None or torch.isfinite(parameter.grad).all()
        model.eval()
    assert torch.isfinite(table(model.scorer())).all()


@EVERY
def test_new_users_are_served_from_their_history(name):
    scorer = trained(name).scorer
    histories = [BOARD.split.train.of_user(user) for user in (0, 1, 2, 3)]
    new = scorer.fold_in([*histories, np.zeros(0, np.int64)])
    assert (new.n_users, new.n_items) == (5, 40)
    assert torch.isfinite(table(new)).all()
    if name not in KNOWS_NOBODY:
        seen = worlds.seen_of(
            worlds.interactions([(u, i) for u in range(4) for i in histories[u].tolist()], 4, 40)
        )
        # The one unseen item of the own parity is again the answer.
        assert new.top(np.arange(4), seen, 1).items[:, 0].tolist() == [0, 1, 2, 3]


@EVERY
def test_new_items_are_ranked_or_refused_by_name(name):
    scorer = trained(name).scorer
    newcomers = BOARD.features.rows(np.array([0, 1]))
    if type(scorer).with_items is Scorer.with_items:
        with pytest.raises(
            UnsupportedError, match=f"{type(scorer).__name__} knows items only by who took them"
        ):
            scorer.with_items(newcomers)
        return
    more = scorer.with_items(newcomers)
    assert (more.n_users, more.n_items) == (40, 42)
    scores = table(more)
    assert torch.isfinite(scores).all()
    torch.testing.assert_close(scores[:, :40], table(scorer), rtol=1e-5, atol=1e-5)


@EVERY
def test_what_explains_adds_up(name):
    scorer = trained(name).scorer
    if not isinstance(scorer, ExplainingScorer):
        pytest.skip(f"{name} does not explain its scores")
    users, items = torch.arange(40), torch.arange(40)
    told = scorer.explain_pairs(users, items)
    torch.testing.assert_close((told.gate * told.expert_scores).sum(1), told.score, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(told.reliance.sum(1), told.score - told.baseline, rtol=1e-3, atol=1e-4)
    assert told.routing.shape == (40, len(scorer.experts))
    assert told.reliance.shape == told.without.shape == (40, len(scorer.parts))


@EVERY
def test_settings_survive_a_round_trip(name):
    config = quick(name)
    assert type(config).model_validate(config.model_dump()) == config
    assert type(config).model_validate_json(config.model_dump_json()) == config


@EVERY
def test_a_misspelt_setting_is_refused(name):
    with pytest.raises(ValidationError, match="widht"):
        MODELS[KINDS[name][0]].Config(widht=3)


@EVERY
def test_settings_cannot_be_changed(name):
    config = quick(name)
    for setting in type(config).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(config, setting, None)
