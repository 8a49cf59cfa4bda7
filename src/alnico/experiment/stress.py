"""What becomes of what training did not know: new items, new users, more data than yesterday, content that fails.

Everything is measured on parts of the data that are held out here and chosen by nothing; no run's test part is opened.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alnico.contracts import Recommender, Scorer, TrainableRecommender, TrainingData
from alnico.data.dataset import TRAIN, Dataset
from alnico.data.dealing import dealt_out, left_bare
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.data.split import Targets
from alnico.data.splitting import ColdItems, assign_parts
from alnico.errors import ConfigError
from alnico.evaluation.evaluate import evaluate
from alnico.experiment.folder import open_for
from alnico.experiment.run import build_model, device_of, train_model
from alnico.experiment.spec import RunSpec, read_spec
from alnico.graphs.content import of_length_one
from alnico.models import model_class, restore
from alnico.randomness import rng
from alnico.ranking import Ranking, Seen, ranking_from_scores, stack
from alnico.scorers import DotScorer, resembled
from alnico.training.checkpoint import Progress

METRICS = ("recall@20", "ndcg@20")
LONGEST = 20
HELD_OUT = 0.1
"""Share of the interactions by which the best epoch is chosen."""
YESTERDAY = 0.8
"""Share of today's training interactions that yesterday knew."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the items whose content fails."""
RIDGE = 1.0
USERS_AT_ONCE = 512

Row = dict[str, Any]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Known:
    """A catalogue to learn from: training interactions, and those by which the best epoch is chosen."""

    dataset: Dataset
    train: Interactions
    valid: Targets

    @classmethod
    def of(cls, dataset: Dataset, seed: int) -> "Known":
        """A tenth of the interactions, drawn by chance, is held out; users who have no others are not asked about."""
        events = dataset.interactions
        order = rng(seed, "stress valid").permutation(len(events))
        held = np.zeros(len(events), np.bool_)
        held[order[: round(HELD_OUT * len(events))]] = True
        train = events.select(~held)
        held &= train.user_degrees[events.users] > 0
        return cls(dataset, train, Targets.of(events.users[held], events.items[held]))

    @property
    def seen(self) -> Seen:
        """Training items."""
        return Seen(self.train.offsets, self.train.items_by_id)

    def measured(self, scorer: Scorer) -> dict[str, float]:
        """The measures on the held-out interactions."""
        return dict(evaluate(scorer.top(self.valid.users, self.seen, LONGEST), self.valid, METRICS).means())

    def trained(
        self, spec: RunSpec, adopt: Callable[[TrainableRecommender], object] | None = None
    ) -> tuple[Scorer, Recommender, Row]:
        """The finished model of the best epoch, the model as training left it, and what that took."""
        asked = spec.resolved()
        # Graphs of altered data are remembered nowhere.
        asked["dataset"] = f"part of {self.dataset.name}"
        asked["evaluation"] = {"metrics": METRICS, "k": LONGEST}
        asked["training"]["metric"] = METRICS[1]
        spec = read_spec(asked)
        began = time.perf_counter()
        model = build_model(spec, self.dataset, self.train)
        if adopt is not None and isinstance(model, TrainableRecommender):
            adopt(model)
        fitted = train_model(spec, model, self.train, self.valid, device=device_of(spec.device))
        progress: Progress = fitted.progress
        took = {
            "best_epoch": progress.best_epoch,
            "epochs": progress.epoch,
            "seconds": time.perf_counter() - began,
        }
        scorer = restore(fitted.scorer)
        _log.info(
            "%s: %d epochs, best %d, %.0f s",
            spec.model_name,
            progress.epoch,
            progress.best_epoch,
            took["seconds"],
        )
        return scorer, model, {**took, **self.measured(scorer)}


