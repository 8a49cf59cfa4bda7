"""From a finished run to a bundle."""

from collections.abc import Callable
from dataclasses import replace
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
from alnico.randomness import rng
from alnico.ranking import Seen
from alnico.report.pictures import small_jpeg
from alnico.serving.bundle import BEHAVIOUR, TRAINED, Bundle
from alnico.serving.encoding import encoders_of
from alnico.serving.manifest import Facts, Stages

NEIGHBOURS = 50
"""Length of the neighbour lists that a bundle keeps, at least."""
UNTAKEN = "unseen items"
COMPARED = 200
"""Users whose lists are made both ways, where lists will be made in two stages."""

Progress = Callable[[int, int], None]
"""Told (pictures done, pictures in all)."""


def bundle_of(
    run: Run,
    *,
    histories: bool = True,
    pictures: bool = True,
    stages: Stages | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Everything that a finished run's model needs to answer by itself.

    Without ``histories`` nobody can read from the bundle who had what; then lists may hold what a user has, and a model
    that knows users by nothing else knows them no longer. Where the catalogue is so large that lists are made in two
    stages (``stages.above``), these are compared with exact lists, and the facts say what was found. Raises
    StorageError while the run is not finished, or if its data have changed, UnsupportedError for a run on content that
    was dealt out.
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
    bundle = Bundle(
        facts=_facts(run).model_copy(update={"encoders": notes, "stages": stages or Stages()}),
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
    return compared(bundle) if bundle.in_two_stages else bundle


def compared(bundle: Bundle, n_users: int = COMPARED) -> Bundle:
    """The bundle with the recall of its two stages against exact lists: of ``n_users`` drawn once and for all."""
    stages, scorer = bundle.facts.stages, bundle.scorer
    users = np.sort(rng(0, "two stages").permutation(len(bundle.users))[:n_users])
    train = bundle.histories
    seen = Seen.nothing(scorer.n_users) if train is None else Seen(train.offsets, train.items_by_id)
    k = min(stages.k, bundle.n_items)
    exact, found = scorer.top(users, seen, k).items, scorer.top_of_few(users, seen, k).items
    hits = sum(
        len(np.intersect1d(own[own >= 0], other[other >= 0])) for own, other in zip(exact, found, strict=True)
    )
    measured = {"recall": hits / max(1, int((exact >= 0).sum())), "users": len(users)}
    facts = bundle.facts.model_copy(update={"stages": stages.model_copy(update=measured)})
    return replace(bundle, facts=facts)


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
