"""The counts that the real data sets are known to have."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alnico.data.describe import describe
from alnico.data.sources import read_dataset
from alnico.data.splitting import Given, PerUser, split

pytestmark = pytest.mark.realdata


def test_tiktok_has_its_published_counts(real_data: Callable[[str], Path]) -> None:
    data, notices = read_dataset(real_data("tiktok"))
    assert (data.n_users, data.n_items, len(data.interactions)) == (9308, 6710, 68722)
    assert data.features.names == ("image", "audio")
    assert {modality.width for modality in data.features.values()} == {128}
    assert all(modality.present.all() for modality in data.features.values())
    assert notices == []
    facts = describe(data).parts
    assert facts is not None
    assert (facts.train_interactions, facts.valid_interactions, facts.test_interactions) == (
        59541,
        3051,
        6130,
    )
    result = split(data, Given())
    assert result.facts["users_without_training"] == 10
    # 7.3 % of the test interactions are on items that nobody took in training.
    assert facts.cold_test_interactions / facts.test_interactions == pytest.approx(0.073, abs=0.0005)


def test_baby_has_its_published_counts_and_true_neighbours(real_data: Callable[[str], Path]) -> None:
    folder = real_data("amazon-baby")
    names = ("image", "text")
    data, notices = read_dataset(
        folder,
        features={name: f"{name}_feat_reconstructed128.npy" for name in names},
        neighbours={**{name: f"{name}_knn10.npz" for name in names}, "mixed": "mm_adj_10.npz"},
    )
    assert notices == []
    assert (data.n_users, data.n_items, len(data.interactions)) == (19445, 7050, 160792)
    result = split(data, Given())
    assert [result.facts[part] for part in ("train", "valid", "test")] == [118551, 20559, 21682]
    assert result.facts["users_without_training"] == 0
    assert len(result.test) == 19445
    # Ten neighbours with the item itself among them leave nine; 53 items were not in their own image list.
    raw = np.load(folder / "image_knn10.npz")
    given = data.neighbours["image"]
    assert given.k == data.neighbours["text"].k == 9
    assert (given.items >= 0).all()
    assert given.items[0].tolist() == raw["indices"][0, 1:].tolist()
    away = np.flatnonzero((raw["indices"] != np.arange(7050)[:, None]).all(axis=1))
    assert len(away) == 53
    assert (given.items[away] == raw["indices"][away, :9]).all()
    assert (np.diff(given.weights, axis=1) <= 0).all()
    # 126,598 entries of which 7,046 are loops.
    assert len(data.neighbours["mixed"].edges()[0]) == 126598 - 7046
    assert data.cards.get("asin", 0) == "097293751X"


def test_common_split_rule_gives_the_published_sizes_of_baby(real_data: Callable[[str], Path]) -> None:
    # Whatever the seed: the sizes depend only on how many items each user has.
    data, _ = read_dataset(real_data("amazon-baby") / "baby.inter")
    result = split(data, PerUser(seed=1))
    assert [result.facts[part] for part in ("train", "valid", "test")] == [118551, 20559, 21682]


def test_movies_with_posters_have_their_counts_cards_and_gaps(real_data: Callable[[str], Path]) -> None:
    folder = real_data("ml-100k-posters")
    data, notices = read_dataset(folder)
    assert (data.n_users, data.n_items, len(data.interactions)) == (943, 1682, 100000)
    result = split(data, Given())
    assert [result.facts[part] for part in ("train", "valid", "test")] == [75000, 12000, 13000]
    assert data.features.names == ("image", "text")
    assert (data.features["image"].width, data.features["text"].width) == (1280, 384)
    assert int(data.features["image"].present.sum()) == 1647
    assert describe(data).modalities["image"].covered_interactions_share == pytest.approx(0.979, abs=0.0005)
    assert data.cards.get("title", 0) == "Toy Story (1995)"
    assert data.cards.get("category", 0) == "Animation|Children's|Comedy"
    assert '"Woody"' in data.cards.get("description", 0)
    assert Path(data.cards.get("image", 0)) == folder.resolve() / "posters" / "0.jpg"
    assert any("left out: image_feat_efflite0.npy" in notice for notice in notices)
    assert "35 all-zero rows of features 'image' are taken as absent" in notices


def test_another_feature_file_can_be_taken_by_name(real_data: Callable[[str], Path]) -> None:
    data, _ = read_dataset(
        real_data("ml-100k-posters"),
        features={"image": "image_feat_efflite0.npy", "text": "text_feat.npy"},
    )
    assert data.features.names == ("image", "text")
