"""Small MAGNETs on data without meaning, shaken so that nothing in them is zero or alike."""

import numpy as np

import plain
import worlds
from alnico.graphs.content import nearest_neighbours
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.model import Magnet

SMALL = {"width": 5, "neighbours": 3, "induced": 4}


def world(**changes):
    """Random pairs, absent content, two items and a user without training pairs."""
    return worlds.scattered(**{"seed": 11, "absent_share": 0.25, "idle_users": 1, **changes})


def built(changes=None, made=None, base=plain.WHOLE):
    """A shaken model and its data."""
    data = (made or world()).data
    config = MagnetConfig(**{**SMALL, **base, **(changes or {})})
    return plain.shaken(Magnet.build(config, data, np.random.default_rng(0))), data


def plainly(model, data, **more):
    """The same model in plain form."""
    lists = {name: nearest_neighbours(m, model.config.neighbours) for name, m in data.features.items()}
    return plain.PlainMagnet(model, data, lists, **more)


def all_pairs(train, seed=0):
    """Every training pair once, with a random negative."""
    rng = np.random.default_rng(seed)
    pairs = list(zip(train.users.tolist(), train.items.tolist(), strict=True))
    free = {u: np.setdiff1d(train.items, train.of_user(u)) for u in set(train.users.tolist())}
    return [(u, i, int(rng.choice(free[u]))) for u, i in pairs]
