"""Freed memory is used again, and large tables lie on large pages."""

import platform
import subprocess
import sys

import numpy as np
import pytest

from alnico.kernels.memory import LARGE_PAGE, LEAST_REGION, _own_regions, use_large_pages

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
    # Ten steps would fetch all pages of the six tables ten times. Once more may be: a table that must begin at a round
    # address does not fit where another of its size lay alone.
    assert int(told) < 2 * 6 * numbers * 4 / 4096


def line(first: int, last: int, rest: str) -> str:
    return f"{first:x}-{last:x} {rest}"


def test_only_large_memory_of_the_process_itself_is_asked_for() -> None:
    page = LARGE_PAGE
    n_pages = LEAST_REGION // page
    maps = [
        # From within one large page to within another: whole ones between them count.
        line(page - 4096, (n_pages + 1) * page + 4096, "rw-p 00000000 00:00 0 "),
        line(100 * page, (100 + n_pages) * page, "rw-p 00000000 00:00 0                          [heap]"),
        line(200 * page, (200 + n_pages) * page - 4096, "rw-p 00000000 00:00 0 "),
        line(300 * page, (300 + n_pages) * page, "rw-p 00000000 00:00 0                          [stack]"),
        line(
            400 * page,
            (400 + n_pages) * page,
            "rw-s 00000000 00:01 77                         /dev/shm/shared",
        ),
        line(
            500 * page,
            (500 + n_pages) * page,
            "rw-p 00001000 fe:00 12                         /usr/lib/some.so",
        ),
        line(600 * page, (600 + n_pages) * page, "r--p 00000000 00:00 0 "),
    ]
    regions = [(page, (n_pages + 1) * page), (100 * page, (100 + n_pages) * page)]
    assert _own_regions("\n".join(maps) + "\n") == regions


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked")
def test_a_large_table_is_asked_for_and_keeps_its_numbers() -> None:
    table = np.arange(2 * LEAST_REGION, dtype=np.uint8)
    assert use_large_pages() >= LEAST_REGION
    np.testing.assert_array_equal(table, np.arange(2 * LEAST_REGION, dtype=np.uint8))
