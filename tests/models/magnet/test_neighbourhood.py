"""Cues from gated neighbourhoods, anchors, links, and the terms that go with them: by hand and in plain loops."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import plain
import worlds
from alnico.contracts import TrainingData
from alnico.experiment.dissection import averaged, nodes
from alnico.graphs.content import nearest_neighbours
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.model import Magnet
from alnico.models.magnet.neighbourhood import NeighbourhoodCues
from alnico.models.magnet.scorer import MagnetScorer

NEAR = {
    "preset": "projected",
    "cue": "neighbourhood",
    "cue_neighbours": 4,
    "width": 5,
    "neighbours": 3,
    "induced": 4,
}
RICH = {
    **NEAR,
    "anchored": True,
    "cue_weight": 0.5,
    "cue_gate": True,
    "cue_hops": 2,
    "induced_between": "items",
    "neighbours": 8,
    "alignment": 0.1,
    "attraction": 0.1,
}
BOTH = pytest.mark.parametrize("settings", [NEAR, RICH], ids=["plain", "rich"])


def world(**changes):
    """Random pairs, absent content, two items and a user without training pairs."""
    return worlds.scattered(**{"seed": 11, "absent_share": 0.25, "idle_users": 1, **changes})


def built(settings, made=None):
    """A shaken model and its data."""
    data = (made or world()).data
    return plain.shaken(Magnet.build(MagnetConfig(**settings), data, np.random.default_rng(0))), data


def sigmoid(x):
    """The logistic function."""
    return 1 / (1 + math.exp(-x))


# -- cues --------------------------------------------------------------------------------------------


def by_hand():
    """Three items of cosines .6 (0 and 1), .8 (1 and 2) and 0; user 0 has items 0 and 1, user 1 has item 1."""
    modality = worlds.modality([[1.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    train = worlds.interactions([(0, 0), (0, 1), (1, 1)], 3, 3)
    config = MagnetConfig(width=1, cue="neighbourhood", cue_neighbours=2, router_input="coherence")
    cues = NeighbourhoodCues(modality, nearest_neighbours(modality, 1), train, config)
    with torch.no_grad():
        cues.gated.project.weight.copy_(torch.tensor([[1.0, 0.0]]))
        cues.gated.project.bias.zero_()
        cues.gated.gate.weight.fill_(1.0)
        cues.gated.gate.bias.zero_()
    return cues, torch.tensor([[2.0], [4.0], [6.0]])


GATED = (2 * sigmoid(1), 4 * sigmoid(3), 6 * 0.5)
# Each item has one neighbour: 0 has 1, 1 has 2, 2 has 1. Row sums 1.6, 1.8, 1.8.
ITEMS = (
    GATED[0] / 1.6 + 0.6 * GATED[1] / math.sqrt(1.6 * 1.8),
    GATED[1] / 1.8 + 0.8 * GATED[2] / 1.8,
    GATED[2] / 1.8 + 0.8 * GATED[1] / 1.8,
)


def test_cues_of_items_and_users_by_hand():
    cues, identities = by_hand()
    told = cues.reading(identities)
    assert told.items(torch.arange(3)).vectors.flatten().tolist() == pytest.approx(ITEMS)
    users = told.users(torch.arange(3))
    # Item 0 has one user, item 1 two; user 0 two items, user 1 one, user 2 none.
    expected = [ITEMS[0] / math.sqrt(2) + ITEMS[1] / 2, ITEMS[1] / math.sqrt(2), 0]
    assert users.vectors.flatten().tolist() == pytest.approx(expected)
    assert users.present.tolist() == [True, True, False]
    # The pool's vectors [1, 0] and [.6, .8].
    assert users.coherence.tolist() == pytest.approx([0.6, 0, 0], abs=1e-6)


def test_a_user_without_one_item_by_hand():
    cues, identities = by_hand()
    left = torch.tensor([0, 1, 1]), torch.tensor([1, 1, 0])
    # The batch's distinct users alone are pooled; each pair leaves out its own item, also of the same user.
    for users in (None, torch.tensor([0, 1])):
        told = cues.reading(identities, users).users(torch.tensor([0, 1, 0]), left[1])
        expected = [ITEMS[0], 0, ITEMS[1] / math.sqrt(2)]
        assert told.vectors[told.present].flatten().tolist() == pytest.approx([expected[0], expected[2]])
        assert told.present.tolist() == [True, False, True]


def dense(cues, modality, lists, train, identities, hops):
    """Item cues, and a function from a set of items to the cue of who has them."""
    n_items, value = len(modality.present), cues.gated.state_dict()
    x = modality.vectors.astype(float) @ value["project.weight"].double().numpy().T
    x += value["project.bias"].double().numpy()
    x = x @ value["gate.weight"].double().numpy().T + value["gate.bias"].double().numpy()
    items = identities.double().numpy() / (1 + np.exp(-x)) * modality.present[:, None]
    matrix = np.eye(n_items)
    for item, own in enumerate(lists.items):
        for other, weight in zip(own.tolist(), lists.weights[item].tolist(), strict=True):
            if other >= 0:
                matrix[item, other] = weight
    sums = matrix.sum(1)
    matrix /= np.sqrt(np.outer(sums, sums))
    for _ in range(hops):
        items = matrix @ items

    def pooled(history):
        own = [item for item in history if modality.present[item]]
        terms = [items[i] / math.sqrt(len(own) * max(train.item_degrees[i], 1)) for i in own]
        return np.sum(terms, axis=0) if own else None

    return items, pooled


@pytest.mark.parametrize("hops", [1, 2])
def test_cues_are_those_of_dense_matrices_and_a_loop(hops):
    model, data = built({**NEAR, "cue_hops": hops})
    train, cues = data.interactions, model._cue_list()[0]
    image = data.features["image"]
    _, identities = model._identities()
    items, pooled = dense(cues, image, nearest_neighbours(image, 3), train, identities.detach(), hops)
    told = cues.reading(identities, torch.unique(torch.from_numpy(np.array(train.users))))
    found = told.items(torch.arange(train.n_items))
    assert found.present.tolist() == image.present.tolist()
    np.testing.assert_allclose(found.vectors.detach().numpy()[image.present], items[image.present], atol=1e-5)
    users, left_out = torch.tensor(train.users), torch.tensor(train.items)
    without = told.users(users, left_out)
    for row, (user, item) in enumerate(zip(train.users.tolist(), train.items.tolist(), strict=True)):
        rest = [other for other in train.of_user(user).tolist() if other != item]
        expected = pooled(rest)
        assert bool(without.present[row]) == (expected is not None)
        if expected is not None:
            np.testing.assert_allclose(without.vectors[row].detach(), expected, atol=1e-5)


def test_gates_and_trained_vectors_belong_to_content():
    model, _ = built({**NEAR, "features_trainable": True, "router_input": "behaviour"})
    content = {id(parameter) for parameter in model.parameter_groups()["content"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in content}
    assert {name.split(".", 3)[3] for name in names} == {
        "table.vectors",
        "project.weight",
        "project.bias",
        "gate.weight",
        "gate.bias",
    }


# -- the whole model ---------------------------------------------------------------------------------


@BOTH
def test_the_training_score_of_all_pairs_is_the_finished_models(settings):
    model, data = built({**settings, "leave_one_out": False})
    train = data.interactions
    scorer = model.scorer()
    triples = [(u, i, (i + 1) % 13) for u, i in zip(train.users.tolist(), train.items.tolist(), strict=True)]
    users, positives, negatives = torch.tensor(triples).T
    gaps = scorer.score_pairs(users, positives) - scorer.score_pairs(users, negatives)
    expected = torch.nn.functional.softplus(-gaps).mean().item()
    step = model.eval().loss_terms(worlds.batch(triples))
    assert step.terms["bpr"].item() == pytest.approx(expected, rel=1e-4)


@BOTH
def test_the_finished_model_leaves_out_an_item_as_training_does(settings):
    model, data = built({**settings, "router_input": "behaviour"})
    scorer, history = model.scorer(), data.interactions.of_user(4)
    found = scorer.forgetting(4, 2, history)
    for row, item in enumerate(history.tolist()):
        told = scorer.fold_in([np.setdiff1d(history, [item])])
        # Only the cues are those of the shorter history.
        told = told._with(users=replace(told.users, z=scorer.users.z[[4]]))
        expected = told.score_pairs(torch.tensor([0]), torch.tensor([2]))
        torch.testing.assert_close(found[row], expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cue", ["projection", "neighbourhood"])
def test_faint_cues_on_an_anchor_leave_the_product_of_identities(cue):
    data = world(absent_share=0.0).data
    config = MagnetConfig(
        **{**NEAR, "cue": cue, "views": "single"}, anchored=True, cue_weight=1e-6, experts_per_pair=1
    )
    scorer = Magnet.build(config, data, np.random.default_rng(0)).scorer()
    expected = scorer.users.z[:12] @ scorer.items.z.T
    torch.testing.assert_close(scorer.scores(torch.arange(12)), expected, rtol=1e-4, atol=1e-6)
    # So do the vectors of items in the plane: what the experts mix is z.
    train, rows = data.interactions, np.array([1, 4])
    shown = nodes(scorer, train, "items", rows)
    np.testing.assert_allclose(shown.after, scorer.items.z[rows], atol=1e-5)
    np.testing.assert_allclose(shown.before[:, 5:10], 1e-6 * scorer.items.cues[rows, 0], rtol=1e-5)
    # Without an anchor an expert of faint cues has nothing to say.
    bare = Magnet.build(
        config.model_copy(update={"anchored": False}), data, np.random.default_rng(0)
    ).scorer()
    assert bare.explain_pairs(torch.tensor([0]), torch.tensor([1])).expert_scores[0, 1:].abs().max() < 1e-9


def test_anchored_parts_by_hand():
    model, _ = built({**NEAR, "anchored": True, "cue_weight": 0.5})
    scorer = model.scorer()
    rows = torch.tensor([1, 4])
    parts = scorer.part_vectors(scorer.items, rows)
    torch.testing.assert_close(parts[:, 1:], 0.5 * scorer.items.cues[rows])
    mixed = scorer.as_mixed(parts)
    torch.testing.assert_close(mixed[:, 0], scorer.items.z[rows])
    torch.testing.assert_close(mixed[:, 2], scorer.items.z[rows] + 0.5 * scorer.items.cues[rows, 1])


def test_gates_by_hand():
    model, _ = built({**NEAR, "cue_gate": True, "cue_weight": 0.5})
    scorer = model.scorer()
    rows = torch.tensor([1, 4])
    z, cues = scorer.items.z[rows].double(), scorer.items.cues[rows, 1].double()
    weight, bias = (part.detach().double() for part in model.gates.maps[1].parameters())
    passed = [
        [0.5 * float(cue[entry]) * sigmoid(float(weight[entry] @ own + bias[entry])) for entry in range(5)]
        for own, cue in zip(z, cues, strict=True)
    ]
    torch.testing.assert_close(scorer.part_vectors(scorer.items, rows)[:, 2], torch.tensor(passed))


def test_gates_that_are_wide_open_change_nothing():
    model, _ = built(RICH)
    with torch.no_grad():
        for gate in model.gates.maps:
            gate.weight.zero_()
            gate.bias.fill_(40.0)
    bare, _ = built({**RICH, "cue_gate": False})
    bare.load_state_dict({name: value for name, value in model.state_dict().items() if "gates" not in name})
    everyone = torch.arange(3)
    torch.testing.assert_close(model.scorer().scores(everyone), bare.scorer().scores(everyone))


def test_taking_a_modality_away_takes_its_own_share_and_not_what_it_stands_on():
    model, _ = built({**RICH, "cue_gate": False})
    scorer = model.scorer()
    users, items = torch.tensor([0, 3, 7]), torch.tensor([1, 4, 6])
    told = scorer.explain_pairs(users, items)
    has = scorer.items.present[:, 1] > 0
    cues = scorer.items.cues.clone()
    cues[has, 0] = scorer.items.cues[has, 0].mean(0)
    average = scorer._with(items=replace(scorer.items, cues=cues))
    both = averaged(scorer, "image")
    torch.testing.assert_close(both.items.cues, cues)
    torch.testing.assert_close(both.items.z, scorer.items.z)
    torch.testing.assert_close(told.without[:, 1], average.score_pairs(users, items), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(told.reliance.sum(1), told.score - told.baseline, rtol=1e-4, atol=1e-5)


@BOTH
def test_a_new_items_cue_is_its_row_of_the_item_graph(settings):
    model, data = built(settings)
    scorer, config = model.scorer(), model.config
    image, new = data.features["image"], np.array([[0.3, -0.2, 0.9, 0.1]], np.float32)
    fresh = worlds.features(1, image=worlds.modality(new), text=worlds.modality(np.ones((1, 3))))
    known = np.flatnonzero(image.present)
    cosines = np.array([_cosine(image.vectors[i], new[0]) for i in known])
    near = np.argsort(-cosines, kind="stable")[: config.cue_neighbours - 1]
    lists = nearest_neighbours(image, config.cue_neighbours - 1)
    sums = 1 + lists.weights.sum(1)
    own = 1 + cosines[near].sum()
    cues, (_, identities) = model._cue_list()[0], model._identities()
    expected = np.zeros(5)
    for hop in range(config.cue_hops):
        table, _ = dense(cues, image, lists, data.interactions, identities.detach(), hop)
        step = [cosines[j] / math.sqrt(own * sums[known[j]]) * table[known[j]] for j in near]
        expected = np.sum(step, axis=0) + expected / own
    more = scorer.with_items(fresh)
    np.testing.assert_allclose(more.items.cues[-1, 0], expected, atol=1e-5)
    # One at a time or together: newcomers give nothing to each other.
    twice = more.with_items(fresh)
    assert torch.equal(twice.items.cues[-1], more.items.cues[-1])
    again = MagnetScorer.from_state(twice.to(torch.device("cpu")).state())
    assert torch.equal(again.scores(torch.arange(12)), twice.scores(torch.arange(12)))


def _cosine(left, right):
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


def test_a_model_stored_before_these_settings_is_read_as_printed():
    scorer = built({"preset": "projected", "width": 5, "neighbours": 3, "induced": 4})[0].scorer()
    state = scorer.state()
    old = {name: value for name, value in state.settings["config"].items() if "cue" not in name}
    # Projected cues were the default then.
    old["preset"] = "alnico"
    again = MagnetScorer.from_state(replace(state, settings={**state.settings, "config": old}))
    assert again.config == scorer.config.model_copy(update={"preset": "alnico"})


# -- links between items -----------------------------------------------------------------------------


def test_links_join_neighbours_in_every_modality_by_hand():
    # By image 0 and 1 are alike and 2 and 3; by text 0 and 1, and 2 with 0: only 0 and 1 agree.
    image = worlds.modality([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    text = worlds.modality([[1.0, 0.0, 0.0], [1.0, 0.2, 0.0], [0.8, 0.0, 0.6], [0.0, 1.0, 0.2]])
    train = worlds.interactions([(0, 0), (0, 2), (1, 2)], 2, 4)
    config = MagnetConfig(width=2, neighbours=1, induced_between="items", evidence=False)
    data = TrainingData(train, worlds.features(4, image=image, text=text))
    model = Magnet.build(config, data, np.random.default_rng(0))
    rows, columns, values = model.augmented.edges()
    found = {(int(r), int(c)): float(v) for r, c, v in zip(rows, columns, values, strict=True)}
    # Nodes: users 0 and 1, items 2 to 5. Edges that leave: 2, 1; item 0 a user and a link, item 1 a link, item 2 two
    # users.
    assert found == pytest.approx(
        {
            (0, 2): 1 / 2,
            (2, 0): 1 / 2,
            (0, 4): 1 / 2,
            (4, 0): 1 / 2,
            (1, 4): 1 / math.sqrt(2),
            (4, 1): 1 / math.sqrt(2),
            (2, 3): 1 / math.sqrt(2),
            (3, 2): 1 / math.sqrt(2),
        }
    )
    # Nobody has item 1, but it hears from item 0; item 3 hears from nobody.
    assert model.item_reached.tolist() == [True, True, True, False]
    assert model.induced is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"induced_between": "items", "induced_cap": 3}, "are about users' edges"),
        ({"induced_between": "items", "induced_weight": "visibility"}, "are about users' edges"),
        ({"cue": "neighbourhood", "projection": "mlp"}, "reads raw vectors through gates"),
        (
            {"cue": "neighbourhood", "features_trainable": True, "router_input": "coherence"},
            "use 'behaviour'",
        ),
        ({"cue_weight": 0}, "cue_weight"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MagnetConfig(**settings)


def test_fewer_users_edges_are_not_proposed_where_there_are_none():
    proposed = {name for change in MagnetConfig(induced_between="items").thriftier() for name in change}
    assert proposed == {"fanout", "views", "width"}
