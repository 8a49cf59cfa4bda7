"""How the process deals with memory that it has freed."""

import ctypes
import re
import sys
from functools import cache
from pathlib import Path

# Names from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = -1
_NONE = 0
# From Linux's mman.h.
_ADVISE_LARGE_PAGES, _COLLAPSE = 14, 25

LARGE_PAGE = 2**21
"""Bytes of a large page where an ordinary one has 4,096."""
LEAST_REGION = 2**25
"""Bytes from which a region of memory is worth large pages: below lie stacks, and tables that caches hold."""


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


def use_large_pages() -> int:
    """Bytes of this process's own memory that now may lie on large pages, as far as the system has them.

    A step reads rows here and there in tables of hundreds of MB. On ordinary pages nearly each of these reads first has
    to look up where its page is, and that takes as long again as the read. Where the system keeps large pages for those
    who ask (its default), this asks: for memory that is touched later, and for what is there already, which is moved
    once. Calling it again costs next to nothing. Only for Linux; elsewhere nothing.
    """
    place = Path("/proc/self/maps")
    if sys.platform != "linux" or not place.exists():
        return 0
    try:
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return 0
    asked = 0
    for first, last in _own_regions(place.read_text(encoding="utf-8", errors="replace")):
        start, size = ctypes.c_void_p(first), ctypes.c_size_t(last - first)
        if advise(start, size, _ADVISE_LARGE_PAGES) == 0:
            # Systems before Linux 6.1 refuse this one, and move pages by and by.
            advise(start, size, _COLLAPSE)
            asked += last - first
    return asked


def _own_regions(maps: str) -> list[tuple[int, int]]:
    """First and last address, on borders of large pages, of large regions that only this process writes."""
    found = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *(?:\[heap\]|\[anon:[^]]*\])?$", maps, re.M)
    regions = []
    for begin, end in found:
        first, last = -(-int(begin, 16) // LARGE_PAGE) * LARGE_PAGE, int(end, 16) // LARGE_PAGE * LARGE_PAGE
        if last - first >= LEAST_REGION:
            regions.append((first, last))
    return regions
