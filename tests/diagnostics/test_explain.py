"""Why an item is recommended: what is said agrees with the model and with counting by hand."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

import plain
import worlds
from alnico.contracts import TrainingData
from alnico.data.neighbours import ItemNeighbours
from alnico.diagnostics.explain import Explanation, explain
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.model import Magnet
from alnico.models.magnet.scorer import MagnetScorer

# Users 0 to 3 took these; item 5 is nobody's.
PAIRS = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 3), (2, 0), (2, 1), (2, 3), (3, 1), (3, 4)]
IMAGES = [[1, 0], [0, 1], [3, 4], [2, 0], [-1, 0], [1, 1]]
TEXTS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 2], [1, 1, 0], [0, 1, 1]]
CONTENT = worlds.features(6, image=worlds.modality(IMAGES), text=worlds.modality(TEXTS, absent=[1]))
TRAIN = worlds.interactions(PAIRS, 4, 6)
# Item 3 is listed by item 0 in both modalities and by item 2 in text; item 1 does not list it.
NEIGHBOURS = {
    "image": worlds.neighbour_lists([[(3, 1.0)], [(2, 0.8)], [(1, 0.8)], [(0, 1.0)], [], []], 2),
    "text": worlds.neighbour_lists([[(4, 0.7), (3, 0.0)], [], [(3, 1.0)], [(2, 1.0)], [], []], 2),
}


@pytest.fixture(scope="module")
def scorer() -> MagnetScorer:
    """MAGNET with all its parts, its parameters moved at random."""
    config = MagnetConfig(**{**plain.WHOLE, "width": 4, "neighbours": 2, "induced": 4})
    found = plain.shaken(
        Magnet.build(config, TrainingData(TRAIN, CONTENT), np.random.default_rng(0))
    ).scorer()
    assert isinstance(found, MagnetScorer)
    return found


def told(
    scorer: MagnetScorer,
    user: int = 0,
    item: int = 3,
    neighbours: Mapping[str, ItemNeighbours] = NEIGHBOURS,
    most: int = 8,
) -> Explanation:
    """The explanation of a pair in this little world."""
    return explain(scorer, user, item, TRAIN, CONTENT, neighbours, most)


def test_rank_is_the_place_in_the_whole_list(scorer: MagnetScorer) -> None:
    for user in range(4):
        scores = scorer.scores(torch.tensor([user]))[0].tolist()
        taken = {item for owner, item in PAIRS if owner == user}
        free = sorted(set(range(6)) - taken, key=lambda item: (-scores[item], item))
        assert [told(scorer, user, item).rank for item in free] == list(range(1, len(free) + 1))
        # What the user has already stands in no list.
        assert {told(scorer, user, item).rank for item in taken} == {0}


def test_score_is_that_of_the_lists_and_its_parts_add_up(scorer: MagnetScorer) -> None:
    for user in range(4):
        for item in range(6):
            why = told(scorer, user, item)
            score = float(scorer.scores(torch.tensor([user]))[0, item])
            assert why.score == pytest.approx(score, rel=1e-4, abs=1e-5)
            assert sum(why.contributions.values()) == pytest.approx(why.score - why.baseline, abs=1e-4)
            assert sum(expert.contribution for expert in why.experts) == pytest.approx(why.score, abs=1e-4)
            assert sum(expert.weight for expert in why.experts) == pytest.approx(1, abs=1e-5)
            assert [expert.weight for expert in why.experts] == sorted(
                (expert.weight for expert in why.experts), reverse=True
            )


def test_routing_is_told_by_group_and_family(scorer: MagnetScorer) -> None:
    why = told(scorer)
    dense = scorer.explain_pairs(torch.tensor([0]), torch.tensor([3])).routing[0].tolist()
    for group in ("behaviour", "image", "text"):
        for family in ("dominant", "balanced", "complementary"):
            mass = sum(
                share
                for expert, share in zip(scorer.experts, dense, strict=True)
                if (expert.group, expert.family) == (group, family)
            )
            assert why.routing[group].get(family, 0.0) == pytest.approx(mass, abs=1e-9)
        assert why.groups[group] == pytest.approx(sum(why.routing[group].values()), abs=1e-9)
    assert sum(why.families.values()) == pytest.approx(1, abs=1e-5)


def test_reliance_is_the_share_of_each_part(scorer: MagnetScorer) -> None:
    why = told(scorer)
    total = sum(abs(value) for value in why.contributions.values())
    for part, value in why.contributions.items():
        assert why.reliance[part] == pytest.approx(abs(value) / total, rel=1e-4)
    assert tuple(why.without) == ("behaviour", "image", "text")


def test_witnesses_by_hand(scorer: MagnetScorer) -> None:
    found = {witness.item: witness for witness in told(scorer).witnesses}
    assert set(found) == {0, 1, 2}
    # Images: item 3 points along the first axis like item 0; (3, 4) lies at cosine 3/5 to it. Texts: item 3 is
    # parallel to item 2, and item 1 has none.
    assert found[0].similarity == pytest.approx({"image": 1.0, "text": 0.0}, abs=1e-6)
    assert found[1].similarity["image"] == pytest.approx(0.0, abs=1e-6)
    assert found[1].similarity["text"] is None
    assert found[2].similarity == pytest.approx({"image": 0.6, "text": 1.0}, abs=1e-6)
    # Item 3 is owned by users 1 and 2: both have item 0, user 2 has item 1, neither has item 2.
    assert {item: witness.shared_users for item, witness in found.items()} == {0: 2, 1: 1, 2: 0}
    assert {item: witness.listed_in for item, witness in found.items()} == {
        0: ("image", "text"),
        1: (),
        2: ("text",),
    }


def test_effect_is_what_forgetting_costs_and_the_strongest_come_first(scorer: MagnetScorer) -> None:
    why = told(scorer)
    history = TRAIN.of_user(0)
    forgotten = dict(zip(history.tolist(), scorer.forgetting(0, 3, history).tolist(), strict=True))
    for witness in why.witnesses:
        assert witness.effect == pytest.approx(why.score - forgotten[witness.item], abs=1e-6)
    effects = [witness.effect for witness in why.witnesses]
    assert effects == sorted(effects, reverse=True)
    assert any(effect != 0 for effect in effects)
    assert told(scorer, most=1).witnesses == why.witnesses[:1]


def test_item_without_a_modality_has_no_cosine_in_it(scorer: MagnetScorer) -> None:
    # User 1 has items 0 and 3; item 1 has no text.
    why = told(scorer, user=1, item=1)
    assert [witness.similarity["text"] for witness in why.witnesses] == [None, None]
    assert all(witness.similarity["image"] is not None for witness in why.witnesses)


def test_pair_is_induced_when_some_history_item_lists_it(scorer: MagnetScorer) -> None:
    assert told(scorer).induced
    # Nobody lists item 5, even among those that are not named.
    assert not told(scorer, item=5).induced
    assert told(scorer, most=0).induced
    assert not told(scorer, neighbours={}).induced


def test_new_item_can_be_explained_too(scorer: MagnetScorer) -> None:
    why = told(scorer, item=5)
    assert [witness.shared_users for witness in why.witnesses] == [0, 0, 0]
    assert why.rank > 0
