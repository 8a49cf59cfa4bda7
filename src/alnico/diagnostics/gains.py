"""What one model gains over another, in all and user by user."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alnico.data.interactions import frozen
from alnico.errors import DataError
from alnico.evaluation.evaluate import Scores

_ROUNDING = 12
"""Decimals within which two values of a measure count as equal: 1 - 2/3 is 1/3."""


def relative_gain(new: float, old: float) -> float | None:
    """(new - old) / old in percent, of means over users; None where ``old`` is 0 or either is not a number.

    Per user it is mostly undefined, since the old value of most users is 0: use ``gains`` there.
    """
    if not np.isfinite([new, old]).all() or old == 0:
        return None
    return 100 * (new - old) / old


@dataclass(frozen=True, eq=False)
class Gains:
    """Differences new - old per user, in the unit of the metric; shares of users who are better, equal, worse off."""

    users: NDArray[np.int64]
    differences: NDArray[np.float64]
    better: float
    equal: float
    worse: float

    def of(self, inside: NDArray[np.bool_]) -> "Gains":
        """The gains of some of these users."""
        return _gains(self.users[inside], self.differences[inside])

    def distribution(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distinct differences, ascending, and the share of users with at most that difference."""
        values, counts = np.unique(self.differences, return_counts=True)
        return values, np.cumsum(counts) / max(len(self.differences), 1)


def gains(new: Scores, old: Scores, metric: str) -> Gains:
    """What each user gains. Raises DataError if the two do not hold the same users in the same order."""
    if not np.array_equal(new.users, old.users):
        raise DataError(
            f"gains need the same users on both sides; found {len(new)} and {len(old)} of them, or another order"
        )
    return _gains(new.users, np.round(new.of(metric) - old.of(metric), _ROUNDING))


def _gains(users: NDArray[np.int64], differences: NDArray[np.float64]) -> Gains:
    total = max(len(differences), 1)
    return Gains(
        frozen(users, np.int64),
        frozen(differences, np.float64),
        float((differences > 0).sum() / total),
        float((differences == 0).sum() / total),
        float((differences < 0).sum() / total),
    )
