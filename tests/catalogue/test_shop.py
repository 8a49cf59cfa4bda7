"""The plan of a shop and the catalogue it leads to."""

import numpy as np
import pytest
from pydantic import ValidationError

from alnico.catalogue.shop import N_FASHIONS, N_PURPOSES, N_STYLES, ShopPlan, check_feasible, draw_items
from alnico.errors import ConfigError


def test_misspelt_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="n_user"):
        ShopPlan.model_validate({"n_user": 10})


def test_shares_of_kinds_must_fit_together() -> None:
    with pytest.raises(ValidationError, match="visual_share and textual_share must not exceed 1"):
        ShopPlan(visual_share=0.7, textual_share=0.4)


def test_shares_of_special_items_must_leave_ordinary_ones() -> None:
    with pytest.raises(ValidationError, match=r"must not exceed 0\.9"):
        ShopPlan(new_share=0.4, without_image_share=0.4, without_text_share=0.4)


@pytest.mark.parametrize("n_interactions", [499, 2001])
def test_impossible_number_of_interactions_names_the_possible_ones(n_interactions: int) -> None:
    # 100 users with at least 5 items each need 500; with a third of 60 items each, 2,000 are the most.
    plan = ShopPlan(n_users=100, n_items=60, n_interactions=n_interactions)
    with pytest.raises(ConfigError, match="between 500 and 2000 interactions"):
        check_feasible(plan)


def test_minimum_history_above_a_third_of_the_catalogue_is_refused() -> None:
    plan = ShopPlan(n_users=10, n_items=60, min_history=21, n_interactions=210)
    with pytest.raises(ConfigError, match="min_history is 21"):
        check_feasible(plan)


def test_groups_of_items_are_as_even_as_numbers_allow() -> None:
    items = draw_items(ShopPlan(n_items=500))
    for column, groups in (
        (items.styles, N_STYLES),
        (items.purposes, N_PURPOSES),
        (items.fashions, N_FASHIONS),
    ):
        sizes = np.bincount(column, minlength=groups)
        assert len(sizes) == groups
        assert sizes.max() - sizes.min() == 1


def test_style_purpose_and_fashion_are_independent() -> None:
    items = draw_items(ShopPlan(n_items=9000, n_interactions=20_000))
    for a, b in (
        (items.styles, items.purposes),
        (items.styles, items.fashions),
        (items.purposes, items.fashions),
    ):
        table = np.histogram2d(a, b, bins=(a.max() + 1, b.max() + 1))[0]
        expected = table.sum(1)[:, None] * table.sum(0)[None, :] / table.sum()
        statistic = ((table - expected) ** 2 / expected).sum()
        freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
        # Chi-square has mean f and variance 2 f; chance does not reach five standard deviations.
        assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


def test_special_items_come_in_the_planned_numbers_and_never_overlap() -> None:
    # Of 200 items 6 % are 12 new ones, half of them never sold; 5 % are 10 and 10 % are 20 without content.
    items = draw_items(
        ShopPlan(n_items=200, new_share=0.06, without_image_share=0.05, without_text_share=0.1)
    )
    assert items.new.sum() == 12
    assert np.isinf(items.arrival).sum() == 6
    assert (~items.has_image).sum() == 10
    assert (~items.has_text).sum() == 20
    assert (items.has_image | items.has_text).all()
    assert (items.has_image & items.has_text)[items.new].all()


def test_true_world_shows_what_items_are() -> None:
    items = draw_items(ShopPlan())
    assert np.array_equal(items.pictured, items.styles)
    assert np.array_equal(items.told, items.purposes)


def test_control_world_shows_something_unrelated() -> None:
    plain, noisy = draw_items(ShopPlan(n_items=2400)), draw_items(ShopPlan(n_items=2400, noise=True))
    assert np.array_equal(plain.styles, noisy.styles)
    # By chance one item in 24 keeps its style: 100 of 2,400, with a standard deviation below 10.
    assert 50 < (noisy.pictured == noisy.styles).sum() < 150
    assert 50 < (noisy.told == noisy.purposes).sum() < 150


def test_items_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        draw_items(ShopPlan()).styles[0] = 1
