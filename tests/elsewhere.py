"""A device that is not there: tensors that lie elsewhere, though all arithmetic is the processor's.

Torch keeps them apart from those in main memory as it does on a GPU: no ``.numpy()``, no operation on tensors of both
kinds, no drawing from a generator of the other kind. So code that would fail on a GPU fails here, and what it computes
can be compared. Random numbers are those that the processor would have drawn.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = torch.device("meta")
"""Torch knows it everywhere and has no arithmetic for it."""
aten = torch.ops.aten
# What may join the two: copies, and numbers in main memory that choose rows of a table elsewhere.
COPIES = {aten.copy_.default, aten._to_copy.default}
CHOICES = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default, aten.index_put.default}
JOINS = {aten.cat.default, aten.stack.default}


class Remote(Tensor):
    """A tensor that lies elsewhere; ``held`` are its numbers."""

    held: Tensor
    is_meta = False  # other than torch's own of that device it holds numbers

    @staticmethod
    def __new__(cls, held: Tensor) -> "Remote":
        # A sparse one poses as dense: products tell by what is held.
        dense = held.layout is torch.strided
        place = {"strides": held.stride(), "storage_offset": held.storage_offset()} if dense else {}
        own: Remote = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.size(), dtype=held.dtype, device=ELSEWHERE, **place
        )
        own.held = held
        return own

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Remote({self.held})"

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _carried_out(func, args, dict(kwargs or {}))


class _Factories(TorchDispatchMode):
    """Sees what makes tensors from nothing, too."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _carried_out(func, args, dict(kwargs or {}))


class _Literals(TorchFunctionMode):
    """Torch fills tensors of given numbers out of sight of the above: they are made here and moved."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in {torch.tensor, torch.as_tensor} and given.get("device") == ELSEWHERE:
            del given["device"]
            return func(*args, **given).to(ELSEWHERE)
        return func(*args, **given)


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """Inside, this device is there."""
    with _Factories(), _Literals():
        yield ELSEWHERE


def _carried_out(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    remote = [tensor for tensor in tensors if isinstance(tensor, Remote)]
    target = kwargs.get("device")
    lands_elsewhere = bool(remote) if target is None else torch.device(target) == ELSEWHERE
    if not remote and not lands_elsewhere:
        return func(*args, **kwargs)
    # A single number may come from main memory, but where tensors are joined.
    least = 0 if func in JOINS else 1
    near = [tensor for tensor in tensors if not isinstance(tensor, Remote) and tensor.dim() >= least]
    chosen = func in CHOICES and isinstance(args[0], Remote)
    if remote and near and func not in COPIES and not chosen:
        raise RuntimeError(f"{func} was given tensors of two devices")
    if lands_elsewhere and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func} draws elsewhere from a generator in main memory")
    if target is not None:
        kwargs["device"] = torch.device("cpu")
    held_args, held_kwargs = tree_map(_held, (args, kwargs))
    result = func(*held_args, **held_kwargs)
    if lands_elsewhere:
        # What is conjugate or negative by a mark alone is written out: the mark would be lost.
        result = tree_map(
            lambda leaf: Remote(leaf.resolve_conj().resolve_neg()) if isinstance(leaf, Tensor) else leaf,
            result,
        )
    if not remote or target is not None:
        return result
    return return_and_correct_aliasing(func, args, kwargs, result)


def _held(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, Remote) else leaf
