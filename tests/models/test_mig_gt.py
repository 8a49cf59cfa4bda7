"""MIG-GT by hand and in plain loops, and what its parts do."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.contracts import TrainingData
from alnico.models.mig_gt import FIXED_SEED, MigGt

ROOT = math.sqrt(6)


def fill(parameter, values):
    """Put these numbers into a tensor."""
    with torch.no_grad():
        parameter.copy_(torch.tensor(values))


def path(**settings):
    """One user between two items, one modality, everything of one number and every source one hop deep."""
    train = worlds.interactions([(0, 0), (0, 1)], 1, 2)
    data = TrainingData(train, worlds.features(2, text=worlds.modality([[1.0], [-2.0]])))
    config = MigGt.Config(width=1, hidden=1, id_hops=1, hops_of={"text": 1}, attention_width=1, **settings)
    model = MigGt.build(config, data, np.random.default_rng(0)).eval()
    fill(model.users.weight, [[4.0]])
    fill(model.encoders[0].widen.weight, [[2.0]])
    fill(model.encoders[0].narrow.weight, [[3.0]])
    fill(model.query.weight, [[0.5]])
    fill(model.query.bias, [1.0])
    fill(model.key.weight, [[0.4]])
    return model


# The encoder (batch norm has seen nothing and leaves numbers alone): 1 -> 2 -> 6 and -2 -> -4, a quarter of it -1,
# -> -3, a quarter -.75. In the graph each node is its own neighbour: degrees 3, 2, 2; own edges 1/3 and 1/2, others
# 1 / sqrt 6. A hop: .9 * gathered + .1 * start, divided by .9 + .1.
USER = 0.9 * (4 / 3 + (6 - 0.75) / ROOT) + 0.1 * 4
ITEMS = [0.9 * (4 / ROOT + 6 / 2) + 0.1 * 6, 0.9 * (4 / ROOT - 0.75 / 2) - 0.1 * 0.75]


def mixed(group, share=0.1):
    """What attention makes of a group, by the weights of ``path``: one output per member."""
    outputs = []
    for one in group:
        heights = [math.exp((0.5 * one + 1) * 0.4 * other) for other in group]
        seen = sum(height * other for height, other in zip(heights, group, strict=True)) / sum(heights)
        outputs.append(share * seen + (1 - share) * one)
    return outputs


def test_scores_by_hand():
    found = path(global_share=0.0).scorer().scores(torch.tensor([0]))
    np.testing.assert_allclose(found, [[USER * item for item in ITEMS]], rtol=1e-4)
    # With two draws each, the fixed ones.
    model = path(samples=2)
    drawn = torch.randint(2, (3, 2), generator=torch.Generator().manual_seed(FIXED_SEED)).tolist()
    user, *items = (
        mixed([own, *(ITEMS[i] for i in others)])[0]
        for own, others in zip([USER, *ITEMS], drawn, strict=True)
    )
    found = model.scorer().scores(torch.tensor([0]))
    np.testing.assert_allclose(found, [[user * item for item in items]], rtol=1e-4)


def test_loss_of_two_triples_by_hand():
    model = path(samples=2, l2=0.3)
    torch.manual_seed(5)
    drawn = torch.randint(2, (3, 2)).tolist()
    groups = [
        mixed([own, *(ITEMS[i] for i in others)]) for own, others in zip([USER, *ITEMS], drawn, strict=True)
    ]
    user, first, second = (group[0] for group in groups)
    torch.manual_seed(5)
    terms = model.loss_terms(worlds.batch([(0, 0, 1), (0, 1, 0)])).terms
    gap = user * (first - second)
    expected = math.log1p(math.exp(-gap)) + math.log1p(math.exp(gap))
    assert terms["bpr"].item() == pytest.approx(expected, rel=1e-4)
    # Minus the logarithm of the softmax share of the positive's own output.
    lost = [
        math.log(sum(math.exp(user * output) for output in group)) - user * group[0] for group in groups[1:]
    ]
    assert terms["unsmooth"].item() == pytest.approx(sum(lost), rel=1e-4)
    squares = user**2 + first**2 + second**2
    assert terms["l2"].item() == pytest.approx(0.3 / 2 * squares, rel=1e-4)


def test_wider_attention_is_the_published_formula():
    world = worlds.scattered(n_users=30, n_items=20)
    model = MigGt.build(
        MigGt.Config(width=8, hidden=6, samples=5), world.data, np.random.default_rng(0)
    ).eval()
    batch = worlds.random_batch(world.split.train, 40, seed=1)
    torch.manual_seed(3)
    drawn = torch.randint(20, (50, 5))
    torch.manual_seed(3)
    terms = model.loss_terms(batch).terms
    fused = model._fused().detach()
    groups = torch.cat([fused[:, None], fused[30:][drawn]], dim=1)
    heights = model.query(groups) @ model.key(groups).transpose(1, 2) / 2
    outputs = 0.1 * heights.softmax(2) @ groups + 0.9 * groups
    users, positives = outputs[batch.users, 0], outputs[batch.positives + 30]
    logits = (users[:, None] * positives).sum(2)
    expected = -logits.log_softmax(1)[:, 0].sum()
    torch.testing.assert_close(terms["unsmooth"], expected, rtol=1e-4, atol=1e-4)
    products = logits[:, 0] - (users * outputs[batch.negatives + 30, 0]).sum(1)
    torch.testing.assert_close(terms["bpr"], -torch.nn.functional.logsigmoid(products).sum())
    torch.testing.assert_close(terms["l2"], 1e-5 / 2 * outputs[:, 0].pow(2).sum())


def test_each_source_goes_as_deep_as_it_is_told():
    # A path: user 0 with items 0 and 1, user 1 with item 1.
    train = worlds.interactions([(0, 0), (0, 1), (1, 1)], 2, 2)
    shown = worlds.modality([[1.0, 0.0], [0.0, 1.0]])
    content = worlds.features(2, image=shown, text=shown, sound=shown)
    config = MigGt.Config(width=4, hidden=4, id_hops=2, hops=3, hops_of={"image": 0, "text": 1})
    model = MigGt.build(config, TrainingData(train, content), np.random.default_rng(0)).eval()
    assert model.hops == [0, 1, 3]
    for number, reached in enumerate([[False, False], [True, False], [True, True]]):
        before = model._fused().detach()
        # Only item 0's embedding moves.
        encoder = model.encoders[number]
        with torch.no_grad():
            encoder.table.vectors[0] += 1
        moved = (model._fused().detach() != before).any(1).tolist()
        assert moved[:2] == reached


def test_a_finished_model_looks_at_the_same_items_each_time():
    world = worlds.scattered()
    config = MigGt.Config(width=4, hidden=4, samples=2, projected=3)
    model = MigGt.build(config, world.data, np.random.default_rng(0)).eval()
    everybody = torch.arange(12)
    before = model.scorer().scores(everybody)
    torch.rand(7)
    assert torch.equal(model.scorer().scores(everybody), before)
    # Nor does anything but what is stored decide: the image is projected alike in every run.
    other = MigGt.build(config, world.data, np.random.default_rng(1)).eval()
    assert not torch.equal(other.scorer().scores(everybody), before)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.scorer().scores(everybody), before)


def test_in_training_each_pass_is_another():
    world = worlds.scattered()
    off = {f"{place}_dropout": 0.0 for place in ("input", "hidden", "user", "item", "edge", "fused")}
    for name in off:
        config = MigGt.Config(width=4, hidden=4, **{**off, name: 0.5})
        model = MigGt.build(config, world.data, np.random.default_rng(0)).train()
        assert not torch.equal(model._fused(), model._fused()), name
    still = MigGt.build(MigGt.Config(width=4, hidden=4, **off), world.data, np.random.default_rng(0)).train()
    assert torch.equal(still._fused(), still._fused())


def test_users_start_with_rows_of_about_length_one():
    world = worlds.scattered(n_users=400)
    model = MigGt.build(MigGt.Config(width=25, hidden=4), world.data, np.random.default_rng(0))
    # Variance 1 / 25.
    assert model.users.weight.std().item() == pytest.approx(0.2, rel=0.05)
