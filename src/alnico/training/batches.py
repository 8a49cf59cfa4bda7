"""One epoch of training triples."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from alnico.contracts import Batch
from alnico.data.interactions import Interactions
from alnico.errors import DataError
from alnico.training.negatives import UniformNegatives


class BatchSource:
    """Shuffles all training pairs each epoch and gives each one negative; the last batch may be shorter."""

    def __init__(self, train: Interactions, batch_size: int) -> None:
        self.negatives = UniformNegatives(train)
        usable = self.negatives.possible[train.users]
        if not usable.any():
            raise DataError(
                "no training triple can be formed: every user took every item that occurs in training; "
                "pairwise training needs items that a user did not take"
            )
        self.users = train.users[usable]
        self.items = train.items[usable]
        weights = np.ones(len(train), np.float32) if train.weights is None else train.weights
        self.weights: NDArray[np.float32] = (weights / weights.mean())[usable].astype(np.float32)
        self.batch_size = batch_size

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-len(self.users) // self.batch_size)

    def epoch(self, rng: np.random.Generator, device: torch.device) -> Iterator[Batch]:
        """The batches of one epoch."""
        order = rng.permutation(len(self.users))
        negatives = self.negatives.draw(self.users[order], rng)
        columns = [
            torch.from_numpy(column).to(device)
            for column in (self.users[order], self.items[order], negatives, self.weights[order])
        ]
        for start in range(0, len(order), self.batch_size):
            some = slice(start, start + self.batch_size)
            yield Batch(
                columns[0][some], columns[1][some], columns[2][some], columns[3][some], self.batch_size
            )
