"""Which pairs are shown, and what is said of them."""

import numpy as np
import pytest
import torch

import worlds
from alnico.contracts import Expert, ExplainingScorer
from alnico.diagnostics.cases import case_of, choose, mean_cosine
from alnico.diagnostics.routing import RoutedPairs
from alnico.ranking import Ranking
from finished_runs import Finished

EXPERTS = [Expert("behaviour", "dominant"), Expert("image", "dominant"), Expert("image", "balanced")]


def routed(rows: list[list[float]], users: list[int], items: list[int]) -> RoutedPairs:
    """Pairs with this routing."""
    return RoutedPairs(np.array(users), np.array(items), torch.tensor(rows), torch.zeros(len(rows), 2))


def lists(*rows: list[int]) -> Ranking:
    """One list per user, from 0."""
    return Ranking(np.arange(len(rows)), np.array(rows), np.zeros((len(rows), len(rows[0])), np.float32))


def test_a_hit_with_the_family_on_top_comes_before_a_larger_mass_without() -> None:
    pairs = routed(
        [[0.5, 0.4, 0.1], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6], [0.1, 0.0, 0.9]], [0, 1, 2, 3], [5, 5, 6, 7]
    )
    chosen = choose(EXPERTS, pairs, lists([5, 1], [5, 2], [6, 2], [1, 2]))
    assert [(one.kind, one.user, one.place) for one in chosen] == [("dominant", 0, 1), ("balanced", 2, 1)]
    assert chosen[0].share == pytest.approx(0.9)
    assert all(one.is_dominant for one in chosen)


def test_family_that_never_dominates_is_shown_where_it_is_largest_and_says_so() -> None:
    chosen = choose(EXPERTS, routed([[0.9, 0, 0.1], [0.8, 0, 0.2]], [0, 1], [5, 5]), lists([5, 1], [5, 1]))
    assert [(one.kind, one.user, one.is_dominant) for one in chosen] == [
        ("dominant", 0, True),
        ("balanced", 1, False),
    ]


def test_pool_of_one_family_is_told_apart_by_group() -> None:
    pairs = routed([[0.7, 0.3], [0.2, 0.8]], [0, 1], [5, 5])
    chosen = choose(EXPERTS[:2], pairs, lists([1, 5], [1, 2]))
    assert [(one.kind, one.user, one.place) for one in chosen] == [("behaviour", 0, 2), ("image", 1, 0)]


def test_users_are_different_as_long_as_there_are_any() -> None:
    pairs = routed([[0.7, 0.3], [0.2, 0.8]], [0, 0], [5, 6])
    assert len(choose(EXPERTS[:2], pairs, lists([5, 6]))) == 1


def test_cosine_is_the_mean_over_shared_modalities() -> None:
    content = worlds.features(
        3,
        image=worlds.modality([[1, 0], [3, 4], [0, 1]], absent=[2]),
        text=worlds.modality([[1, 0], [0, 2], [1, 1]]),
    )
    assert mean_cosine(content, 0, 1) == pytest.approx((0.6 + 0) / 2)
    assert mean_cosine(content, 0, 2) == pytest.approx(2**-0.5)


def test_case_of_a_real_pair(finished: Finished) -> None:
    run = finished.magnet
    scorer, stored = run.scorer(), run.routing()
    assert isinstance(scorer, ExplainingScorer)
    assert stored is not None
    pairs = RoutedPairs(
        stored["users"].numpy(), stored["items"].numpy(), stored["routing"], stored["reliance"]
    )
    ranking = run.test_ranking()
    choice = choose(scorer.experts, pairs, ranking)[0]
    held_out = {int(item) for item in pairs.items[pairs.users == choice.user]}
    train, features = run.split.train, run.dataset.features
    case = case_of(scorer, choice, train, features, ranking, held_out)
    listed = ranking.items[list(ranking.users).index(choice.user)].tolist()
    free = [item for item in listed if item >= 0 and item not in held_out]
    assert case.candidate == free[0]
    # The hard negative is at least as alike as any other listed item but the candidate.
    assert case.hard_negative in free[1:]
    alike = [mean_cosine(features, choice.item, item) for item in free[1:]]
    assert mean_cosine(features, choice.item, case.hard_negative) == max(alike)
    assert case.history == tuple(train.of_user(choice.user)[::-1][:4].tolist())
    # The rank with even weights, over all items by hand.
    everything = torch.arange(scorer.n_items)
    told = scorer.explain_pairs(torch.full_like(everything, choice.user), everything)
    even = told.expert_scores.mean(1)
    even[torch.from_numpy(train.of_user(choice.user).copy())] = -torch.inf
    assert case.rank_without_routing == 1 + int((even > even[choice.item]).sum())
    assert case.spread.entropy == pytest.approx(
        -sum(mass * np.log(mass) for row in case.explanation.routing.values() for mass in row.values())
    )


def test_list_without_negatives_has_none(finished: Finished) -> None:
    run = finished.magnet
    scorer, stored = run.scorer(), run.routing()
    assert isinstance(scorer, ExplainingScorer)
    assert stored is not None
    pairs = RoutedPairs(
        stored["users"].numpy(), stored["items"].numpy(), stored["routing"], stored["reliance"]
    )
    choice = choose(scorer.experts, pairs, run.test_ranking())[0]
    everything = set(range(scorer.n_items))
    case = case_of(scorer, choice, run.split.train, run.dataset.features, run.test_ranking(), everything)
    assert (case.candidate, case.hard_negative) == (None, None)
