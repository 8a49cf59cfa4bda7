"""Sweeps of one or two settings: Figures 3, 4, 9, 10 and 11."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alnico.diagnostics.dynamics import smoothed, switch_of, trace_of
from alnico.experiment.variants import Field, StudyRow, Variant
from alnico.report.exhibits.shown import Figures, StudyFigure, of_each_field
from alnico.report.figures.sweeps import HeatMap, Log, Panel, Point, heat_maps, sweep_grid
from alnico.report.tables import short

TEMPLATES = {"model.alpha": "α, dominance", "model.beta": "β, tilt", "model.delta": "δ, first auxiliary"}
SETTINGS = {
    "model.contrast": "λ_ctr, view contrast",
    "model.temperature": "τ, temperature",
    "model.neighbours": "k, neighbours",
    "model.induced": "r, induced edges",
    "training.learning_rate": "learning rate",
    "model.l2": "λ, L2",
    "model.dropout": "p_d, dropout",
    "model.width": "d, width",
}
ROUTING = {"model.routing": "λ_r, routing terms"}
FAMILIES, KEPT, REPLICAS = "model.families", "model.experts_per_pair", "model.replicas"
THRESHOLD, WINDOW = "model.entropy_threshold", "model.window"
EFFECTIVE = "N_eff"
PER_LINE = 4
Arrange = Callable[[Field, Mapping[str, str]], Sequence[Sequence[Panel | None]]]
READING = "Test means, a band for one deviation over seeds where there are several. Each panel has a scale of its own."


def template_sweeps(rows: Sequence[StudyRow]) -> Figures:
    """alpha, beta and delta one at a time, per data set. Implements: Figure 3."""
    return _sweeps("figure-3", "Figure 3: shape of the templates", rows, TEMPLATES, _metric_lines)


def routing_sweeps(rows: Sequence[StudyRow]) -> Figures:
    """The weight of the routing terms, per data set. Implements: Figure 10."""
    return _sweeps("figure-10", "Figure 10: weight of the routing terms", rows, ROUTING, _one_line)


def setting_sweeps(rows: Sequence[StudyRow]) -> Figures:
    """Eight settings one at a time, per data set. Implements: Figure 11."""
    return _sweeps("figure-11", "Figure 11: other settings", rows, SETTINGS, _metric_pairs)


def _sweeps(
    name: str, title: str, rows: Sequence[StudyRow], settings: Mapping[str, str], arrange: Arrange
) -> Figures:
    def of_field(name: str, title: str, field: Field) -> Sequence[StudyFigure] | str:
        known = {setting: text for setting, text in settings.items() if len(_moved(field, setting)) > 1}
        if not known:
            wanted = ", ".join(setting.split(".")[-1] for setting in settings)
            return f"no two runs differ in {wanted} alone"
        missing = [text for setting, text in settings.items() if setting not in known]
        unmarked = [text for setting, text in known.items() if default_value(field, setting) is None]
        caption = READING + (" Hollow: the default." if len(unmarked) < len(known) else "")
        caption += f" Not swept: {'; '.join(missing)}." if missing else ""
        return [StudyFigure(name, title, sweep_grid(arrange(field, known)), caption)]

    return of_each_field(rows, name, title, of_field)


def _metric_lines(field: Field, settings: Mapping[str, str]) -> list[list[Panel | None]]:
    """A line of panels per measure, a column per setting."""
    return [
        [_panel(field, setting, text, metric, number) for setting, text in settings.items()]
        for number, metric in enumerate(("recall@10", "recall@20", "ndcg@20"))
    ]


def _one_line(field: Field, settings: Mapping[str, str]) -> list[list[Panel | None]]:
    """One setting against measures and the experts in use."""
    return [
        [
            _panel(field, setting, text, metric, number)
            for number, metric in enumerate(("recall@20", "ndcg@20", EFFECTIVE))
            if any(_measured(variant, metric)[0] is not None for variant in _moved(field, setting).values())
        ]
        for setting, text in settings.items()
    ]


def _metric_pairs(field: Field, settings: Mapping[str, str]) -> list[list[Panel | None]]:
    """Four settings beside each other, recall above NDCG, then the next four."""
    names = list(settings)
    lines: list[list[Panel | None]] = []
    for start in range(0, len(names), PER_LINE):
        some = names[start : start + PER_LINE]
        for number, metric in enumerate(("recall@20", "ndcg@20"), start=1):
            lines.append([_panel(field, name, settings[name], metric, number) for name in some])
    return lines


def _panel(field: Field, setting: str, text: str, metric: str, colour: int) -> Panel:
    default = default_value(field, setting)
    points = []
    for value, variant in _moved(field, setting).items():
        mean, deviation = _measured(variant, metric)
        if mean is not None:
            points.append(Point(float(value), mean, deviation, value == default))
    return Panel(text, metric if metric == EFFECTIVE else short(metric), points, colour)


def _measured(variant: Variant, metric: str) -> tuple[float | None, float | None]:
    """Mean and deviation over seeds of a test measure or of the experts in use."""
    if metric != EFFECTIVE:
        return variant.mean("test", metric), variant.deviation("test", metric)
    values = [told["effective_experts"] for row in variant.rows if (told := row.record.result.get("routing"))]
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def _moved(field: Field, setting: str) -> dict[Any, Variant]:
    """The variants that change this setting alone, and the unchanged one, by value."""
    moved = [variant for variant in field.variants if set(variant.first.varied) == {setting}]
    still = field.unchanged
    if moved and not still.first.varied and _alike(moved[0], still, setting):
        moved = [still, *moved]
    values = {variant.first.setting(setting): variant for variant in moved}
    return {value: variant for value, variant in values.items() if isinstance(value, int | float)}


def _alike(first: Variant, second: Variant, setting: str) -> bool:
    """Whether two variants differ in nothing but this setting."""
    sides = []
    for variant in (first, second):
        groups = {name: dict(variant.first.record.settings[name]) for name in ("model", "training")}
        group, _, key = setting.partition(".")
        groups.get(group, {}).pop(key, None)
        sides.append(groups)
    return sides[0] == sides[1]


def default_value(field: Field, setting: str) -> Any:
    """The setting's value where it was not moved: of the unchanged variant, or else of most others."""
    still = [
        variant.first.setting(setting) for variant in field.variants if setting not in variant.first.varied
    ]
    counted = Counter(str(value) for value in still)
    if not counted:
        return None
    common = counted.most_common(1)[0][0]
    return next(value for value in still if str(value) == common)


