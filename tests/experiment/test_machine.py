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


BY_A_LARGE_ONE = """
import subprocess, sys
held = bytearray(600_000_000)
held[::4096] = bytes(len(held[::4096]))
told = "from alnico.experiment.machine import peak_memory_bytes; print(peak_memory_bytes())"
print(subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout)
"""


def test_the_peak_is_not_that_of_who_started_the_process() -> None:
    told = subprocess.run([sys.executable, "-c", BY_A_LARGE_ONE], capture_output=True, text=True, check=True)
    assert 5e6 < int(told.stdout) < 400e6


def test_some_memory_is_free() -> None:
    assert 2**20 < free_bytes() < 2**50
