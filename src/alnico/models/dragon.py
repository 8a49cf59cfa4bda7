"""Modalities propagated apart, joined, and smoothed over a graph of users and one of items."""

from typing import Self

import numpy as np
from pydantic import PositiveInt

from alnico.contracts import Batch, Step, TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph
from alnico.graphs.items import mixed_content_graph
from alnico.graphs.users import Companions, companion_graph, companions_of
from alnico.model_card import ModelCard
from alnico.models.joined import JoinedConfig, JoinedModalities, Tables
from alnico.nn.features import content_of
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct


class DragonConfig(JoinedConfig):
    """Settings of DRAGON. Defaults are those of the official code; l2 1e-3 on Baby and Sports, .1 on Clothing."""

    companions: PositiveInt = 40
    """Users with the most items in common that each user hears."""


class Dragon(JoinedModalities):
    """score(u, i) = <e_u + sum of q_uw e_w over companions w, e_i + sum of M_ij e_j>, e the joined modalities.

    e as in ``JoinedModalities``. M is FREEDOM's frozen item graph. Companions of a user are those with the most
    training items in common, q the softmax of these counts. Lists that are too short are filled up at random anew
    each epoch, each place by itself, which moves weight between a user's own companions; scoring has the average of
    that. Items have no identities of their own. Loss: BPR in logarithms to base 2 + l2 * (mean squares of the
    batch's user preferences and of all users' weights).

    Source: Zhou et al., Enhancing Dyadic Relations with Homogeneous Graphs for Multimodal Recommendation, ECAI 2023;
    details as in its official code: attentive concatenation with one weight per user and modality, frozen vectors,
    full user-item graph, softmax of raw counts. Any number of modalities from one on.
    """

    Config = DragonConfig
    card = ModelCard(
        "DRAGON",
        "Enhancing Dyadic Relations with Homogeneous Graphs for Multimodal Recommendation, ECAI 2023",
        2023,
        ("content",),
    )

    def __init__(
        self,
        config: DragonConfig,
        train: Interactions,
        items: Graph,
        content: ItemFeatures,
        companions: Companions,
    ) -> None:
        super().__init__(config, train, items, content)
        self.config = config
        self.companions = companions
        self.user_graph = self.drawn = companion_graph(companions)

    @classmethod
    def build(cls, config: DragonConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "dragon")
        items = mixed_content_graph(content, data.neighbours, data.graphs, config.neighbours, config.shares)
        companions = companions_of(data.interactions, config.companions, data.graphs)
        with seeded(rng):
            return cls(config, data.interactions, items, content, companions)

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Fill up short lists of companions for this epoch's training."""
        self.drawn = companion_graph(self.companions, rng)

    def _apart(self) -> Tables:
        """Joined users and items before their own graphs."""
        nodes = self._walked(self._start(self.user_preferences, self.networks, self._vectors()))
        return self._weighed(nodes[: self.n_users]), nodes[self.n_users :]

    def loss_terms(self, batch: Batch) -> Step:
        rows = Distinct.of(batch)
        users, items = self._apart()
        chosen = users.index_select(0, rows.users) + self.drawn.propagate(users, rows.users)
        return Step(self._ranking(rows, chosen, self._with_like(items, rows.items)))

    def _final(self) -> Tables:
        users, items = self._apart()
        return users + self.user_graph.propagate(users), self._with_like(items)