# -- two settings at a time -------------------------------------------------------------------------------


def pool_maps(rows: Sequence[StudyRow]) -> Figures:
    """Families of templates, and replicas of each expert, against K. Implements: Figure 4."""
    return of_each_field(rows, "figure-4", "Figure 4: the pool of experts against K", _pools)


def _pools(name: str, title: str, field: Field) -> Sequence[StudyFigure] | str:
    pools = [one for one in (_pool(field, FAMILIES), _pool(field, REPLICAS)) if one is not None]
    if not pools:
        return "no runs differ in families, replicas and K alone"
    caption = (
        "Test N@20, mean over seeds; E: experts in the pool; a backslash: more experts kept than there are (K > E); "
        "empty: not run"
        + ("; framed: the default." if any(one.default is not None for one in pools) else ".")
    )
    return [StudyFigure(name, title, heat_maps([[one] for one in pools]), caption)]


def _pool(field: Field, setting: str) -> HeatMap | None:
    """What the pool is made of (lines) against K (columns)."""
    cells: dict[tuple[Any, int], float] = {}
    moved = False
    for variant in field.variants:
        varied = set(variant.first.varied)
        if variant.is_own and varied <= {setting, KEPT}:
            moved = moved or setting in varied
            value = variant.mean("test", "ndcg@20")
            if value is not None:
                cells[_pool_key(variant, setting), int(variant.first.setting(KEPT))] = value
    if not moved:
        return None
    parts = 1 + len(field.variants[0].first.record.record["dataset"]["modalities"])
    pools = sorted({pool for pool, _ in cells}, key=lambda pool: (_pool_size(field, pool, parts), str(pool)))
    kept = sorted({k for _, k in cells})
    sizes = [_pool_size(field, pool, parts) for pool in pools]
    default = _pool_default(field, setting)
    return HeatMap(
        title="Families" if setting == FAMILIES else "Replicas of each expert",
        x_label="K, experts kept",
        y_label="",
        columns=[str(k) for k in kept],
        rows=[f"{_pool_name(pool)} (E = {size})" for pool, size in zip(pools, sizes, strict=True)],
        values=[[cells.get((pool, k)) for k in kept] for pool in pools],
        impossible=frozenset(
            (line, column) for line, size in enumerate(sizes) for column, k in enumerate(kept) if k > size
        ),
        default=(pools.index(default[0]), kept.index(default[1]))
        if default is not None and default[0] in pools and default[1] in kept
        else None,
    )


def _pool_key(variant: Variant, setting: str) -> Any:
    value = variant.first.setting(setting)
    return tuple(value) if isinstance(value, list | tuple) else value


def _pool_default(field: Field, setting: str) -> tuple[Any, int] | None:
    whole = field.unchanged
    if whole.first.varied:
        return None
    return _pool_key(whole, setting), int(whole.first.setting(KEPT))


