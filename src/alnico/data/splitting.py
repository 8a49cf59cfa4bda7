"""Which interactions a model learns from, which choose its settings, and which judge it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from alnico.data.dataset import TEST, TRAIN, VALID, Dataset
from alnico.data.interactions import Interactions
from alnico.data.split import Split, Targets
from alnico.errors import ConfigError, DataError, nearest
from alnico.randomness import rng


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """How to split; every rule has its own fields."""


class Shares(Recipe):
    """Shares of the interactions held out, 8:1:1 unless said otherwise."""

    valid: float = Field(default=0.1, ge=0, lt=1)
    """Share of validation interactions."""
    test: float = Field(default=0.1, gt=0, lt=1)
    """Share of test interactions."""

    @model_validator(mode="after")
    def _leaves_something(self) -> "Shares":
        if self.valid + self.test >= 1:
            raise ValueError(f"valid {self.valid} and test {self.test} leave nothing to train on")
        return self


class Given(Recipe):
    """The labels that came with the data."""

    rule: Literal["given"] = "given"


class PerUser(Recipe):
    """MMRec's rule: a fifth of each user's items is held out, drawn by chance.

    The items of a user are shuffled once. A user with n < 10 gives 1 to validation and 1 to test; one with
    more gives v = floor(0.2 n), of which floor(v/2) to validation and the rest to test. Users with fewer than
    3 items stay in training whole (the source never meets them: its data are 5-cores).
    """

    rule: Literal["per_user"] = "per_user"
    seed: int = Field(default=0, ge=0)


class Random(Shares):
    """Each interaction for itself, whoever it belongs to."""

    rule: Literal["random"] = "random"
    seed: int = Field(default=0, ge=0)


class LeaveOneOut(Recipe):
    """Each user's last interaction is test, the one before it validation; by chance where there are no times.

    A user with two interactions gives one to test and none to validation, a user with one stays in training.
    Interactions at the same time count in the order of their item numbers.
    """

    rule: Literal["leave_one_out"] = "leave_one_out"
    seed: int = Field(default=0, ge=0)


class ByTime(Shares):
    """The latest interactions of all are test, those before them validation.

    What happens at one moment stays together, in the earlier part: nothing in test is as old as anything in
    training. Test is therefore at most as large as its share; it is an error if nothing is left for it.
    """

    rule: Literal["time"] = "time"


class ByTimePerUser(Shares):
    """Each user's latest interactions are test, those before them validation.

    Of n interactions floor(share * n) are held out, at least one for each part with a positive share; users
    with fewer than 3 stay in training whole. Interactions at the same time count in the order of their item
    numbers.
    """

    rule: Literal["time_per_user"] = "time_per_user"


class ColdItems(Recipe):
    """Some items leave training altogether, with all their interactions: half of them to validation, half to test.

    What is asked is how items are ranked that nobody has; the other items stay in training whole. Items are drawn among
    those that somebody has; where their number is odd, test has one more.
    """

    rule: Literal["cold_items"] = "cold_items"
    share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the items held out."""
    seed: int = Field(default=0, ge=0)


SplitRecipe = Annotated[
    Given | PerUser | Random | LeaveOneOut | ByTime | ByTimePerUser | ColdItems, Field(discriminator="rule")
]
_RECIPE: TypeAdapter[SplitRecipe] = TypeAdapter(SplitRecipe)
RULES: Mapping[str, type[Recipe]] = {
    "given": Given,
    "per_user": PerUser,
    "random": Random,
    "leave_one_out": LeaveOneOut,
    "time": ByTime,
    "time_per_user": ByTimePerUser,
    "cold_items": ColdItems,
}


def read_recipe(settings: Mapping[str, Any]) -> SplitRecipe:
    """A recipe from plain settings such as ``{"rule": "random", "seed": 3}``.

    Raises ConfigError for an unknown rule, a setting that the rule does not have or a value out of range.
    """
    rule = str(settings.get("rule"))
    if rule not in RULES:
        raise ConfigError(f"there is no split rule {rule!r}{nearest(rule, RULES)}")
    known = RULES[rule].model_fields
    for key in settings:
        if key not in known:
            raise ConfigError(f"split rule {rule!r} has no setting {key!r}{nearest(key, known)}")
    try:
        recipe: SplitRecipe = _RECIPE.validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        raise ConfigError(f"split rule {rule!r}{': ' + place if place else ''}: {first['msg']}") from error
    return recipe


def split(dataset: Dataset, recipe: SplitRecipe) -> Split:
    """The training interactions and the validation and test targets that the recipe makes of the data.

    Every interaction falls into exactly one part. Held-out interactions of users without any training row are
    left out of the targets and counted in ``facts``: train, valid, test (interactions in each part of the
    result), users_without_training, held_out_interactions_dropped, cold_valid_interactions and
    cold_test_interactions (on items that nobody took in training).
    Raises DataError if the data lack what the rule needs, or nothing is left to train on.
    """
    events = dataset.interactions
    parts = assign_parts(dataset, recipe)
    train = events.select(parts == TRAIN)
    # A user who comes back only for the test cannot be ranked by what was learnt from training.
    answerable = train.user_degrees[events.users] > 0
    held_out = {name: (parts == part) & answerable for name, part in (("valid", VALID), ("test", TEST))}
    cold = train.item_degrees[events.items] == 0
    facts = {
        "train": len(train),
        **{name: int(rows.sum()) for name, rows in held_out.items()},
        "users_without_training": int(((train.user_degrees == 0) & (events.user_degrees > 0)).sum()),
        "held_out_interactions_dropped": int((~answerable).sum()),
        **{f"cold_{name}_interactions": int((rows & cold).sum()) for name, rows in held_out.items()},
    }
    targets = {name: Targets.of(events.users[rows], events.items[rows]) for name, rows in held_out.items()}
    return Split(train, targets["valid"], targets["test"], recipe.model_dump(), facts)


