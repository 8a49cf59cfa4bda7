"""MENTOR: each term by the formulas, what it reaches, and what is left without its tasks."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.models.dragon import Dragon
from alnico.models.mentor import Mentor

BARE = {"alignment": 0.0, "contrast": 0.0}
BATCH = worlds.batch([(1, 2, 3), (1, 4, 2), (5, 2, 3)])


def mentor(seed=3, **settings):
    """A small model of a world without meaning."""
    world = worlds.scattered(seed=seed)
    return Mentor.build(
        Mentor.Config(width=3, neighbours=4, **settings), world.data, np.random.default_rng(0)
    )


def final(model):
    """Users and items as they are scored."""
    tensors = model.eval().scorer().state().tensors
    return tensors["users"].numpy(), tensors["items"].numpy()


def without_item_graph(model):
    """The model with an empty item graph."""
    model.item_graph.matrix.values.zero_()
    model.item_graph.transposed.values.zero_()
    return model


def gradients(model, term):
    """Names of the parameters that a term reaches."""
    model.zero_grad()
    model.loss_terms(BATCH).terms[term].backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_without_its_tasks_it_is_dragon_without_a_graph_of_users():
    world = worlds.scattered(seed=3)
    model = mentor(**BARE)
    plain = Dragon.build(Dragon.Config(width=3, neighbours=4), world.data, np.random.default_rng(1))
    plain.load_state_dict(model.state_dict())
    plain.user_graph.matrix.values.zero_()
    ours, theirs = model.loss_terms(BATCH).terms, plain.loss_terms(BATCH).terms
    assert set(ours) == set(theirs) == {"bpr", "l2"}
    torch.testing.assert_close(ours["bpr"], theirs["bpr"])
    torch.testing.assert_close(ours["l2"], theirs["l2"])
    everybody = torch.arange(12)
    torch.testing.assert_close(model.scorer().scores(everybody), plain.scorer().scores(everybody))


def test_loss_of_a_triple_by_hand():
    # One user, two items of one modality, one number each: rows of length one are 1 for user and item 0, else -1.
    train = worlds.interactions([(0, 0), (0, 1)], 1, 2)
    data = worlds.World(
        worlds.Split(train, worlds.targets([]), worlds.targets([]), {"rule": "none"}),
        worlds.features(2, text=worlds.modality([[2.0], [-3.0]])),
        {},
    ).data
    model = Mentor.build(
        Mentor.Config(width=1, layers=2, neighbours=1, l2=0.5, **BARE), data, np.random.default_rng(0)
    )
    with torch.no_grad():
        model.user_preferences.weight.fill_(3.0)
        model.user_weights.weight.fill_(2.0)
        for layer in (model.networks[0][0], model.networks[0][2]):
            layer.weight.fill_(1.0)
            layer.bias.fill_(0.0)
    # Each edge is 1 / sqrt 2. User: 1, then 0, then (sqrt .5 + sqrt .5) / sqrt 2 = 1: together 2, weighed 4. Items:
    # 1 or -1, then sqrt .5, then 0; an item graph of single items doubles them.
    score = [4 * 2 * (1 + math.sqrt(0.5)), 4 * 2 * (-1 + math.sqrt(0.5))]
    np.testing.assert_allclose(model.scorer().scores(torch.tensor([0])), [score], rtol=1e-5)
    terms = model.loss_terms(worlds.batch([(0, 1, 0)])).terms
    assert terms["bpr"].item() == pytest.approx(math.log2(1 + math.exp(score[0] - score[1])), rel=1e-5)
    assert terms["l2"].item() == pytest.approx(0.5 * (9 + 4))


def test_alignment_is_over_all_pairs_of_joined_guide_and_modalities():
    model = mentor(alignment=0.3, contrast=0.0)
    adjacency = model.graph.propagate(torch.eye(27)).numpy()
    like = model.item_graph.propagate(torch.eye(15)).numpy()

    def walked(preferences, told):
        start = np.concatenate([preferences, told])
        start = start / np.linalg.norm(start, axis=1, keepdims=True)
        walk = start + adjacency @ start + adjacency @ adjacency @ start
        return np.concatenate([walk[:12], walk[12:] + like @ walk[12:]])

    with torch.no_grad():
        preferences = model.user_preferences.weight.numpy()
        image, text = (
            walked(preferences[:, 3 * m : 3 * m + 3], model.networks[m](model.features[m]()).numpy())
            for m in (0, 1)
        )
        told = model.identity_network(model.item_identities.weight).numpy()
        guide = walked(model.user_identities.weight.numpy(), told)
        weights = model.user_weights.weight.numpy()
    fused = np.concatenate([image, text], 1)
    fused[:12] *= np.repeat(weights, 3, axis=1)
    tables = [fused, *(np.concatenate([table, table], 1) for table in (guide, image, text))]
    expected = 0.0
    for one in range(4):
        for other in range(one):
            expected += abs(tables[one].mean() - tables[other].mean())
            expected += abs(tables[one].var(ddof=1) - tables[other].var(ddof=1))
    found = model.loss_terms(BATCH).terms["alignment"].item()
    assert found == pytest.approx(0.3 * expected, rel=1e-4)


def cross(one, other, temperature):
    """InfoNCE of all rows in a plain loop."""
    one, other = (table / np.linalg.norm(table, axis=1, keepdims=True) for table in (one, other))
    losses = []
    for row in range(len(one)):
        terms = np.exp(other @ one[row] / temperature)
        losses.append(-math.log(terms[row] / terms.sum()))
    return np.array(losses)


def test_contrast_is_over_all_users_and_all_items():
    model = mentor(mode="paper", contrast=0.5, noise=0.0, temperature=0.4)
    users, items = final(model)
    expected = 0.5 * (cross(users, users, 0.4).mean() + cross(items, items, 0.4).mean())
    assert model.loss_terms(BATCH).terms["contrast"].item() == pytest.approx(expected, rel=1e-4)


def test_official_passes_are_two_models_of_their_own_that_share_the_weights_of_users():
    model = mentor(contrast=0.5, noise=0.0, temperature=0.4)
    passes = []
    for number in (0, 1):
        alone = mentor(**BARE)
        with torch.no_grad():
            alone.user_preferences.weight.copy_(model.user_passes.weight[:, 6 * number : 6 * number + 6])
            alone.user_weights.weight.copy_(model.user_weights.weight)
        for m in (0, 1):
            alone.networks[m].load_state_dict(model.pass_networks[2 * number + m].state_dict())
        passes.append(final(alone))
    expected = sum(cross(one, other, 0.4).mean() for one, other in zip(*passes, strict=True))
    assert model.loss_terms(BATCH).terms["contrast"].item() == pytest.approx(0.5 * expected, rel=1e-4)


def test_noise_is_added_after_every_hop_to_each_modality():
    model = without_item_graph(mentor(mode="paper", layers=1, noise=0.1))
    with torch.no_grad():
        start = model._start(model.user_preferences, model.networks, model._vectors())
        users, items = model._noisy(start)
        model.config = model.config.model_copy(update={"noise": 0.0})
        still_users, still_items = model._noisy(start)
    moved = (items - still_items).reshape(15, 2, 3).norm(dim=2)
    reached = model.graph.propagate(start)[12:].reshape(15, 2, 3).norm(dim=2) > 0
    # Items that nobody took stand at zero after a hop, where no direction is the own one.
    torch.testing.assert_close(moved, 0.1 * reached)
    moved = (users - still_users).reshape(12, 2, 3).norm(dim=2)
    torch.testing.assert_close(moved, 0.1 * model.user_weights.weight.detach())


def test_the_contrast_of_some_rows_is_on_average_that_of_all():
    settings = {"mode": "paper", "contrast": 1.0, "noise": 0.0, "temperature": 0.4}
    model, some = mentor(**settings), mentor(**settings, contrast_rows=4)
    users, items = (cross(table, table, 0.4) for table in final(model))
    expected = users.mean() + items.mean()
    torch.manual_seed(0)
    found = [some.loss_terms(BATCH).terms["contrast"].item() for _ in range(100)]
    # The deviation of a mean of 4 drawn without replacement is below that of 4 drawn independently.
    deviation = math.sqrt((users.var() + items.var()) / 4)
    assert 0 < np.std(found) < 1.2 * deviation
    assert np.mean(found) == pytest.approx(expected, abs=4 * deviation / math.sqrt(100))
    every = mentor(**settings, contrast_rows=15)
    assert every.loss_terms(BATCH).terms["contrast"].item() == pytest.approx(expected, rel=1e-4)


def test_the_official_contrast_reaches_nothing_that_is_scored_but_the_weights_of_users():
    reached = gradients(mentor(), "contrast")
    assert {name for name in reached if "pass" not in name} == {"user_weights.weight"}
    assert {"user_preferences.weight", "user_weights.weight", "networks.0.0.weight"} <= gradients(
        mentor(mode="paper"), "contrast"
    )


def test_masking_trains_what_is_scored_in_mode_paper_and_is_left_out_of_the_official_one():
    assert "masking" not in mentor().loss_terms(BATCH).terms
    reached = gradients(mentor(mode="paper"), "masking")
    assert {"mapping.weight", "user_preferences.weight", "networks.1.2.bias"} <= reached


def test_masking_by_hand():
    model = mentor(mode="paper", masking=0.5, dropout=0.5).eval()
    with torch.no_grad():
        model.mapping.weight.copy_(-torch.eye(6))
        model.mapping.bias.zero_()
    # Nothing is dropped out of training, and minus a row is at cosine -1 of it: .5 * (2 + 2).
    assert model.loss_terms(BATCH).terms["masking"].item() == pytest.approx(2)
    users, items = (torch.from_numpy(table) for table in final(model))
    model.train()
    torch.manual_seed(1)
    found = model._masking(users).item() + model._masking(items).item()
    torch.manual_seed(1)
    expected = 0.0
    for table in (users, items):
        dropped = torch.nn.functional.dropout(table, 0.5).numpy()
        for row, kept in zip(table.numpy(), dropped, strict=True):
            lengths = np.linalg.norm(row) * np.linalg.norm(kept)
            expected += (1 + row @ kept / max(lengths, 1e-8)) / len(table)
    assert found == pytest.approx(expected, rel=1e-4)


def test_only_what_a_task_needs_is_made():
    def names(**settings):
        return {name.split(".")[0] for name, _ in mentor(**settings).named_parameters()}

    common = {"user_preferences", "user_weights", "networks"}
    guide = {"user_identities", "item_identities", "identity_network"}
    assert names(**BARE) == common
    assert names(contrast=0.0) == common | guide
    assert names() == common | guide | {"user_passes", "pass_networks"}
    assert names(mode="paper") == common | guide | {"mapping"}
    assert names(mode="paper", masking=0.0) == common | guide


def test_a_cheaper_run_draws_the_rows_of_the_contrast_first():
    assert Mentor.Config().thriftier() == [{"contrast_rows": 1024}, {"width": 32}]
    assert Mentor.Config(contrast=0.0).thriftier() == [{"width": 32}]
