"""Explanations in the page's words."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alnico.contracts import ExplainingScorer
from alnico.report.explained import N_COLOURS, chosen_explanations, grid, share_bars, signed, told
from finished_runs import Finished


def test_grid_is_as_strong_as_its_strongest_cell() -> None:
    shown = grid(
        {"behaviour": {"dominant": 0.5, "balanced": 0.1}, "image": {"dominant": 0.15, "balanced": 0.25}}
    )
    assert shown.families == ["dominant", "balanced"]
    assert shown.rows == [
        ("behaviour", [("50.0%", 100.0), ("10.0%", 20.0)], "60.0%"),
        ("image", [("15.0%", 30.0), ("25.0%", 50.0)], "40.0%"),
    ]


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
def test_share_bars_stand_one_after_the_other(sizes: list[float]) -> None:
    shares = {str(number): size / sum(sizes) for number, size in enumerate(sizes)}
    bars = share_bars(shares, list(shares))
    assert bars[0].start == 0
    for before, after in pairwise(bars):
        assert after.start == pytest.approx(before.start + before.length, abs=0.02)
    assert bars[-1].start + bars[-1].length == pytest.approx(100, abs=0.02)
    assert {bar.colour for bar in bars} <= set(range(N_COLOURS))


def test_part_keeps_its_colour_where_others_are_missing() -> None:
    (bar,) = share_bars({"text": 1.0}, ["behaviour", "image", "text"])
    assert bar.colour == 2


def test_what_rounds_to_nothing_has_no_sign() -> None:
    assert [signed(value) for value in (0.5, -0.25, -0.0001, 0.0)] == ["+0.500", "-0.250", "0.000", "0.000"]


def explanation(contributions: dict[str, float], baseline: float = 1.0) -> dict[str, object]:
    """A made-up one with these contributions and a single history item."""
    card = {"item_id": "i7", "title": "", "category": "", "image": ""}
    total = sum(abs(value) for value in contributions.values())
    return {
        "user": "u1",
        "item": card,
        "why": "because",
        "score": baseline + sum(contributions.values()),
        "baseline": baseline,
        "rank": 2,
        "routing": {"behaviour": {"dominant": 0.75}, "image": {"dominant": 0.25}},
        "contributions": contributions,
        "reliance": {part: abs(value) / total for part, value in contributions.items()},
        "without": dict.fromkeys(contributions, 0.5),
        "experts": [],
        "witnesses": [
            {
                "item": card,
                "similarity": {"image": None},
                "listed_in": ("image",),
                "shared_users": 1,
                "effect": -0.1,
            }
        ],
        "induced": True,
    }


def test_item_without_title_or_picture_is_called_by_its_id(finished: Finished) -> None:
    shown = told(explanation({"behaviour": 0.25, "image": 0.5}), finished.magnet)
    assert (shown.card.title, shown.card.picture) == ("item i7", None)
    assert shown.history[0].similarity == [("image", "absent", 1)]
    assert shown.history[0].edges == ("image",)


def test_sentence_names_what_speaks_for_and_against(finished: Finished) -> None:
    # .5 - .25 = .25 above the baseline.
    shown = told(explanation({"behaviour": -0.25, "image": 0.5}), finished.magnet)
    assert shown.sentence == (
        "It scores 0.250 more than an item that is average in everything; image speaks for it most (+0.500), "
        "behaviour speaks against it."
    )


def test_sentence_is_honest_when_nothing_speaks_for_it(finished: Finished) -> None:
    shown = told(explanation({"behaviour": -0.25, "image": -0.5}), finished.magnet)
    assert shown.sentence.endswith(
        "0.750 less than an item that is average in everything; no part of it speaks for it."
    )


def test_bars_share_one_zero(finished: Finished) -> None:
    # From -.25 to .5: zero stands at a third.
    shown = told(explanation({"behaviour": -0.25, "image": 0.5}), finished.magnet)
    assert [(bar.start, bar.length) for bar in shown.reliance] == [(0, 33.33), (33.33, 66.67)]


def test_chosen_recommendations_are_of_different_users(finished: Finished) -> None:
    scorer = finished.magnet.scorer()
    assert isinstance(scorer, ExplainingScorer)
    chosen = chosen_explanations(finished.magnet, scorer)
    assert 1 <= len(chosen) <= 3
    assert len({one["user"] for one in chosen}) == len(chosen)
    assert all(one["why"] for one in chosen)
