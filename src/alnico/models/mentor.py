"""Modalities propagated apart and joined, their moments aligned under the guidance of identities."""

from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import Batch, Step, TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph
from alnico.graphs.items import mixed_content_graph
from alnico.model_card import ModelCard
from alnico.models.joined import JoinedConfig, JoinedModalities, Nodes, Tables
from alnico.nn.features import content_network, content_of
from alnico.nn.losses import info_nce, moment_gaps
from alnico.nn.noise import perturbed
from alnico.nn.propagation import xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct

SOME_ROWS = 1024


class MentorConfig(JoinedConfig):
    """Settings of MENTOR. Defaults are those of the official code; its best values per data set are not published."""

    mode: Literal["official", "paper"] = "official"
    """official: what the published code trains; paper: what the text describes."""
    alignment: NonNegativeFloat = 0.1
    """Weight of the alignment of means and variances; grid .1, .2, .3."""
    contrast: NonNegativeFloat = 1e-3
    """Weight of the contrast between two noisy passes; grid 1e-3, 1e-4."""
    temperature: PositiveFloat = 0.2
    """Temperature tau of the contrast; grid .2, .4, .6."""
    noise: NonNegativeFloat = 0.1
    """Length of the random vector added after each hop of a noisy pass."""
    contrast_rows: PositiveInt | None = None
    """Users and items drawn per step whose contrast is computed, each against all; None: all, as in the source."""
    masking: NonNegativeFloat = 1.5
    """Weight of the task on masked features, mode paper only; searched .5 to 2.5."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of entries that this task masks; searched .1 to .7."""

    def thriftier(self) -> list[dict[str, Any]]:
        fewer = [{"contrast_rows": SOME_ROWS}] if self.contrast and self.contrast_rows is None else []
        return [*fewer, *super().thriftier()]


class Mentor(JoinedModalities):
    """score(u, i) = <e_u, e_i + sum of M_ij e_j>, e the joined modalities of ``JoinedModalities``.

    M is FREEDOM's frozen item graph. Loss: that of ``JoinedModalities``
    + alignment * sum over pairs of (|difference of variances| + |difference of means|), the pairs taken from the joined
    table, each modality's own (repeated to the same width, users unweighted) and the guide, which is made likewise from
    identities
    + contrast * (InfoNCE over all users + InfoNCE over all items) between two passes with noise after every hop
    + masking * (2 - mean cosine of dropped-out and mapped users - that of items).

    In mode "official" the noisy passes have preferences and networks of their own, so the contrast reaches nothing
    that is scored but the users' weights. The official code forms the masking task where no gradient is recorded: it
    adds a number to the loss and trains nothing, so it is left out here without any other change. In mode "paper" the
    noisy passes start where the scored ones do, and the masking task has its gradient.
    With ``contrast_rows`` the contrast is the mean over rows drawn at random, its expectation that over all rows.

    Source: Xu et al., MENTOR: Multi-level Self-supervised Learning for Multimodal Recommendation, AAAI 2025; details
    as in its official code: frozen vectors, unused user graph left out. Any number of modalities from one on.
    """

    Config = MentorConfig
    card = ModelCard(
        "MENTOR",
        "MENTOR: Multi-level Self-supervised Learning for Multimodal Recommendation, AAAI 2025",
        2025,
        ("content",),
        remark="as its official code trains it; mode paper follows the text",
    )

    def __init__(
        self, config: MentorConfig, train: Interactions, items: Graph, content: ItemFeatures
    ) -> None:
        super().__init__(config, train, items, content)
        self.config = config
        width, n_modalities = config.width, len(self.features)
        self.guided = config.alignment > 0
        if self.guided:
            self.user_identities = self._preferences(1)
            self.item_identities = xavier_table(train.n_items, width)
            self.identity_network = content_network(width, width)
        self.own_passes = config.mode == "official" and config.contrast > 0
        if self.own_passes:
            self.user_passes = self._preferences(2 * n_modalities)
            self.pass_networks = self._networks(2)
        self.masked = config.mode == "paper" and config.masking > 0
        if self.masked:
            self.mapping = nn.Linear(n_modalities * width, n_modalities * width)

    @classmethod
    def build(cls, config: MentorConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "mentor")
        items = mixed_content_graph(content, data.neighbours, data.graphs, config.neighbours, config.shares)
        with seeded(rng):
            return cls(config, data.interactions, items, content)

    def loss_terms(self, batch: Batch) -> Step:
        config, rows, vectors = self.config, Distinct.of(batch), self._vectors()
        start = self._start(self.user_preferences, self.networks, vectors)
        wide = start.shape[1]
        if self.guided:
            guide = self._start(self.user_identities, [self.identity_network], [self.item_identities.weight])
            nodes = self._walked(torch.cat([start, guide], 1))
        else:
            nodes = self._walked(start)
        apart, like = nodes[: self.n_users], self._with_like(nodes[self.n_users :])
        users, items = self._weighed(apart[:, :wide]), like[:, :wide]
        terms = self._ranking(rows, users.index_select(0, rows.users), items.index_select(0, rows.items))
        if self.guided:
            views = torch.cat([apart, like]).chunk(len(self.features) + 1, dim=1)
            copies = [1, *(len(self.features) for _ in views)]
            gaps = moment_gaps([torch.cat([users, items]), *views], copies)
            terms["alignment"] = config.alignment * gaps
        if config.contrast:
            starts = (
                self._start(self.user_passes, self.pass_networks, vectors * 2).chunk(2, dim=1)
                if self.own_passes
                else (start, start)
            )
            one, other = (self._noisy(each) for each in starts)
            contrast = self._contrast(one[0], other[0]) + self._contrast(one[1], other[1])
            terms["contrast"] = config.contrast * contrast
        if self.masked:
            terms["masking"] = config.masking * (self._masking(users) + self._masking(items))
        return Step(terms)

    def _noisy(self, start: Nodes) -> Tables:
        """Joined users and items of a pass with noise after every hop."""
        total = layer = start
        for _ in range(self.config.layers):
            layer = perturbed(self.graph.propagate(layer), self.config.noise, len(self.features))
            total = total + layer
        return self._weighed(total[: self.n_users]), self._with_like(total[self.n_users :])

    def _contrast(
        self, one: Float[Tensor, "rows wide"], other: Float[Tensor, "rows wide"]
    ) -> Float[Tensor, ""]:
        config = self.config
        if config.contrast_rows is None or config.contrast_rows >= len(one):
            return info_nce(one, other, config.temperature)
        some = torch.randperm(len(one), device=one.device)[: config.contrast_rows]
        return info_nce(one.index_select(0, some), other, config.temperature, own=some)

    def _masking(self, table: Float[Tensor, "rows wide"]) -> Float[Tensor, ""]:
        """1 - mean cosine between rows with entries dropped out and mapped rows."""
        dropped = functional.dropout(table, self.config.dropout, self.training)
        return 1 - functional.cosine_similarity(dropped, self.mapping(table), dim=1).mean()

    def _final(self) -> Tables:
        nodes = self._walked(self._start(self.user_preferences, self.networks, self._vectors()))
        return self._weighed(nodes[: self.n_users]), self._with_like(nodes[self.n_users :])
