"""Independent streams of random numbers from one seed.

A stream is named by (seed, purpose, epoch): adding a consumer never shifts the numbers of another,
and an epoch can be replayed without replaying those before it.
"""

import hashlib

import numpy as np
import torch


def rng(seed: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """A fresh generator for this (seed, purpose, epoch)."""
    name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.default_rng(np.random.SeedSequence([seed, name, epoch]))


def reseed_torch(seed: int, purpose: str, epoch: int = 0) -> None:
    """Set torch's global generators (dropout, initialisation) from the named stream."""
    torch.manual_seed(int(rng(seed, purpose, epoch).integers(2**63 - 1)))
