"""Outside names and inside numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alnico.errors import DataError, UnknownIdError


@dataclass(frozen=True)
class IdMap:
    """Outside ids in the order of their inside numbers 0..n-1.

    Outside ids are integers or strings; they keep their kind. ``kind`` says of what ("user", "item") and
    stands in messages.
    """

    names: NDArray[np.int64] | NDArray[np.character]
    kind: str = field(default="id")

    def __post_init__(self) -> None:
        names = np.array(self.names)
        if names.dtype.kind in "iu":
            names = names.astype(np.int64)
        elif names.dtype.kind not in "U":
            names = names.astype(np.str_)
        names.flags.writeable = False
        object.__setattr__(self, "names", names)
        if len(self._numbers) != len(names):
            values, counts = np.unique(names, return_counts=True)
            raise DataError(
                f"{self.kind} id {values[counts.argmax()].item()!r} stands twice; ids must be unique"
            )

    @classmethod
    def range(cls, n: int, kind: str = "id") -> "IdMap":
        """The map in which inside and outside agree."""
        return cls(np.arange(n), kind)

    @cached_property
    def _numbers(self) -> dict[int | str, int]:
        return {name: number for number, name in enumerate(self.names.tolist())}

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and np.array_equal(self.names, other.names)

    def __hash__(self) -> int:
        return hash(self.names.tobytes())

    def __contains__(self, name: int | str) -> bool:
        return self._find(name) is not None

    def _find(self, name: int | str) -> int | None:
        number = self._numbers.get(name)
        if number is None and isinstance(name, str) and self.names.dtype.kind == "i":
            # A command line knows only text; an integer catalogue accepts "42" for 42.
            try:
                number = self._numbers.get(int(name))
            except ValueError:
                return None
        elif number is None and isinstance(name, int | np.integer):
            number = self._numbers.get(str(name))
        return number

    def number(self, name: int | str) -> int:
        """The inside number of one outside id. Raises UnknownIdError when there is none."""
        found = self._find(name)
        if found is None:
            examples = ", ".join(repr(n) for n in self.names[:3].tolist())
            raise UnknownIdError(
                f"{self.kind} {name!r} is not among the {len(self)} known {self.kind}s (which begin {examples})"
            )
        return found

    def numbers(self, names: Iterable[int | str]) -> NDArray[np.int64]:
        """Inside numbers of several outside ids, in their order. Raises UnknownIdError at the first unknown one."""
        return np.array([self.number(name) for name in names], dtype=np.int64)

    def numbers_or_absent(self, names: Iterable[int | str]) -> NDArray[np.int64]:
        """Like ``numbers``, with -1 where an id is unknown."""
        found = (self._find(name) for name in names)
        return np.array([-1 if number is None else number for number in found], dtype=np.int64)

    def name(self, number: int) -> int | str:
        """The outside id of one inside number."""
        found: int | str = self.names[number].item()
        return found

    def of(self, numbers: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64] | NDArray[np.character]:
        """Outside ids of several inside numbers, in their order."""
        return self.names[np.asarray(numbers, dtype=np.int64)]
