"""Routing in numbers: small tables whose sums can be done on paper."""

import math

import numpy as np
import pytest
import torch

import plain
import worlds
from alnico.contracts import Expert
from alnico.diagnostics.routing import (
    RoutedPairs,
    by_user_kind,
    concentration,
    content_share,
    reliance_shares,
    route_pairs,
    routing_summary,
    summed,
)
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.model import Magnet

PARTS = ("behaviour", "image")
EXPERTS = [Expert("behaviour", "dominant"), Expert("image", "dominant"), Expert("image", "balanced")]
TEMPLATES = torch.tensor([[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]])
# Two pairs, three experts; the mean routing is (0.5, 0.25, 0.25). User 7 relies on behaviour for 3 of 4 parts,
# user 9, whose image speaks against the item, for 1 of 2.
ROUTED = RoutedPairs(
    np.array([7, 9]),
    np.array([1, 2]),
    torch.tensor([[0.75, 0.25, 0.0], [0.25, 0.25, 0.5]]),
    torch.tensor([[3.0, 1.0], [2.0, -2.0]]),
)


def test_summary_of_two_pairs_by_hand() -> None:
    told = routing_summary(EXPERTS, PARTS, TEMPLATES, ROUTED)
    assert told["experts"] == {"behaviour dominant": 0.5, "image dominant": 0.25, "image balanced": 0.25}
    assert told["groups"] == {"behaviour": 0.5, "image": 0.5}
    assert told["families"] == {"dominant": 0.75, "balanced": 0.25}
    assert told["content_share"] == 0.5
    # -(1/2 ln 1/2 + 2 * 1/4 ln 1/4) = 1/2 ln 2 + ln 2
    entropy = 1.5 * math.log(2)
    assert told["entropy"] == pytest.approx(entropy, abs=1e-12)
    assert told["effective_experts"] == pytest.approx(2**1.5, abs=1e-12)
    assert told["diversity"] == pytest.approx(entropy / math.log(3), abs=1e-12)
    # 1/4 + 1/16 + 1/16
    assert told["hhi"] == pytest.approx(0.375, abs=1e-12)
    # The mean of 3/4 and 2/4.
    assert told["reliance"] == pytest.approx({"behaviour": 0.625, "image": 0.375})
    # 1/2 * 1 + 1/4 * 1/4 + 1/4 * 1/2
    assert told["weighted_reliance"] == pytest.approx({"behaviour": 0.6875, "image": 0.3125})
    assert told["pairs"] == 2


@pytest.mark.parametrize(("alike", "effective"), [(True, 4.0), (False, 1.0)], ids=["even", "one takes all"])
def test_diversity_lies_between_one_expert_and_all(alike: bool, effective: float) -> None:
    routing = torch.full((5, 4), 0.25) if alike else torch.eye(4)[[2] * 5]
    routed = RoutedPairs(np.zeros(5, np.int64), np.arange(5), routing, torch.ones(5, 2))
    experts = [Expert("behaviour", "dominant", replica) for replica in range(4)]
    told = routing_summary(experts, PARTS, torch.full((4, 2), 0.5), routed)
    assert told["effective_experts"] == pytest.approx(effective, abs=1e-9)
    assert told["diversity"] == pytest.approx(1.0 if alike else 0.0, abs=1e-9)
    assert told["hhi"] == pytest.approx(1 / effective, abs=1e-9)
    spread = concentration(routing.mean(0).double().numpy())
    assert spread.normalised_hhi == pytest.approx(0.0 if alike else 1.0, abs=1e-9)


def test_model_without_a_mixture_has_one_expert_and_no_templates_to_weigh() -> None:
    routed = RoutedPairs(np.array([0]), np.array([0]), torch.ones(1, 1), torch.tensor([[1.0, 3.0]]))
    told = routing_summary([Expert("all", "fused")], PARTS, TEMPLATES, routed)
    assert (told["effective_experts"], told["diversity"], told["weighted_reliance"]) == (1.0, 1.0, None)
    assert told["content_share"] is None
    assert concentration(np.ones(1)).normalised_hhi == 0.0


def test_concentration_by_hand() -> None:
    # Shares 1/2, 1/4, 1/4, 0: entropy 1.5 ln 2, HHI 3/8; normalised (3/8 - 1/4) / (3/4) = 1/6.
    spread = concentration(np.array([0.5, 0.25, 0.25, 0.0]))
    assert spread.effective_experts == pytest.approx(2**1.5)
    assert spread.diversity == pytest.approx(0.75)
    assert (spread.hhi, spread.normalised_hhi) == pytest.approx((0.375, 1 / 6))


def test_content_share_sums_the_groups_of_modalities() -> None:
    groups = {"behaviour": 0.5, "image": 0.3, "text": 0.2}
    assert content_share(groups, ("behaviour", "image", "text")) == pytest.approx(0.5)


def test_shares_are_of_absolute_contributions() -> None:
    shares = reliance_shares(torch.tensor([[3.0, -1.0], [0.0, 0.0], [-2.0, 0.0]]))
    torch.testing.assert_close(shares, torch.tensor([[0.75, 0.25], [0.0, 0.0], [1.0, 0.0]]))


def test_kinds_of_users_are_averaged_apart() -> None:
    # User 5 has no pair, so that his kind does not appear; user 9 has no kind.
    told = by_user_kind({7: "habit", 5: "eye"}, EXPERTS, PARTS, ROUTED)
    assert told == {
        "habit": {
            "groups": {"behaviour": 0.75, "image": 0.25},
            "reliance": {"behaviour": 0.75, "image": 0.25},
        }
    }


def test_sums_by_name_keep_the_order_of_first_appearance() -> None:
    assert list(summed(["b", "a", "b"], np.array([0.25, 0.5, 0.25])).items()) == [("b", 0.5), ("a", 0.5)]


def test_pairs_are_routed_alike_in_one_block_and_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    world = worlds.scattered(seed=3)
    config = MagnetConfig(**{**plain.WHOLE, "width": 4, "neighbours": 3, "induced": 4})
    scorer = plain.shaken(Magnet.build(config, world.data, np.random.default_rng(0))).scorer()
    users, items = (side.ravel() for side in np.meshgrid([0, 3, 5], np.arange(7), indexing="ij"))
    whole = route_pairs(scorer, users, items)
    monkeypatch.setattr("alnico.diagnostics.routing.PAIR_BLOCK", 4)
    parts = route_pairs(scorer, users, items)
    torch.testing.assert_close(parts.routing, whole.routing)
    torch.testing.assert_close(parts.reliance, whole.reliance)
    torch.testing.assert_close(whole.routing.sum(1), torch.ones(21))
    np.testing.assert_array_equal(parts.users, users)
