"""What the system says of this process and of its memory."""

import subprocess
import sys

import pytest
import torch

from alnico.experiment.machine import forget_gpu_peak, free_bytes, gpu_peak_bytes

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


def test_the_processor_has_no_gpu_memory() -> None:
    forget_gpu_peak(torch.device("cpu"))
    assert gpu_peak_bytes(torch.device("cpu")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
def test_peak_of_a_gpu_counts_from_where_it_was_forgotten() -> None:
    device = torch.device("cuda")
    torch.ones(2**24, device=device).sum().item()
    forget_gpu_peak(device)
    held = gpu_peak_bytes(device)
    torch.ones(2**22, device=device).sum().item()
    assert held is not None
    assert 2**24 <= gpu_peak_bytes(device) - held < 2**25
