"""How many threads a kernel works with."""

import torch
from numba import config, set_num_threads


def follow_torch() -> None:
    """Let the next kernel use as many threads as torch does; called before each kernel.

    Both may share one pool of OpenMP threads, and numba sets its size for torch too when it first needs it: in
    the middle of a run, which would then not have the same bits when it resumes.
    """
    threads = torch.get_num_threads()
    set_num_threads(min(threads, config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
