"""Named streams do not disturb each other."""

import numpy as np
import pytest
import torch

from alnico.nn.seeding import seeded
from alnico.randomness import reseed_torch, rng


def draws(*name):
    """The first numbers of a stream."""
    return rng(*name).random(4).tolist()


def test_the_same_name_gives_the_same_numbers():
    assert draws(7, "epoch", 3) == draws(7, "epoch", 3)


@pytest.mark.parametrize("other", [(8, "epoch", 3), (7, "split", 3), (7, "epoch", 4), (7, "epoch")])
def test_any_other_name_gives_other_numbers(other):
    assert draws(7, "epoch", 3) != draws(*other)


def test_a_stream_is_pinned():
    # Changing these numbers changes every published run.
    assert rng(2026, "split").integers(1000, size=3).tolist() == [16, 33, 476]


def test_using_one_stream_leaves_another_where_it_is():
    first, second = rng(1, "a"), rng(1, "b")
    first.random(1000)
    assert second.random(4).tolist() == draws(1, "b")


def test_torch_is_reseeded_by_name():
    reseed_torch(3, "torch", 2)
    one = torch.rand(4)
    reseed_torch(3, "torch", 2)
    assert torch.equal(torch.rand(4), one)
    reseed_torch(3, "torch", 3)
    assert not torch.equal(torch.rand(4), one)


def test_initialisation_leaves_torchs_own_stream_alone():
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    with seeded(np.random.default_rng(0)):
        inside = torch.rand(4)
    assert torch.equal(torch.rand(4), expected)
    assert not torch.equal(inside, expected)
    with seeded(np.random.default_rng(0)):
        assert torch.equal(torch.rand(4), inside)
