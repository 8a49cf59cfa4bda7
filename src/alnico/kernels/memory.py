"""How the process deals with memory that it has freed."""

import ctypes
import sys
from functools import cache

# Names from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = -1
_NONE = 0


@cache
def keep_freed_memory() -> None:
    """Let tables that a step frees be used again by the next, instead of given back to the system in between.

    A step allocates and frees the same few tables. glibc maps anything above 32 MB anew each time, and the system
    clears every page of it when it is first touched: a third of a step with a trained table of 115 MB, half of it
    where tables hold hundreds of MB. So nothing is mapped apart, and the heap is never cut. What the process holds
    then stays at its peak. Only for glibc; elsewhere nothing.
    """
    if sys.platform != "linux":
        return
    try:
        adjust = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    adjust(_TRIM_THRESHOLD, _NEVER)
    adjust(_MMAP_MAX, _NONE)
