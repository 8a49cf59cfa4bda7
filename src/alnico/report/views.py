"""Runs in the words of the page's template: texts, shares and pictures, nothing left to compute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from markupsafe import Markup

from alnico.contracts import ExplainingScorer
from alnico.diagnostics.dynamics import thinned
from alnico.errors import DataError, StorageError
from alnico.experiment.examples import routing_by_kind
from alnico.experiment.folder import Run
from alnico.experiment.results import Duel, RunRecord, listed, warning
from alnico.report.chapters import Chapter
from alnico.report.explained import Bar, Grid, Told, chosen_explanations, grid, share_bars, told
from alnico.report.figures import inline
from alnico.report.tables import ABSENT, MASKS, MEASURES, Table, duel_table, number, peak_cell, short

Part = tuple[str, str]

MOST_POINTS = 300
"""Points of a curve over steps; more cannot be told apart at the size of a page."""
_SLICE_METRIC = "ndcg@20"


@dataclass(frozen=True)
class Shown:
    """One figure: its title, its picture, and what to see in it."""

    title: str
    picture: Markup
    caption: str


@dataclass(frozen=True)
class Cell:
    """A measure in the table of runs; the best of its column is set off."""

    text: str
    best: bool


@dataclass(frozen=True)
class RunsTable:
    """Measures of all runs, one row per run; ``spans`` are the words above the header and how many columns
    each covers."""

    spans: Sequence[tuple[str, int]]
    header: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


@dataclass(frozen=True)
class Routing:
    """How the test pairs of the main run were routed."""

    label: str
    pairs: int
    grid: Grid | None
    groups: Sequence[Bar]
    families: Sequence[Bar]
    reliance: Sequence[Bar]
    statistics: Sequence[Part]


@dataclass(frozen=True)
class Kind:
    """One kind of user: where its pairs were sent and what decided."""

    name: str
    reliance: Sequence[Bar]
    groups: Sequence[Bar]


@dataclass(frozen=True)
class View:
    """One chapter."""

    title: str
    facts: Sequence[Part]
    remarks: Sequence[str]
    findings: Sequence[str]
    sentences: Sequence[str]
    warning: str | None
    main: str
    metric: str
    runs: RunsTable
    duels: Table | None
    comparison: Shown | None
    training: Sequence[Shown]
    groups: Sequence[Shown]
    slices: Table
    exposure: Table
    routing: Routing | None
    kinds: Sequence[Kind]
    kind_remarks: Sequence[str]
    explained: Sequence[Told]
    left_out: str | None
    settings: Sequence[tuple[str, Sequence[Part]]]


def view_of(chapter: Chapter, metric: str) -> View:
    """A chapter in the template's words; its runs are compared by ``metric``."""
    records, main, own = chapter.records, chapter.main, chapter.own
    fought = chapter.duels(metric)
    scorer = main.scorer()
    explaining = scorer if isinstance(scorer, ExplainingScorer) else None
    stories, left_out = _stories(main, explaining, chapter.explained)
    return View(
        title=chapter.title,
        facts=_facts(own),
        remarks=chapter.remarks,
        findings=chapter.findings,
        sentences=[duel.sentence for duel in fought],
        warning=warning(fought),
        runs=_runs_table(records),
        main=own.label,
        metric=metric,
        duels=_duel_table(fought) if fought else None,
        comparison=_comparison(own.label, fought),
        training=_training(records, own, main),
        groups=_group_figures(records),
        slices=_slices_table(records),
        exposure=_exposure_table(records),
        routing=_routing(main, explaining),
        kinds=_kinds(main, explaining, chapter.kinds),
        kind_remarks=chapter.kind_remarks,
        explained=stories,
        left_out=left_out,
        settings=[(record.label, _flat(record.settings)) for record in records],
    )


def _facts(record: RunRecord) -> list[Part]:
    data, split = record.record["dataset"], record.record["split"]
    facts, recipe = split["facts"], split["recipe"]
    told = ", ".join(f"{key} {value}" for key, value in recipe.items() if key != "rule")
    mask = MASKS[record.settings["evaluation"]["mask"]]
    return [
        ("users", f"{data['users']:,}"),
        ("items", f"{data['items']:,}"),
        ("modalities", listed(data["modalities"] or ["none"])),
        ("training pairs", f"{facts['train']:,}"),
        ("validation pairs", f"{facts['valid']:,}"),
        ("test pairs", f"{facts['test']:,}, {facts['cold_test_interactions']:,} on unseen items"),
        ("test users", f"{record.result['test_users']:,}"),
        ("split", f"{recipe['rule']}{f' ({told})' if told else ''}"),
        ("left out of lists", f"the user's {mask}"),
    ]


