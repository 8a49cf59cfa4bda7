"""Channels over graphs pruned apart, hyperedges that exchange what they hold, and vectors cleaned by diffusion."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.errors import ConfigError
from alnico.graphs.graph import Graph, mean_pooling, pruned_graph, symmetric_graph
from alnico.graphs.items import mixed_content_graph
from alnico.model_card import ModelCard
from alnico.nn.diffusion import Denoiser, Diffusion
from alnico.nn.features import content_of
from alnico.nn.hypergraph import (
    HyperedgeContent,
    Hypergraph,
    exchanged,
    mean_over_pairs,
    propagated_with_all_items,
)
from alnico.nn.losses import half_squared_l2
from alnico.nn.propagation import light_propagate, light_propagate_rows, xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot

Nodes = Float[Tensor, "nodes width"]


class ItCoHdConfig(ModelConfig):
    """Settings of ITCoHD-MRec. None of its values is public: each default is this project's guess, from named kin."""

    width: PositiveInt = 64
    """Length d of the embeddings; usual in this family."""
    layers: PositiveInt = 2
    """Hops of each channel over the user-item graph; as in FREEDOM."""
    item_layers: NonNegativeInt = 1
    """Hops over the item graph; as in FREEDOM. 0 leaves it out."""
    neighbours: PositiveInt = 10
    """Neighbours k per item and modality, the item itself among them; as in FREEDOM."""
    shares: Mapping[str, PositiveFloat] | None = None
    """Share of each modality in the item graph; by default .1 for image and .9 for text, others even, as in FREEDOM."""
    pruning: float = Field(0.8, ge=0, lt=1)
    """Share p of training edges that each channel leaves out in each epoch; guess .5 to .8, as in FREEDOM."""
    hyperedges: PositiveInt = 4
    """Hyperedges K per modality; as in LGMRec, 4 on Baby and Sports, 64 on Clothing."""
    sharpness: PositiveFloat = 0.2
    """Temperature tau of the memberships; as in LGMRec."""
    gumbel: bool = True
    """Whether Gumbel noise goes into the memberships in training; as in LGMRec."""
    exchange: NonNegativeFloat = 0.5
    """Weight g of the other modalities' messages in the messages of a modality; this project's choice."""
    global_weight: NonNegativeFloat = 0.3
    """Weight alpha of the cleaned vectors; guess .2 to .6, as in LGMRec."""
    diffusion_steps: PositiveInt = 5
    """Steps T of the diffusion; as in DiffRec."""
    noise: float = Field(0.1, gt=0, lt=1)
    """Share of noise in the mean square after all steps; guess after DiffRec's noise scale."""
    noised: NonNegativeInt = 0
    """Steps T' of noise that vectors get before all steps are taken back; guess 0 to 2, 0 in DiffRec."""
    denoising: NonNegativeFloat = 0.1
    """Weight of the denoiser's loss; guess .1 to 1."""
    contrast: NonNegativeFloat = 1e-3
    """Weight of the contrast between modalities; guess 1e-4 to 1e-2."""
    temperature: PositiveFloat = 0.2
    """Temperature of the contrast; usual in this family."""
    l2: NonNegativeFloat = 1e-4
    """Weight of half the squared norm of the batch's identities before propagation; usual in this family."""
    features_trainable: bool = False
    """Whether the raw vectors are trained too; frozen as in LGMRec."""


