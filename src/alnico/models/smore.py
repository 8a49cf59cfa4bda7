"""Content filtered and fused as spectra, over an item graph per modality and one for their union."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.errors import ConfigError
from alnico.graphs.graph import Graph
from alnico.graphs.items import content_lists, item_graph, strongest_graph
from alnico.model_card import ModelCard
from alnico.models.beside import BesideBehaviour, BesideConfig, Nodes
from alnico.nn.features import FeatureTable, content_of
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct


class SmoreConfig(BesideConfig):
    """Settings of SMORE. Defaults are the official ones for Baby; contrast .03 on Sports, l2 1e-5 on Clothing."""

    layers: PositiveInt = 4
    """Hops over the user-item graph; 4 on Baby, 3 on Sports and Clothing."""
    item_layers: PositiveInt = 1
    """Hops over the item graphs."""
    neighbours: PositiveInt = 15
    """Neighbours k per item, the item itself among them, of modalities that neighbours_of does not name."""
    neighbours_of: Mapping[str, PositiveInt] = {"image": 40}
    """Neighbours k of named modalities; image 40 and text 15 on Baby, 10 and 10 on Sports, 40 and 10 on Clothing."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout on the gates; .1 on Baby, 0 on Sports and Clothing."""
    features_trainable: bool = True
    """Whether the raw vectors are trained too, as in the official code."""


class SpectralFilter(nn.Module):
    """A learned complex factor per frequency of a vector's real Fourier transform.

    Source: Ong and Khong, SMORE, WSDM 2025, Eqs. (5) to (8).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width // 2 + 1, 2))
        self.width = width

    def forward(self, spectrum: Tensor) -> Float[Tensor, "rows width"]:
        """The filtered vectors from the spectra [rows, width // 2 + 1] of the given ones."""
        filtered = spectrum * torch.view_as_complex(self.weight)
        result: Tensor = torch.fft.irfft(filtered, n=self.width, dim=1, norm="ortho")
        return result


class Smore(BesideBehaviour):
    """score(u, i) = <C_u + side_u, C_i + side_i>: LightGCN plus what content adds.

    Projected content is filtered in the frequency domain, each modality alone and the product of all spectra as the
    fused one. Each gates the identities, which go over its item graph (fused: the union of all edges with the largest
    value) and on to users. The fused view weighs the modalities per entry (softmax over the d entries, as in the
    official code), gates read from C weigh all views; their mean is the side. Loss as in MGCN.

    Source: Ong and Khong, Spectrum-based Modality Representation Fusion Graph Convolutional Network for Multimodal
    Recommendation, WSDM 2025. The paper has two modalities; with one the fused spectrum is its own, with more the
    product of all.
    """

    Config = SmoreConfig
    card = ModelCard(
        "SMORE",
        "Spectrum-based Modality Representation Fusion Graph Convolutional Network, WSDM 2025",
        2025,
        ("content",),
    )

    def __init__(
        self,
        config: SmoreConfig,
        train: Interactions,
        item_graphs: Mapping[str, Graph],
        content: ItemFeatures,
    ) -> None:
        super().__init__(config, train)
        width = config.width
        self.config = config
        self.item_graphs = [*item_graphs.values(), strongest_graph(list(item_graphs.values()))]
        self.features = nn.ModuleList(
            FeatureTable(modality, trainable=config.features_trainable) for modality in content.values()
        )
        self.projections = nn.ModuleList(nn.Linear(modality.width, width) for modality in content.values())
        # One of each for every modality, and the last for the fused one.
        self.filters = nn.ModuleList(SpectralFilter(width) for _ in self.item_graphs)
        self.purifiers = nn.ModuleList(nn.Linear(width, width) for _ in self.item_graphs)
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in self.item_graphs)
        self.preferences = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width, bias=False))
            for _ in self.features
        )

    @classmethod
    def build(cls, config: SmoreConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "smore")
        if config.width % 2:
            raise ConfigError(f"SMORE transforms vectors of even length; found width {config.width}")
        item_graphs = {}
        for name in content:
            k = config.neighbours_of.get(name, config.neighbours)
            lists = content_lists(content.only(name), data.neighbours, data.graphs, k)
            item_graphs[name] = item_graph(lists[name], "cosine")
        with seeded(rng):
            return cls(config, data.interactions, item_graphs, content)

    def _views(self, rows: Distinct | None) -> list[Nodes]:
        """Y of each modality, and last of the fused one."""
        spectra = [
            # No transform is there for numbers of 16 bits.
            torch.fft.rfft(project(table()).float(), dim=1, norm="ortho")
            for project, table in zip(self.projections, self.features, strict=True)
        ]
        spectra.append(torch.stack(spectra).prod(0))
        parts = zip(spectra, self.filters, self.purifiers, self.item_graphs, strict=True)
        return [
            self._with_users(
                self._smoothed(
                    self.items.weight * torch.sigmoid(purify(keep(spectrum))), graph, self.config.item_layers
                ),
                rows,
            )
            for spectrum, keep, purify, graph in parts
        ]

    def _side(self, behaviour: Nodes, views: Sequence[Nodes]) -> Nodes:
        fused = views[-1]
        weighed = [
            prefer(fused).softmax(1) * view for prefer, view in zip(self.preferences, views[:-1], strict=True)
        ]
        gated = [
            functional.dropout(torch.sigmoid(gate(behaviour)), self.config.dropout, self.training) * view
            for gate, view in zip(self.gates, [*weighed, fused], strict=True)
        ]
        return torch.stack(gated).mean(0)
