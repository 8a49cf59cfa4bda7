import numpy as np
import pytest
import torch

import worlds
from alnico.errors import DataError
from alnico.nn.features import FeatureTable, content_network, content_of
from alnico.nn.fusion import ModalityAttention
from alnico.nn.noise import dropped, perturbed
from alnico.randomness import rng


def test_absent_rows_stand_at_the_mean_of_the_present_ones():
    table = FeatureTable(worlds.modality([[1, 2], [9, 9], [3, 6]], absent=[1]), trainable=False)
    assert table().tolist() == [[1, 2], [2, 4], [3, 6]]
    assert table(torch.tensor([2, 1])).tolist() == [[3, 6], [2, 4]]
    assert table.present.tolist() == [True, False, True]


def test_only_a_trained_table_is_a_parameter():
    modality = worlds.modality(np.eye(2))
    assert [name for name, _ in FeatureTable(modality, trainable=True).named_parameters()] == ["vectors"]
    frozen = FeatureTable(modality, trainable=False)
    assert list(frozen.parameters()) == []
    assert frozen.state_dict() == {}


def test_content_leaves_out_modalities_that_nobody_has():
    features = worlds.features(
        2, image=worlds.modality(np.eye(2), absent=[0, 1]), text=worlds.modality(np.eye(2))
    )
    assert list(content_of(features, "freedom")) == ["text"]
    with pytest.raises(DataError, match="freedom reads item content, and the data hold none"):
        content_of(features.only("image"), "freedom")


def test_attention_weighs_each_row_by_its_own_softmax():
    fuse = ModalityAttention(2)
    views = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    first, second = fuse.query[0], fuse.query[2]
    heights = np.stack(
        [
            np.tanh(view.numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy())
            @ second.weight.detach().numpy()[0]
            for view in views
        ]
    )
    weights = np.exp(heights) / np.exp(heights).sum(0)
    expected = (weights[:, :, None] * views.numpy()).sum(0)
    np.testing.assert_allclose(fuse(list(views)).detach(), expected, rtol=1e-5, atol=1e-6)


def test_perturbation_has_the_stated_length_and_leaves_signs():
    table = torch.tensor([[1.0, -2.0, 3.0], [-0.5, 0.5, 4.0]])
    moved = perturbed(table, 0.1)
    torch.testing.assert_close((moved - table).norm(dim=1), torch.full((2,), 0.1))
    assert torch.equal(moved.sign(), table.sign())
    assert ((moved - table) * table.sign() >= 0).all()


def test_wide_vectors_are_projected_to_rows_of_length_one_and_alike_in_every_run():
    modality = worlds.modality(np.random.default_rng(0).standard_normal((6, 5)), absent=[2])
    table = FeatureTable(modality, trainable=False, projected=3)
    filled = FeatureTable(modality, trainable=False)().numpy()
    expected = filled @ rng(0, "projection").standard_normal((5, 3), dtype=np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(table(), expected, rtol=1e-5, atol=1e-6)
    torch.manual_seed(1)
    assert torch.equal(FeatureTable(modality, trainable=False, projected=3)(), table())
    assert (table.width, table.state_dict()) == (3, {})
    narrow = FeatureTable(modality, trainable=False, projected=5)
    np.testing.assert_array_equal(narrow(), filled)


def test_dropout_leaves_the_stated_share_and_scales_it():
    table = torch.arange(1.0, 30_002.0).reshape(-1, 1)  # an odd number of entries
    torch.manual_seed(0)
    left = dropped(table, 0.3, training=True)
    kept = left != 0
    torch.testing.assert_close(left[kept], table[kept] / 0.7)
    # Four deviations of a binomial share.
    assert kept.float().mean().item() == pytest.approx(0.7, abs=4 * (0.21 / 30_001) ** 0.5)
    # Neighbours share a draw of 64 bits, but not their fate.
    pairs = kept[:-1].view(-1, 2).float()
    assert torch.corrcoef(pairs.T)[0, 1].abs() < 4 / 15_000**0.5
    assert dropped(table, 0.3, training=False) is table
    assert dropped(table, 0.0, training=True) is table


def test_gradient_of_dropout_is_what_was_kept():
    table = torch.ones(50, 3, requires_grad=True)
    left = dropped(table, 0.5, training=True)
    left.sum().backward()
    assert torch.equal(table.grad, left.detach())
    assert sorted(set(left.detach().flatten().tolist())) == [0, 2]


def test_pieces_of_a_row_are_moved_one_by_one():
    table = torch.tensor([[1.0, -2.0, 3.0, 1.0], [-0.5, 0.5, 4.0, -1.0]])
    moved = perturbed(table, 0.1, parts=2)
    lengths = (moved - table).reshape(2, 2, 2).norm(dim=2)
    torch.testing.assert_close(lengths, torch.full((2, 2), 0.1))
    assert torch.equal(moved.sign(), table.sign())


def test_content_network_by_hand():
    network = content_network(2, 1)
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]))
        network[0].bias.copy_(torch.tensor([0.0, 0.0, 0.0, 1.0]))
        network[2].weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        network[2].bias.fill_(0.5)
    # Before the rectifier 1, -2, -1, 1; below zero a hundredth stays: 1 - 2 * .02 - 3 * .01 + 4 + .5.
    assert network(torch.tensor([[1.0, -2.0]])).item() == pytest.approx(5.43)


def test_rows_of_a_unit_table_have_length_one_after_the_mean_is_filled_in():
    table = FeatureTable(worlds.modality([[3, 4], [9, 9], [1, 0]], absent=[1]), trainable=False, unit=True)
    # The mean of (3, 4) and (1, 0) is (2, 2).
    torch.testing.assert_close(table(), torch.tensor([[0.6, 0.8], [0.5**0.5, 0.5**0.5], [1.0, 0.0]]))
