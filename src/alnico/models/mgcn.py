"""Content that identities have purified, smoothed over item graphs and fused as behaviour asks."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from pydantic import PositiveInt
from torch import nn

from alnico.contracts import ModelCard, TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph
from alnico.graphs.items import content_lists, item_graph
from alnico.models.beside import BesideBehaviour, BesideConfig, Nodes
from alnico.nn.features import GatedContent, content_of
from alnico.nn.fusion import ModalityAttention
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct


class MgcnConfig(BesideConfig):
    """Settings of MGCN. Defaults are those of the official code; contrast .01 from its grid .001, .01, .1."""

    item_layers: PositiveInt = 1
    """Hops over the item graphs."""
    neighbours: PositiveInt = 10
    """Neighbours k per item and modality, the item itself among them."""
    features_trainable: bool = True
    """Whether the raw vectors are trained too, as in the official code."""


class Mgcn(BesideBehaviour):
    """score(u, i) = <C_u + side_u, C_i + side_i>: LightGCN plus what content adds.

    Identities gated by content go over each modality's item graph and on to users; attention finds what the
    modalities share, gates read from C weigh what each has alone. The mean of these (one more than modalities) is the
    side. Loss: BPR + lambda_c * InfoNCE between side and C + L2 of the final embeddings.

    Source: Yu et al., Multi-View Graph Convolutional Network for Multimedia Recommendation, MM 2023, Eqs. (4) to (22);
    details as in its official code: gradient on both sides of the contrast, trained raw vectors, L2 on final
    embeddings. Any number of modalities from one on.
    """

    Config = MgcnConfig
    card = ModelCard(
        "MGCN",
        "Multi-View Graph Convolutional Network for Multimedia Recommendation, MM 2023",
        2023,
        ("content",),
    )

    def __init__(
        self, config: MgcnConfig, train: Interactions, item_graphs: Mapping[str, Graph], content: ItemFeatures
    ) -> None:
        super().__init__(config, train)
        self.config = config
        self.item_graphs = list(item_graphs.values())
        self.purifiers = nn.ModuleList(
            GatedContent(modality, config.width, trainable=config.features_trainable)
            for modality in content.values()
        )
        self.attention = ModalityAttention(config.width)
        self.gates = nn.ModuleList(nn.Linear(config.width, config.width) for _ in self.item_graphs)

    @classmethod
    def build(cls, config: MgcnConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, cls.card.title.lower())
        lists = content_lists(content, data.neighbours, data.graphs, config.neighbours)
        item_graphs = {name: item_graph(lists[name], "cosine") for name in content}
        with seeded(rng):
            return cls(config, data.interactions, item_graphs, content)

    def _views(self, rows: Distinct | None) -> list[Nodes]:
        return [
            self._with_users(self._smoothed(purify(self.items.weight), graph, self.config.item_layers), rows)
            for purify, graph in zip(self.purifiers, self.item_graphs, strict=True)
        ]

    def _side(self, behaviour: Nodes, views: Sequence[Nodes]) -> Nodes:
        shared = self.attention(views)
        alone = [
            torch.sigmoid(gate(behaviour)) * (view - shared)
            for gate, view in zip(self.gates, views, strict=True)
        ]
        return torch.stack([*alone, shared]).mean(0)
