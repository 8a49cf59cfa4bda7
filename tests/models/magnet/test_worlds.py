"""MAGNET in worlds whose truth is known."""

import numpy as np
import pytest
import torch

import worlds
from alnico.models import restore
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.model import Magnet
from alnico.training.batches import BatchSource
from alnico.training.plan import TrainPlan
from alnico.training.trainer import fit

READINGS = {
    "projected": {"preset": "projected", "width": 8, "neighbours": 5, "induced": 5},
    # Numbers are given, whatever the defaults are.
    "as delivered": {
        **{"width": 8, "neighbours": 5, "layers": 3, "cue_weight": 0.5, "identity_rate": 3.0, "l2": 2e-5},
        **{"contrast": 0.01, "alignment": 0.01, "attraction": 0.01, "routing": 0.01, "cue_gate": False},
    },
}
EVERY = pytest.mark.parametrize("reading", READINGS)


def trained(world, reading, epochs=8, **settings):
    """The finished model after some epochs; the last epoch counts."""
    model = Magnet.build(
        MagnetConfig(**{**READINGS[reading], **settings}), world.data, np.random.default_rng(0)
    )
    plan = TrainPlan(epochs=epochs, batch_size=128, learning_rate=0.03, patience=99)
    rising = iter(range(epochs))
    batches = BatchSource(world.split.train, 128)
    validate = lambda _: {"recall@20": next(rising)}  # noqa: E731
    return restore(fit(model, batches, validate, plan, seed=1, device=torch.device("cpu")).scorer)


@EVERY
@pytest.mark.parametrize("views", ["single", "dual"])
def test_of_two_items_that_nobody_took_everybody_prefers_the_one_of_the_own_taste(views, reading):
    world = worlds.two_tastes()
    scores = trained(world, reading, views=views).scores(torch.from_numpy(world.asked))
    own, other = scores[:, [11, 23]].clone(), scores[:, [23, 11]].clone()
    gap = (own - other)[:, 0]
    # Even users are of the first taste, odd ones of the second.
    assert (gap[0::2] > 0).all()
    assert (gap[1::2] < 0).all()


@EVERY
def test_items_that_arrive_after_training_go_to_the_right_taste(reading):
    world = worlds.two_tastes()
    scorer = trained(world, reading)
    # The content of item 3, of the first taste, and of item 20, of the second.
    more = scorer.with_items(world.features.rows(np.array([3, 20])))
    scores = more.scores(torch.from_numpy(world.asked))
    gap = scores[:, 24] - scores[:, 25]
    assert (gap[0::2] > 0).all()
    assert (gap[1::2] < 0).all()


@EVERY
def test_images_that_mislead_do_not(reading):
    world = worlds.misleading_image()
    scorer = trained(world, reading)
    assert world.hits(scorer.top(world.asked, world.seen, 1).items) >= 36
