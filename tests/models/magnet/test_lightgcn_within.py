"""MAGNET cut down to behaviour is LightGCN, whose code is another."""

import numpy as np
import pytest
import torch

import worlds
from alnico.models.lightgcn import LightGcn
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.model import Magnet
from small_magnets import all_pairs

AS_LIGHTGCN = {
    "preset": "projected",
    "width": 5,
    "layers": 3,
    "views": "single",
    "families": ("dominant",),
    "alpha": 1.0,
    "experts_per_pair": 1,
    "routing": 0.0,
    "l2": 0.0,
    "router_input": "behaviour",
    "modality_dropout": 0.0,
}


def both_models():
    """MAGNET cut down to its behaviour expert, and LightGCN with the same identities."""
    data = worlds.scattered(seed=7, cold_items=0, n_users=40, absent_share=0.0).data
    assert (data.interactions.item_degrees > 0).all()
    magnet = Magnet.build(MagnetConfig(**AS_LIGHTGCN), data, np.random.default_rng(0))
    lightgcn = LightGcn.build(LightGcn.Config(width=5, layers=3, l2=0.0), data, np.random.default_rng(1))
    with torch.no_grad():
        lightgcn.users.weight.copy_(magnet.users.weight)
        lightgcn.items.weight.copy_(magnet.items.weight)
        # The first expert is behaviour's; send everything there.
        magnet.router.first.weight.zero_()
        magnet.router.first.bias.copy_(torch.tensor([9.0, 0.0, 0.0]))
    return magnet, lightgcn, data


def test_cut_down_to_behaviour_magnet_is_lightgcn():
    magnet, lightgcn, _ = both_models()
    ours, theirs = magnet.scorer(), lightgcn.scorer()
    assert torch.equal(ours.users.z, theirs.users)
    assert torch.equal(ours.items.z, theirs.items)
    everyone = torch.arange(40)
    torch.testing.assert_close(ours.scores(everyone), theirs.scores(everyone), rtol=1e-6, atol=1e-7)


def test_cut_down_to_behaviour_magnet_learns_as_lightgcn_does():
    magnet, lightgcn, data = both_models()
    some = worlds.batch(all_pairs(data.interactions))
    ours, theirs = magnet.eval().loss_terms(some).terms["bpr"], lightgcn.loss_terms(some).terms["bpr"]
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(magnet.users.weight.grad, lightgcn.users.weight.grad, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(magnet.items.weight.grad, lightgcn.items.weight.grad, rtol=1e-4, atol=1e-8)
