"""Freed memory is used again."""

import platform
import subprocess
import sys

import pytest

REPEATED_TABLES = """
import resource, sys, torch
from alnico.kernels.memory import keep_freed_memory
keep_freed_memory()
def step():
    tables = [torch.ones(int(sys.argv[1])) for _ in range(6)]
    return sum(table[0] for table in tables)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


# Six tables of 4 MB, and six of 48 MB, which glibc by itself would map anew each time.
@pytest.mark.parametrize("numbers", [2**20, 12 * 2**20])
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's pool of memory is adjusted")
def test_tables_made_anew_in_each_step_cost_their_pages_once(numbers: int) -> None:
    command = [sys.executable, "-c", REPEATED_TABLES, str(numbers)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Ten steps would fetch all pages of the six tables ten times.
    assert int(told) < 6 * numbers * 4 / 4096
