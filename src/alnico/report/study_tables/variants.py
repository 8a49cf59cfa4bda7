"""Variants of one model against the unchanged one: Tables 5 and 6."""

from collections.abc import Sequence

import numpy as np

from alnico.experiment.findings import BASELINE_METRIC
from alnico.experiment.results import listed
from alnico.experiment.variants import CLAIMED, Field, StudyRow, Variant, Verdict, contrasts, fields
from alnico.report.study_tables.sheet import (
    StudyTable,
    per_seed,
    place_names,
    protocol_sentence,
    spread,
    top_marks,
)
from alnico.report.tables import ABSENT, Table, p_cell, short


def variant_tables(rows: Sequence[StudyRow], name: str, title: str) -> list[StudyTable]:
    """Per data set and protocol all variants against the unchanged model. Implements: Table 5, Table 6."""
    found = fields(rows)
    return [
        _variants(f"{name}-{place}", f"{title} on {place}", field)
        for place, field in zip(place_names(found), found, strict=True)
    ]


def _variants(name: str, title: str, field: Field) -> StudyTable:
    whole = field.unchanged
    others = [variant for variant in field.variants if variant is not whole]
    told = {metric: contrasts([(other, whole) for other in others], metric) for metric in CLAIMED}
    verdicts = {
        (metric, verdict.contrast.first): verdict for metric, made in told.items() for verdict in made
    }
    header = (
        "variant",
        "seeds",
        f"valid {short(BASELINE_METRIC)}",
        *(short(metric) for metric in CLAIMED),
        *(f"{short(metric)} change (p)" for metric in CLAIMED),
        "switch step",
        "N_eff",
    )
    lines = []
    for variant in field.variants:
        changes: list[str] = []
        for metric in CLAIMED:
            verdict = verdicts.get((metric, variant.shown))
            changes.append(
                ABSENT
                if verdict is None
                else f"{verdict.contrast.users.difference:+.4f} ({p_cell(verdict.duel.p_holm)})"
            )
        lines.append(
            (
                variant.shown,
                str(len(variant.rows)),
                spread(variant, "valid", BASELINE_METRIC),
                *(spread(variant, "test", metric) for metric in CLAIMED),
                *changes,
                switch_cell(variant),
                effective_cell(variant),
            )
        )
    columns = [[variant.mean("test", metric) for variant in field.variants] for metric in CLAIMED]
    return StudyTable(
        name,
        title,
        Table(header, tuple(lines), top_marks(columns, 3)),
        (
            protocol_sentence(field),
            f"Changes are those from {whole.label}, paired by user, with p (Wilcoxon, corrected by Holm "
            "over the rows of one measure).",
            above_sentence(whole, [verdict for made in told.values() for verdict in made]),
            "switch step: where stage 2 began, mean over seeds; never: coverage to the end. N_eff: effective experts "
            "over the test pairs.",
        ),
        per_seed(field),
    )


def above_sentence(whole: Variant, verdicts: Sequence[Verdict]) -> str:
    """Which variants are significantly better than the unchanged model."""
    above = [
        f"{verdict.contrast.first} ({short(verdict.contrast.users.metric)})"
        for verdict in verdicts
        if verdict.duel.verdict == "better"
    ]
    if above:
        return f"Significantly above {whole.label}: {listed(above)}."
    return f"No variant is significantly above {whole.label}."


def switch_cell(variant: Variant) -> str:
    """The mean switch step, ``never`` where no seed switched, with their number where only some did."""
    steps = [
        step for row in variant.rows if isinstance(step := row.record.result.get("switch_step"), int | float)
    ]
    switched = [step for step in steps if step >= 0]
    if not steps or variant.first.setting("model.mixture") is False:
        return ABSENT
    if not switched:
        return "never"
    some = "" if len(switched) == len(steps) else f" ({len(switched)} of {len(steps)})"
    return f"{np.mean(switched):.0f}{some}"


def effective_cell(variant: Variant) -> str:
    """The mean effective number of experts over the test pairs."""
    values = [told["effective_experts"] for row in variant.rows if (told := row.record.result.get("routing"))]
    return f"{np.mean(values):.2f}" if values else ABSENT