def _data_of(spec: RunSpec) -> Dataset:
    """The data of a run, as they are. Raises ConfigError where their content is to be dealt out."""
    if spec.content.dealt:
        raise ConfigError(
            f"content.dealt = {list(spec.content.dealt)} makes the data others than those that are put under stress; "
            "leave it out, the section 'content' deals it out for itself"
        )
    return open_for(spec)


# -- new items and new users ------------------------------------------------------------------------------


def cold_items(specs: Sequence[RunSpec], share: float = 0.2) -> list[Row]:
    """How items are ranked that left training altogether: one row per way to rank them.

    A share of the items is held out with all that happened to them; models learn from the others alone and then take
    them in as a service does. ``all``: the whole catalogue are candidates; ``among``: the new items alone.
    """
    first = specs[0]
    dataset = _data_of(first)
    parts = assign_parts(dataset, ColdItems(share=share, seed=first.seed))
    events = dataset.interactions
    warm = np.flatnonzero(events.select(parts == TRAIN).item_degrees > 0)
    # In no order: catalogues are often numbered by age or popularity, and ties go to smaller numbers.
    cold = rng(first.seed, "stress cold").permutation(np.unique(events.items[parts != TRAIN]))
    known = Known.of(_with_items_only(dataset, warm, parts == TRAIN), first.seed)
    asked = parts != TRAIN
    asked &= known.train.user_degrees[events.users] > 0
    number = np.full(dataset.n_items, -1, np.int64)
    number[cold] = len(warm) + np.arange(len(cold))
    targets = Targets.of(events.users[asked], number[events.items[asked]])
    new = dataset.features.rows(cold)
    trial = _ColdTrial(known, new, targets)
    rows = [*trial.untrained(dataset, warm, cold)]
    for spec in specs:
        scorer, _, took = known.trained(spec)
        rows += trial.of(spec.model_name, scorer, took)
    facts = {"items": len(warm), "new_items": len(cold), "users": len(targets), "targets": len(targets.items)}
    return [{**row, **facts} for row in rows]


@dataclass(frozen=True, eq=False)
class _ColdTrial:
    """New items behind the known ones, and who took them."""

    known: Known
    new: ItemFeatures
    targets: Targets

    def row(self, label: str, scorer: Scorer, took: Mapping[str, Any] | None = None) -> Row:
        """The measures of one scorer over known and new items."""
        n_known = self.known.train.n_items
        everything = scorer.top(self.targets.users, self.known.seen, LONGEST)
        among = _among_new(scorer, self.targets.users, n_known)
        return {
            "way": label,
            **{
                f"all {name}": value
                for name, value in evaluate(everything, self.targets, METRICS).means().items()
            },
            **{
                f"among {name}": value
                for name, value in evaluate(among, self.targets, METRICS).means().items()
            },
            **{f"known {name}": took[name] for name in METRICS if took},
        }

    def untrained(self, dataset: Dataset, warm: NDArray[np.int64], cold: NDArray[np.int64]) -> list[Row]:
        """Popularity, and item-kNN on the content of known and new items."""
        train = self.known.train
        wider = Interactions(train.users, train.items, train.n_users, len(warm) + len(cold))
        content = dataset.features.rows(np.concatenate([warm, cold]))
        rows = []
        for label, name, settings in (
            ("popularity", "popularity", {}),
            ("item-kNN on content", "item_knn", {"source": "content"}),
        ):
            kind = model_class(name)
            model = kind.build(kind.Config(**settings), TrainingData(wider, content), rng(0, "model"))
            rows.append(self.row(label, model.scorer()))
        return rows

    def of(self, name: str, scorer: Scorer, took: Mapping[str, Any]) -> list[Row]:
        """Every way in which a trained model can take the new items in."""
        unit, theirs = of_length_one(self.known.dataset.features), of_length_one(self.new)
        taken = np.flatnonzero(self.known.train.item_degrees > 0)
        if scorer.reads_content:
            near = (
                resembled(unit, theirs, taken, scorer.reads_neighbours) if scorer.reads_neighbours else None
            )
            return [
                self.row(f"{name}, new items by its own reading", scorer.with_items(self.new, near), took)
            ]
        rows = [
            self.row(
                f"{name}, new items like those they resemble",
                scorer.with_items_like(resembled(unit, theirs, taken)),
                took,
            )
        ]
        if isinstance(scorer, DotScorer):
            rows.append(
                self.row(
                    f"{name}, new items projected from content", _projected(scorer, unit, theirs, taken), took
                )
            )
        return rows


