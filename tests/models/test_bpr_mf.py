"""Matrix factorisation by hand."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.models.bpr_mf import BprMf


def by_hand():
    """One user at (1, 2), items at (3, 0), (1, 1) and (0, 5)."""
    model = BprMf(BprMf.Config(width=2, l2=0.5), 1, 3)
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[1.0, 2.0]]))
        model.items.weight.copy_(torch.tensor([[3.0, 0.0], [1.0, 1.0], [0.0, 5.0]]))
    return model


def test_scores_are_products():
    assert by_hand().scorer().scores(torch.tensor([0])).tolist() == [[3, 3, 10]]


def test_loss_of_two_triples_by_hand():
    terms = by_hand().loss_terms(worlds.batch([(0, 2, 0), (0, 1, 2)])).terms
    # Differences 10 - 3 = 7 and 3 - 10 = -7; each norm over the batch's rows, not squared, over two rows.
    assert terms["bpr"].item() == pytest.approx((math.log1p(math.exp(-7)) + math.log1p(math.exp(7))) / 2)
    users, positives, negatives = math.sqrt(5 + 5), math.sqrt(25 + 2), math.sqrt(9 + 25)
    assert terms["l2"].item() == pytest.approx(0.5 * (users + positives + negatives) / 2)


def test_event_strengths_weigh_triples():
    heavy = by_hand().loss_terms(worlds.batch([(0, 2, 0), (0, 1, 2)], [2.0, 0.0])).terms["bpr"].item()
    assert heavy == pytest.approx(math.log1p(math.exp(-7)))


def test_tables_start_by_the_normal_law_of_glorot():
    model = BprMf.build(BprMf.Config(width=100), worlds.scattered(n_users=400).data, np.random.default_rng(0))
    assert model.users.weight.std().item() == pytest.approx(math.sqrt(2 / 500), rel=0.03)
