"""What happened, by step and by epoch, as lines of JSON that survive a kill."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from alnico.storage import write_text

Row = Mapping[str, float | int]


class Journal:
    """An append-only file of rows, each with an ``epoch``; rows of an epoch are written together."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._waiting: list[Row] = []

    def add(self, row: Row) -> None:
        """Remember a row until the next ``flush``."""
        self._waiting.append(row)

    def flush(self) -> None:
        """Append the remembered rows to the file."""
        if self.path is not None and self._waiting:
            lines = "".join(
                json.dumps({k: _plain(v) for k, v in row.items()}) + "\n" for row in self._waiting
            )
            with self.path.open("a") as file:
                file.write(lines)
        self._waiting = []

    def rewind(self, epoch: int) -> None:
        """Forget rows later than ``epoch`` and any half-written line; used when a run resumes."""
        self._waiting = []
        if self.path is not None and self.path.exists():
            kept = [row for row in read_rows(self.path) if row["epoch"] <= epoch]
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))


def _plain(value: float | int) -> float | int | None:
    return value if math.isfinite(value) else None


def read_rows(path: Path) -> list[dict[str, float]]:
    """All complete rows of a journal; a last line cut off by a kill is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
