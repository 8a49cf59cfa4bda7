import numpy as np
import pytest
import torch

import worlds
from alnico.errors import DataError
from alnico.nn.features import FeatureTable, content_of
from alnico.nn.fusion import ModalityAttention
from alnico.nn.noise import perturbed


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


def test_rows_of_a_unit_table_have_length_one_after_the_mean_is_filled_in():
    table = FeatureTable(worlds.modality([[3, 4], [9, 9], [1, 0]], absent=[1]), trainable=False, unit=True)
    # The mean of (3, 4) and (1, 0) is (2, 2).
    torch.testing.assert_close(table(), torch.tensor([[0.6, 0.8], [0.5**0.5, 0.5**0.5], [1.0, 0.0]]))
