"""phi and Score by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from alnico.models.magnet.heads import ConcatHead, HadamardHead, make_head

USERS, ITEMS = torch.tensor([[[1.0, 2.0]], [[3.0, 0.0]]]), torch.tensor([[[4.0, 5.0]], [[1.0, 1.0]]])
"""Two experts, one pair, width two."""


def randomised(head):
    """The head with all parameters random."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return head


def test_the_untrained_product_head_is_a_dot_product():
    head = HadamardHead(2, 2)
    # Expert 0: 1 * 4 + 2 * 5. Expert 1: 3 * 1 + 0 * 1.
    assert head.pair_scores(head.user_side(USERS), head.item_side(ITEMS)).tolist() == [[14, 3]]


def test_product_head_by_formula():
    head = randomised(HadamardHead(2, 2))
    found = head.pair_scores(head.user_side(USERS), head.item_side(ITEMS))
    for expert in range(2):
        left = head.user_maps[expert] @ USERS[expert, 0] + head.user_bias[expert, 0]
        right = head.item_maps[expert] @ ITEMS[expert, 0] + head.item_bias[expert, 0]
        assert found[0, expert].item() == pytest.approx((head.readout * left * right).sum().item(), rel=1e-5)


def test_concatenation_head_by_formula():
    head = randomised(ConcatHead(2, 2))
    found = head.pair_scores(head.user_side(USERS), head.item_side(ITEMS))
    for expert in range(2):
        weight = torch.cat([head.user_maps[expert], head.item_maps[expert]], dim=1)
        both = torch.cat([USERS[expert, 0], ITEMS[expert, 0]])
        hidden = functional.relu(weight @ both + head.bias[expert, 0])
        expected = (head.readout @ hidden + head.offset).item()
        assert found[0, expert].item() == pytest.approx(expected, rel=1e-5)


def test_concatenation_head_starts_as_torchs_own_layers_do():
    torch.manual_seed(4)
    layers, readout = [nn.Linear(6, 3) for _ in range(2)], nn.Linear(3, 1)
    torch.manual_seed(4)
    head = ConcatHead(2, 3)
    for expert, layer in enumerate(layers):
        assert torch.equal(torch.cat([head.user_maps[expert], head.item_maps[expert]], dim=1), layer.weight)
        assert torch.equal(head.bias[expert, 0], layer.bias)
    assert torch.equal(head.readout, readout.weight[0])
    assert torch.equal(head.offset, readout.bias[0])


@pytest.mark.parametrize(("kind", "cls"), [("hadamard", HadamardHead), ("concat", ConcatHead)])
def test_heads_by_name(kind, cls):
    assert isinstance(make_head(kind, 3, 4), cls)


@pytest.mark.parametrize("head", [HadamardHead(2, 2), ConcatHead(2, 2)], ids=["product", "concatenation"])
def test_parameters_of_a_head_do_not_share_memory(head):
    homes = [parameter.untyped_storage().data_ptr() for parameter in head.parameters()]
    assert len(set(homes)) == len(homes)
