"""Questions to a finished run, in outside ids: what would this user get, and why."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from alnico.contracts import ExplainingScorer, Scorer
from alnico.data.dataset import ItemCards
from alnico.data.ids import IdMap
from alnico.data.neighbours import ItemNeighbours
from alnico.data.store import is_data_folder
from alnico.diagnostics.explain import Explanation, explain
from alnico.errors import ConfigError, UnsupportedError
from alnico.experiment.folder import Run
from alnico.graphs.cache import GraphCache
from alnico.graphs.content import nearest_neighbours
from alnico.graphs.evidence import content_evidence


def recommend(run: Run, users: Sequence[int | str], k: int = 10, *, keep_seen: bool = False) -> pl.DataFrame:
    """The k best items of each user: a frame of ``user_id``, ``rank`` (from 1), ``item_id``, ``score``, ``title``.

    Items of the training history are left out unless ``keep_seen``. Raises DataError for an unknown user.
    """
    if k < 1:
        raise ConfigError(f"k must be at least 1; found {k}")
    dataset, scorer = run.dataset, run.scorer()
    numbers = dataset.users.numbers(users)
    seen = run.seen.nothing(dataset.n_users) if keep_seen else run.seen
    ranking = scorer.top(numbers, seen, min(k, dataset.n_items))
    rows, places = np.nonzero(ranking.items >= 0)
    items = ranking.items[rows, places]
    return pl.DataFrame(
        {
            "user_id": dataset.users.of(ranking.users[rows]),
            "rank": places + 1,
            "item_id": dataset.items.of(items),
            "score": ranking.scores[rows, places],
            "title": [dataset.cards.get("title", int(item)) for item in items],
        }
    )


def explain_pair(run: Run, user: int | str, item: int | str, scorer: Scorer | None = None) -> Explanation:
    """Why the run gives this item to this user, in inside numbers; ``named`` puts outside ids in.

    Raises UnsupportedError for a model that cannot explain, DataError for unknown ids.
    """
    scorer = scorer or run.scorer()
    if not isinstance(scorer, ExplainingScorer):
        raise UnsupportedError(
            f"{run.spec.model_name} cannot explain its scores; magnet can, train one with --set model.name=magnet"
        )
    dataset = run.dataset
    lists = neighbour_lists(run)
    return explain(
        scorer,
        dataset.users.number(user),
        dataset.items.number(item),
        run.split.train,
        dataset.features,
        lists,
    )


def neighbour_lists(run: Run) -> dict[str, ItemNeighbours]:
    """The content neighbours that the run's induced edges were made from; given lists first.

    None for a model that has no induced edges: a single view, or edges of users where content foretells nothing.
    """
    model = run.spec.resolved()["model"]
    if model.get("views") == "single":
        return {}
    lists = content_lists(run)
    if model.get("evidence") and model.get("induced_between") == "users_and_items" and lists:
        question = (
            run.split.train,
            run.dataset.features,
            lists,
            model["induced"],
            model["visibility"],
            _cache(run),
        )
        if not content_evidence(*question).weight:
            return {}
    return lists


def content_lists(run: Run, least: int = 1) -> dict[str, ItemNeighbours]:
    """The content neighbours of every modality, as many as the run's model asks for (20 otherwise), or ``least`` where
    that is more; given lists first, as far as they reach."""
    model, cache = run.spec.resolved()["model"], _cache(run)
    k = max(int(model.get("neighbours", 20)), least)
    lists = {}
    for name, modality in run.dataset.features.items():
        given = run.dataset.neighbours.get(name)
        lists[name] = (
            nearest_neighbours(modality, k, cache, search=model.get("neighbour_search", "exact"))
            if given is None
            else given.first(min(k, given.k))
        )
    return lists


def _cache(run: Run) -> GraphCache:
    """Where what is made of the run's data stays, if that is a data folder."""
    data = Path(run.spec.dataset)
    return GraphCache(data / "cache" if is_data_folder(data) else None)


def named(run: Run, told: Explanation) -> dict[str, Any]:
    """The explanation as plain values with outside ids and titles."""
    dataset = run.dataset
    return in_outside_ids(told, dataset.users.name(told.user), dataset.items, dataset.cards)


def in_outside_ids(
    told: Explanation, user: int | str | None, items: IdMap, cards: ItemCards
) -> dict[str, Any]:
    """The explanation as plain values with outside ids and titles; ``user`` is None for somebody without an id."""

    def card(item: int) -> dict[str, Any]:
        return {
            "item_id": items.name(item),
            **{column: cards.get(column, item) for column in ("title", "category", "image")},
        }

    plain = asdict(told)
    plain["user"] = user
    plain["item"] = card(told.item)
    plain["witnesses"] = [{**asdict(witness), "item": card(witness.item)} for witness in told.witnesses]
    return plain
