"""Content that identities have purified, smoothed over item graphs and fused as behaviour asks."""

from typing import Self

import numpy as np

from alnico.contracts import TrainingData
from alnico.graphs.items import content_lists, item_graph
from alnico.model_card import ModelCard
from alnico.models.beside import GatedConfig, GatedViews
from alnico.nn.features import content_of
from alnico.nn.seeding import seeded


class MgcnConfig(GatedConfig):
    """Settings of MGCN. Defaults are those of the official code; contrast .01 from its grid .001, .01, .1."""


class Mgcn(GatedViews):
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

    @classmethod
    def build(cls, config: MgcnConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, cls.card.title.lower())
        lists = content_lists(content, data.neighbours, data.graphs, config.neighbours)
        item_graphs = {name: item_graph(lists[name], "cosine") for name in content}
        with seeded(rng):
            return cls(config, data.interactions, item_graphs, content)
