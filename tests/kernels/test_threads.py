"""Kernels work with torch's number of threads and leave it alone."""

import subprocess
import sys

import numba
import numpy as np
import pytest
import torch

from alnico.kernels.propagation import csr_from_edges, multiply
from alnico.kernels.threads import follow_torch
from alnico.kernels.top_items import top_items


@pytest.fixture
def one_thread():
    """torch works with one thread for as long as the test runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_kernels_follow_torch_and_do_not_change_it(one_thread):
    matrix = csr_from_edges(np.array([0]), np.array([0]), np.ones(1, np.float32), (1, 1))
    multiply(matrix, torch.ones(1, 1), matrix)
    assert (torch.get_num_threads(), numba.get_num_threads()) == (1, 1)
    top_items(torch.ones(1, 2), np.array([0, 0]), np.zeros(0, np.int64), 1)
    assert (torch.get_num_threads(), numba.get_num_threads()) == (1, 1)


def test_more_threads_than_numba_has_are_cut_to_what_it_has():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(numba.config.NUMBA_NUM_THREADS + 3)
        follow_torch()
        assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS
        assert torch.get_num_threads() == numba.config.NUMBA_NUM_THREADS + 3
    finally:
        torch.set_num_threads(before)


def test_the_first_kernel_of_a_process_leaves_torchs_threads_alone():
    # numba starts its pool at the first kernel and sets the size of the pool that torch shares.
    code = (
        "import numpy as np, torch; torch.set_num_threads(1);"
        "from alnico.kernels.top_items import top_items;"
        "top_items(torch.ones(1, 2), np.array([0, 0]), np.zeros(0, np.int64), 1);"
        "raise SystemExit(torch.get_num_threads())"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 1