class ItCoHd(TrainableRecommender):
    """score(u, i) = <e_u, e_i>, e = E_id + sum over modalities of unit E_m + alpha * unit (cleaned G), items + M Q.

    Channels: E_id and each E_m are LightGCN with users of their own, over graphs that are pruned in training, each by
    itself and anew each epoch; items enter E_id as identities Q, E_m as projected content X_m T_m. M is FREEDOM's item
    graph. Hyperedges: items belong to them by softmax(X_m V_m / tau), with Gumbel noise in training, users by the same
    of the mean of X_m V_m over their histories; they gather E_id of their items, take g times what those of the other
    modalities gathered, and tell it to users and items. Diffusion: G, the sum over modalities, scaled to entries of
    mean square 1, goes back through all steps of a denoiser: with noise in training, as means in the scorer.
    Loss: BPR + weighted squared error of the denoiser's guesses + contrast (InfoNCE between modalities of what
    hyperedges tell the batch's users and positives) + l2 of identities.

    Source: Hao et al., ITCoHD-MRec, ACM Transactions on Information Systems 44(1), 2025, doi 10.1145/3767337. Only its
    title and a lay summary are accessible: topological pruning removes noisy links, a generative diffusion spreads
    clean preferences over a multimodal hypergraph, visual, textual and collaborative cues are blended. EVERYTHING
    beyond that is this project's reconstruction, from the models of the same family that are named above and from
    LGMRec and DiffRec; no number of this model is evidence about the paper's. Any number of modalities: with more
    than two the contrast is the mean over all pairs and a message takes the mean of the others, with one there is
    neither.
    """

    Config = ItCoHdConfig
    card = ModelCard(
        "ITCoHD-MRec",
        "ITCoHD-MRec, ACM Transactions on Information Systems 44(1), 2025",
        2025,
        ("content",),
        reproduction="reconstructed",
        remark=(
            "Neither code nor full text is public; all beyond the title and a lay summary "
            "(pruned links, hypergraph, diffusion, blended cues) is this project's reconstruction."
        ),
    )

    def __init__(
        self, config: ItCoHdConfig, train: Interactions, items: Graph | None, content: ItemFeatures
    ) -> None:
        super().__init__()
        self.config = config
        self.train_set = train
        self.item_graph = items
        ends = train.users, train.items, train.n_users, train.n_items
        self.graph = symmetric_graph(*ends)
        self.histories = mean_pooling(*ends)
        self.pruned = [self.graph] * (1 + len(content))
        self.users = xavier_table(train.n_users, config.width)
        self.items = xavier_table(train.n_items, config.width)
        self.users_of_content = nn.ModuleList(xavier_table(train.n_users, config.width) for _ in content)
        self.contrasted = config.contrast > 0 and len(content) > 1
        # Without their parts in score and loss there are neither hyperedges nor a denoiser.
        self.edges = config.hyperedges if config.global_weight or self.contrasted else 0
        self.content = nn.ModuleList(
            HyperedgeContent(modality, config.width, self.edges, trainable=config.features_trainable)
            for modality in content.values()
        )
        diffusion = Diffusion(config.diffusion_steps, config.noise)
        self.denoiser = Denoiser(diffusion, config.width) if config.global_weight else None

    @classmethod
    def build(cls, config: ItCoHdConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "itcohd")
        if config.noised > config.diffusion_steps:
            raise ConfigError(
                f"noised counts steps of the diffusion, which has {config.diffusion_steps}; found {config.noised}"
            )
        items = None
        if config.item_layers:
            items = mixed_content_graph(
                content, data.neighbours, data.graphs, config.neighbours, config.shares
            )
        with seeded(rng):
            return cls(config, data.interactions, items, content)

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw the edges that each channel sees in this epoch's training."""
        if self.config.pruning:
            train = self.train_set
            ends = train.users, train.items, train.n_users, train.n_items
            self.pruned = [pruned_graph(*ends, self.config.pruning, rng) for _ in self.pruned]

    def _near(
        self, cues: Sequence[Float[Tensor, "items width"]], rows: Distinct | None
    ) -> tuple[Nodes, Float[Tensor, "items width"]]:
        """E_id + sum of unit E_m of a batch's nodes or of all, and E_id of all items.

        Over the pruned graphs for a batch, over the whole one for all nodes.
        """
        n_users, layers = self.users.num_embeddings, self.config.layers
        graphs = [self.graph] * len(self.pruned) if rows is None else self.pruned
        identities = torch.cat([self.users.weight, self.items.weight])
        near, items = propagated_with_all_items([graphs[0]] * layers, identities, n_users, rows)
        for graph, users, own in zip(graphs[1:], self.users_of_content.parameters(), cues, strict=True):
            channel = torch.cat([users, own])
            if rows is None:
                told = light_propagate([graph] * layers, channel)
            else:
                told = light_propagate_rows([graph] * layers, channel, rows.nodes(n_users))[0]
            near = near + functional.normalize(told, dim=1)
        return near, items

    def _hypergraphs(
        self,
        leanings: Sequence[Float[Tensor, "items edges"]],
        behaviour: Float[Tensor, "items width"],
        *,
        noisy: bool,
    ) -> list[Hypergraph]:
        averaged = self.histories.propagate(torch.cat(list(leanings), dim=1))
        graphs = [
            Hypergraph.of(users, items, behaviour, self.config.sharpness, noisy=noisy)
            for users, items in zip(torch.split(averaged, self.edges, dim=1), leanings, strict=True)
        ]
        messages = exchanged([graph.messages for graph in graphs], self.config.exchange)
        return [replace(graph, messages=held) for graph, held in zip(graphs, messages, strict=True)]

    def _with_item_graph(self, near: Nodes, rows: Distinct | None) -> Nodes:
        """M Q added to a batch's items, or to all."""
        if self.item_graph is None:
            return near
        smooth = self.items.weight
        for _ in range(self.config.item_layers - 1):
            smooth = self.item_graph.propagate(smooth)
        smooth = self.item_graph.propagate(smooth, None if rows is None else rows.items)
        n_users = len(near) - len(smooth)
        return torch.cat([near[:n_users], near[n_users:] + smooth])

    def _final(
        self, rows: Distinct | None, *, training: bool
    ) -> tuple[Nodes, list[Hypergraph], Nodes | None]:
        """The embeddings that score, of a batch's nodes or of all; what hyperedges hold; and G, scaled."""
        config = self.config
        read = [part() for part in self.content]
        near, behaviour = self._near([cues for cues, _ in read], rows)
        final = self._with_item_graph(near, rows)
        if not self.edges:
            return final, [], None
        noisy = training and config.gumbel
        graphs = self._hypergraphs([leanings for _, leanings in read], behaviour, noisy=noisy)
        if self.denoiser is None:
            return final, graphs, None
        told = torch.stack([graph.nodes(rows) for graph in graphs]).sum(0)
        told = functional.normalize(told, dim=1) * math.sqrt(config.width)
        clean = self.denoiser.denoised(told, config.noised, noisy=training)
        return final + config.global_weight * functional.normalize(clean, dim=1), graphs, told

    def loss_terms(self, batch: Batch) -> Step:
        config, rows = self.config, Distinct.of(batch)
        final, graphs, told = self._final(rows, training=self.training)
        terms = {"bpr": rows.bpr(*rows.apart(final))}
        if self.contrasted:
            terms["contrast"] = config.contrast * mean_over_pairs(
                graphs,
                lambda one, other: rows.contrast(
                    rows.apart(one.nodes(rows)), rows.apart(other.nodes(rows)), config.temperature
                ),
            )
        if self.denoiser is not None and told is not None and config.denoising:
            terms["denoising"] = config.denoising * self.denoiser.loss(told)
        if config.l2:
            own = (
                self.users.weight.index_select(0, rows.users),
                self.items.weight.index_select(0, rows.items),
            )
            terms["l2"] = config.l2 * half_squared_l2(*rows.spread(*own), full_size=batch.full_size)
        return Step(terms)

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        final = self._final(None, training=False)[0]
        n_users = self.users.num_embeddings
        return frozen_dot(final[:n_users], final[n_users:])
