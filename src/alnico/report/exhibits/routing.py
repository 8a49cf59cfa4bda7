"""Routing of the finished models and while training: Figures 5, 7 and 8."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alnico.diagnostics.dynamics import Trace, smoothed, switch_of, thinned, trace_of, unit_curve
from alnico.diagnostics.routing import content_share
from alnico.experiment.variants import Field, StudyRow, Variant, fields
from alnico.report.exhibits.shown import Figures, LeftOut, StudyFigure, of_each_field
from alnico.report.figures.routing import (
    AfterSwitch,
    Course,
    Scheme,
    Shares,
    StageLog,
    Strategy,
    dynamics,
    mechanism,
    overview,
)
from alnico.report.study_tables.sheet import place_names

MOST_POINTS = 400
SMOOTHING = 0.9
STRATEGY_SETTINGS = {"model.switch", "model.fixed_switch_step", "model.routing"}
LATE_MEASURES = {"SpecScore": "specialisation", "Top3Mass": "top3_mass", "MaxLoad": "max_load"}
COURSE_MEASURES = {"Effective experts": "effective_experts", "Winner share": "winner_share"}
CONCENTRATIONS = {
    "hhi_pairs": "Normalised HHI, pairs",
    "hhi": "Normalised HHI, mean",
}
"""What shows concentration, the first that all logs hold."""
NO_LOGS = "the runs are at hand as records only, without their step logs, or route nothing"


def routing_overview(rows: Sequence[StudyRow]) -> Figures:
    """The test routing of each data set's MAGNET by expert, group and family. Implements: Figure 5."""
    name, title = "figure-5", "Figure 5: where test pairs are routed"
    found = fields(rows)
    chosen = [
        (told, field.own.label)
        for place, field in zip(place_names(found), found, strict=True)
        if field.own is not None and (told := _shares(place, field.own)) is not None
    ]
    shares = [told for told, _ in chosen]
    if not shares:
        return [LeftOut(name, title, "no run of MAGNET stored how its test pairs were routed")]
    ranges = "; ".join(f"{one.place}: {label}, N_eff {one.effective_experts:.2f}" for one, label in chosen)
    return [
        StudyFigure(
            name,
            title,
            overview(shares),
            "Mean routing over the positive test pairs, then over seeds. Dashed: all experts alike. An anchor is a "
            "label: a complementary expert carries mostly the other parts; reliance is the share of each part in what "
            f"the scores are made of. {ranges}.",
        )
    ]


def _shares(place: str, own: Variant) -> Shares | None:
    told = [routing for row in own.rows if (routing := row.record.result.get("routing"))]
    told = [one for one in told if len(one["experts"]) > 1]
    if not told:
        return None
    groups, families = (_mean(told, key) for key in ("groups", "families"))
    experts = [
        (group, family, share)
        for group in groups
        for family in families
        if (share := _expert_share(told, f"{group} {family}")) is not None
    ]
    parts = ("behaviour", *own.first.record.record["dataset"]["modalities"])
    return Shares(
        place,
        experts,
        groups,
        families,
        _mean(told, "reliance"),
        float(np.mean([one["effective_experts"] for one in told])),
        float(np.mean([one["diversity"] for one in told])),
        content_share(groups, parts),
    )


def _mean(told: Sequence[Mapping[str, Any]], key: str) -> dict[str, float]:
    return {name: float(np.mean([one[key].get(name, 0.0) for one in told])) for name in told[0][key]}


def _expert_share(told: Sequence[Mapping[str, Any]], label: str) -> float | None:
    """The mean share of an expert and its replicas; None where the pool has none of this name."""
    own = [name for name in told[0]["experts"] if name == label or name.startswith(f"{label} #")]
    if not own:
        return None
    return float(np.mean([sum(one["experts"][name] for name in own) for one in told]))


# -- while training ---------------------------------------------------------------------------------------


def stage_mechanism(rows: Sequence[StudyRow]) -> Figures:
    """The two stages of each data set's full model, beside other strategies. Implements: Figure 7."""
    return of_each_field(rows, "figure-7", "Figure 7: the two stages", _stages)


def _stages(name: str, title: str, field: Field) -> Sequence[StudyFigure] | str:
    whole = next((variant for variant in [field.unchanged] if variant.is_own), field.own)
    traced = None if whole is None else _traced(whole)
    if whole is None or traced is None:
        return NO_LOGS
    row, trace = traced
    strategies = _strategies(field, whole)
    late = [
        Strategy(label, {text: own.late(fact) for text, fact in LATE_MEASURES.items()})
        for label, own in strategies.items()
    ]
    picture = mechanism(_stage_log(row, trace), late, _scheme(row), _after_switch(row, trace))
    return [StudyFigure(name, title, picture, _stage_caption(row, field, list(strategies)))]


def _traced(variant: Variant) -> tuple[StudyRow, Trace] | None:
    """The variant's first row with a step log, and its trace."""
    for row in variant.rows:
        trace = None if row.run is None else trace_of(row.run.steps)
        if trace is not None:
            return row, trace
    return None


def _strategies(field: Field, whole: Variant) -> dict[str, Trace]:
    """The traces of the variants that differ from the whole model in nothing but when and whether they switch."""
    found = {}
    for variant in field.variants:
        if variant.is_own and _but_strategy(variant) == _but_strategy(whole):
            traced = _traced(variant)
            if traced is not None:
                found[variant.label] = traced[1]
    return found


