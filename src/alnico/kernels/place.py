"""Who works on a tensor: own kernels on those in main memory, torch itself on all others."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_EVERYWHERE = ContextVar("everywhere", default=False)


def by_torch(tensor: Tensor) -> bool:
    """Whether torch itself works on this tensor: it does not lie in main memory, or ``plain_torch`` says so."""
    return tensor.device.type != "cpu" or _EVERYWHERE.get()


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, torch itself works on all tensors: slower, and tells whether an own kernel is at fault."""
    before = _EVERYWHERE.set(True)
    try:
        yield
    finally:
        _EVERYWHERE.reset(before)
