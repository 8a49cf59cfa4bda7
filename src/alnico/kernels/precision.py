"""Mixed precision ends where sums are long: own kernels and losses compute in full precision."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

Precision = Literal["float32", "bfloat16"]
"""In which numbers products of dense tables are computed; what is stored and summed is float32 in any case."""

P = ParamSpec("P")
R = TypeVar("R")
SHORT = (torch.bfloat16, torch.float16)


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Inside, torch multiplies dense tables on this device in numbers of this precision."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def in_full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """The function in full precision whatever is around it: it gets tensors of 16 bits as float32."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        kinds = {leaf.device.type for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        kinds = set(filter(torch.amp.is_autocast_available, kinds))
        mixed = next((kind for kind in sorted(kinds) if torch.is_autocast_enabled(kind)), None)
        if mixed is None:
            return function(*args, **kwargs)
        with torch.autocast(mixed, enabled=False):
            args, kwargs = tree_map(_lengthened, (args, kwargs))
            return function(*args, **kwargs)

    return called


def _lengthened(leaf: Any) -> Any:
    return leaf.float() if isinstance(leaf, Tensor) and leaf.dtype in SHORT else leaf
