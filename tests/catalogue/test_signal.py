"""What a recommender can find in the shop: the pictures and texts must carry what users care about."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from alnico.catalogue.shop import KINDS, Items, ShopPlan, draw_items
from alnico.catalogue.tastes import Users, draw_choices, draw_users, utilities
from alnico.catalogue.writing import make_shop
from alnico.encoders.encode import encode_folder
from alnico.encoders.encoder import LIGHT

# Groups of a dozen items and hundreds of users of each kind; drawn in a second.
PLAN = ShopPlan(n_users=700, n_items=320, n_interactions=9_000)


@dataclass(frozen=True)
class World:
    """A shop, its vectors, and a random tenth of its choices held out."""

    folder: Path
    plan: ShopPlan
    users: Users
    items: Items
    image: NDArray[np.float32]
    text: NDArray[np.float32]
    train: NDArray[np.bool_]
    held_out: NDArray[np.bool_]

    def recall(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Recall at 20 of every user with something held out (else NaN), over all items not in training."""
        masked = np.where(self.train, -np.inf, scores)
        best = np.argsort(-masked, axis=1, kind="stable")[:, :20]
        hits = np.take_along_axis(self.held_out, best, axis=1).sum(axis=1)
        asked = self.held_out.sum(axis=1)
        return np.where(asked > 0, hits / np.maximum(asked, 1), np.nan)

    def of_kind(self, recalls: NDArray[np.float64], kind: str) -> float:
        """The mean over users of one kind."""
        return float(np.nanmean(recalls[self.users.kinds == KINDS.index(kind)]))

    def nearest_items(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores of item-kNN: the sum of cosines with the items of the user's history."""
        cosines = vectors.astype(np.float64) @ vectors.T
        np.fill_diagonal(cosines, 0)
        return self.train @ cosines

    def popularity(self) -> NDArray[np.float64]:
        """Scores of the most popular items, equal for all users."""
        return np.tile(self.train.sum(axis=0, dtype=np.float64), (len(self.users), 1))


def world_of(plan: ShopPlan, folder: Path) -> World:
    make_shop(plan, folder)
    encode_folder(folder, LIGHT, LIGHT)
    users, items = draw_users(plan), draw_items(plan)
    choices = draw_choices(plan, users, items)
    parts = np.random.default_rng(0).choice(10, len(choices))
    train, held_out = (np.zeros((plan.n_users, plan.n_items), bool) for _ in range(2))
    train[choices.users[parts > 1], choices.items[parts > 1]] = True
    held_out[choices.users[parts == 0], choices.items[parts == 0]] = True
    held_out[~train.any(axis=1)] = False
    image, text = (np.load(folder / "features" / f"{name}.npy") for name in ("image", "text"))
    return World(folder, plan, users, items, image, text, train, held_out)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The true world."""
    return world_of(PLAN, tmp_path_factory.mktemp("shops") / "true")


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The same world with content that says nothing."""
    plan = PLAN.model_copy(update={"noise": True})
    return world_of(plan, tmp_path_factory.mktemp("shops") / "control")


def share_of_equals(vectors: NDArray[np.float32], groups: NDArray[np.int64], k: int = 5) -> float:
    """The share of items of the same group among the k nearest, over items that have a vector."""
    present = vectors.any(axis=1)
    cosines = vectors[present] @ vectors[present].T
    np.fill_diagonal(cosines, -2)
    nearest = np.argsort(-cosines, axis=1)[:, :k]
    known = groups[present]
    return float((known[nearest] == known[:, None]).mean())


def test_pictures_tell_styles_and_texts_tell_purposes(world: World) -> None:
    assert share_of_equals(world.image, world.items.styles) > 0.8
    assert share_of_equals(world.text, world.items.purposes) > 0.8


def test_pictures_and_texts_know_nothing_of_the_rest(world: World) -> None:
    # One in 24 items has the same style or purpose by chance, one in 18 the same fashion.
    for vectors, groups in (
        (world.image, world.items.purposes),
        (world.image, world.items.fashions),
        (world.text, world.items.styles),
        (world.text, world.items.fashions),
    ):
        assert share_of_equals(vectors, groups) < 0.09


def test_unrelated_items_have_a_cosine_near_zero(world: World) -> None:
    for vectors, groups in ((world.image, world.items.styles), (world.text, world.items.purposes)):
        present = vectors.any(axis=1)
        cosines = vectors[present] @ vectors[present].T
        other = groups[present][:, None] != groups[present][None, :]
        assert abs(cosines[other].mean()) < 0.05
        assert cosines[~other].mean() > 0.25


def test_pictures_serve_visual_users_and_texts_serve_text_minded_ones(world: World) -> None:
    by_image = world.recall(world.nearest_items(world.image))
    by_text = world.recall(world.nearest_items(world.text))
    popular = world.recall(world.popularity())
    assert world.of_kind(by_image, "visual") > world.of_kind(by_text, "visual") + 0.2
    assert world.of_kind(by_text, "textual") > world.of_kind(by_image, "textual") + 0.2
    assert world.of_kind(by_image, "visual") > world.of_kind(popular, "visual") + 0.1
    assert world.of_kind(by_text, "textual") > world.of_kind(popular, "textual") + 0.1


def test_content_of_both_kinds_beats_popularity(world: World) -> None:
    scores = [world.nearest_items(vectors) for vectors in (world.image, world.text)]
    both = sum(part / part.std() for part in scores)
    assert isinstance(both, np.ndarray)
    recalls, popular = world.recall(both), world.recall(world.popularity())
    assert np.nanmean(recalls) > np.nanmean(popular) + 0.03


def test_truth_is_far_above_what_content_alone_finds(world: World) -> None:
    oracle = world.recall(utilities(world.plan, world.users, world.items))
    by_image = world.recall(world.nearest_items(world.image))
    by_text = world.recall(world.nearest_items(world.text))
    assert np.nanmean(oracle) > max(np.nanmean(by_image), np.nanmean(by_text)) + 0.2
    assert all(world.of_kind(oracle, kind) > 0.4 for kind in KINDS)


@pytest.mark.slow
def test_default_shop_leaves_room_above_content_and_above_behaviour(tmp_path: Path) -> None:
    world = world_of(ShopPlan(), tmp_path / "default")
    popular = np.nanmean(world.recall(world.popularity()))
    scores = [world.nearest_items(vectors) for vectors in (world.image, world.text)]
    content = np.nanmean(world.recall(sum(part / part.std() for part in scores)))
    together = world.train.T.astype(np.float64) @ world.train
    popularity = np.maximum(np.diag(together), 1)
    cosines = together / np.sqrt(popularity[:, None] * popularity[None, :])
    np.fill_diagonal(cosines, 0)
    behaviour = np.nanmean(world.recall(world.train @ cosines))
    oracle = np.nanmean(world.recall(utilities(world.plan, world.users, world.items)))
    assert popular < 0.12
    assert 0.15 < content < 0.25
    assert 0.2 < behaviour < 0.3
    assert oracle > 0.45


def test_content_of_the_control_world_says_nothing_of_choices(control: World) -> None:
    # Twenty random items of about 300 unseen ones hold a fifteenth of what was held out.
    for vectors in (control.image, control.text):
        recalls = control.recall(control.nearest_items(vectors))
        assert np.nanmean(recalls) == pytest.approx(20 / 300, abs=0.03)


def test_category_is_silent_about_style(world: World) -> None:
    with (world.folder / "items.csv").open(encoding="utf-8", newline="") as file:
        categories = np.array([row["category"] for row in csv.DictReader(file)])
    told = categories != ""
    numbers = np.unique(categories[told], return_inverse=True)[1]
    table = np.histogram2d(numbers, world.items.styles[told], bins=(6, 24))[0]
    expected = table.sum(1)[:, None] * table.sum(0)[None, :] / table.sum()
    statistic = ((table - expected) ** 2 / expected).sum()
    # Chi-square with 5 * 23 degrees of freedom: mean 115, standard deviation 15.
    assert statistic < 115 + 4 * 15
