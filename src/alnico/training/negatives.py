"""Items that a user did not take."""

import numpy as np
from numpy.typing import NDArray

from alnico.data.interactions import Interactions


class UniformNegatives:
    """Draws uniformly from the items that occur in training, never one that the user took there.

    The law is that of drawing and rejecting, done for all rows at once.
    """

    def __init__(self, train: Interactions) -> None:
        self.n_items = train.n_items
        self.candidates = np.flatnonzero(train.item_degrees > 0)
        self.taken = np.sort(train.pair_keys)
        # A user who took every candidate has no negative; such rows cannot be trained on.
        self.possible = train.user_degrees < len(self.candidates)

    def draw(self, users: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """One negative per row. All users must be ``possible``."""
        items = rng.choice(self.candidates, len(users))
        pending = np.flatnonzero(self._is_taken(users, items))
        while len(pending):
            items[pending] = rng.choice(self.candidates, len(pending))
            pending = pending[self._is_taken(users[pending], items[pending])]
        return items

    def _is_taken(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
        keys = users * self.n_items + items
        place = np.minimum(np.searchsorted(self.taken, keys), len(self.taken) - 1)
        result: NDArray[np.bool_] = self.taken[place] == keys
        return result