def _pool_size(field: Field, pool: Any, parts: int) -> int:
    if isinstance(pool, tuple):
        return parts * len(pool) * int(default_value(field, REPLICAS) or 1)
    families = default_value(field, FAMILIES) or ("dominant",)
    return parts * len(families) * int(pool)


def _pool_name(pool: Any) -> str:
    if isinstance(pool, tuple):
        return " + ".join({"dominant": "Dom", "balanced": "Bal", "complementary": "Com"}[one] for one in pool)
    return f"p = {pool}"


def trigger_maps(rows: Sequence[StudyRow]) -> Figures:
    """Threshold against window: recall, the step of the switch, and a log of the literal rule. Implements: Figure 9."""
    return of_each_field(rows, "figure-9", "Figure 9: threshold and window of the trigger", _triggers)


def _triggers(name: str, title: str, field: Field) -> Sequence[StudyFigure] | str:
    crossed = [
        variant
        for variant in field.variants
        if variant.first.varied and set(variant.first.varied) <= {THRESHOLD, WINDOW}
    ]
    if len(crossed) < 2:
        return "no two runs differ in threshold or window"
    maps, steps = _trigger_maps(crossed, field)
    log = _literal_log(field)
    picture = heat_maps([list(maps), *([[log]] if log is not None else [])])
    return [
        StudyFigure(name, title, picture, _trigger_caption(steps, log, is_framed=maps[0].default is not None))
    ]


def _trigger_maps(
    variants: Sequence[Variant], field: Field
) -> tuple[tuple[HeatMap, HeatMap], list[float | None]]:
    cells = {
        (float(variant.first.setting(THRESHOLD)), int(variant.first.setting(WINDOW))): variant
        for variant in variants
    }
    thresholds = sorted({threshold for threshold, _ in cells}, reverse=True)
    windows = sorted({window for _, window in cells})

    def table(of: Callable[[Variant], float | None]) -> list[list[float | None]]:
        return [[of(cells[h, w]) if (h, w) in cells else None for w in windows] for h in thresholds]

    never = {
        (thresholds.index(h), windows.index(w)): "never"
        for (h, w), variant in cells.items()
        if _switch_step(variant) is None
    }
    usual = (default_value(field, THRESHOLD), default_value(field, WINDOW))
    default = (thresholds.index(usual[0]), windows.index(usual[1])) if usual in cells else None
    steps = [_switch_step(variant) for variant in cells.values()]
    recall = HeatMap(
        "Test R@20",
        "W, window",
        "H*, threshold",
        [str(window) for window in windows],
        [f"{threshold:g}" for threshold in thresholds],
        table(lambda one: one.mean("test", "recall@20")),
        default=default,
    )
    switch = replace(recall, title="Step of the switch", values=table(_switch_step), texts=never, digits=0)
    return (recall, switch), steps


def _switch_step(variant: Variant) -> float | None:
    steps = [
        step
        for row in variant.rows
        if isinstance(step := row.record.result.get("switch_step"), int | float) and step >= 0
    ]
    return float(np.mean(steps)) if steps else None


def _trigger_caption(steps: Sequence[float | None], log: Log | None, *, is_framed: bool) -> str:
    distinct = set(steps)
    told = "Means over seeds, of the step over those that switched; empty: not run"
    told += "; framed: the default. " if is_framed else ". "
    if distinct == {None}:
        told += "No run switched. "
    elif len(distinct) == 1 and len(steps) > 1:
        told += "Every run switched at the same step, so that threshold and window decide nothing here. "
    if log is not None:
        told += f"Below: {log.remark}"
    return told


def _literal_log(field: Field) -> Log | None:
    """The first steps of a run with the printed trigger: every step counts, nothing is smoothed."""
    rows = [
        row
        for variant in field.variants
        for row in variant.rows
        if row.run is not None and row.setting("model.trigger_unit") == "step"
    ]
    rows.sort(key=lambda row: (row.setting("model.smoothing") != 0, row.setting("model.router_scale") != 1))
    for row in rows:
        assert row.run is not None
        trace = trace_of(row.run.steps)
        if trace is not None:
            settings = row.record.settings["model"]
            step = row.record.result.get("switch_step")
            told = switch_of(trace, settings, int(step) if isinstance(step, int) else None)
            literal = settings["smoothing"] == 0
            return Log(
                title="The literal trigger" if literal else "The trigger, step by step",
                steps=trace.steps.tolist(),
                values=smoothed(trace.of("entropy"), float(settings["smoothing"])).tolist(),
                threshold=told.threshold,
                switch=told.step,
                remark=(
                    f"the first steps of {row.label} (router scale {settings['router_scale']:g}), "
                    f"H* = {told.threshold:g}, W = {told.window}: "
                    + (
                        f"stage 2 begins at step {told.step}."
                        if told.step is not None
                        else "stage 2 never begins."
                    )
                ),
            )
    return None
