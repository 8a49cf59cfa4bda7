"""The tables of a study: data, models, variants, cost, and whether the routing can be believed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alnico.diagnostics.convergence import Convergence, convergence
from alnico.diagnostics.faithfulness import PROMISED, NamedPart
from alnico.diagnostics.gains import relative_gain
from alnico.errors import DataError, StorageError
from alnico.experiment.dissection import asked_pairs, faithfulness_of, routed_scorer
from alnico.experiment.findings import BASELINE_METRIC
from alnico.experiment.folder import Run
from alnico.experiment.results import listed
from alnico.experiment.variants import (
    CLAIMED,
    Field,
    StudyRow,
    Variant,
    Verdict,
    claimable,
    contrasts,
    detectable,
    fields,
)
from alnico.report.published import published
from alnico.report.tables import ABSENT, MASKS, MEASURES, Table, number, p_cell, peak_cell, short

TOP = (1, 2, 3)


@dataclass(frozen=True)
class StudyTable:
    """A table with its file name, title and what has to be said below it.

    ``data`` is the same in full precision, a number per cell, for a spreadsheet; None where ``table`` is that already.
    """

    name: str
    title: str
    table: Table
    notes: Sequence[str] = ()
    data: Table | None = None

    def files(self) -> dict[str, str]:
        """The table by file name, as CSV, Markdown and LaTeX (booktabs)."""
        below = "".join(f"\n{note}\n" for note in self.notes)
        return {
            f"{self.name}.csv": (self.data or self.table).csv(),
            f"{self.name}.md": f"**{self.title}**\n\n{self.table.markdown()}\n{below}",
            f"{self.name}.tex": self._latex(),
        }

    def _latex(self) -> str:
        notes = [Table((note,), ()).latex().splitlines()[2].removesuffix(r" \\") for note in self.notes]
        title = Table((self.title,), ()).latex().splitlines()[2].removesuffix(r" \\")
        lines = [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{title}}}",
            rf"\label{{tab:{self.name}}}",
            self.table.latex(),
            *(rf"\par\smallskip{{\footnotesize {note}}}" for note in notes),
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def place_names(found: Sequence[Field]) -> list[str]:
    """A short name per field for titles and files: the data set, numbered where it has several protocols."""
    times = Counter(field.dataset for field in found)
    seen: Counter[str] = Counter()
    names = []
    for field in found:
        seen[field.dataset] += 1
        names.append(f"{field.dataset}-{seen[field.dataset]}" if times[field.dataset] > 1 else field.dataset)
    return names


def protocol_sentence(field: Field) -> str:
    """Protocol, split, mask and what chose the epoch, in one sentence."""
    asked = field.conditions
    chosen = sorted(
        {
            f"validation {row.setting('training.metric')}"
            for variant in field.variants
            for row in variant.rows
            if row.record.result.get("epochs")
        }
    )
    by = f", best epoch by {listed(chosen)}" if chosen else ""
    name = f"Protocol {asked.name}; split" if asked.name else "Split"
    return f"{name}: {asked.split}; left out of lists: the user's {MASKS[asked.mask]}{by}."


def reservations(field: Field) -> list[str]:
    """What has to be said of single variants: models that were reconstructed, and exceptions from the protocol."""
    told = []
    for variant in field.variants:
        record = variant.first.record.record
        card, stamp = record.get("card") or {}, record.get("protocol") or {}
        if "reconstructed" in str(card.get("reproduction", "")):
            told.append(f"{variant.shown}: {card['remark']}")
        if stamp.get("exception"):
            told.append(f"{variant.shown}: {stamp['exception']}")
    return told


# -- Table 2 ---------------------------------------------------------------------------------------------


def statistics_table(rows: Sequence[StudyRow]) -> StudyTable:
    """Users, items, interactions and content of each data set, and its split. Implements: Table 2."""
    found = fields(rows)
    header = (
        "data set",
        "users",
        "items",
        "interactions",
        "per user",
        "per item",
        "density",
        "content",
        "training",
        "validation",
        "test",
    )
    lines = []
    for name, field in zip(place_names(found), found, strict=True):
        told = field.variants[0].first.record.record
        data, facts = told["dataset"], told["split"]["facts"]
        total = sum(
            facts.get(part, 0) for part in ("train", "valid", "test", "held_out_interactions_dropped")
        )
        users, items = data["users"], data["items"]
        lines.append(
            (
                name,
                f"{users:,}",
                f"{items:,}",
                f"{total:,}",
                f"{total / users:.2f}",
                f"{total / items:.2f}",
                f"{total / (users * items):.4%}",
                ", ".join(_content(field)) or "none",
                *(f"{facts[part]:,}" for part in ("train", "valid", "test")),
            )
        )
    return StudyTable(
        "table-2",
        "Table 2: the data sets",
        Table(header, tuple(lines)),
        (
            "Interactions are distinct pairs of a user and an item; behind each modality the length of its vectors.",
        ),
    )


def _content(field: Field) -> list[str]:
    """Modalities with the length of their vectors, where the data are there to be measured."""
    names: list[str] = field.variants[0].first.record.record["dataset"]["modalities"]
    for variant in field.variants:
        for row in variant.rows:
            if row.run is None:
                continue
            try:
                features = row.run.dataset.features
            except (DataError, StorageError):
                continue
            return [f"{name} {modality.width}" for name, modality in features.items()]
    return names


# -- Table 4 ---------------------------------------------------------------------------------------------


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
    marks = _marks([[variant.mean("test", metric) for variant in field.variants] for metric in MEASURES], 3)
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
        _long(field),
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


def _long(field: Field) -> Table:
    """One row per variant and seed, in full precision."""
    header = ("dataset", "variant", "model", "seed", "run", *(f"valid {metric}" for metric in MEASURES))
    header = (*header, *(f"test {metric}" for metric in MEASURES))
    lines = [
        (
            row.dataset,
            row.label,
            row.record.model,
            str(row.seed),
            row.record.name,
            *(number(row.record.measure("valid", metric), 10) for metric in MEASURES),
            *(number(row.record.measure("test", metric), 10) for metric in MEASURES),
        )
        for variant in field.variants
        for row in variant.rows
    ]
    return Table(header, tuple(lines))


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


# -- Tables 5 and 6 --------------------------------------------------------------------------------------


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
        Table(header, tuple(lines), _marks(columns, 3)),
        (
            protocol_sentence(field),
            f"Changes are those from {whole.label}, paired by user, with p (Wilcoxon, corrected by Holm "
            "over the rows of one measure).",
            above_sentence(whole, [verdict for made in told.values() for verdict in made]),
            "switch step: where stage 2 began, mean over seeds; never: coverage to the end. N_eff: effective experts "
            "over the test pairs.",
        ),
        _long(field),
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


# -- Table 7 ---------------------------------------------------------------------------------------------


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


# -- faithfulness ----------------------------------------------------------------------------------------


def faithfulness_tables(rows: Sequence[StudyRow]) -> list[StudyTable]:
    """Per data set whether the part that MAGNET's routing names matters most, for its first routed run."""
    tables = []
    found = fields(rows)
    for name, field in zip(place_names(found), found, strict=True):
        found_run = routed_run(field)
        if found_run is None:
            continue
        row, run = found_run
        scorer = routed_scorer(run)
        assert scorer is not None
        told = faithfulness_of(scorer, asked_pairs(run))
        lines = [
            *(_promise("score", one) for one in told.by_score),
            *(_promise("lead", one) for one in told.by_lead),
        ]
        tables.append(
            StudyTable(
                f"faithfulness-{name}",
                f"Faithfulness of the routing of {row.label} on {name}",
                Table(_FAITHFUL, tuple(lines)),
                (
                    f"{told.pairs:,} test pairs. Each part in turn is replaced by its mean on both sides, the routing "
                    "held fixed. Named: the part whose anchor group has the largest mass. Share: pairs in which the "
                    "named part costs more than the mean of the others, by the pair's score, or by its lead over ten "
                    "random items of the same user.",
                    "Exchanged: each pair is scored with the routing of another, and named by it. Misnamed: its own "
                    f"routing, the name of another. Kept: at least {PROMISED:.0%} and above both.",
                ),
            )
        )
    return tables