def assign_parts(dataset: Dataset, recipe: SplitRecipe) -> NDArray[np.int8]:
    """The part (0 train, 1 validation, 2 test) of each interaction, aligned with ``dataset.interactions``."""
    events = dataset.interactions
    match recipe:
        case Given():
            if dataset.labels is None:
                raise DataError(
                    "split rule 'given' needs labels (a column x_label with 0, 1, 2) and the data has none; "
                    f"choose another rule: {', '.join(rule for rule in RULES if rule != 'given')}"
                )
            return dataset.labels
        case PerUser():
            return _per_user(events, recipe.seed)
        case Random():
            return _random(len(events), recipe)
        case LeaveOneOut():
            return _leave_one_out(events, recipe.seed)
        case ByTime():
            return _by_time(_times(events, recipe.rule), recipe)
        case ByTimePerUser():
            _times(events, recipe.rule)
            return _by_time_per_user(events, recipe)
        case ColdItems():
            return _cold_items(events, recipe)


def _times(events: Interactions, rule: str) -> NDArray[np.float64]:
    if events.times is None:
        raise DataError(
            f"split rule {rule!r} needs the time of each interaction and the data has none; import it with a "
            "time column (--column time=NAME) or choose another rule"
        )
    return events.times


def _from_the_end(
    users: NDArray[np.int64], counts: NDArray[np.int64], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many of the same user's interactions come after each one in ``order``, which groups by user."""
    ends = np.cumsum(counts)
    after = np.empty(len(users), np.int64)
    after[order] = ends[users[order]] - 1 - np.arange(len(users))
    return after


def _by_rank(after: NDArray[np.int64], valid: NDArray[np.int64], test: NDArray[np.int64]) -> NDArray[np.int8]:
    """The last ``test`` are test, the ``valid`` before them validation; all arguments per interaction."""
    parts = np.full(len(after), TRAIN, np.int8)
    parts[after < valid + test] = VALID
    parts[after < test] = TEST
    return parts


def _shuffled(events: Interactions, seed: int) -> NDArray[np.int64]:
    """How many interactions of the same user come after each one in a random order per user."""
    order = np.lexsort((rng(seed, "split").random(len(events)), events.users))
    return _from_the_end(events.users, events.user_degrees, order)


def _per_user(events: Interactions, seed: int) -> NDArray[np.int8]:
    n = events.user_degrees
    held_out = np.where(n < 10, 2, n * 2 // 10)
    valid = np.where(n < 3, 0, held_out // 2)
    test = np.where(n < 3, 0, held_out - held_out // 2)
    return _by_rank(_shuffled(events, seed), valid[events.users], test[events.users])


def _random(n: int, recipe: Random) -> NDArray[np.int8]:
    valid, test = round(recipe.valid * n), round(recipe.test * n)
    parts = np.full(n, TRAIN, np.int8)
    order = rng(recipe.seed, "split").permutation(n)
    parts[order[:valid]] = VALID
    parts[order[valid : valid + test]] = TEST
    return parts


def _leave_one_out(events: Interactions, seed: int) -> NDArray[np.int8]:
    n = events.user_degrees
    if events.times is None:
        after = _shuffled(events, seed)
    else:
        after = _from_the_end(events.users, n, np.arange(len(events)))
    test, valid = (n >= 2).astype(np.int64), (n >= 3).astype(np.int64)
    return _by_rank(after, valid[events.users], test[events.users])


def _by_time(times: NDArray[np.float64], recipe: ByTime) -> NDArray[np.int8]:
    n = len(times)
    ordered = np.sort(times)
    # The moments up to which training and validation reach; whatever happens then stays before the border.
    valid, test = (int(_share_of(share, np.array([n]))[0]) for share in (recipe.valid, recipe.test))
    end_of_train, end_of_valid = ordered[n - test - valid - 1], ordered[n - test - 1]
    parts = np.full(n, TRAIN, np.int8)
    parts[times > end_of_train] = VALID
    parts[times > end_of_valid] = TEST
    if not (parts == TEST).any():
        raise DataError(
            f"split rule 'time' leaves no test: of {n} interactions the latest {test} cannot be told from "
            "earlier ones by their time; raise the test share, or use rule 'time_per_user'"
        )
    return parts


def _by_time_per_user(events: Interactions, recipe: ByTimePerUser) -> NDArray[np.int8]:
    n = events.user_degrees
    enough = n >= 3
    valid = np.where(enough, np.maximum(_share_of(recipe.valid, n), recipe.valid > 0), 0)
    test = np.where(enough, np.minimum(np.maximum(_share_of(recipe.test, n), 1), n - valid - 1), 0)
    after = _from_the_end(events.users, n, np.arange(len(events)))
    return _by_rank(after, valid[events.users], test[events.users])


def _cold_items(events: Interactions, recipe: ColdItems) -> NDArray[np.int8]:
    taken = np.flatnonzero(events.item_degrees > 0)
    drawn = rng(recipe.seed, "split").permutation(taken)[: round(recipe.share * len(taken))]
    part_of = np.full(events.n_items, TRAIN, np.int8)
    part_of[drawn[: len(drawn) // 2]] = VALID
    part_of[drawn[len(drawn) // 2 :]] = TEST
    parts: NDArray[np.int8] = part_of[events.items]
    return parts


def _share_of(share: float, n: NDArray[np.int64]) -> NDArray[np.int64]:
    """floor(share * n), where 0.3 of 10 is 3 although 0.3 * 10 may fall just short of it."""
    whole: NDArray[np.int64] = np.floor(share * n + 1e-9).astype(np.int64)
    return whole
