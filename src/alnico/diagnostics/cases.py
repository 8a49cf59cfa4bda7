"""Single recommendations worth a closer look: which to take, and everything that led to them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from alnico.contracts import Expert, ExplainingScorer
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.diagnostics.explain import Explanation, explain
from alnico.diagnostics.routing import PAIR_BLOCK, Concentration, RoutedPairs, concentration
from alnico.ranking import Ranking

LIST_LENGTH = 20
LAST_ITEMS = 4


@dataclass(frozen=True)
class Choice:
    """A test pair that stands for a kind of routing: a family, or an anchor group where there is one family.

    ``share`` is the kind's mass for this pair; ``is_dominant`` whether it is the pair's largest; ``place`` the item's
    rank in the stored list, 0 where it is not among the first 20.
    """

    user: int
    item: int
    kind: str
    share: float
    is_dominant: bool
    place: int


@dataclass(frozen=True)
class Case:
    """A test pair taken apart.

    ``history``: the user's last training items, latest first (without times: those of the largest numbers).
    ``candidate``: the best-ranked item that is no held-out one; ``hard_negative``: of the other listed ones, that most
    similar to the target by mean cosine; None where the list has none. ``rank_without_routing``: the place that the
    pair would have (``explanation.rank`` with the model's routing) if all experts weighed alike.
    """

    choice: Choice
    explanation: Explanation
    history: tuple[int, ...]
    candidate: int | None
    hard_negative: int | None
    spread: Concentration
    rank_without_routing: int


def choose(
    experts: Sequence[Expert], routed: RoutedPairs, ranking: Ranking, length: int = LIST_LENGTH
) -> list[Choice]:
    """One test pair for each family (or group, in a pool of one family), of different users.

    Pairs in which the kind has the largest mass come first, of those the ones whose item stands within ``length``
    places, then by mass.
    """
    by_family = len({expert.family for expert in experts}) > 1
    names = [expert.family if by_family else expert.group for expert in experts]
    kinds = list(dict.fromkeys(names))
    columns = [[place for place, name in enumerate(names) if name == kind] for kind in kinds]
    masses = np.stack([routed.routing[:, own].sum(1).double().numpy() for own in columns], axis=1)
    places = _places(routed, ranking, length)
    chosen: list[Choice] = []
    for column, kind in enumerate(kinds):
        dominant = masses.argmax(1) == column
        order = np.lexsort((-masses[:, column], places == 0, ~dominant))
        used = {choice.user for choice in chosen}
        row = next((int(row) for row in order if int(routed.users[row]) not in used), None)
        if row is not None:
            chosen.append(
                Choice(
                    int(routed.users[row]),
                    int(routed.items[row]),
                    kind,
                    float(masses[row, column]),
                    bool(dominant[row]),
                    int(places[row]),
                )
            )
    return chosen


def _places(routed: RoutedPairs, ranking: Ranking, length: int) -> NDArray[np.int64]:
    """The rank from 1 of each pair's item within the first ``length`` of its user's list, else 0."""
    row_of = {int(user): row for row, user in enumerate(ranking.users)}
    rows = np.array([row_of[int(user)] for user in routed.users], dtype=np.int64)
    found = ranking.items[rows, :length] == routed.items[:, None]
    return np.where(found.any(1), found.argmax(1) + 1, 0).astype(np.int64)


def case_of(
    scorer: ExplainingScorer,
    choice: Choice,
    train: Interactions,
    features: ItemFeatures,
    ranking: Ranking,
    held_out: Collection[int],
) -> Case:
    """Everything about one chosen pair; ``held_out`` are the user's items that are no negatives."""
    explanation = explain(scorer, choice.user, choice.item, train, features, {})
    row = int(np.flatnonzero(ranking.users == choice.user)[0])
    others = [int(item) for item in ranking.items[row] if item >= 0 and int(item) not in held_out]
    candidate = others[0] if others else None
    alike = [(mean_cosine(features, choice.item, item), -place) for place, item in enumerate(others[1:])]
    hard = others[1 - max(alike)[1]] if alike else None
    free = np.ones(scorer.n_items, dtype=bool)
    free[train.of_user(choice.user)] = False
    return Case(
        choice=choice,
        explanation=explanation,
        history=tuple(int(item) for item in train.of_user(choice.user)[::-1][:LAST_ITEMS]),
        candidate=candidate,
        hard_negative=hard,
        spread=concentration(_dense(explanation)),
        rank_without_routing=_rank(_even_scores(scorer, choice.user), free, choice.item),
    )


def mean_cosine(features: ItemFeatures, left: int, right: int) -> float:
    """The mean over modalities that both items have of their cosine; -1 where they share none."""
    cosines = []
    for modality in features.values():
        if modality.present[left] and modality.present[right]:
            a, b = modality.vectors[left], modality.vectors[right]
            cosines.append(float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12)))
    return float(np.mean(cosines)) if cosines else -1.0


def _dense(explanation: Explanation) -> NDArray[np.float64]:
    return np.array([mass for row in explanation.routing.values() for mass in row.values()])


def _even_scores(scorer: ExplainingScorer, user: int) -> Float[Tensor, " items"]:
    """The user's scores of all items by the plain mean of all experts."""
    scores = []
    for start in range(0, scorer.n_items, PAIR_BLOCK):
        items = torch.arange(start, min(start + PAIR_BLOCK, scorer.n_items), device=scorer.device)
        told = scorer.explain_pairs(torch.full_like(items, user), items)
        scores.append(told.expert_scores.mean(1).cpu())
    return torch.cat(scores)


def _rank(scores: Float[Tensor, " items"], free: NDArray[np.bool_], item: int) -> int:
    """Place from 1 among the free items and this one; ties go to the smaller number."""
    values = scores.double().numpy()
    ahead = (values > values[item]) | ((values == values[item]) & (np.arange(len(values)) < item))
    return 1 + int((ahead & free).sum())
