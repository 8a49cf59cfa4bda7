"""Deterministic graphs are computed once.

The key covers the function's name, an explicit version number that its author raises with each change of
meaning, all arguments, and the bytes of all inputs: a changed feature file can never reuse an old graph.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alnico.storage import write_atomically

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class GraphCache:
    """Remembers in memory; with a ``folder``, also on disk."""

    folder: Path | None = None
    _memory: dict[str, Arrays] = field(default_factory=dict, repr=False)

    def get(
        self,
        name: str,
        version: int,
        arguments: Mapping[str, str | int | float | bool | None],
        inputs: Sequence[NDArray[np.generic]],
        make: Callable[[], Arrays],
    ) -> Arrays:
        """What ``make`` gives, from memory or disk where the same question was asked before."""
        key = _key(name, version, arguments, inputs)
        if key not in self._memory:
            self._memory[key] = self._from_disk(key) or self._made(key, make)
        return self._memory[key]

    def _from_disk(self, key: str) -> Arrays | None:
        if self.folder is None or not (self.folder / f"{key}.npz").exists():
            return None
        try:
            # numpy would leave a damaged file open.
            with (self.folder / f"{key}.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            return None  # a damaged entry is made again

    def _made(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        arrays = make()
        if self.folder is not None:
            write_atomically(self.folder / f"{key}.npz", lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        return arrays


def _key(
    name: str,
    version: int,
    arguments: Mapping[str, str | int | float | bool | None],
    inputs: Sequence[NDArray[np.generic]],
) -> str:
    digest = hashlib.sha256(json.dumps([name, version, dict(arguments)], sort_keys=True).encode())
    for array in inputs:
        digest.update(f"{array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return f"{name}-{digest.hexdigest()[:32]}"
