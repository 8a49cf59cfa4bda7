"""Why an item stands in a user's list: the model's own arithmetic, and the history that speaks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from alnico.contracts import ExplainingScorer, PairExplanation
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.diagnostics.routing import reliance_shares, summed


@dataclass(frozen=True)
class Witness:
    """One item of the user's history and what it says for the recommended item.

    ``similarity``: cosine per modality, None where one of the two lacks it. ``listed_in``: modalities in which the
    recommended item is among this item's nearest neighbours, which is what makes an induced edge.
    ``shared_users``: training users who have both. ``effect``: how much the score drops when this item is left out of
    the user's content profile.
    """

    item: int
    similarity: Mapping[str, float | None]
    listed_in: tuple[str, ...]
    shared_users: int
    effect: float


@dataclass(frozen=True)
class ExpertShare:
    """One active expert: its gate weight, its own score, and its share of the pair's score."""

    label: str
    group: str
    family: str
    weight: float
    score: float
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """Everything that led to one score.

    ``rank``: place among the items that the user has not got, 1 is best. ``routing``: group -> family -> mass of the
    dense routing; ``groups`` and ``families``: its sums. ``reliance``: each part's share of the absolute
    contributions (Shapley values in ``contributions``, which add up to score - baseline); ``without``: the score
    with this part of the item replaced by the catalogue's mean. ``experts``: the kept ones, largest weight first;
    their contributions add up to the score. ``witnesses``: strongest first.
    """

    user: int
    item: int
    score: float
    baseline: float
    rank: int
    routing: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, float]
    families: Mapping[str, float]
    contributions: Mapping[str, float]
    reliance: Mapping[str, float]
    without: Mapping[str, float]
    experts: tuple[ExpertShare, ...]
    witnesses: tuple[Witness, ...]
    induced: bool


def explain(
    scorer: ExplainingScorer,
    user: int,
    item: int,
    train: Interactions,
    features: ItemFeatures,
    neighbours: Mapping[str, ItemNeighbours],
    most: int = 8,
    history: NDArray[np.int64] | None = None,
) -> Explanation:
    """Why ``scorer`` gives this item to this user; at most ``most`` history items are named.

    ``neighbours`` are the content lists that induced edges are made from. ``history`` is what the user took, by default
    what ``train`` says; somebody who was folded in is not in ``train``.
    """
    history = train.of_user(user) if history is None else history
    users, items = torch.tensor([user], device=scorer.device), torch.tensor([item], device=scorer.device)
    told = scorer.explain_pairs(users, items)
    routing = told.routing[0].double().cpu().numpy()
    grid: dict[str, dict[str, float]] = {}
    for expert, mass in zip(scorer.experts, routing.tolist(), strict=True):
        row = grid.setdefault(expert.group, {})
        row[expert.family] = row.get(expert.family, 0.0) + mass
    witnesses = _witnesses(scorer, user, item, history, train, features, neighbours, float(told.score[0]))
    return Explanation(
        user=user,
        item=item,
        score=float(told.score[0]),
        baseline=float(told.baseline[0]),
        rank=_rank(scorer, user, item, history),
        routing=grid,
        groups=summed([expert.group for expert in scorer.experts], routing),
        families=summed([expert.family for expert in scorer.experts], routing),
        contributions=_by_part(scorer.parts, told.reliance[0]),
        reliance=_by_part(scorer.parts, reliance_shares(told.reliance)[0]),
        without=_by_part(scorer.parts, told.without[0]),
        experts=_active(scorer, told),
        witnesses=tuple(witnesses[:most]),
        induced=any(witness.listed_in for witness in witnesses),
    )


def _by_part(parts: Sequence[str], values: torch.Tensor) -> dict[str, float]:
    return dict(zip(parts, values.tolist(), strict=True))


def _active(scorer: ExplainingScorer, told: PairExplanation) -> tuple[ExpertShare, ...]:
    weights, scores = told.gate[0].tolist(), told.expert_scores[0].tolist()
    shares = [
        ExpertShare(expert.label, expert.group, expert.family, weight, score, weight * score)
        for expert, weight, score in zip(scorer.experts, weights, scores, strict=True)
        if weight > 0
    ]
    return tuple(sorted(shares, key=lambda share: -share.weight))


def _rank(scorer: ExplainingScorer, user: int, item: int, history: NDArray[np.int64]) -> int:
    """Place among the items outside the history, 0 for one inside; ties go to the smaller number, as in lists."""
    if item in history:
        return 0
    scores = scorer.scores(torch.tensor([user], device=scorer.device))[0].cpu().numpy()
    before = (scores > scores[item]) | ((scores == scores[item]) & (np.arange(len(scores)) < item))
    before[history] = False
    return int(before.sum()) + 1


def _witnesses(
    scorer: ExplainingScorer,
    user: int,
    item: int,
    history: NDArray[np.int64],
    train: Interactions,
    features: ItemFeatures,
    neighbours: Mapping[str, ItemNeighbours],
    score: float,
) -> list[Witness]:
    if not len(history):
        return []
    effects = score - scorer.forgetting(user, item, history).cpu().numpy()
    similar = {name: _cosines(features, name, history, item) for name in features}
    buyers = train.users[train.items == item]
    witnesses = [
        Witness(
            item=int(other),
            similarity={name: values[place] for name, values in similar.items()},
            listed_in=tuple(name for name, lists in neighbours.items() if item in lists.items[other]),
            shared_users=int(np.isin(train.users[train.items == other], buyers).sum()),
            effect=float(effects[place]),
        )
        for place, other in enumerate(history)
    ]
    return sorted(witnesses, key=lambda witness: -witness.effect)


def _cosines(features: ItemFeatures, name: str, history: NDArray[np.int64], item: int) -> list[float | None]:
    modality = features[name]
    if not modality.present[item]:
        return [None] * len(history)
    vectors, own = modality.vectors[history], modality.vectors[item]
    cosines = vectors @ own / np.maximum(np.linalg.norm(vectors, axis=1) * np.linalg.norm(own), 1e-12)
    return [float(c) if here else None for c, here in zip(cosines, modality.present[history], strict=True)]