_FAITHFUL = ("measured by", "named part", "pairs", "share", "exchanged", "misnamed", "kept")


def _promise(by: str, one: NamedPart) -> tuple[str, ...]:
    shares = (f"{share:.1%}" for share in (one.share, one.exchanged_share, one.misnamed_share))
    return (by, one.part, f"{one.pairs:,}", *shares, "yes" if one.keeps_promise else "no")


def routed_run(field: Field) -> tuple[StudyRow, Run] | None:
    """The field's first MAGNET row (its ``own`` before others) with a folder at hand that holds a routed model."""
    others = [variant for variant in field.variants if variant.is_own and variant is not field.own]
    for variant in [*([field.own] if field.own is not None else []), *others]:
        for row in variant.rows:
            if row.run is not None:
                try:
                    scorer = routed_scorer(row.run)
                except StorageError:
                    continue
                if scorer is not None:
                    return row, row.run
    return None


# -- cells -----------------------------------------------------------------------------------------------


def spread(variant: Variant, part: str, metric: str) -> str:
    """Mean ± deviation over seeds; the mean alone where there is one."""
    which = "valid" if part == "valid" else "test"
    mean, deviation = variant.mean(which, metric), variant.deviation(which, metric)  # type: ignore[arg-type]
    return number(mean) if deviation is None else f"{number(mean)} ± {deviation:.4f}"


def _marks(columns: Sequence[Sequence[float | None]], first: int) -> dict[tuple[int, int], int]:
    """The three best of each column; columns stand from ``first`` on. Values that are equal share a mark."""
    marks = {}
    for column, values in enumerate(columns, start=first):
        best = sorted({value for value in values if value is not None}, reverse=True)
        for row, value in enumerate(values):
            if value is not None and len(values) > 1 and value in best[: len(TOP)]:
                marks[row, column] = TOP[best.index(value)]
    return marks
