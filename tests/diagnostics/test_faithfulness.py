"""Whether the named part matters most: damage made by hand, and that of a real model."""

import numpy as np
import pytest
import torch

from alnico.contracts import Expert
from alnico.diagnostics.faithfulness import (
    Damage,
    damage,
    faithfulness,
    named_parts,
    reliance_shift,
)
from alnico.diagnostics.routing import RoutedPairs
from alnico.errors import DataError
from alnico.models.magnet.scorer import MagnetScorer

PARTS = ("behaviour", "image", "text")
EXPERTS = [Expert(part, "dominant") for part in PARTS]
# Each expert reads its own part alone, and loses this much when that is averaged.
LOSSES = torch.tensor([[1.0, 1.0, 1.0], [4.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
ROUTING = torch.tensor([[0.6, 0.2, 0.2], [0.2, 0.5, 0.3], [0.25, 0.35, 0.4]])


def pure(losses: torch.Tensor, routing: torch.Tensor) -> Damage:
    """Damage of experts that read one part each."""
    return Damage(routing, routing, torch.diag_embed(losses))


def test_falls_weigh_experts_by_the_fixed_gate() -> None:
    # Second pair: .2 * 4, .5 * 1, .3 * 1.
    fallen = pure(LOSSES, ROUTING).by_part()
    assert fallen[1] == pytest.approx([0.8, 0.5, 0.3])
    assert pure(LOSSES, ROUTING).by_part(torch.full((3, 3), 0.5))[1] == pytest.approx([2, 0.5, 0.5])


def test_named_part_is_the_group_with_most_mass() -> None:
    assert named_parts(EXPERTS, PARTS, ROUTING).tolist() == [0, 1, 2]
    # Two experts of one group together.
    pool = [Expert("image", "dominant"), Expert("image", "balanced"), Expert("behaviour", "dominant")]
    assert named_parts(pool, PARTS, torch.tensor([[0.3, 0.3, 0.4]])).tolist() == [1]


def test_shares_by_hand() -> None:
    told = faithfulness(EXPERTS, PARTS, pure(LOSSES, ROUTING), np.random.default_rng(0))
    assert [(one.part, one.pairs) for one in told] == [("behaviour", 1), ("image", 1), ("text", 1)]
    # .6 beats (.2 + .2) / 2; .5 does not beat (.8 + .3) / 2 = .55; .4 beats (.25 + .35) / 2.
    assert [one.share for one in told] == [1.0, 0.0, 1.0]


def test_damage_to_other_items_is_taken_off() -> None:
    # Two other items per pair that suffer likewise: nothing of the fall is the pair's own, so that no part is first.
    around = pure(LOSSES.repeat_interleave(2, dim=0), ROUTING.repeat_interleave(2, dim=0))
    told = faithfulness(EXPERTS, PARTS, pure(LOSSES, ROUTING), np.random.default_rng(0), around)
    assert [one.share for one in told] == [0.0, 0.0, 0.0]


def test_routing_that_finds_the_matching_part_beats_its_controls() -> None:
    # A pair's own part loses 1, the others nothing. The router knows: .5 against .25 twice.
    own = torch.arange(300) % 3
    losses = torch.eye(3)[own]
    told = faithfulness(EXPERTS, PARTS, pure(losses, 0.25 + 0.25 * losses), np.random.default_rng(0))
    for one in told:
        assert one.share == 1.0
        # The names of other pairs are right in a third of all cases.
        assert one.exchanged_share == pytest.approx(1 / 3, abs=0.12)
        assert one.misnamed_share == pytest.approx(1 / 3, abs=0.12)
        assert one.keeps_promise


def test_routing_that_knows_nothing_keeps_no_promise() -> None:
    rng = np.random.default_rng(1)
    losses = torch.from_numpy(rng.random((300, 3))).float()
    routing = torch.from_numpy(rng.dirichlet(np.ones(3), 300)).float()
    told = faithfulness(EXPERTS, PARTS, pure(losses, routing), rng)
    # The gate alone makes the named part matter, in the control as well.
    assert all(abs(one.share - one.exchanged_share) < 0.15 for one in told)


def test_experts_without_an_anchor_are_refused() -> None:
    with pytest.raises(DataError, match="anchored experts"):
        faithfulness([Expert("all", "fused")], PARTS, pure(LOSSES, ROUTING), np.random.default_rng(0))


def test_missing_part_is_named() -> None:
    class Bare(MagnetScorer):
        def __init__(self) -> None:
            self.names = ("image",)

    with pytest.raises(DataError, match="'behaviour' averaged"):
        damage(Bare(), {}, np.array([0]), np.array([0]))


def test_shift_of_reliance_by_hand() -> None:
    users, items = np.arange(3), np.arange(3)
    shares = torch.full((3, 3), 1 / 3)
    before = RoutedPairs(users, items, shares, torch.tensor([[1.0, 3, 0], [1, 1, 0], [2, 2, 0]]))
    after = RoutedPairs(users, items, shares, torch.tensor([[3.0, 1, 0], [3, 1, 0], [1, 1, 0]]))
    told = reliance_shift("image", PARTS, before, after, np.random.default_rng(0))
    # Shares of image: 3/4, 1/2, 1/2 before and 1/4, 1/4, 1/2 after.
    assert told.before == pytest.approx(7 / 12)
    assert told.after == pytest.approx(1 / 3)
    assert told.moved_share == pytest.approx(2 / 3)
    # Of three pairs, one without a move, a draw of only that one is likely enough to reach 0.
    assert told.interval == pytest.approx((-0.5, 0), abs=1e-6)
    assert not told.moved_away
    others = RoutedPairs(users, items + 1, shares, after.reliance)
    with pytest.raises(DataError, match="same pairs"):
        reliance_shift("image", PARTS, before, others, np.random.default_rng(0))


def test_interval_of_a_shift_draws_users_with_all_their_pairs() -> None:
    # User 0 moves by -1/2 in each of a hundred pairs, user 1 by nothing in its one: by pairs alone the interval would
    # lie close around the mean; of two users, one in four draws has user 1 alone, by whom nothing moved.
    users, items = np.repeat([0, 1], [100, 1]), np.arange(101)
    shares = torch.full((101, 3), 1 / 3)
    before = RoutedPairs(users, items, shares, torch.tensor([1.0, 1, 0]).repeat(101, 1))
    moved = torch.tensor([1.0, 0, 0]).repeat(101, 1)
    moved[100] = before.reliance[100]
    told = reliance_shift(
        "image", PARTS, before, RoutedPairs(users, items, shares, moved), np.random.default_rng(0)
    )
    assert told.after - told.before == pytest.approx(-50 / 101)
    assert told.interval[0] < -0.4
    assert told.interval[1] > -50 / 101 + 0.004
    one_each = RoutedPairs(items, items, shares, moved)
    apart = reliance_shift(
        "image", PARTS, RoutedPairs(items, items, shares, before.reliance), one_each, np.random.default_rng(0)
    )
    assert apart.interval[1] - apart.interval[0] < 0.05
