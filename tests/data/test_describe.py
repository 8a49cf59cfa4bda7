"""A data set in numbers, and what should worry its owner."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from alnico.data.dataset import Dataset
from alnico.data.describe import Finding, check, constant_columns, describe, gini, spread, twins
from alnico.data.features import Modality
from alnico.data.ids import IdMap
from alnico.data.sources.assemble import dataset_from_columns


def dataset(
    pairs: list[tuple[int, int]],
    n_items: int,
    features: dict[str, Modality] | None = None,
    labels: list[int] | None = None,
    times: list[float] | None = None,
    cards: dict[str, tuple[str, ...]] | None = None,
) -> Dataset:
    table = np.array(pairs)
    return dataset_from_columns(
        "hand",
        table[:, 0],
        table[:, 1],
        IdMap.range(int(table[:, 0].max()) + 1, "user"),
        IdMap.range(n_items, "item"),
        times=None if times is None else np.array(times, np.float64),
        labels=None if labels is None else np.array(labels, np.int8),
        features=features,
        cards=cards,
    )


def modality(rows: list[list[float]], present: list[bool] | None = None) -> Modality:
    return Modality(np.array(rows, np.float32), np.array(present or [True] * len(rows)))


def about(findings: list[Finding], topic: str) -> list[tuple[str, str]]:
    return [(finding.severity, finding.message) for finding in findings if finding.topic == topic]


def test_numbers_of_a_small_data_set() -> None:
    # User 0 has items 0, 1, 2; user 1 has item 0. Item 3 has nobody. Popularity is 2, 1, 1, 0.
    facts = describe(
        dataset(
            [(0, 0), (0, 1), (0, 2), (1, 0)],
            4,
            {"image": modality([[1], [0], [2], [3]], [True, False, True, True])},
            labels=[0, 1, 2, 0],
            times=[5, 6, 7, 8],
            cards={"title": ("a", "", "c", "")},
        )
    )
    assert (facts.users, facts.items, facts.interactions) == (2, 4, 4)
    assert facts.density == 4 / 8
    assert facts.interactions_per_user.mean == 2
    assert facts.interactions_per_item.median == 1
    assert facts.items_without_interactions == 1
    # Of the 16 ordered pairs of (2, 1, 1, 0), four are 2-1 (difference 1), two 2-0 (2) and four 1-0 (1): the
    # mean difference is 12 / 16 = .75. The mean is 1, so Gini = .75 / (2 * 1) = .375.
    assert facts.popularity_gini == pytest.approx(0.375)
    assert (facts.first_time, facts.last_time) == (5, 8)
    image = facts.modalities["image"]
    assert (image.width, image.present_items, image.present_share) == (1, 3, 0.75)
    assert image.covered_interactions_share == 0.75
    assert facts.filled_cards == {"title": 0.5}
    assert facts.parts is not None
    # Training holds (0, 0) and (1, 0): items 1, 2, 3 are unseen there.
    assert facts.parts.items_without_training == 3
    assert (facts.parts.cold_valid_interactions, facts.parts.cold_test_interactions) == (1, 1)
    assert facts.parts.users_without_training == 0


def test_quantiles_are_those_of_the_counts() -> None:
    found = spread(np.array([1, 2, 3, 4, 10]))
    assert (found.smallest, found.quarter, found.median, found.three_quarters, found.largest) == (
        1,
        2,
        3,
        4,
        10,
    )
    assert found.mean == 4


@given(arrays.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 50)))
def test_gini_is_half_the_relative_mean_difference(counts: np.ndarray) -> None:
    total = counts.sum()
    expected = 0 if total == 0 else np.abs(counts[:, None] - counts).mean() / (2 * counts.mean())
    assert gini(counts) == pytest.approx(expected, abs=1e-12)


def test_gini_of_equal_and_of_single_winners() -> None:
    assert gini(np.array([3, 3, 3])) == pytest.approx(0)
    # One of n has all: (n - 1) / n.
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)


def test_twins_are_counted_among_present_items_only() -> None:
    # Rows 0 and 2 are equal, row 4 differs from them by the sign of zero only, row 3 is absent.
    rows = [[1, 0], [2, 0], [1, 0], [1, 0], [1, -0.0]]
    assert twins(modality(rows, [True, True, True, False, True])) == 3


@given(arrays.arrays(np.float32, (12, 3), elements=st.sampled_from([0.0, 1.0, 0.5])))
def test_twins_agree_with_numpy(rows: np.ndarray) -> None:
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert twins(Modality(rows, np.ones(12, np.bool_))) == counts[counts > 1].sum()


def test_constant_dimensions_are_counted_among_present_items() -> None:
    assert constant_columns(modality([[1, 5], [2, 5], [9, 6]], [True, True, False])) == 1


def test_findings_come_worst_first_and_name_what_is_wrong(tmp_path: Path) -> None:
    picture = tmp_path / "cup.jpg"
    picture.write_bytes(b"x")
    data = dataset(
        [(0, 0), (0, 1), (1, 0), (1, 2), (2, 2)],
        4,
        {
            "image": modality([[1, 7], [2, 7], [1, 7], [0, 0]], [True, True, True, False]),
            "flat": modality([[4], [4], [4], [4]]),
        },
        labels=[0, 0, 0, 2, 2],
        times=[1, 1, 1, 1, 1],
        cards={"image": (str(picture), str(tmp_path / "gone.jpg"), "", "https://shop/pot.jpg")},
    )
    findings = check(data, notices=["2 repeated interactions were merged"], core=2)
    assert [finding.severity for finding in findings] == sorted(
        (finding.severity for finding in findings), key=["error", "warning", "note"].index
    )
    assert about(findings, "import") == [("note", "2 repeated interactions were merged")]
    assert about(findings, "items") == [
        ("note", "1 items have no interactions; only content can recommend them")
    ]
    assert about(findings, "times")[0][0] == "warning"
    assert about(findings, "labels") == [
        ("warning", "no interaction is labelled for validation"),
        ("warning", "1 users have no training interaction; they cannot be evaluated"),
        (
            "warning",
            "2 of 2 test interactions (100.0%) are on items unseen in training; only content can find them",
        ),
    ]
    assert about(findings, "content") == [
        ("error", "all items have the same 'flat' vector; it cannot tell them apart"),
        ("warning", "1 of 2 dimensions of 'image' are the same in every item"),
        ("warning", "2 of 3 items share their 'image' vector with another item"),
        (
            "note",
            "1 of 4 items have no 'image' features; 100.0% of the interactions are on items that have them",
        ),
    ]
    assert about(findings, "pictures") == [
        (
            "warning",
            f"1 of 2 pictures named in the item table are not there, the first is {tmp_path / 'gone.jpg'}",
        )
    ]
    # Items 1 and 3 have fewer than two users; without item 1 user 0 has one item left, then item 0 has one
    # user, then user 1 one item: nothing has a 2-core.
    assert about(findings, "core") == [
        ("note", "a 2-core would drop 3 of 3 users, 4 of 4 items and 5 of 5 interactions")
    ]


def test_nothing_to_worry_about_gives_no_errors_and_no_warnings() -> None:
    rng = np.random.default_rng(1)
    data = dataset(
        [(user, item) for user in range(6) for item in range(6)],
        6,
        {"image": Modality(rng.normal(size=(6, 3)).astype(np.float32), np.ones(6, np.bool_))},
    )
    assert {finding.severity for finding in check(data)} == {"note"}


def test_data_without_content_is_warned_of() -> None:
    assert about(check(dataset([(0, 0), (1, 1)], 2)), "content") == [
        ("warning", "there are no features; only models of behaviour can be trained")
    ]


def test_labels_without_training_are_an_error() -> None:
    assert ("error", "no interaction is labelled for training") in about(
        check(dataset([(0, 0), (1, 1)], 2, labels=[1, 2])), "labels"
    )
