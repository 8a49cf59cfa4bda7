"""Items like those you took: nearest neighbours by co-purchase or by content."""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt
from scipy import sparse

from alnico.contracts import ModelConfig, Recommender, TrainingData
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import DataError
from alnico.graphs.content import Search, nearest_neighbours
from alnico.model_card import ModelCard
from alnico.scorers import NeighbourScorer


class ItemKnnConfig(ModelConfig):
    """Settings of item-kNN."""

    source: Literal["behaviour", "content"] = "behaviour"
    """Whether items are alike by who took them or by what they look, read and sound like."""
    neighbours: PositiveInt = 50
    """Length k of each item's list; with several modalities, per modality."""
    neighbour_search: Search = "exact"
    """approximate: content neighbours through faiss (``alnico[ann]``), for more than 10^5 items."""
    shrinkage: NonNegativeFloat = 0.0
    """Added to the denominator of the behavioural cosine; damps similarities seen only a few times."""
    modalities: tuple[str, ...] = Field(default=())
    """Content modalities to use; none named means all. Their similarities are averaged."""


class ItemKnn(Recommender):
    """A user's score for an item: the sum of its similarities to the user's items.

    By behaviour, similarity is the cosine of the two items' training columns, shrunk:
    |U_i and U_j| / (sqrt(|U_i| |U_j|) + shrinkage). By content it is the cosine of the vectors, negative ones
    clipped at 0, averaged over modalities.
    Source: Deshpande and Karypis, Item-Based Top-N Recommendation Algorithms, TOIS 2004.
    """

    Config = ItemKnnConfig
    card = ModelCard("Item-kNN", "Item-Based Top-N Recommendation Algorithms, TOIS 2004", 2004, ("content",))

    def __init__(self, lists: ItemNeighbours, offsets: NDArray[np.int64], history: NDArray[np.int64]) -> None:
        self.lists = lists
        self.offsets = offsets
        self.history = history

    @classmethod
    def build(cls, config: ItemKnnConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        del rng
        train = data.interactions
        if config.source == "behaviour":
            lists = co_taken(train, config.neighbours, config.shrinkage)
        else:
            lists = _content_lists(config, data)
        return cls(lists, train.offsets, train.items)

    def scorer(self) -> NeighbourScorer:
        return NeighbourScorer(self.lists, self.offsets, self.history)


def co_taken(train: Interactions, k: int, shrinkage: float) -> ItemNeighbours:
    """Each item's k most similar by who took both, as ``ItemKnn`` has it."""
    taken = sparse.csr_matrix(
        (np.ones(len(train)), (train.users, train.items)), (train.n_users, train.n_items)
    )
    together = (taken.T @ taken).tocoo()
    rows, columns = together.row.astype(np.int64), together.col.astype(np.int64)
    lengths = np.sqrt(train.item_degrees.astype(np.float64))
    values = together.data / (lengths[rows] * lengths[columns] + shrinkage)
    others = rows != columns
    return ItemNeighbours.of_edges(rows[others], columns[others], values[others], train.n_items, k)


def _content_lists(config: ItemKnnConfig, data: TrainingData) -> ItemNeighbours:
    features = data.features.only(*config.modalities) if config.modalities else data.features
    if not features:
        raise DataError("item_knn on content needs at least one modality but the data set has no features")
    n_items = data.interactions.n_items
    total = sparse.csr_matrix((n_items, n_items))
    for name, modality in features.items():
        given = data.neighbours.get(name)
        lists = (
            nearest_neighbours(modality, config.neighbours, data.graphs, search=config.neighbour_search)
            if given is None
            else given
        )
        rows, columns, weights = lists.first(min(config.neighbours, lists.k)).edges()
        positive = weights > 0
        entries = (weights[positive].astype(np.float64) / len(features), (rows[positive], columns[positive]))
        total = total + sparse.csr_matrix(entries, shape=(n_items, n_items))
    summed = total.tocoo()
    width = config.neighbours * len(features)
    return ItemNeighbours.of_edges(
        summed.row.astype(np.int64), summed.col.astype(np.int64), summed.data, n_items, width
    )
