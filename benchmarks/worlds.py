"""The data that speed is measured on: real Baby where it is there, and random sets of given sizes."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alnico import read_dataset, split
from alnico.contracts import TrainingData
from alnico.data.dataset import Dataset
from alnico.data.features import ItemFeatures, Modality
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.split import Split
from alnico.data.splitting import read_recipe
from alnico.graphs.cache import GraphCache

ROOT = Path(__file__).parents[1]
FEATURES = {"image": "image_feat_reconstructed128.npy", "text": "text_feat_reconstructed128.npy"}


@dataclass(frozen=True)
class World:
    """Training data, with a name that says where they come from."""

    name: str
    data: TrainingData
    split: Split | None = None

    @property
    def train(self) -> Interactions:
        """The training pairs."""
        return self.data.interactions

    def with_features(self, features: ItemFeatures) -> "World":
        """The same people and pairs, other content."""
        return replace(self, data=TrainingData(self.train, features, {}, GraphCache()))


def given_folder(name: str) -> Path | None:
    """The folder of a real data set, in ``ALNICO_REAL_DATA`` or ../shared/data; None where it is not."""
    places = [Path(given)] if (given := os.environ.get("ALNICO_REAL_DATA")) else []
    places.append(ROOT.parent / "shared" / "data")
    return next((place / name for place in places if (place / name).is_dir()), None)


def dataset_of_tiktok() -> Dataset | None:
    """tiktok with its image and audio vectors; None where it is not."""
    folder = given_folder("tiktok")
    return None if folder is None else read_dataset(folder, name="tiktok")[0]


def dataset_of_baby() -> Dataset:
    """Amazon Baby with 128-d image and text vectors; where it is not, a random set of its size, split at random."""
    folder = given_folder("amazon-baby")
    if folder is not None:
        return read_dataset(folder, name="baby", features=dict(FEATURES), neighbours={})[0]
    pairs = random_pairs(19_445, 7_050, 160_792)
    labels = np.random.default_rng(0).choice(3, len(pairs), p=[0.74, 0.13, 0.13]).astype(np.int8)
    return Dataset(
        "random, of Baby's size",
        pairs,
        vectors(7_050, image=128, text=128),
        IdMap(np.arange(19_445), "user"),
        IdMap(np.arange(7_050), "item"),
        labels=labels,
    )


def baby() -> World:
    """Baby in its given split: 19,445 users, 7,050 items, 118,551 training pairs."""
    dataset = dataset_of_baby()
    parts = split(dataset, read_recipe({"rule": "given"}))
    return World(dataset.name, TrainingData(parts.train, dataset.features, {}, GraphCache()), parts)


def random_pairs(n_users: int, n_items: int, n: int, seed: int = 0) -> Interactions:
    """About ``n`` distinct pairs, every user with at least one; items have a long tail."""
    rng = np.random.default_rng(seed)
    users = np.concatenate([np.arange(n_users), rng.integers(0, n_users, max(0, n - n_users))])
    items = np.minimum(rng.exponential(n_items / 5, len(users)).astype(np.int64), n_items - 1)
    keys = np.unique(users * n_items + rng.permutation(n_items)[items])
    return Interactions(keys // n_items, keys % n_items, n_users, n_items)


def vectors(n_items: int, seed: int = 0, **widths: int) -> ItemFeatures:
    """Random vectors of these modalities and widths."""
    rng = np.random.default_rng(seed)
    made = {
        name: Modality(rng.standard_normal((n_items, width), dtype=np.float32), np.ones(n_items, np.bool_))
        for name, width in widths.items()
    }
    return ItemFeatures(n_items, made)
