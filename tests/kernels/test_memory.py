"""Freed memory is used again."""

import platform
import subprocess
import sys

import pytest

REPEATED_TABLES = """
import resource, torch
from alnico.kernels.memory import keep_freed_memory
keep_freed_memory()
def step():
    tables = [torch.ones(2**20) for _ in range(6)]
    return sum(table[0] for table in tables)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's pool of memory is adjusted")
def test_tables_made_anew_in_each_step_cost_their_pages_once():
    told = subprocess.run(
        [sys.executable, "-c", REPEATED_TABLES], capture_output=True, text=True, check=True
    ).stdout
    # Six tables of 4 MB are 6,144 pages a step; ten steps would fetch ten times as many.
    assert int(told) < 6_144
