"""What MAGNET reads along its graphs: caps, fanouts, cold items; and the stage that is saved with it."""

import numpy as np
import pytest
import torch

import worlds
from small_magnets import all_pairs, built


def test_a_cap_thins_the_training_graph_anew_each_epoch_and_leaves_evaluation_alone():
    model, data = built({"induced_cap": 1})
    before = model.scorer().scores(torch.arange(12))
    full = model.augmented.n_entries
    columns = []
    for epoch in (1, 2):
        model.begin_epoch(epoch, np.random.default_rng(epoch))
        # Each edge is stored twice; every one of the 12 users has a pool here.
        (graph, *rest) = model.hops.augmented
        assert all(hop is graph for hop in rest)
        assert graph.n_entries == 2 * (len(data.interactions) + 12) < full
        columns.append(graph.matrix.columns)
    assert model.augmented.n_entries == full
    assert not torch.equal(*columns)
    assert torch.equal(model.scorer().scores(torch.arange(12)), before)


@pytest.mark.parametrize("views", ["single", "dual"])
def test_a_fanout_bounds_every_nodes_neighbours_anew_per_layer_and_leaves_evaluation_alone(views):
    model, data = built({"fanout": 2, "views": views, "layers": 2})
    before = model.scorer().scores(torch.arange(12))
    drawn = []
    for epoch in (1, 2):
        model.begin_epoch(epoch, np.random.default_rng(epoch))
        for hops, whole in ((model.hops.observed, model.observed), (model.hops.augmented, model.augmented)):
            for hop in hops or ():
                wanted = whole.matrix.starts.diff().clamp(max=2)
                assert torch.equal(hop.matrix.starts.diff(), wanted)
                drawn.append(hop.matrix.columns.tolist())
    # Each layer of each view of each epoch has a draw of its own.
    assert len({tuple(columns) for columns in drawn}) == len(drawn) == (4 if views == "single" else 8)
    assert torch.equal(model.scorer().scores(torch.arange(12)), before)
    model.loss_terms(worlds.random_batch(data.interactions, 8, 0)).terms["bpr"].backward()
    assert model.users.weight.grad.abs().sum() > 0


def test_a_fanout_that_spares_nobody_changes_nothing():
    losses = []
    for fanout in (None, 100):
        model, data = built({"fanout": fanout})
        model.begin_epoch(1, np.random.default_rng(0))
        step = model.eval().loss_terms(worlds.random_batch(data.interactions, 8, 0))
        losses.append(step.terms["bpr"].item())
    assert losses[0] == losses[1]


def test_the_controller_counts_what_it_observes_and_its_state_is_saved_with_the_weights():
    model, _ = built({"trigger_unit": "step", "smoothing": 0.0, "window": 2, "entropy_threshold": 0.5})
    for _ in range(2):
        model.observe({"entropy": 0.9})
    assert (model.stage.stage, model.stage.switch_step) == (2, 2)
    assert model.end_epoch(1) == {"stage": 2, "switch_step": 2}
    other, _ = built({"trigger_unit": "step", "smoothing": 0.0, "window": 2, "entropy_threshold": 0.5})
    other.load_state_dict(model.state_dict())
    assert other.stage == model.stage


def test_an_item_without_training_edges_has_no_identity():
    model, data = built({"views": "single"})
    scorer = model.scorer()
    cold = data.interactions.item_degrees == 0
    assert cold.sum() == 2
    assert not scorer.items.z[torch.from_numpy(cold)].any()
    assert scorer.items.present[:, 0].bool().tolist() == (~cold).tolist()
    assert scorer.items.z[torch.from_numpy(~cold)].any(1).all()


@pytest.mark.parametrize("views", ["single", "dual"])
def test_what_stands_in_the_row_of_a_cold_item_is_never_read(views):
    model, data = built({"views": views})
    some = worlds.batch(all_pairs(data.interactions))
    before = model.scorer().scores(torch.arange(13))
    loss = model.eval().loss_terms(some).terms["bpr"].item()
    with torch.no_grad():
        model.items.weight[torch.from_numpy(data.interactions.item_degrees == 0)] = 1e3
    assert torch.equal(model.scorer().scores(torch.arange(13)), before)
    assert model.eval().loss_terms(some).terms["bpr"].item() == loss


def test_induced_edges_give_a_cold_item_a_neighbourhood():
    model, data = built({"induced": 12, "neighbours": 6})
    cold = torch.from_numpy(data.interactions.item_degrees == 0)
    reached = model.scorer().items.present[:, 0].bool()
    assert (reached & cold).any()
    assert model.scorer().items.z[reached & cold].abs().sum() > 0
