"""How time is taken: several works in turn in one run, so that a ratio stands even where the machine's speed drifts."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``seconds`` of the work; ``ratios`` by what they stand against; ``target`` and whether it is reached (none: no
    target); ``note`` says what else was measured.
    """

    work: str
    seconds: float | None
    ratios: Mapping[str, float] = field(default_factory=dict)
    target: str = ""
    reached: bool | None = None
    note: str = ""


def once(work: Work) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def timed(works: Sequence[Work], repeats: int, warm: bool = True) -> list[float]:
    """Median seconds of each, called in turn ``repeats`` times after one round that does not count."""
    if warm:
        for work in works:
            work()
    seconds = [[once(work) for work in works] for _ in range(repeats)]
    return [median(column) for column in zip(*seconds, strict=True)]


@dataclass(frozen=True)
class Machine:
    """What the machine can do at best: bytes copied (read plus written) and operations multiplied per second."""

    bandwidth: float
    rate: float


def measure_machine() -> Machine:
    """A copy of 256 MB and a product of two 2,048 x 2,048 matrices, float32."""
    source, left = torch.rand(2**26), torch.rand(2048, 2048)
    target = torch.empty_like(source)
    copying, multiplying = timed([lambda: target.copy_(source), lambda: left @ left], 7)
    return Machine(2 * source.nbytes / copying, 2 * 2048**3 / multiplying)


def printed(rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    lines = ["| work | ours | against | must reach | |", "|---|---|---|---|---|"]
    for row in rows:
        against = "; ".join(f"{value:.2f} x {name}" for name, value in row.ratios.items())
        said = "" if row.reached is None else ("reached" if row.reached else "**missed**")
        time_taken = "" if row.seconds is None else _seconds(row.seconds)
        cells = [
            row.work,
            time_taken,
            "; ".join(part for part in (against, row.note) if part),
            row.target,
            said,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"