def _runs_table(records: Sequence[RunRecord]) -> RunsTable:
    parts: tuple[Literal["valid", "test"], ...] = ("valid", "test")
    costs = ("s/epoch", "epochs (best)", "peak MB")
    spans = [("validation", len(MEASURES)), ("test", len(MEASURES)), ("training", len(costs))]
    header = ["run", *(short(metric) for _ in parts for metric in MEASURES), *costs]
    columns = [[record.measure(part, metric) for record in records] for part in parts for metric in MEASURES]
    best = [max((value for value in column if value is not None), default=None) for column in columns]
    rows = []
    for place, record in enumerate(records):
        cells = [
            Cell(
                number(column[place]), len(records) > 1 and column[place] is not None and column[place] == top
            )
            for column, top in zip(columns, best, strict=True)
        ]
        rows.append((record.label, [*cells, *(Cell(text, False) for text in _costs(record))]))
    return RunsTable(spans, header, rows)


def _costs(record: RunRecord) -> list[str]:
    result = record.result
    peak = peak_cell([result])
    if not result.get("epochs"):
        return [ABSENT, ABSENT, peak]
    return [
        number(result["train_seconds_per_epoch"], 2),
        f"{result['epochs']} ({result['best_epoch']})",
        peak,
    ]


def _duel_table(fought: Sequence[Duel]) -> Table:
    """The duels without what all of them share: the first run and the measure."""
    whole = duel_table(fought)
    rows = [(duel.second, *row[2:]) for duel, row in zip(fought, whole.rows, strict=True)]
    return Table((whole.header[0], *whole.header[2:]), tuple(rows))


def _comparison(label: str, fought: Sequence[Duel]) -> Shown | None:
    if not fought:
        return None
    return Shown(
        f"{label} against the others",
        Markup(inline.intervals(fought)),
        "Right of the line: better. Intervals by bootstrap over users.",
    )


def _training(records: Sequence[RunRecord], own: RunRecord, main: Run) -> list[Shown]:
    trained = [record for record in records if record.history]
    shown = []
    if trained:
        metric = str(trained[0].settings["training"]["metric"])
        lines = [line for record in trained if (line := _validation(record, metric)) is not None]
        shown.append(
            Shown(
                f"Validation {metric}",
                Markup(inline.curves(lines, "epoch")),
                "The dot is the epoch that was kept.",
            )
        )
    if own in trained:
        shown.append(
            Shown(
                f"Loss terms of {own.label}",
                Markup(inline.curves(_loss_terms(own), "epoch", logarithmic=True)),
                "Each as it enters the sum, on a logarithmic scale.",
            )
        )
        shown += _stage_figures(own, main)
    return shown


def _validation(record: RunRecord, metric: str) -> inline.Curve | None:
    rows = [
        (row["epoch"], row[f"valid/{metric}"])
        for row in record.history
        if row.get(f"valid/{metric}") is not None
    ]
    if not rows:
        return None
    epochs, values = zip(*rows, strict=True)
    return inline.Curve(record.label, epochs, values, mark=record.result.get("best_epoch"))


def _loss_terms(record: RunRecord) -> list[inline.Curve]:
    names = [name for name in record.history[0] if name.startswith("loss/")]
    lines = []
    for name in names:
        # A logarithmic scale has no place for a term that is off.
        rows = [
            (row["epoch"], value)
            for row in record.history
            if (value := row.get(name)) is not None and value > 0
        ]
        if rows:
            epochs, values = zip(*rows, strict=True)
            lines.append(inline.Curve(name.removeprefix("loss/"), epochs, values))
    return lines


def _stage_figures(record: RunRecord, run: Run) -> list[Shown]:
    rows = [row for row in run.steps if "entropy" in row]
    if not rows:
        return []
    lines = [
        _thinned("entropy of the mean routing", rows, "entropy"),
        _thinned("specialisation of single pairs", rows, "specialisation"),
        _thinned("largest load", rows, "max_load"),
    ]
    model, switch = record.settings["model"], record.result.get("switch_step", -1)
    threshold = model["entropy_threshold"] if model.get("switch") == "entropy" else None
    switched = switch if isinstance(switch, int) and switch >= 0 else None
    return [
        Shown(
            "Routing while training",
            Markup(inline.stages(lines, threshold, switched)),
            f"Stage 2 began at step {switched}." if switched is not None else "Stage 2 never began.",
        ),
        Shown(
            "Experts in use",
            Markup(
                inline.curves([_thinned("effective experts", rows, "effective_experts")], "training step")
            ),
            "The exponential of the entropy of the batch's mean routing: as many experts as share the load evenly.",
        ),
    ]


