"""Users, and what they choose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alnico.catalogue.shop import KINDS, LATE_ARRIVAL, ShopPlan, draw_items
from alnico.catalogue.tastes import (
    PERIOD_SECONDS,
    START_SECONDS,
    draw_choices,
    draw_lengths,
    draw_users,
    utilities,
)

DEFAULT = ShopPlan()


def test_kinds_come_in_the_planned_shares() -> None:
    users = draw_users(ShopPlan(n_users=200, visual_share=0.5, textual_share=0.3))
    assert np.bincount(users.kinds).tolist() == [100, 60, 40]


def test_kinds_add_up_where_both_shares_round_up() -> None:
    # Halves of three users are 1.5 each; two and two would be one too many.
    users = draw_users(ShopPlan(n_users=3, visual_share=0.5, textual_share=0.5))
    assert np.bincount(users.kinds).tolist() == [2, 1]


def test_taste_shares_sum_to_one_and_lean_as_planned() -> None:
    users = draw_users(DEFAULT)
    assert users.shares.sum(axis=1) == pytest.approx(1)
    for kind in range(len(KINDS)):
        means = users.shares[users.kinds == kind].mean(axis=0)
        assert means[kind] == pytest.approx(0.9, abs=0.02)
        assert np.delete(means, kind) == pytest.approx(0.05, abs=0.02)


def test_users_with_one_taste_only_are_possible() -> None:
    users = draw_users(ShopPlan(own_taste=1))
    assert users.shares[np.arange(len(users)), users.kinds].min() > 0.999


def test_every_user_has_the_planned_number_of_favourites() -> None:
    users = draw_users(ShopPlan(favourites=3))
    for likes in (users.likes_style, users.likes_purpose, users.likes_fashion):
        # Grades fall by a tenth: 1, 0.9, 0.81.
        assert np.sort(likes, axis=1)[:, -3:] == pytest.approx(np.tile([0.81, 0.9, 1.0], (len(users), 1)))
        assert ((likes > 0).sum(axis=1) == 3).all()


def test_utility_is_strength_times_share_times_grade_plus_appeal() -> None:
    users, items = draw_users(DEFAULT), draw_items(DEFAULT)
    worth = utilities(DEFAULT, users, items)
    user, item = 17, 42
    liked = (
        users.shares[user, 0] * users.likes_style[user, items.styles[item]]
        + users.shares[user, 1] * users.likes_purpose[user, items.purposes[item]]
        + users.shares[user, 2] * users.likes_fashion[user, items.fashions[item]]
    )
    assert worth[user, item] == pytest.approx(DEFAULT.taste_strength * liked + items.appeal[item])


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(40, 90), st.integers(1, 6), st.floats(0, 1), st.integers(0, 5))
def test_lengths_always_sum_to_the_plan(
    n_users: int, n_items: int, least: int, fill: float, seed: int
) -> None:
    most = n_items // 3
    n_interactions = n_users * least + round(fill * n_users * (most - least))
    lengths = draw_lengths(
        ShopPlan(
            n_users=n_users, n_items=n_items, min_history=least, n_interactions=n_interactions, seed=seed
        )
    )
    assert lengths.sum() == n_interactions
    assert lengths.min() >= least
    assert lengths.max() <= most


def test_default_shop_is_long_tailed_on_both_sides() -> None:
    choices = draw_choices(DEFAULT, draw_users(DEFAULT), draw_items(DEFAULT))
    assert len(choices) == 20_000
    assert choices.user_degrees.min() == 5
    assert choices.user_degrees.max() > 5 * choices.user_degrees.mean()
    falling = np.sort(choices.item_degrees)[::-1]
    # A tenth of the items draws much more than a tenth of the interest, and half of them much less than half.
    assert falling[:90].sum() > 0.25 * 20_000
    assert falling[450:].sum() < 0.3 * 20_000


def test_new_items_are_unsold_or_sold_late() -> None:
    plan = ShopPlan(new_share=0.1)
    items = draw_items(plan)
    choices = draw_choices(plan, draw_users(plan), items)
    assert choices.times is not None
    assert choices.item_degrees[np.isinf(items.arrival)].max() == 0
    late = items.arrival == LATE_ARRIVAL
    bought_late = late[choices.items]
    assert bought_late.sum() > 0
    moments = (choices.times - START_SECONDS) / PERIOD_SECONDS
    assert moments[bought_late].min() >= LATE_ARRIVAL - 1e-6
    assert moments.min() >= 0
    assert moments.max() <= 1


def test_times_are_whole_seconds() -> None:
    choices = draw_choices(DEFAULT, draw_users(DEFAULT), draw_items(DEFAULT))
    assert choices.times is not None
    assert np.array_equal(choices.times, np.floor(choices.times))


def test_without_tastes_first_choices_follow_appeal() -> None:
    # One choice per user and no taste: item i is taken with probability exp(appeal_i) / sum of all.
    plan = ShopPlan(
        n_users=40_000, n_items=40, n_interactions=40_000, min_history=1, taste_strength=0, new_share=0
    )
    items = draw_items(plan)
    choices = draw_choices(plan, draw_users(plan), items)
    chance = np.exp(items.appeal) / np.exp(items.appeal).sum()
    deviation = np.sqrt(plan.n_users * chance * (1 - chance))
    assert np.abs(choices.item_degrees - plan.n_users * chance).max() < 5 * deviation.max()


def test_visual_users_mostly_take_their_favourite_styles() -> None:
    users, items = draw_users(DEFAULT), draw_items(DEFAULT)
    choices = draw_choices(DEFAULT, users, items)
    liked = users.likes_style[choices.users, items.styles[choices.items]] > 0
    visual = users.kinds[choices.users] == KINDS.index("visual")
    assert liked[visual].mean() > 0.6
    # Two favourite styles of 24 are a twelfth of the catalogue.
    assert liked[~visual].mean() < 0.2


def test_choices_of_the_control_world_are_those_of_the_true_world() -> None:
    noisy = ShopPlan(noise=True)
    plain = draw_choices(DEFAULT, draw_users(DEFAULT), draw_items(DEFAULT))
    control = draw_choices(noisy, draw_users(noisy), draw_items(noisy))
    assert np.array_equal(plain.items, control.items)
    assert np.array_equal(plain.users, control.users)


def test_another_seed_gives_other_choices() -> None:
    other = ShopPlan(seed=8)
    one = draw_choices(DEFAULT, draw_users(DEFAULT), draw_items(DEFAULT))
    two = draw_choices(other, draw_users(other), draw_items(other))
    assert not np.array_equal(one.items, two.items)
