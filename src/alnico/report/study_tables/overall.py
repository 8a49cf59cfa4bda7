"""All models side by side, and MAGNET tested against each other one: Table 4."""

from collections.abc import Mapping, Sequence

import numpy as np

from alnico.diagnostics.gains import relative_gain
from alnico.experiment.findings import BASELINE_METRIC
from alnico.experiment.results import listed
from alnico.experiment.variants import CLAIMED, Field, StudyRow, Verdict, claimable, detectable, fields
from alnico.report.published import published
from alnico.report.study_tables.sheet import (
    StudyTable,
    per_seed,
    place_names,
    protocol_sentence,
    reservations,
    spread,
    top_marks,
)
from alnico.report.tables import ABSENT, MEASURES, Table, p_cell, short


def overall_tables(rows: Sequence[StudyRow]) -> list[StudyTable]:
    """Per data set and protocol all models side by side, and MAGNET against each other model. Implements: Table 4."""
    found = fields(rows)
    tables = []
    for name, field in zip(place_names(found), found, strict=True):
        tables.append(_overall(name, field))
        tested = claimable(field)
        if any(tested.values()):
            tables.append(_tests(name, field, tested))
    return tables


def _overall(name: str, field: Field) -> StudyTable:
    others = {variant.label: published(field.dataset, variant.first.record) for variant in field.variants}
    known = any(others.values())
    header = ("model", "seeds", f"valid {short(BASELINE_METRIC)}", *(short(metric) for metric in MEASURES))
    if known:
        header = (*header, "published (the same four)")
    lines: list[tuple[str, ...]] = []
    for variant in field.variants:
        line = (
            variant.shown,
            str(len(variant.rows)),
            spread(variant, "valid", BASELINE_METRIC),
            *(spread(variant, "test", metric) for metric in MEASURES),
        )
        if known:
            told = others[variant.label]
            line = (*line, ABSENT if told is None else " / ".join(f"{value:.4f}" for value in told.values))
        lines.append(line)
    marks = top_marks(
        [[variant.mean("test", metric) for variant in field.variants] for metric in MEASURES], 3
    )
    gains = _gain_line(field)
    if gains is not None:
        lines.append((*gains, *([ABSENT] if known else [])))
    return StudyTable(
        f"table-4-{name}",
        f"Table 4: test measures on {name}, mean ± deviation over seeds",
        Table(header, tuple(lines), marks),
        (
            protocol_sentence(field),
            *detectable_sentence(field),
            "The three best means of a column: ¹ ² ³, or bold, underlined and italic.",
            *_strongest_sentence(field),
            *reservations(field),
            *(
                [
                    "Published values are others' own, on the same split but not run here: for orientation only."
                ]
                if known
                else []
            ),
        ),
        per_seed(field),
    )


def _gain_line(field: Field) -> tuple[str, ...] | None:
    own, base = field.own, field.strongest
    if own is None or base is None:
        return None
    gains = [
        relative_gain(own.mean("test", metric) or 0.0, base.mean("test", metric) or 0.0)
        for metric in MEASURES
    ]
    cells = [ABSENT if gain is None else f"{gain:+.2f} %" for gain in gains]
    return (f"{own.shown} against {base.shown}", "", "", *cells)


def _strongest_sentence(field: Field) -> list[str]:
    base = field.strongest
    if base is None:
        return []
    return [
        f"Strongest baseline: {base.shown}, by the best mean validation {BASELINE_METRIC} "
        f"({base.mean('valid', BASELINE_METRIC):.4f}); the last row is relative to it."
    ]


def detectable_sentence(field: Field) -> list[str]:
    """What could be seen at all, for the claimed measures: to be read before the comparison; none or one sentence."""
    told = {metric: one for metric in CLAIMED if (one := detectable(field, metric)) is not None}
    if not told:
        return []
    effects = listed([f"{one.effect:.4f} in {short(metric)}" for metric, one in told.items()])
    first = next(iter(told.values()))
    return [
        f"Before the comparison: with {first.n_users:,} users a true difference of {effects} is found with probability "
        f".8 at the 5 % level (spread of {first.first} against {first.second})."
    ]


def _tests(name: str, field: Field, tested: Mapping[str, Sequence[Verdict]]) -> StudyTable:
    own = field.own
    assert own is not None
    n_seeds = max(verdict.contrast.n_seeds for told in tested.values() for verdict in told)
    return StudyTable(
        f"table-4-{name}-tests",
        f"Table 4, tests: {own.label} minus each other model on {name}",
        verdict_table([verdict for told in tested.values() for verdict in told]),
        (
            *detectable_sentence(field),
            TEST_NOTE,
            *(
                [f"Over seeds: Student's paired test on {n_seeds} seeds that both have, corrected alike."]
                if n_seeds > 1
                else ["There is one seed: nothing can be said about other seeds."]
            ),
        ),
    )


TEST_NOTE = (
    "Over users: Wilcoxon signed-rank, two-sided, each user's values averaged over seeds; 95 % bootstrap interval of "
    "the mean difference. p corrected by Holm over the rows of one measure. Better or worse is said where the "
    "corrected p over users is below .05 and the interval leaves out 0."
)


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Comparisons, one per row."""
    header = (
        "against",
        "measure",
        "difference",
        "relative",
        "95 % interval",
        "p users",
        "p users (Holm)",
        "p seeds (Holm)",
        "detectable",
        "verdict",
    )
    lines = []
    for verdict in verdicts:
        told, seeds = verdict.contrast.users, verdict.seeds_p_holm
        low, high = told.interval
        lines.append(
            (
                verdict.contrast.second,
                short(told.metric),
                f"{told.difference:+.4f}",
                ABSENT if np.isnan(told.relative_gain) else f"{told.relative_gain:+.2%}",
                f"{low:+.4f} .. {high:+.4f}",
                p_cell(told.p_value),
                p_cell(verdict.duel.p_holm),
                ABSENT if seeds is None else p_cell(seeds),
                f"{told.smallest_detectable_effect:.4f}",
                verdict.duel.verdict,
            )
        )
    return Table(header, tuple(lines))