def _but_strategy(variant: Variant) -> dict[str, Any]:
    model = variant.first.record.settings["model"]
    return {name: value for name, value in model.items() if f"model.{name}" not in STRATEGY_SETTINGS}


def _switch_step(row: StudyRow) -> int | None:
    step = row.record.result.get("switch_step")
    return int(step) if isinstance(step, int | float) and step >= 0 else None


def _stage_log(row: StudyRow, trace: Trace) -> StageLog:
    told = switch_of(trace, row.record.settings["model"], _switch_step(row))
    raw = trace.of("specialisation")
    steps, values = thinned(trace.steps, raw, MOST_POINTS)
    _, smooth = thinned(trace.steps, smoothed(raw, SMOOTHING), MOST_POINTS)
    at, signal = thinned(told.signal_steps, told.signal, MOST_POINTS)
    window = None
    if told.crossing is not None and told.step is not None:
        window = (float(told.crossing), float(told.step))
    return StageLog(
        steps,
        values,
        smooth,
        at,
        signal,
        told.threshold,
        window,
        None if told.step is None else float(told.step),
    )


def _scheme(row: StudyRow) -> Scheme:
    model = row.record.settings["model"]
    cover, sharpen = {
        "linear": ("λ_r (1 − H)", "λ_r H"),
        "quadratic": ("λ_r (1 − H)²", "λ_r H²"),
        "constant": ("λ_r", "λ_r"),
        "reverse": ("λ_r H", "λ_r (1 − H)"),
    }[str(model["schedule"])]
    unit = "epochs" if model["trigger_unit"] == "epoch" else "steps"
    condition = {
        "entropy": f"once H ≥ {model['entropy_threshold']:g} for {model['window']} {unit} in a row; never back",
        "fixed": f"at step {model['fixed_switch_step']}",
        "never": "never",
        "start": "from the first step",
    }[str(model["switch"])]
    floor = model.get("coverage_floor")
    second = f"confidence: {sharpen}"
    if floor is not None:
        # Stage 2 hands the weight back to coverage as entropy nears the floor.
        second = f"confidence: {sharpen} g\ncoverage: λ_r (1 − g)\ng = (H − {floor:g}) / {1 - floor:g}"
    return Scheme(f"coverage: {cover}", second, condition)


def _after_switch(row: StudyRow, trace: Trace) -> AfterSwitch | None:
    step = _switch_step(row)
    after = trace if step is None else trace.after(step)
    if step is None or not len(after):
        return None
    epochs, entropy = after.by_epoch("pair_entropy")
    _, gap = after.by_epoch("top_gap")
    return AfterSwitch(epochs.tolist(), entropy.tolist(), gap.tolist())


def _stage_caption(row: StudyRow, field: Field, strategies: Sequence[str]) -> str:
    told = (
        f"{row.label}, seed {row.seed}. SpecScore: 1 minus the mean normalised entropy of single pairs; smoothed by "
        f"{SMOOTHING:g}. Bars: means over the last fifth of the steps, min-max normalised over the strategies. "
        "Top3Mass: mass of a pair's three largest experts; MaxLoad: the largest mean gate."
    )
    unswitched = [
        variant.label
        for variant in field.variants
        if variant.label in strategies
        and variant.first.setting("model.switch") in ("fixed", "entropy")
        and all(_switch_step(one) is None for one in variant.rows)
    ]
    if unswitched:
        told += f" Stage 2 never began in {', '.join(unswitched)}."
    return told


def routing_dynamics(rows: Sequence[StudyRow]) -> Figures:
    """Experts in use, winner share and concentration over epochs, on all data sets. Implements: Figure 8."""
    name, title = "figure-8", "Figure 8: routing over the epochs"
    found = fields(rows)
    courses, ranges = [], []
    logs = [
        (place, *traced)
        for place, field in zip(place_names(found), found, strict=True)
        if field.own is not None and (traced := _traced(field.own)) is not None
    ]
    spread = next(fact for fact in CONCENTRATIONS if all(fact in trace for _, _, trace in logs))
    shown = {**COURSE_MEASURES, CONCENTRATIONS[spread]: spread}
    for place, row, trace in logs:
        epochs, _ = trace.by_epoch("entropy")
        measures = {text: trace.by_epoch(fact)[1] for text, fact in shown.items()}
        step = _switch_step(row)
        switch = None
        if step is not None and step > 0:
            switch = float(trace.epochs[min(int(np.searchsorted(trace.steps, step)), len(trace) - 1)])
        scaled = {text: unit_curve(values).tolist() for text, values in measures.items()}
        courses.append(Course(place, [float(epoch) for epoch in epochs], scaled, switch))
        spans = ", ".join(
            f"{text.lower()} {values.min():.2f} to {values.max():.2f}" for text, values in measures.items()
        )
        ranges.append(f"{place} ({row.label}, seed {row.seed}): {spans}")
    if not courses:
        return [LeftOut(name, title, NO_LOGS)]
    return [
        StudyFigure(
            name,
            title,
            dynamics(courses),
            "Means over the steps of an epoch, each line min-max normalised for itself; star: epoch of the switch. "
            "HHI is that of single pairs, averaged, or that of the mean routing where a log holds no other. "
            f"True ranges: {'; '.join(ranges)}.",
        )
    ]
