"""Pages of the docs that hold measured numbers: one per data set, one for the demo. Nobody writes them by
hand."""

from collections.abc import Mapping, Sequence
from typing import Any

from alnico.experiment.findings import BASELINE_METRIC
from alnico.experiment.results import (
    OWN_MODEL,
    RunRecord,
    best_baseline,
    by_question,
    duels,
    listed,
    main_run,
    told_apart,
    warning,
)
from alnico.report.published import published, sources
from alnico.report.tables import ABSENT, MASKS, MEASURES, Table, duel_table, number, peak_cell, short

COMPARED = ("recall@20", "ndcg@20")


def dataset_document(dataset: str, records: Sequence[RunRecord], note: str | None = None) -> str:
    """All runs on one data set as a markdown page; runs of different protocols stand in different tables."""
    lines = [f"# {dataset}: measured", ""]
    lines += ["Written by `alnico results` from finished runs; every run opened the test part once.", ""]
    if note:
        lines += [note, ""]
    for group in by_question(records):
        lines += _group(dataset, group)
    return "\n".join(lines).rstrip() + "\n"


def dataset_table(dataset: str, records: Sequence[RunRecord]) -> Table:
    """One row per run with everything that a study wants to sort by."""
    known = {record.name: published(dataset, record) for record in records}
    header = [
        "run",
        "label",
        "model",
        "preset",
        "views",
        "seed",
        *(f"{part} {short(metric)}" for part in ("valid", "test") for metric in MEASURES),
        "s/epoch (training)",
        "peak MB",
        "best epoch",
        "epochs",
        "switch step",
        "N_eff at end",
    ]
    if any(known.values()):
        header.append("published")
    rows = []
    for record in sorted(records, key=_order):
        row = [record.name, *_told(record)]
        if any(known.values()):
            others = known[record.name]
            row.append(
                ABSENT
                if others is None
                else " / ".join(f"{value:.4f}".lstrip("0") for value in others.values)
            )
        rows.append(tuple(row))
    return Table(tuple(header), tuple(rows))


def _order(record: RunRecord) -> tuple[bool, float]:
    """Baselines first, then MAGNET; within each by validation."""
    return record.model == OWN_MODEL, record.measure("valid", BASELINE_METRIC) or 0.0


def _told(record: RunRecord) -> list[str]:
    model, result = record.settings["model"], record.result
    trained = bool(result.get("epochs"))
    switch = result.get("switch_step")
    return [
        record.label,
        record.model,
        str(model.get("preset", ABSENT)),
        str(model.get("views", ABSENT)),
        str(record.settings["seed"]),
        *(number(record.measure("valid", metric)) for metric in MEASURES),
        *(number(record.measure("test", metric)) for metric in MEASURES),
        number(result.get("train_seconds_per_epoch"), 2) if trained else ABSENT,
        peak_cell([result], ".0f"),
        str(result["best_epoch"]) if trained else ABSENT,
        str(result["epochs"]) if trained else ABSENT,
        _switch(switch),
        number(result.get("effective_experts_at_end"), 2),
    ]


def _switch(step: object) -> str:
    if not isinstance(step, int):
        return ABSENT
    # The stage controller says -1 while it has not switched.
    return str(step) if step >= 0 else "never"


def _group(dataset: str, records: Sequence[RunRecord]) -> list[str]:
    lines = [f"## {_protocol_title(records[0])}", "", *_protocol(records), ""]
    lines += [dataset_table(dataset, records).markdown(), ""]
    lines += [
        "`s/epoch` is the median over epochs but the first, training alone; `peak MB` the largest resident "
        "size of the process.",
        "",
    ]
    if told := sources(dataset, records):
        lines += [told, ""]
    lines += _reservations(records)
    lines += _comparisons(told_apart(records))
    return lines


def _protocol_title(record: RunRecord) -> str:
    recipe = record.record["split"]["recipe"]
    told = ", ".join(f"{key} {value}" for key, value in recipe.items() if key != "rule")
    mask = record.settings["evaluation"]["mask"]
    protocol = f", protocol {record.protocol}" if record.protocol else ""
    return f"Split {recipe['rule']}{f' ({told})' if told else ''}, mask {mask}{protocol}"


def _protocol(records: Sequence[RunRecord]) -> list[str]:
    first = records[0].record
    facts = first["split"]["facts"]
    plans = [record.settings["training"] for record in records if record.result.get("epochs")]
    chosen = sorted({f"{plan['metric']} with patience {plan['patience']}" for plan in plans})
    data = first["dataset"]
    lines = [
        f"* Data: {data['users']} users, {data['items']} items, "
        f"modalities {listed(data['modalities'] or ['none'])}; "
        f"fingerprint `{data['fingerprint'][:12]}`.",
        f"* Split: {facts['train']} training, {facts['valid']} validation and {facts['test']} test "
        "interactions; "
        f"fingerprint `{first['split']['fingerprint'][:12]}`.",
        f"* Left out of the lists: the user's {MASKS[records[0].settings['evaluation']['mask']]}. "
        f"Ranked: the whole catalogue. Test users: {records[0].result['test_users']}.",
    ]
    if chosen:
        lines.append(f"* Best epoch by validation {' or '.join(chosen)}.")
    return lines


