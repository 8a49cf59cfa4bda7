"""Behaviour and content of the neighbourhood, and what soft hyperedges say of everybody."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import mean_pooling, symmetric_graph
from alnico.model_card import ModelCard
from alnico.nn.features import content_of
from alnico.nn.hypergraph import (
    HyperedgeContent,
    Hypergraph,
    contrast_among_all,
    mean_over_pairs,
    propagated_with_all_items,
)
from alnico.nn.losses import unsquared_l2
from alnico.nn.propagation import xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot

Nodes = Float[Tensor, "nodes width"]


class LgmRecConfig(ModelConfig):
    """Settings of LGMRec. Defaults are those of the official runs on Baby; theirs for other sets stand beside."""

    width: PositiveInt = 64
    """Length d of the embeddings."""
    layers: PositiveInt = 2
    """Hops of behaviour over the user-item graph; official code."""
    content_layers: PositiveInt = 2
    """Hops of content over the user-item graph; official code."""
    hyperedges: PositiveInt = 4
    """Hyperedges K per modality; official runs: 4 on Baby and Sports, 64 on Clothing."""
    hyper_layers: PositiveInt = 1
    """Rounds H over the hyperedges; official runs: 1 on Baby, 4 on Sports, 2 on Clothing."""
    keep: float = Field(0.5, gt=0, le=1)
    """Share of memberships that dropout leaves; official runs: .5 on Baby, .4 on Sports, .2 on Clothing."""
    global_weight: NonNegativeFloat = 0.3
    """Weight alpha of what hyperedges say; official runs: .3 on Baby, .6 on Sports, .2 on Clothing."""
    sharpness: PositiveFloat = 0.2
    """Temperature tau of the memberships; official code."""
    contrast: NonNegativeFloat = 1e-4
    """Weight of the contrast between modalities, which is a sum over the batch; official code."""
    temperature: PositiveFloat = 0.2
    """Temperature of the contrast; official code."""
    l2: NonNegativeFloat = 1e-6
    """Weight of the unsquared norm of the batch's final embeddings; official code."""
    features_trainable: bool = False
    """Whether the raw vectors are trained too; frozen in the official code."""


class LgmRec(TrainableRecommender):
    """score(u, i) = <e_u, e_i>, e = C + sum over modalities of unit F_m + alpha * unit (sum over modalities of G_m).

    C is LightGCN of identities. F_m is the last of some hops of content, X_m T_m of items and its mean of users'
    histories. Items belong to hyperedges by softmax((X_m V_m + Gumbel noise) / tau), users by the same of the SUM of
    X_m V_m over their histories; hyperedges gather C of their items, and G_m is what they tell items and users.
    Loss: BPR + contrast * (for each triple InfoNCE between modalities of G_m of the user, among all users, and of the
    positive, among all items; a SUM) + l2 of the final embeddings.

    Source: Guo et al., LGMRec: Local and Global Graph Learning for Multimodal Recommendation, AAAI 2024, its modules
    of local graph embedding and of global hypergraph embedding; details as in its official code: frozen vectors,
    dropout on memberships, summed contrast from the first modality to the second, norms not squared. One departure:
    that code draws Gumbel noise for evaluation too, so that scores differ from call to call; here the scorer draws
    none. Any number of modalities: with more than two the contrast is the mean over all pairs, with one there is none.
    """

    Config = LgmRecConfig
    card = ModelCard(
        "LGMRec",
        "LGMRec: Local and Global Graph Learning for Multimodal Recommendation, AAAI 2024",
        2024,
        ("content",),
    )

    lengths: Tensor

    def __init__(self, config: LgmRecConfig, train: Interactions, content: ItemFeatures) -> None:
        super().__init__()
        self.config = config
        ends = train.users, train.items, train.n_users, train.n_items
        self.graph = symmetric_graph(*ends)
        self.histories = mean_pooling(*ends)
        self.users = xavier_table(train.n_users, config.width)
        self.items = xavier_table(train.n_items, config.width)
        lengths = torch.from_numpy(np.bincount(train.users, minlength=train.n_users))
        self.register_buffer("lengths", lengths.float()[:, None], persistent=False)
        self.contrasted = config.contrast > 0 and len(content) > 1
        # Without their parts in score and loss there are no hyperedges.
        self.edges = config.hyperedges if config.global_weight or self.contrasted else 0
        self.content = nn.ModuleList(
            HyperedgeContent(modality, config.width, self.edges, trainable=config.features_trainable)
            for modality in content.values()
        )

    @classmethod
    def build(cls, config: LgmRecConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "lgmrec")
        with seeded(rng):
            return cls(config, data.interactions, content)

    def _near(self, cues: Sequence[Float[Tensor, "items width"]], rows: Distinct | None) -> Nodes:
        """The sum over modalities of unit F_m; all go over the graph side by side."""
        items = torch.cat(list(cues), dim=1)
        layer = torch.cat([self.histories.propagate(items), items])
        for _ in range(self.config.content_layers - 1):
            layer = self.graph.propagate(layer)
        layer = self.graph.propagate(layer, None if rows is None else rows.nodes(self.users.num_embeddings))
        return functional.normalize(layer.view(len(layer), len(cues), -1), dim=2).sum(1)

    def _hypergraphs(
        self,
        leanings: Sequence[Float[Tensor, "items edges"]],
        behaviour: Float[Tensor, "items width"],
        *,
        training: bool,
    ) -> list[Hypergraph]:
        config = self.config
        summed = self.lengths * self.histories.propagate(torch.cat(list(leanings), dim=1))
        return [
            Hypergraph.of(
                users,
                items,
                behaviour,
                config.sharpness,
                noisy=training,
                dropout=1 - config.keep if training else 0.0,
                rounds=config.hyper_layers,
            )
            for users, items in zip(torch.split(summed, self.edges, dim=1), leanings, strict=True)
        ]

    def _final(self, rows: Distinct | None, *, training: bool) -> tuple[Nodes, list[Hypergraph]]:
        """The embeddings that score, of these nodes or of all, and what they know of everybody."""
        read = [part() for part in self.content]
        table = torch.cat([self.users.weight, self.items.weight])
        hops, n_users = [self.graph] * self.config.layers, self.users.num_embeddings
        behaviour, items = propagated_with_all_items(hops, table, n_users, rows)
        final = behaviour + self._near([cues for cues, _ in read], rows)
        if not self.edges:
            return final, []
        graphs = self._hypergraphs([leanings for _, leanings in read], items, training=training)
        if self.config.global_weight:
            told = torch.stack([graph.nodes(rows) for graph in graphs]).sum(0)
            final = final + self.config.global_weight * functional.normalize(told, dim=1)
        return final, graphs

    def loss_terms(self, batch: Batch) -> Step:
        config, rows = self.config, Distinct.of(batch)
        final, graphs = self._final(rows, training=self.training)
        users, items = rows.apart(final)
        terms = {"bpr": rows.bpr(users, items)}
        if self.contrasted:
            terms["contrast"] = config.contrast * mean_over_pairs(
                graphs, lambda one, other: contrast_among_all(one, other, batch, config.temperature)
            )
        if config.l2:
            terms["l2"] = config.l2 * unsquared_l2(*rows.spread(users, items))
        return Step(terms)

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        final, _ = self._final(None, training=False)
        n_users = self.users.num_embeddings
        return frozen_dot(final[:n_users], final[n_users:])
