"""Every rule of splitting, by hand; and what holds for all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from alnico.data.dataset import TEST, TRAIN, VALID, Dataset
from alnico.data.features import ItemFeatures
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.sources.assemble import dataset_from_columns
from alnico.data.splitting import (
    RULES,
    ByTime,
    ByTimePerUser,
    ColdItems,
    Given,
    LeaveOneOut,
    PerUser,
    Random,
    SplitRecipe,
    assign_parts,
    read_recipe,
    split,
)
from alnico.errors import ConfigError, DataError


def dataset(
    users: list[int],
    items: list[int],
    times: list[float] | None = None,
    labels: list[int] | None = None,
    n_users: int | None = None,
) -> Dataset:
    """A data set without content, its rows in any order."""
    return dataset_from_columns(
        "hand",
        np.array(users),
        np.array(items),
        IdMap.range(n_users or max(users) + 1, "user"),
        IdMap.range(max(items) + 1, "item"),
        times=None if times is None else np.array(times, np.float64),
        labels=None if labels is None else np.array(labels, np.int8),
    )


def one_user(n: int, times: list[float] | None = None) -> Dataset:
    """User 0 with items 0..n-1."""
    return dataset([0] * n, list(range(n)), times)


def sizes(data: Dataset, recipe: SplitRecipe, user: int = 0) -> list[int]:
    """Train, validation and test interactions of one user."""
    parts = assign_parts(data, recipe)[data.interactions.users == user]
    return [int((parts == part).sum()) for part in (TRAIN, VALID, TEST)]


def test_given_labels_make_the_parts() -> None:
    data = dataset([0, 0, 0, 1, 1], [0, 1, 2, 0, 2], labels=[2, 0, 1, 0, 2])
    result = split(data, Given())
    assert list(zip(result.train.users, result.train.items, strict=True)) == [(0, 1), (1, 0)]
    assert [side.tolist() for side in result.valid.pairs()] == [[0], [2]]
    assert [side.tolist() for side in result.test.pairs()] == [[0, 1], [0, 2]]
    assert result.recipe == {"rule": "given"}


def test_given_rule_without_labels_names_the_other_rules() -> None:
    with pytest.raises(
        DataError, match=r"needs labels .*choose another rule: per_user, random, leave_one_out"
    ):
        split(one_user(3), Given())


def test_users_without_training_are_counted_and_left_out_of_the_targets() -> None:
    # User 1 is only in test and validation, user 2 only in test, user 3 does not occur at all.
    data = dataset([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], labels=[0, 2, 1, 2, 2], n_users=4)
    result = split(data, Given())
    assert result.train.n_users == 4
    assert result.test.users.tolist() == [0]
    assert len(result.valid) == 0
    # The one test pair that is left, (0, 1), is on an item that nobody took in training.
    assert result.facts == {
        "train": 1,
        "valid": 0,
        "test": 1,
        "users_without_training": 2,
        "held_out_interactions_dropped": 3,
        "cold_valid_interactions": 0,
        "cold_test_interactions": 1,
    }


def test_empty_training_part_is_an_error() -> None:
    with pytest.raises(DataError, match="the training part of the split is empty"):
        split(dataset([0, 0], [0, 1], labels=[1, 2]), Given())


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [1, 0, 0]),  # fewer than three: all to training
        (2, [2, 0, 0]),
        (3, [1, 1, 1]),
        (5, [3, 1, 1]),
        (9, [7, 1, 1]),
        (10, [8, 1, 1]),  # v = floor(2.0) = 2, validation floor(2 / 2) = 1, test 1
        (14, [12, 1, 1]),  # v = floor(2.8) = 2
        (15, [12, 1, 2]),  # v = floor(3.0) = 3, validation floor(3 / 2) = 1, test 2
        (20, [16, 2, 2]),  # v = 4
        (25, [20, 2, 3]),  # v = 5
    ],
)
def test_per_user_rule_holds_out_a_fifth(n: int, expected: list[int]) -> None:
    assert sizes(one_user(n), PerUser(seed=4)) == expected


def test_per_user_rule_is_drawn_per_user_and_by_seed() -> None:
    data = dataset([u for u in range(50) for _ in range(6)], [i for _ in range(50) for i in range(6)])
    tested = split(data, PerUser(seed=1)).test.pairs()[1]
    # Fifty users, each testing one of six items by chance: the chance that all test the same is 6^-49.
    assert len(set(tested.tolist())) > 1
    assert split(data, PerUser(seed=1)).fingerprint == split(data, PerUser(seed=1)).fingerprint
    assert split(data, PerUser(seed=1)).fingerprint != split(data, PerUser(seed=2)).fingerprint


def test_random_rule_has_exact_shares_of_all_interactions() -> None:
    data = dataset([u for u in range(10) for _ in range(10)], [i for _ in range(10) for i in range(10)])
    parts = assign_parts(data, Random(seed=9))
    assert np.bincount(parts).tolist() == [80, 10, 10]
    parts = assign_parts(data, Random(seed=9, valid=0.0, test=0.25))
    assert np.bincount(parts).tolist() == [75, 0, 25]


def test_leave_one_out_takes_the_last_and_the_one_before() -> None:
    # By time: item 3 (t=1), item 0 (t=2), item 2 (t=3), item 1 (t=4).
    data = dataset([0, 0, 0, 0], [0, 1, 2, 3], times=[2, 4, 3, 1])
    result = split(data, LeaveOneOut())
    assert result.test.items.tolist() == [1]
    assert result.valid.items.tolist() == [2]
    assert sorted(result.train.items.tolist()) == [0, 3]


@pytest.mark.parametrize(("n", "expected"), [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1]), (7, [5, 1, 1])])
def test_leave_one_out_of_short_histories(n: int, expected: list[int]) -> None:
    assert sizes(one_user(n, times=[float(t) for t in range(n)]), LeaveOneOut()) == expected
    assert sizes(one_user(n), LeaveOneOut(seed=3)) == expected


def test_leave_one_out_without_times_depends_on_the_seed() -> None:
    tested = {int(split(one_user(40), LeaveOneOut(seed=seed)).test.items[0]) for seed in range(8)}
    # Eight draws from forty items: the chance that all are equal is 40^-7.
    assert len(tested) > 1


def test_cold_items_leave_training_whole() -> None:
    # Ten items that somebody has and two that nobody has; two of the ten are drawn, one for each part.
    data = dataset([0, 1, 2] * 10, [item for item in range(10) for _ in range(3)])
    events = data.interactions
    parts = assign_parts(data, ColdItems())
    for item in range(10):
        assert len(set(parts[events.items == item].tolist())) == 1
    assert sorted(np.bincount(parts).tolist()) == [3, 3, 24]
    made = split(data, ColdItems())
    assert made.facts["cold_valid_interactions"] == made.facts["cold_test_interactions"] == 3
    assert (made.train.item_degrees == 0).sum() == 2
    assert len({split(data, ColdItems(seed=seed)).fingerprint for seed in range(8)}) > 1


def test_time_rule_cuts_at_two_moments() -> None:
    # Times 0..9; a tenth is one interaction: t=9 is test, t=8 validation, whoever they belong to.
    data = dataset([0, 1] * 5, list(range(10)), times=[float(t) for t in range(10)])
    parts = assign_parts(data, ByTime())
    times = data.interactions.times
    assert times is not None
    assert parts[times == 9].tolist() == [TEST]
    assert parts[times == 8].tolist() == [VALID]
    assert (parts[times < 8] == TRAIN).all()


def test_time_rule_keeps_a_moment_in_one_part() -> None:
    # Of ten, two are the test share (t=7, t=8). The next two would be validation, but t=5 and t=6 are one
    # moment each with what stands before them: the border t=4 falls among three at t=4, which all train.
    times = [0.0, 1, 2, 4, 4, 4, 5, 6, 7, 8]
    data = dataset([0] * 10, list(range(10)), times=times)
    assert assign_parts(data, ByTime(valid=0.2, test=0.2)).tolist() == [TRAIN] * 6 + [VALID] * 2 + [TEST] * 2
    assert assign_parts(data, ByTime(valid=0.5, test=0.2)).tolist() == [TRAIN] * 3 + [VALID] * 5 + [TEST] * 2
    assert assign_parts(data, ByTime(valid=0.4, test=0.2)).tolist() == [TRAIN] * 6 + [VALID] * 2 + [TEST] * 2


def test_time_rule_that_finds_no_test_is_an_error() -> None:
    with pytest.raises(DataError, match="of 10 interactions the latest 2 cannot be told from earlier ones"):
        split(dataset([0] * 10, list(range(10)), times=[1.0] * 7 + [5.0] * 3), ByTime(test=0.2))
    with pytest.raises(DataError, match="of 5 interactions the latest 0 cannot"):
        split(one_user(5, times=[1, 2, 3, 4, 5]), ByTime())


def test_time_rule_without_times_says_how_to_get_them() -> None:
    for recipe in (ByTime(), ByTimePerUser()):
        with pytest.raises(DataError, match=r"needs the time of each interaction .*--column time=NAME"):
            split(one_user(5), recipe)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (2, [2, 0, 0]),
        (3, [1, 1, 1]),
        (10, [8, 1, 1]),
        (19, [17, 1, 1]),
        (20, [16, 2, 2]),
        (30, [24, 3, 3]),  # 0.1 * 30 is a little more than 3 in floating point, 0.3 * 10 a little less
    ],
)
def test_time_per_user_holds_out_shares_of_each_history(n: int, expected: list[int]) -> None:
    data = one_user(n, times=[float(t) for t in range(n)])
    assert sizes(data, ByTimePerUser()) == expected


def test_time_per_user_takes_the_latest() -> None:
    data = dataset([0] * 4 + [1] * 3, [0, 1, 2, 3, 0, 1, 2], times=[9, 8, 7, 6, 1, 2, 3])
    result = split(data, ByTimePerUser())
    assert [side.tolist() for side in result.test.pairs()] == [[0, 1], [0, 2]]
    assert [side.tolist() for side in result.valid.pairs()] == [[0, 1], [1, 1]]


def test_time_per_user_always_leaves_something_to_train_on() -> None:
    # floor(0.9 * 3) = 2 for test and at least 1 for validation would take all three.
    assert sizes(one_user(3, times=[1, 2, 3]), ByTimePerUser(valid=0.05, test=0.9)) == [1, 1, 1]


PAIRS = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 11)), min_size=12, max_size=60)
RECIPES = st.sampled_from([PerUser(seed=3), Random(seed=3), LeaveOneOut(seed=3), ByTime(), ByTimePerUser()])


@given(PAIRS, RECIPES, st.booleans(), st.randoms(use_true_random=False))
def test_every_rule_partitions_and_ignores_the_order_of_rows(
    pairs: set[tuple[int, int]], recipe: SplitRecipe, timed: bool, shuffle: object
) -> None:
    # Distinct times: with the latest at one moment a split by time may rightly find no test.
    rows = [(user, item, float((12 * user + item) * 29 % 73)) for user, item in sorted(pairs)]
    mixed = list(rows)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    needs_time = isinstance(recipe, ByTime | ByTimePerUser)

    def build(table: list[tuple[int, int, float]]) -> Dataset:
        users, items, times = zip(*table, strict=True)
        interactions = Interactions(
            np.array(users), np.array(items), 6, 12, np.array(times) if timed or needs_time else None
        )
        return Dataset("any", interactions, ItemFeatures(12), IdMap.range(6), IdMap.range(12))

    result = split(build(rows), recipe)
    held_out = [
        pair for targets in (result.valid, result.test) for pair in zip(*targets.pairs(), strict=True)
    ]
    train = list(zip(result.train.users, result.train.items, strict=True))
    together = train + held_out
    assert len(set(together)) == len(together)
    assert set(together) <= pairs
    assert len(pairs) - len(together) == result.facts["held_out_interactions_dropped"]
    assert (result.train.user_degrees[result.valid.users] > 0).all()
    assert (result.train.user_degrees[result.test.users] > 0).all()
    assert split(build(mixed), recipe).fingerprint == result.fingerprint


def test_recipe_is_read_from_plain_settings() -> None:
    assert read_recipe({"rule": "random", "seed": 3, "test": 0.2}) == Random(seed=3, test=0.2)
    assert TypeAdapter(SplitRecipe).validate_python({"rule": "time"}) == ByTime()
    assert {recipe().model_dump()["rule"] for recipe in RULES.values()} == set(RULES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "pre_user"}, "no split rule 'pre_user'; did you mean 'per_user'"),
        ({}, "no split rule 'None'; known: cold_items, given, leave_one_out"),
        ({"rule": "random", "sed": 3}, "rule 'random' has no setting 'sed'; did you mean 'seed'"),
        ({"rule": "random", "test": 1.5}, "rule 'random': test: Input should be less than 1"),
        ({"rule": "random", "seed": -1}, "rule 'random': seed: Input should be greater than or equal to 0"),
        ({"rule": "time", "valid": 0.5, "test": 0.5}, "valid 0.5 and test 0.5 leave nothing to train on"),
    ],
)
def test_wrong_recipe_is_one_sentence(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_recipe(settings)