def _thinned(label: str, rows: Sequence[Mapping[str, float]], name: str) -> inline.Curve:
    """Means of consecutive rows, few enough to draw."""
    steps, values = (np.array([row[key] for row in rows], dtype=np.float64) for key in ("step", name))
    return inline.Curve(label, *thinned(steps, values, MOST_POINTS))


def _group_figures(records: Sequence[RunRecord]) -> list[Shown]:
    names = [name for name, part in records[0].result["slices"].items() if part["users"]]
    values = {
        record.label: [record.result["slices"][name].get(_SLICE_METRIC) for name in names]
        for record in records
        if any(_SLICE_METRIC in part for part in record.result["slices"].values())
    }
    if not values:
        return []
    return [
        Shown(
            f"Test {_SLICE_METRIC} by group",
            Markup(inline.grouped_bars(names, values)),
            "Users in thirds by training activity, items in thirds by popularity, items unseen in training.",
        )
    ]


def _slices_table(records: Sequence[RunRecord]) -> Table:
    slices = records[0].result["slices"]
    header = ("group", "users", "targets", *(record.label for record in records))
    rows = [
        (
            name,
            f"{part['users']:,}",
            f"{part['targets']:,}",
            *(number(record.result["slices"][name].get(_SLICE_METRIC)) for record in records),
        )
        for name, part in slices.items()
    ]
    return Table(header, tuple(rows))


def _exposure_table(records: Sequence[RunRecord]) -> Table:
    header = ("run", "coverage", "popularity", "Gini", "tail", "novelty")
    rows = []
    for record in records:
        exposure = record.result["exposure"]
        rows.append(
            (
                record.label,
                number(exposure["coverage"], 3),
                number(exposure["mean_popularity"], 1),
                number(exposure["gini"], 3),
                number(exposure["tail_share"], 3),
                number(exposure["novelty"], 2),
            )
        )
    return Table(header, tuple(rows))


def _routing(run: Run, scorer: ExplainingScorer | None) -> Routing | None:
    told = run.result.get("routing")
    if scorer is None or told is None:
        return None
    masses: dict[str, dict[str, float]] = {}
    for expert in scorer.experts:
        row = masses.setdefault(expert.group, {})
        row[expert.family] = row.get(expert.family, 0.0) + told["experts"][expert.label]
    routed = len(scorer.experts) > 1
    return Routing(
        label=run.label,
        pairs=told["pairs"],
        grid=grid(masses) if routed else None,
        groups=share_bars(told["groups"], scorer.parts) if routed else (),
        families=share_bars(told["families"], ()) if routed else (),
        reliance=share_bars(told["reliance"], scorer.parts),
        statistics=[
            ("Effective experts", f"{told['effective_experts']:.2f} of {len(scorer.experts)}"),
            ("Diversity", f"{told['diversity']:.3f}"),
            ("Concentration (HHI)", f"{told['hhi']:.3f}"),
        ],
    )


def _kinds(run: Run, scorer: ExplainingScorer | None, kinds: Mapping[int, str] | None) -> list[Kind]:
    if scorer is None or not kinds:
        return []
    return [
        Kind(kind, share_bars(means["reliance"], scorer.parts), share_bars(means["groups"], scorer.parts))
        for kind, means in routing_by_kind(run, kinds).items()
    ]


def _stories(
    run: Run, scorer: ExplainingScorer | None, explained: Sequence[Mapping[str, Any]] | None
) -> tuple[list[Told], str | None]:
    """Explained recommendations, or why there are none."""
    if scorer is None:
        return [], f"{run.label} cannot explain its scores; MAGNET can."
    try:
        chosen = chosen_explanations(run, scorer) if explained is None else explained
        return [told(one, run) for one in chosen], None
    except (DataError, StorageError) as problem:
        return [], f"Left out, because the data are needed for it: {problem}"


def _flat(settings: Mapping[str, Any], before: str = "") -> list[Part]:
    lines: list[Part] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{before}{key}.")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            lines.append((f"{before}{key}", shown))
    return lines
