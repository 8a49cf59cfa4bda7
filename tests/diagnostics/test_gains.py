"""Gains in all and user by user."""

import numpy as np
import pytest

from alnico.diagnostics.gains import gains, relative_gain
from alnico.errors import DataError
from alnico.evaluation.evaluate import Scores

USERS = np.array([3, 5, 7, 8])


def scores(*values: float, users: np.ndarray = USERS) -> Scores:
    """Values of one metric."""
    return Scores(users, {"m@1": np.array(values, dtype=np.float64)})


def test_relative_gain_is_in_percent_and_undefined_at_zero() -> None:
    assert relative_gain(0.06, 0.05) == pytest.approx(20)
    assert relative_gain(0.5, 0) is None
    assert relative_gain(float("nan"), 1) is None


def test_shares_of_users_by_hand() -> None:
    told = gains(scores(1, 0, 1 / 3, 0.25), scores(0.5, 0, 1 - 2 / 3, 0.5), "m@1")
    # One better by .5, one worse by .25; 1 - 2/3 and 1/3 differ in their last bit only.
    assert (told.better, told.equal, told.worse) == (0.25, 0.5, 0.25)
    values, shares = told.distribution()
    assert values.tolist() == [-0.25, 0, 0.5]
    assert shares.tolist() == [0.25, 0.75, 1]


def test_gains_of_a_group() -> None:
    told = gains(scores(1, 0, 0, 0), scores(0, 0, 0, 1), "m@1").of(USERS >= 7)
    assert told.users.tolist() == [7, 8]
    assert (told.better, told.equal, told.worse) == (0, 0.5, 0.5)


def test_other_users_are_refused() -> None:
    with pytest.raises(DataError, match="same users"):
        gains(scores(1, 1, 1, 1), scores(1, 1, users=np.array([3, 5])), "m@1")
