"""From a finished run to a bundle."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from alnico.contracts import Scorer
from alnico.data.dataset import Dataset
from alnico.diagnostics.dynamics import trace_of
from alnico.errors import UnsupportedError
from alnico.experiment.answer import content_lists, neighbour_lists
from alnico.experiment.folder import Run
from alnico.graphs.content import of_length_one
from alnico.models.item_knn import ItemKnnConfig, co_taken
from alnico.report.pictures import small_jpeg
from alnico.serving.bundle import BEHAVIOUR, TRAINED, Bundle
from alnico.serving.encoding import encoders_of
from alnico.serving.manifest import Facts

NEIGHBOURS = 50
"""Length of the neighbour lists that a bundle keeps, at least."""
UNTAKEN = "unseen items"

Progress = Callable[[int, int], None]
"""Told (pictures done, pictures in all)."""


def bundle_of(
    run: Run, *, histories: bool = True, pictures: bool = True, progress: Progress | None = None
) -> Bundle:
    """Everything that a finished run's model needs to answer by itself.

    Without ``histories`` nobody can read from the bundle who had what; then lists may hold what a user has, and a model
    that knows users by nothing else knows them no longer. Raises StorageError while the run is not finished, or if its
    data have changed, UnsupportedError for a run on content that was dealt out.
    """
    run.require_finished()
    if run.spec.content.dealt:
        raise UnsupportedError(
            f"run {run.folder} was trained on content dealt out among other items "
            f"(content.dealt = {list(run.spec.content.dealt)}), which is nothing to serve from; export a run without it"
        )
    dataset, train, scorer = run.dataset, run.split.train, run.scorer()
    lists = content_lists(run, NEIGHBOURS)
    notes, encoders = encoders_of(dataset)
    shrinkage = float(ItemKnnConfig().shrinkage)
    return Bundle(
        facts=_facts(run).model_copy(update={"encoders": notes}),
        scorer=scorer if histories else _without_histories(scorer),
        users=dataset.users,
        items=dataset.items,
        cards=dataset.cards,
        content=of_length_one(dataset.features),
        neighbours={BEHAVIOUR: co_taken(train, NEIGHBOURS, shrinkage), **lists},
        histories=train if histories else None,
        takers=np.array(train.item_degrees),
        standing=np.full(dataset.n_items, TRAINED, np.int8),
        pictures=_pictures(dataset, Path(run.spec.dataset), progress)
        if pictures
        else (None,) * dataset.n_items,
        encoders=encoders,
    )


def _facts(run: Run) -> Facts:
    record, result = run.record, run.result
    card = record["card"]
    measures: dict[str, dict[str, float | None]] = {part: dict(result[part]) for part in ("valid", "test")}
    cold = result["slices"].get(UNTAKEN)
    if cold and cold["targets"]:
        measures["untaken"] = {name: value for name, value in cold.items() if "@" in name}
    lists = neighbour_lists(run)
    return Facts(
        label=run.label,
        model=run.spec.model_name,
        title=card["title"],
        source=card["paper"],
        remark=card["remark"],
        settings=run.spec.resolved(),
        data=record["dataset"],
        split=record["split"],
        measures=measures,
        trained=record["started"],
        versions=record["versions"],
        induced=max((own.k for own in lists.values()), default=0),
        course=_course(run),
    )


def _course(run: Run) -> dict[str, list[float]]:
    """The routing over the epochs of the training; none where nothing was routed."""
    trace = trace_of(run.steps)
    if trace is None:
        return {}
    epochs, entropy = trace.by_epoch("entropy")
    stages = {int(row["epoch"]): float(row["stage"] or 1) for row in run.history if "stage" in row}
    return {
        "epochs": [float(epoch) for epoch in epochs],
        "entropy": entropy.tolist(),
        "stage": [stages.get(int(epoch), 1.0) for epoch in epochs],
    }


def _without_histories(scorer: Scorer) -> Scorer:
    """The same model without who had what, where it holds that."""
    if not scorer.holds_histories:
        return scorer
    return scorer.fold_in([np.zeros(0, np.int64)] * scorer.n_users)


def _pictures(dataset: Dataset, folder: Path, progress: Progress | None) -> tuple[bytes | None, ...]:
    paths = dataset.cards.columns.get("image", ("",) * dataset.n_items)
    found = []
    for done, path in enumerate(paths, 1):
        found.append(small_jpeg(path, folder))
        if progress is not None:
            progress(done, len(paths))
    return tuple(found)
