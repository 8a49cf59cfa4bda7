"""How many bytes of arrays a piece of work keeps and how many it needs at its height."""

import tracemalloc
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Self

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class Meter:
    """Counts what is allocated while it runs: tensors by their operations, arrays through Python's own tracing.

    ``kept`` is what was allocated inside and still lives at the end, ``peak`` the most that lived at once, in
    bytes. Both kinds are counted apart and their peaks added, so ``peak`` may be somewhat too large. Memory that
    compiled code takes for itself, code and libraries are not seen. It may be entered more than once; each time
    starts at zero.
    """

    def __init__(self) -> None:
        self.kept = 0
        self.peak = 0
        self._tensors: _TensorCount | None = None

    def start(self) -> None:
        """Count from zero from here on."""
        self._tensors = _TensorCount()
        tracemalloc.start()
        self._tensors.__enter__()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """Count no further; nothing happens where nothing is counted."""
        if self._tensors is None:
            return
        counted, self._tensors = self._tensors, None
        counted.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.kept = counted.live + kept
        self.peak = counted.peak + peak

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.stop()


class _TensorCount(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation of torch in this thread, backward passes included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        given = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            key = storage._cdata
            # A view of what was there before is no new memory.
            if key not in given and key not in self._sizes:
                self._sizes[key] = storage.nbytes()
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._gone, key)
        return result

    def _gone(self, key: int) -> None:
        self.live -= self._sizes.pop(key)


def _tensors(nested: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_iter(nested) if isinstance(leaf, Tensor))
