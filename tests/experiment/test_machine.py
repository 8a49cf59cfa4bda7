"""What the system says of this process and of its memory."""

import subprocess
import sys

from alnico.experiment.machine import free_bytes

APART = """
import numpy as np
from alnico.experiment.machine import peak_memory_bytes, resident_bytes
before = resident_bytes()
held = np.ones(8_000_000)
print(resident_bytes() - before, peak_memory_bytes() - resident_bytes(), held[0])
"""


def test_resident_size_follows_what_is_held() -> None:
    # In a process of its own: what others freed here is kept, and the 64 MB might lie in that.
    told = subprocess.run([sys.executable, "-c", APART], capture_output=True, text=True, check=True)
    grown, below_peak, _ = map(float, told.stdout.split())
    assert 50e6 < grown < 100e6
    # The kernel keeps its counts per thread and adds them up now and then.
    assert below_peak >= -(2**22)


def test_some_memory_is_free() -> None:
    assert 2**20 < free_bytes() < 2**50
