"""Items that a user did not take."""

import numpy as np
from numpy.typing import NDArray

from alnico.data.interactions import Interactions
from alnico.kernels.membership import contains


class UniformNegatives:
    """Draws uniformly from the items that occur in training, never one that the user took there.

    The law is that of drawing and rejecting, done for all rows at once.
    """

    def __init__(self, train: Interactions) -> None:
        self.candidates = np.flatnonzero(train.item_degrees > 0)
        self.offsets, self.taken = train.offsets, train.items_by_id
        # A user who took every candidate has no negative; such rows cannot be trained on.
        self.possible = train.user_degrees < len(self.candidates)

    def draw(self, users: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """One negative per row. All users must be ``possible``."""
        items = rng.choice(self.candidates, len(users))
        pending = np.flatnonzero(contains(self.offsets, self.taken, users, items))
        while len(pending):
            items[pending] = rng.choice(self.candidates, len(pending))
            pending = pending[contains(self.offsets, self.taken, users[pending], items[pending])]
        return items
