"""Initialisation from a given generator, without touching torch's global one."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """Inside, torch draws from a stream that ``rng`` starts; afterwards its own state is back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63 - 1)))
        yield
