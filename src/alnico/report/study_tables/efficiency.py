"""What each model costs to train: Table 7."""

from collections.abc import Iterator, Sequence

import numpy as np

from alnico.diagnostics.convergence import Convergence, convergence
from alnico.experiment.results import listed
from alnico.experiment.variants import Field, StudyRow, Variant, fields
from alnico.report.study_tables.sheet import StudyTable, place_names
from alnico.report.tables import Table, peak_cell


def efficiency_tables(rows: Sequence[StudyRow]) -> list[StudyTable]:
    """Per data set and protocol what each model costs to train. Implements: Table 7."""
    found = fields(rows)
    tables = []
    for name, field in zip(place_names(found), found, strict=True):
        lines = [line for variant in field.variants if (line := _cost(variant)) is not None]
        if lines:
            tables.append(
                StudyTable(
                    f"table-7-{name}",
                    f"Table 7: cost of training on {name}",
                    Table(_COSTS, tuple(lines)),
                    (
                        "Means over seeds. Peak memory: largest resident size of the process, in brackets the most "
                        "that tensors held on the GPU where there was one. s/epoch: training alone, median of the "
                        "epochs after the first, which compiles. t95: wall time, validation included, to 95 % of the "
                        "kept epoch's validation value. Times compare only on one machine; runs made beside each "
                        "other slow each other down.",
                        _machines(field),
                    ),
                )
            )
    return tables


_COSTS = ("model", "seeds", "peak MB", "s/epoch", "t95 s (epoch)", "best epoch @ s", "stop epoch @ s")


def _cost(variant: Variant) -> tuple[str, ...] | None:
    clocks = list(clocks_of(variant))
    if not clocks:
        return None

    def mean(name: str) -> float:
        return float(np.mean([getattr(clock, name) for clock in clocks]))

    return (
        variant.shown,
        str(len(variant.rows)),
        peak_cell([row.record.result for row in variant.rows]),
        f"{mean('seconds_per_epoch'):.2f}",
        f"{mean('nearly_seconds'):.1f} ({mean('nearly_epoch'):.0f})",
        f"{mean('best_epoch'):.0f} @ {mean('best_seconds'):.0f}",
        f"{mean('stop_epoch'):.0f} @ {mean('stop_seconds'):.0f}",
    )


def clocks_of(variant: Variant) -> Iterator[Convergence]:
    """The clock of each seed that was trained, by the measure that chose its epoch."""
    for row in variant.rows:
        metric = row.setting("training.metric")
        clock = convergence(row.record.history, str(metric)) if row.record.history else None
        if clock is not None:
            yield clock


def _machines(field: Field) -> str:
    told = sorted(
        {
            f"{row.setting('device')}, {threads.get('torch', '?')} "
            f"{'thread' if threads.get('torch') == 1 else 'threads'}"
            for variant in field.variants
            for row in variant.rows
            if (threads := row.record.record.get("threads", {})) is not None
        }
    )
    return f"Device: {listed(told)}."