def _projected(
    scorer: DotScorer, known: ItemFeatures, new: ItemFeatures, taken: NDArray[np.int64]
) -> DotScorer:
    """New items where ridge regression from content to the vectors of taken items puts them.

    Source: Gantner et al., Learning Attribute-to-Feature Mappings for Cold-Start Recommendations, ICDM 2010.
    """
    side_by_side = [np.concatenate([own.vectors for own in table.values()], axis=1) for table in (known, new)]
    read = [
        torch.from_numpy(np.pad(rows, ((0, 0), (0, 1)), constant_values=1)).double() for rows in side_by_side
    ]
    inputs, outputs = read[0][taken], scorer.items[taken].double()
    gram = inputs.T @ inputs + RIDGE * torch.eye(inputs.shape[1], dtype=torch.float64)
    rows = (read[1] @ torch.linalg.solve(gram, inputs.T @ outputs)).float()
    bias = torch.full((len(rows),), float(scorer.bias[taken].mean()))
    return DotScorer(scorer.users, torch.cat([scorer.items, rows]), torch.cat([scorer.bias, bias]))


def _among_new(scorer: Scorer, users: NDArray[np.int64], n_known: int) -> Ranking:
    """Lists in which the new items are the only candidates."""
    parts = []
    for start in range(0, len(users), USERS_AT_ONCE):
        some = users[start : start + USERS_AT_ONCE]
        scores = scorer.scores(torch.from_numpy(np.array(some)))[:, n_known:].contiguous()
        own = ranking_from_scores(scores, some, Seen.nothing(len(some)), LONGEST)
        parts.append(Ranking(own.users, np.where(own.items < 0, -1, own.items + n_known), own.scores))
    return stack(parts, LONGEST)


def new_users(specs: Sequence[RunSpec]) -> list[Row]:
    """How users fare who are known by their items alone, beside the same users as they were trained."""
    rows = []
    for spec in specs:
        known = Known.of(_data_of(spec), spec.seed)
        scorer, _, took = known.trained(spec)
        folded = scorer.fold_in([known.train.of_user(user) for user in range(known.train.n_users)])
        for label, values in (("trained", took), ("by items alone", known.measured(folded))):
            rows.append(
                {"model": spec.model_name, "users": label, **{name: values[name] for name in METRICS}}
            )
    return rows


# -- more data than yesterday, and content that fails -------------------------------------------------------


def warm_start(specs: Sequence[RunSpec]) -> list[Row]:
    """Today's training anew and from yesterday's weights, where yesterday knew the earliest four fifths.

    The earliest by time, or drawn by chance where there are no times; users and items that yesterday had not met are
    new. What chooses the best epoch and measures is today's, and yesterday never saw it.
    """
    rows = []
    for spec in specs:
        today = Known.of(_data_of(spec), spec.seed)
        old, users, items = _yesterday(today, spec.seed)
        _, model, took = old.trained(spec)
        if not isinstance(model, TrainableRecommender):
            raise ConfigError(f"{spec.model_name} has no weights, so there is nothing to start from")
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        facts = {
            "model": spec.model_name,
            "new_users": int((users < 0).sum()),
            "new_items": int((items < 0).sum()),
        }
        rows.append({**facts, "training": "yesterday's", **took})
        rows.append({**facts, "training": "anew", **today.trained(spec)[2]})
        started = today.trained(spec, lambda new, old=weights, u=users, i=items: new.adopt(old, u, i))  # type: ignore[misc]
        rows.append({**facts, "training": "from yesterday's weights", **started[2]})
    return rows


