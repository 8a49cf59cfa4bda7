"""The two graphs that identities are propagated over, and what an epoch draws of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from alnico.contracts import TrainingData
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.graphs.augment import InducedEdges
from alnico.graphs.graph import Graph, symmetric_graph, user_item_graph_with_links
from alnico.graphs.items import common_neighbours
from alnico.graphs.sampling import sample_neighbours
from alnico.models.magnet.config import MagnetConfig


@dataclass(frozen=True)
class Hops:
    """The graph of each hop, per view; without induced edges there is one view."""

    observed: Sequence[Graph]
    augmented: Sequence[Graph] | None

    @classmethod
    def full(cls, observed: Graph, augmented: Graph | None, layers: int) -> "Hops":
        """Every hop over all neighbours."""
        return cls([observed] * layers, None if augmented is None else [augmented] * layers)

    def sampled(self, fanout: int, rng: np.random.Generator) -> "Hops":
        """Every hop over at most ``fanout`` neighbours per node, each drawn for itself."""
        observed = [sample_neighbours(graph, fanout, rng) for graph in self.observed]
        if self.augmented is None:
            return Hops(observed, None)
        return Hops(observed, [sample_neighbours(graph, fanout, rng) for graph in self.augmented])


@dataclass(frozen=True)
class Views:
    """G_UI, G_UIG where there is one, users' induced edges where that is what it adds, and the items that one of the
    graphs joins to an item of the training part."""

    observed: Graph
    augmented: Graph | None
    induced: InducedEdges | None
    reached: Bool[NDArray[np.bool_], " items"]

    @classmethod
    def single(cls, train: Interactions) -> "Views":
        """Observed edges alone."""
        return cls(_observed(train), None, None, train.item_degrees > 0)

    @classmethod
    def with_induced(cls, train: Interactions, induced: InducedEdges) -> "Views":
        """Induced edges between users and items."""
        reached = train.item_degrees > 0
        reached[induced.items] = True
        return cls(_observed(train), with_induced(train, induced), induced, reached)

    @classmethod
    def with_links(cls, data: TrainingData, lists: Mapping[str, ItemNeighbours], layers: int) -> "Views":
        """Directed edges between items that are neighbours in every modality that some item has.

        Source: GUME (Lin et al., CIKM 2024).
        """
        train = data.interactions
        told = [own for name, own in lists.items() if data.features[name].present.any()]
        nobody = np.zeros(0, np.int64)
        links = common_neighbours(told) if told else (nobody, nobody)
        graph = user_item_graph_with_links(train.users, train.items, train.n_users, train.n_items, links)
        reached = train.item_degrees > 0
        for _ in range(layers):
            # An item hears from what it lists, a hop later from what that has heard.
            reached = reached | (np.bincount(links[0], reached[links[1]], train.n_items) > 0)
        return cls(_observed(train), graph, None, reached)

    def drawn(self, train: Interactions, config: MagnetConfig, rng: np.random.Generator) -> Hops:
        """An epoch's hops: users' induced edges and nodes' neighbours drawn anew where that is asked for."""
        augmented = self.augmented
        if self.induced is not None and config.induced_cap is not None:
            augmented = with_induced(train, self.induced.capped(config.induced_cap, rng))
        hops = Hops.full(self.observed, augmented, config.layers)
        return hops if config.fanout is None else hops.sampled(config.fanout, rng)


def _observed(train: Interactions) -> Graph:
    return symmetric_graph(train.users, train.items, train.n_users, train.n_items)


def with_induced(train: Interactions, induced: InducedEdges) -> Graph:
    """G_UIG: observed edges of weight 1 together with the induced ones."""
    assert induced.weights is not None
    return symmetric_graph(
        np.concatenate([train.users, induced.users]),
        np.concatenate([train.items, induced.items]),
        train.n_users,
        train.n_items,
        np.concatenate([np.ones(len(train), np.float32), induced.weights]),
    )