def _reservations(records: Sequence[RunRecord]) -> list[str]:
    """How far each model follows its source, where that is not all the way."""
    cards = {record.model: card for record in records if (card := record.record.get("card"))}
    lines = [
        f"* {card['title']}: {card['reproduction']}. {card['remark']}"
        for card in cards.values()
        if card.get("remark")
    ]
    return [*lines, ""] if lines else []


def _comparisons(records: Sequence[RunRecord]) -> list[str]:
    base = best_baseline(records, BASELINE_METRIC)
    if base is None or len(records) < 2:
        return []
    lines = [
        f"### Against {base.label}, the best baseline by validation {BASELINE_METRIC}",
        "",
        "Paired by user (Wilcoxon signed-rank, two-sided), p corrected by Holm over the rows of one measure; "
        "95 % bootstrap interval; `detectable` is the true difference that this many users would show with "
        "probability .8.",
        "",
    ]
    pairs = [(record, base) for record in sorted(records, key=_order) if record is not base]
    fought = [duel for metric in COMPARED for duel in duels(pairs, metric)]
    lines += [duel_table(fought).markdown(), ""]
    own = main_run(records)
    if own.model == OWN_MODEL:
        others = [record for record in records if record.model != OWN_MODEL]
        warned = [
            text
            for metric in COMPARED
            if (text := warning(duels([(own, other) for other in others], metric)))
        ]
        lines += [f"> {text}\n" for text in warned]
    return lines


def demo_document(content: Mapping[str, Any]) -> str:
    """What one demo measured, from its demo.json."""
    plan, measured = content["plan"], content.get("measured")
    form = "small" if plan["small"] else "full"
    lines = [
        "# The demo: measured",
        "",
        f"Written by `alnico results` from the demo's own record ({form} form, seed {plan['seed']}). "
        "The worlds are made up; their truth is known to the generator alone.",
        "",
    ]
    if measured:
        lines += [
            f"Wall time {measured['wall_seconds']:.0f} s, peak memory "
            f"{measured['peak_memory_bytes'] / 2**20:.0f} MB"
            f"{_machine(measured)}.",
            "",
        ]
    else:
        lines += ["Wall time was not measured: the demo was interrupted and went on later.", ""]
    for name, world in content["worlds"].items():
        lines += _demo_world(world, plan["worlds"][name]["shop"])
    lines += [f"* {sentence}" for sentence in content["control"]]
    return "\n".join(lines).rstrip() + "\n"


def _machine(measured: Mapping[str, Any]) -> str:
    return f" with {measured['threads']} threads on {measured['cores']} cores" if "cores" in measured else ""


def _demo_world(world: Mapping[str, Any], shop: Mapping[str, Any]) -> list[str]:
    header = (
        "model",
        *(f"{part} {short(metric)}" for part in ("valid", "test") for metric in MEASURES),
        "s/epoch",
        "epochs",
    )
    rows = tuple(
        (
            label,
            *(number(run[part][metric]) for part in ("valid", "test") for metric in MEASURES),
            number(run["train_seconds_per_epoch"], 2) if run["epochs"] else ABSENT,
            str(run["epochs"] or ABSENT),
        )
        for label, run in world["runs"].items()
    )
    lines = [
        f"## {world['title']}",
        "",
        f"{shop['n_users']} users, {shop['n_items']} items, {shop['n_interactions']} interactions.",
        "",
        Table(header, rows).markdown(),
        "",
    ]
    lines += [f"* {duel['sentence']}" for duel in world["duels"]]
    if world["warning"]:
        lines.append(f"* {world['warning']}")
    parts = list(world["reliance"])
    kinds = {**{kind: told["reliance"] for kind, told in world["kinds"].items()}, "all": world["reliance"]}
    lines += [f"* {sentence}" for sentence in world["leaning"]]
    lines += [
        "",
        "Reliance of MAGNET (share of the contributions to the scores of test pairs) by true kind of user:",
        "",
    ]
    lines += [_shares("user", parts, kinds).markdown(), ""]
    groups = {kind: told["groups"] for kind, told in world["kinds"].items()}
    lines += [
        "Routing (mass of each anchor group) by true kind of user:",
        "",
        _shares("user", parts, groups).markdown(),
        "",
    ]
    return lines


def _shares(first: str, parts: Sequence[str], rows: Mapping[str, Mapping[str, float]]) -> Table:
    return Table(
        (first, *parts),
        tuple((kind, *(f"{shares.get(part, 0.0):.1%}" for part in parts)) for kind, shares in rows.items()),
    )
