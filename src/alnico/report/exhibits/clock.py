"""Quality against time: Figure 12."""

from collections.abc import Sequence

from alnico.diagnostics.convergence import convergence, quality_over_time
from alnico.experiment.findings import BASELINE_METRIC
from alnico.experiment.variants import Field, StudyRow, Variant, fields
from alnico.report.exhibits.shown import Figures, LeftOut, StudyFigure
from alnico.report.figures.clock import Race, Training, races
from alnico.report.study_tables.sheet import place_names


def quality_against_time(rows: Sequence[StudyRow]) -> Figures:
    """Validation over wall time of each data set's models. Implements: Figure 12."""
    name, title = "figure-12", "Figure 12: quality against time"
    found = fields(rows)
    told = []
    for place, field in zip(place_names(found), found, strict=True):
        metric = _metric(field)
        trainings = [
            one
            for variant in field.variants
            if (one := _training(variant, metric, is_main=variant is field.own)) is not None
        ]
        if trainings:
            told.append(Race(place, metric, trainings))
    if not told:
        return [LeftOut(name, title, "no run holds a history of its validation")]
    return [
        StudyFigure(
            name,
            title,
            races(told),
            "The first seed of each model; wall time with validation. Triangle: 95 % of the best epoch's value (t95); "
            "dot: the best epoch by the measure shown. Times compare only between runs of one machine with nothing "
            "beside them.",
        )
    ]


def _metric(field: Field) -> str:
    """The measure by which all runs chose their epoch, or that of baselines where they differ."""
    chosen = {
        str(row.setting("training.metric"))
        for variant in field.variants
        for row in variant.rows
        if row.record.history
    }
    return chosen.pop() if len(chosen) == 1 else BASELINE_METRIC


def _training(variant: Variant, metric: str, *, is_main: bool) -> Training | None:
    for row in variant.rows:
        clock = convergence(row.record.history, metric)
        if clock is None:
            continue
        curve = quality_over_time(row.record.history, metric)
        reached = {epoch: value for epoch, _, value in curve}
        return Training(
            variant.shown,
            variant.is_own,
            [seconds for _, seconds, _ in curve],
            [value for _, _, value in curve],
            (clock.nearly_seconds, reached[clock.nearly_epoch]),
            (clock.best_seconds, clock.level),
            is_main,
        )
    return None
