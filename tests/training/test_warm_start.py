"""Starting from another run's weights, with more users and items than it had."""

import numpy as np
import pytest
import torch

import worlds
from alnico.models import MODELS

SMALL = worlds.scattered(seed=1, n_users=8, n_items=10)
LARGE = worlds.scattered(seed=2, n_users=11, n_items=12)
# New numbers of old users and items, -1 for those that are new: the order has changed, and some are gone.
OLD_USERS = np.array([3, -1, 0, 1, 2, -1, 7, -1, 5, 4, -1])
OLD_ITEMS = np.array([-1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1])
SETTINGS = {
    "bpr_mf": {"width": 4},
    "lightgcn": {"width": 4},
    "magnet": {"width": 4, "neighbours": 3, "cue_gate": True},
    "magnet, projected": {"preset": "projected", "width": 4, "neighbours": 3, "induced": 5},
    # Its identities are buffers.
    "mmgcn": {"width": 4, "reduced": {"image": 3}},
}


def build(name, world, seed):
    """An untrained model."""
    kind = MODELS[name.split(",")[0]]
    config = kind.Config(**SETTINGS[name])
    return kind.build(config, world.data, np.random.default_rng(seed))


@pytest.mark.parametrize("name", list(SETTINGS))
def test_known_rows_are_taken_over_by_id_and_new_rows_stay_fresh(name):
    old, new, fresh = build(name, SMALL, 1), build(name, LARGE, 2), build(name, LARGE, 2)
    taken = new.adopt(old.state_dict(), OLD_USERS, OLD_ITEMS)
    assert {"users.weight", "items.weight"} <= set(taken)
    for table, numbers in (("users", OLD_USERS), ("items", OLD_ITEMS)):
        mine, before, theirs = (getattr(model, table).weight for model in (new, fresh, old))
        for row, number in enumerate(numbers.tolist()):
            expected = before[row] if number < 0 else theirs[number]
            assert torch.equal(mine[row], expected)


@pytest.mark.parametrize("name", ["magnet", "magnet, projected"])
def test_what_does_not_belong_to_a_user_or_an_item_is_taken_over_whole(name):
    old, new = build(name, SMALL, 1), build(name, LARGE, 2)
    taken = new.adopt(old.state_dict(), OLD_USERS, OLD_ITEMS)
    assert set(taken) == {name for name, _ in new.named_parameters()}
    for name, value in old.named_parameters():
        if name not in ("users.weight", "items.weight"):
            assert torch.equal(new.state_dict()[name], value), name


def test_adopting_does_not_change_the_old_weights():
    old, new = build("bpr_mf", SMALL, 1), build("bpr_mf", LARGE, 2)
    before = {name: value.clone() for name, value in old.state_dict().items()}
    new.adopt(old.state_dict(), OLD_USERS, OLD_ITEMS)
    with torch.no_grad():
        new.users.weight += 1
    assert all(torch.equal(value, before[name]) for name, value in old.state_dict().items())


def test_weights_that_the_old_run_did_not_have_stay_fresh():
    new = build("bpr_mf", LARGE, 2)
    before = new.users.weight.clone()
    assert new.adopt({}, OLD_USERS, OLD_ITEMS) == []
    assert torch.equal(new.users.weight, before)