def _yesterday(today: Known, seed: int) -> tuple[Known, NDArray[np.int64], NDArray[np.int64]]:
    """What yesterday knew, and the old numbers of today's users and items, -1 for the new ones."""
    events = today.train
    when = rng(seed, "stress yesterday").random(len(events)) if events.times is None else events.times
    early = np.zeros(len(events), np.bool_)
    early[np.argsort(when, kind="stable")[: round(YESTERDAY * len(events))]] = True
    past = events.select(early)
    users, items = np.flatnonzero(past.user_degrees > 0), np.flatnonzero(past.item_degrees > 0)
    old_user, old_item = _renumbered(users, past.n_users), _renumbered(items, past.n_items)
    smaller = Interactions(
        old_user[past.users], old_item[past.items], len(users), len(items), past.times, past.weights
    )
    return Known.of(_reduced(today.dataset, smaller, users, items), seed), old_user, old_item


def failing_content(
    specs: Sequence[RunSpec], shares: Sequence[float] = SHARES, modalities: Sequence[str] | None = None
) -> list[Row]:
    """Accuracy when the content of a share of the items is missing, or is another item's, in training and after.

    ``modalities`` fail together; all of them unless some are named.
    """
    rows = []
    for spec in specs:
        dataset = _data_of(spec)
        names = tuple(modalities or dataset.features.names)
        for how in ("missing", "swapped"):
            for share in shares:
                if how == "swapped" and share == 0:
                    continue  # nothing fails: the row of missing content is the same
                told = harmed(dataset, names, how, share, spec.seed)
                took = Known.of(told, spec.seed).trained(spec)[2]
                rows.append({"model": spec.model_name, "content": how, "share": share, **took})
    return rows


def harmed(dataset: Dataset, names: Sequence[str], how: str, share: float, seed: int) -> Dataset:
    """The data with a share of the items that have it lacking a modality, or having it dealt out among them.

    Given neighbour lists of these modalities go with their content. Raises DataError for an unknown modality.
    """
    for name in names:
        stream = rng(seed, f"stress {how} {name}")
        if how == "missing":
            drawn = stream.permutation(np.flatnonzero(dataset.features.only(name)[name].present))
            dataset = left_bare(dataset, name, drawn[: round(share * len(drawn))])
        else:
            dataset = dealt_out(dataset, name, stream, share)
    return dataset


def _with_items_only(dataset: Dataset, items: NDArray[np.int64], rows: NDArray[np.bool_]) -> Dataset:
    """The data set of these items and interactions; users keep their numbers."""
    events = dataset.interactions.select(rows)
    number = _renumbered(items, dataset.n_items)
    smaller = Interactions(
        events.users, number[events.items], events.n_users, len(items), events.times, events.weights
    )
    return _reduced(dataset, smaller, np.arange(dataset.n_users), items)


def _reduced(
    dataset: Dataset, events: Interactions, users: NDArray[np.int64], items: NDArray[np.int64]
) -> Dataset:
    """The data set of these users and items. Given item graphs are left out: they name items by number."""
    return Dataset(
        dataset.name,
        events,
        dataset.features.rows(items),
        replace(dataset.users, names=dataset.users.of(users)),
        replace(dataset.items, names=dataset.items.of(items)),
    )


def _renumbered(kept: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    number = np.full(n, -1, np.int64)
    number[kept] = np.arange(len(kept))
    return number


SECTIONS: Mapping[str, tuple[str, Callable[[Sequence[RunSpec]], list[Row]]]] = {
    "cold": ("New items, which nobody had in training", cold_items),
    "users": ("New users, known by their items alone", new_users),
    "warm": ("Today's data from yesterday's weights", warm_start),
    "content": ("Content that fails", failing_content),
}
"""By name: a section's title and what measures it."""
