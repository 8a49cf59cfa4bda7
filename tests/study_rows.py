"""Rows of a study made by hand: what a plan varied and what came out, without any training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alnico.evaluation.evaluate import Scores
from alnico.experiment.folder import Run
from alnico.experiment.variants import StudyRow
from finished_runs import record


def study_row(
    label: str,
    values: Sequence[float],
    *,
    model: str = "magnet",
    dataset: str = "toy",
    seed: int = 1,
    split: str = "s",
    users: Sequence[int] | None = None,
    valid: float = 0.5,
    varied: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, float | None]] = (),
    run: Run | None = None,
) -> StudyRow:
    """A row whose per-user values are the same for each of four measures.

    ``settings`` are the model's own; what ``varied`` changes is among its settings too. ``split`` names the split:
    rows of different splits of one data set share a protocol.
    """
    made = record(label, values, model=model, dataset=dataset, valid=valid, history=history)
    told: dict[str, Any] = {**made.record}
    told["dataset"] = {**told["dataset"], "fingerprint": f"data {dataset}"}
    told["split"] = {**told["split"], "recipe": {"rule": "random", "seed": seed}, "fingerprint": split}
    told["spec"] = {**told["spec"], "seed": seed, "device": "cpu"}
    told["spec"]["model"] = {**told["spec"]["model"], **(settings or {})}
    for name, value in (varied or {}).items():
        place = told["spec"]
        *path, last = name.split(".")
        for step in path:
            place[step] = {**place.get(step, {})}
            place = place[step]
        place[last] = value
    scores = made.scores
    if users is not None:
        scores = Scores(np.array(users), scores.values)
    made = replace(
        made,
        name=f"{dataset}-{label}-{seed}",
        record=told,
        result={**made.result, **(result or {})},
        scores=scores,
    )
    return StudyRow(label, varied or {}, dataset, seed, made, run)
