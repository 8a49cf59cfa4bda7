"""Reliance where content says nothing, beside the run on intact content."""

from collections.abc import Sequence

import numpy as np

from alnico.experiment.dissection import dealt_pairs
from alnico.experiment.variants import Field, StudyRow, Variant
from alnico.report.exhibits.shown import Figures, StudyFigure, of_each_field
from alnico.report.figures.routing import reliance_bars


def corrupted_reliance(rows: Sequence[StudyRow]) -> Figures:
    """What the scores of each data set's MAGNET are made of, on intact and on dealt content."""
    told = [row.on_intact for row in rows]
    return of_each_field(told, "corruption", "Reliance with content dealt out anew", _of_field)


def _of_field(name: str, title: str, field: Field) -> Sequence[StudyFigure] | str:
    pairs = dealt_pairs(field)
    if not pairs:
        return "it needs a MAGNET on intact content, and the same on content of which a modality is dealt out"
    told = {id(row) for pair in pairs for row in (pair.intact, pair.dealt)}
    shown = [variant for variant in field.variants if any(id(row) in told for row in variant.rows)]
    bars = {variant.label: _reliance(variant) for variant in shown}
    caption = (
        "Share of each part in what the scores of the test pairs are made of, mean over pairs, then over seeds. A bar "
        "per run: on intact content, and on content of which a modality was dealt out among the items that have it."
    )
    return [StudyFigure(name, title, reliance_bars(bars), caption)]


def _reliance(variant: Variant) -> dict[str, float]:
    told = [row.record.result["routing"]["reliance"] for row in variant.rows]
    return {part: float(np.mean([one[part] for one in told])) for part in told[0]}
