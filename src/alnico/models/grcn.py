"""Edges weighed by how well content agrees with taste, so that false positives weigh little."""

from typing import Literal, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import edge_pattern
from alnico.kernels.edges import Pattern, edge_products, row_softmax, weighted_sums
from alnico.model_card import ModelCard
from alnico.nn.features import FeatureTable, content_of
from alnico.nn.propagation import xavier_table, xavier_tables
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot

Nodes = Float[Tensor, "nodes width"]


class GrcnConfig(ModelConfig):
    """Settings of GRCN. Defaults are those of the official code, l2 that of public runs."""

    width: PositiveInt = 64
    """Length d of identities and of projected content."""
    layers: PositiveInt = 2
    """Hops of the identities over the refined graph."""
    routed: Literal["items", "users"] = "items"
    """Whom the routing sends its messages to: "items" as in the official code, "users" as in the paper."""
    rounds: PositiveInt = 3
    """Rounds of routing; they change nothing unless users are routed to."""
    l2: NonNegativeFloat = 0.0
    """Weight of the mean squares of identities and preferences; 0 in public runs, grid .1 to 1e-5."""
    features_trainable: bool = False
    """Whether the raw vectors are trained; in the official code they are not."""


class Grcn(TrainableRecommender):
    """score(u, i) = <[x_u, c_u^1, .., c_u^M], [x_i, c_i^1, .., c_i^M]>: identities and content side by side.

    In each modality users have a preference p_u, items a projection f_i, both of length one. Every node gathers from
    its neighbours j by attention, alpha = softmax of <., .> over them, and adds what it gathers to its own: c^m. An
    edge from j then weighs max(0, max over modalities of alpha^m * t_j^m), t_j^m a trained confidence in the node
    that speaks; over these weights identities of length one are propagated, and the layers summed: x. Loss: BPR + l2 *
    mean squares.

    Before that the paper lets preferences take up what the users' items say, in some rounds of the same attention
    between users and items. The official code's edges of these rounds run from users to items: users gather nothing,
    and preferences stay as they were. So it is here, at no cost, unless ``routed`` says "users".

    Source: Wei et al., Graph-Refined Convolutional Network for Multimedia Recommendation with Implicit Feedback,
    MM 2020; details as in its public code: frozen vectors, l2 on the whole table of the first modality's preferences
    and on all modalities' for the batch's users. Evaluation computes all anew. Any number of modalities.
    """

    Config = GrcnConfig
    card = ModelCard(
        "GRCN",
        "Graph-Refined Convolutional Network for Multimedia Recommendation with Implicit Feedback, MM 2020",
        2020,
        ("content",),
        remark='as in the public port, whose routing changes nothing; `routed = "users"` is the paper\'s',
    )

    def __init__(self, config: GrcnConfig, train: Interactions, content: ItemFeatures) -> None:
        super().__init__()
        self.config = config
        n_users, n_items = train.n_users, train.n_items
        self.edges = edge_pattern(train.users, train.items, n_users, n_items)
        # What users gather from in the routing.
        self.histories = (
            Pattern.of(train.users, train.items, (n_users, n_items))[0] if config.routed == "users" else None
        )
        self.users, self.items = xavier_tables(n_users, n_items, config.width)
        self.features = nn.ModuleList(
            FeatureTable(modality, trainable=config.features_trainable) for modality in content.values()
        )
        self.projections = nn.ModuleList(
            nn.Linear(modality.width, config.width) for modality in content.values()
        )
        self.user_preferences = nn.ModuleList(xavier_table(n_users, config.width) for _ in content)
        self.user_confidence, self.item_confidence = xavier_tables(n_users, n_items, len(content))

    @classmethod
    def build(cls, config: GrcnConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "grcn")
        with seeded(rng):
            return cls(config, data.interactions, content)

    def _content(self) -> list[Nodes]:
        """Per modality the preferences of users and the projections of items, of length one."""
        parts = zip(self.projections, self.features, self.user_preferences.parameters(), strict=True)
        return [
            self._routed(
                functional.normalize(preferences, dim=1),
                functional.normalize(functional.leaky_relu(project(table())), dim=1),
            )
            for project, table, preferences in parts
        ]

    def _routed(self, users: Float[Tensor, "users width"], items: Float[Tensor, "items width"]) -> Nodes:
        """Users after the routing, and items."""
        if self.histories is not None:
            histories = self.histories.on(users.device)
            for _ in range(self.config.rounds):
                shares = row_softmax(histories, edge_products(histories, users, items))
                users = functional.normalize(users + weighted_sums(histories, shares, items), dim=1)
        return torch.cat([users, items])

    def _nodes(self, nodes: Int[Tensor, " chosen"] | None) -> Nodes:
        """Users and items as the score reads them, these or all."""

        def of(table: Tensor) -> Tensor:
            return table if nodes is None else table.index_select(0, nodes)

        edges = self.edges.on(self.users.weight.device)
        confidence = torch.cat([self.user_confidence.weight, self.item_confidence.weight]).unbind(1)
        sides, weights = [], []
        for table, trusted in zip(self._content(), confidence, strict=True):
            shares = row_softmax(edges, edge_products(edges, table, table))
            sides.append(of(table) + weighted_sums(edges, shares, table, nodes))
            weights.append(shares * trusted.index_select(0, edges.columns))
        refined = torch.stack(weights).amax(0).relu()
        layer = functional.normalize(torch.cat([self.users.weight, self.items.weight]), dim=1)
        total = of(layer)
        for _ in range(self.config.layers - 1):
            layer = weighted_sums(edges, refined, layer)
            total = total + of(layer)
        total = total + weighted_sums(edges, refined, layer, nodes)
        return torch.cat([total, *sides], dim=1)

    def loss_terms(self, batch: Batch) -> Step:
        rows = Distinct.of(batch)
        users, items = rows.apart(self._nodes(rows.nodes(self.users.num_embeddings)))
        terms = {"bpr": rows.bpr(users, items)}
        if self.config.l2:
            terms["l2"] = self.config.l2 * self._mean_squares(rows)
        return Step(terms)

    def _mean_squares(self, rows: Distinct) -> Float[Tensor, ""]:
        def mean(table: Tensor) -> Tensor:
            return table.square().mean()

        own = (self.users.weight.index_select(0, rows.users), self.items.weight.index_select(0, rows.items))
        users, positives, negatives = rows.spread(*own)
        total = mean(users) + (mean(positives) + mean(negatives)) / 2
        tables = list(self.user_preferences.parameters())
        chosen = [mean(table.index_select(0, rows.batch.users)) for table in tables]
        return torch.stack([total, mean(tables[0]), *chosen]).sum()

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        final = self._nodes(None)
        n_users = self.users.num_embeddings
        return frozen_dot(final[:n_users], final[n_users:])
