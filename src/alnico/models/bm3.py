"""Users, items and content that foretell each other's blurred copies; no negatives."""

from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.features import ItemFeatures
from alnico.graphs.graph import Graph, symmetric_graph
from alnico.model_card import ModelCard
from alnico.nn.features import FeatureTable, content_of
from alnico.nn.losses import cosine_gap, unsquared_l2
from alnico.nn.propagation import light_propagate, light_propagate_rows, xavier_linear, xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot


class Bm3Config(ModelConfig):
    """Settings of BM3. Defaults are the official ones for Baby."""

    width: PositiveInt = 64
    """Length d of the embeddings."""
    layers: NonNegativeInt = 1
    """Number L of hops; 1 on Baby and Sports, 2 on Electronics."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share p of entries that targets lose; .5 on Baby and Sports, .3 on Electronics."""
    content_weight: NonNegativeFloat = 2.0
    """Weight of the terms on content against those on behaviour, as in the official code."""
    l2: NonNegativeFloat = 0.1
    """Weight lambda of the unsquared norms of all final embeddings; .1 on Baby and Electronics, .01 on Sports."""
    features_trainable: bool = True
    """Whether the raw vectors are trained too, as in the official code."""


class Bm3(TrainableRecommender):
    """score(u, i) = <q(u), q(i)>, q one linear predictor for all; u from LightGCN, i from it plus the identity Q_i.

    Each q(x) foretells targets: embeddings that have lost entries by dropout and send no gradient back. With f_m =
    W_m x_m + b_m of the batch's items and gap = 1 - cos, means over the batch's pairs (u, i):
    gap(q(u), i') + gap(q(i), u') + content_weight * sum over m of [gap(q(f_m), i') + gap(q(f_m), f_m')]
    + l2 * (norm of all u + norm of all i) / number of items. Negatives are not read.

    Source: Zhou et al., Bootstrap Latent Representations for Multi-modal Recommendation, WWW 2023: reconstruction of
    the graph, alignment between and masking within modalities; details as in its official code: trained raw vectors,
    norms over all users and items, a node that stands in several pairs has one target. Any number of modalities from
    one on.
    """

    Config = Bm3Config
    card = ModelCard(
        "BM3",
        "Bootstrap Latent Representations for Multi-modal Recommendation, WWW 2023",
        2023,
        ("content",),
    )

    def __init__(self, config: Bm3Config, graph: Graph, n_users: int, content: ItemFeatures) -> None:
        super().__init__()
        self.config = config
        self.graph = graph
        self.users = xavier_table(n_users, config.width)
        self.items = xavier_table(content.n_items, config.width)
        self.predictor = xavier_linear(config.width, config.width, "normal")
        # Without their losses the vectors have no part in the model.
        used = content if config.content_weight else content.only()
        self.names = used.names
        self.features = nn.ModuleList(
            FeatureTable(modality, trainable=config.features_trainable) for modality in used.values()
        )
        self.projections = nn.ModuleList(
            xavier_linear(modality.width, config.width, "normal") for modality in used.values()
        )

    @classmethod
    def build(cls, config: Bm3Config, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "bm3")
        train = data.interactions
        graph = symmetric_graph(train.users, train.items, train.n_users, train.n_items)
        with seeded(rng):
            return cls(config, graph, train.n_users, content)

    def _final(
        self, rows: Distinct | None = None
    ) -> tuple[Float[Tensor, "users width"], Float[Tensor, "items width"]]:
        """Users and items before the predictor: all, or these."""
        table = torch.cat([self.users.weight, self.items.weight])
        hops, n_users = [self.graph] * self.config.layers, self.users.num_embeddings
        if rows is None:
            users, items = torch.split(light_propagate(hops, table), [n_users, self.items.num_embeddings])
            return users, items + self.items.weight
        users, items = rows.apart(light_propagate_rows(hops, table, rows.nodes(n_users))[0])
        return users, items + self.items.weight.index_select(0, rows.items)

    def _blurred(self, table: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """The targets of these rows."""
        return functional.dropout(table.detach(), self.config.dropout, self.training)

    def loss_terms(self, batch: Batch) -> Step:
        config, rows, terms = self.config, Distinct.of(batch, negatives=False), {}
        if config.l2:
            users, items = self._final()
            terms["l2"] = config.l2 * unsquared_l2(users, items)
            users, items = users.index_select(0, rows.users), items.index_select(0, rows.items)
        else:
            users, items = self._final(rows)
        blurred = self._blurred(items)
        from_users = self.predictor(users).index_select(0, rows.user_place)
        from_items = self.predictor(items).index_select(0, rows.item_place)
        to_users = self._blurred(users).index_select(0, rows.user_place)
        to_items = blurred.index_select(0, rows.item_place)
        terms["interactions"] = cosine_gap(from_users, to_items, batch.weights) + cosine_gap(
            from_items, to_users, batch.weights
        )
        # What depends on the item alone is computed once for all of its pairs.
        shares = torch.zeros_like(items[:, 0]).index_add_(0, rows.item_place, batch.weights / len(batch))
        for name, table, project in zip(self.names, self.features, self.projections, strict=True):
            content = project(table(rows.items))
            told = self.predictor(content)
            across = cosine_gap(told, blurred, shares, "sum")
            within = cosine_gap(told, self._blurred(content), shares, "sum")
            terms[f"content/{name}"] = config.content_weight * (across + within)
        return Step(terms)

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        users, items = self._final()
        return frozen_dot(self.predictor(users), self.predictor(items))
