"""What the system says of this process and of its memory."""

import numpy as np

from alnico.experiment.machine import free_bytes, peak_memory_bytes, resident_bytes


def test_resident_size_follows_what_is_held() -> None:
    before = resident_bytes()
    held = np.ones(8_000_000)  # 64 MB
    grown = resident_bytes() - before
    assert 50e6 < grown < 100e6
    assert held[0] == 1
    # The kernel keeps its counts per thread and adds them up now and then.
    assert resident_bytes() <= peak_memory_bytes() + 2**22


def test_some_memory_is_free() -> None:
    assert 2**20 < free_bytes() < 2**50
