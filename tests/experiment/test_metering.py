"""Bytes that work keeps and needs at its height: sums that can be done by hand."""

import numpy as np
import pytest
import torch

from alnico.experiment.metering import Meter

SLACK = 100_000
"""Python's own small objects, which are traced too."""


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    """What torch imports late, at the first operations that are watched, is no work's memory."""
    with Meter():
        table = torch.nn.Embedding(2, 2)
        optimiser = torch.optim.Adam(table.parameters())
        table(torch.arange(2)).sum().backward()
        optimiser.step()


def test_tensors_are_counted_while_they_live() -> None:
    with Meter() as meter:
        kept = torch.zeros(1000, 1000)
        twice = kept * 2
        del twice
    # 4 bytes a number: one table stays, two lived at once.
    assert 0 <= meter.kept - 4_000_000 < SLACK
    assert 0 <= meter.peak - 8_000_000 < SLACK
    assert kept.shape == (1000, 1000)


def test_views_are_no_new_memory() -> None:
    table = torch.zeros(1000, 1000)
    with Meter() as meter:
        views = [table[3:], table.T, table.view(-1)]
    assert len(views) == 3
    assert meter.peak < SLACK


def test_arrays_of_numpy_are_counted_too() -> None:
    with Meter() as meter:
        kept = np.ones(500_000)
        rest = np.concatenate([kept, kept])
        del rest
    # 8 bytes a number: 4 MB stay, 12 MB lived at once.
    assert 0 <= meter.kept - 4_000_000 < SLACK
    assert 0 <= meter.peak - 12_000_000 < SLACK


def test_a_step_of_adam_keeps_gradients_and_two_moments() -> None:
    table = torch.nn.Embedding(1000, 250)
    with Meter() as meter:
        optimiser = torch.optim.Adam(table.parameters())
        table(torch.arange(3)).sum().backward()
        optimiser.step()
    # A million bytes each: the gradient and Adam's two moments.
    assert 0 <= meter.kept - 3_000_000 < SLACK
    assert meter.peak >= 3_000_000


def test_meter_starts_at_zero_each_time() -> None:
    meter = Meter()
    with meter:
        first = torch.zeros(1_000_000)
    with meter:
        second = torch.zeros(1000)
    assert (len(first), len(second)) == (1_000_000, 1000)
    assert meter.peak < SLACK + 4000
