"""Items that are alike in every modality join the user-item graph, and users have tables of their own per modality."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from alnico.contracts import Step, TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph, user_item_graph_with_links
from alnico.graphs.items import common_neighbours, content_lists, item_graph
from alnico.model_card import ModelCard
from alnico.models.beside import GatedConfig, GatedViews, Nodes, Told
from alnico.nn.features import content_of
from alnico.nn.losses import half_squared_l2, moment_gaps
from alnico.nn.noise import perturbed
from alnico.nn.propagation import light_propagate_rows, xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct


class GumeConfig(GatedConfig):
    """Settings of GUME. Defaults are the official ones for Baby; the official file gives them for every data set."""

    layers: PositiveInt = 3
    """Hops over the user-item graph."""
    item_layers: PositiveInt = 2
    """Hops over the item graphs; 2 on Baby, 1 on Sports, Clothing and Electronics."""
    linked: PositiveInt = 10
    """Neighbours k, the item itself among them, of which those common to all modalities join the user-item graph; 10
    is fixed in the official code."""
    contrast: NonNegativeFloat = 0.01
    """Weight alpha of the contrast between content and behaviour."""
    temperature: PositiveFloat = 0.4
    """Temperature of that contrast; .4 on Baby, .2 elsewhere."""
    moments: NonNegativeFloat = 0.1
    """Weight of the gap between modalities' means and variances; .1 on Baby and Electronics, .01 on Sports, .001 on
    Clothing."""
    user_contrast: NonNegativeFloat = 0.01
    """Weight of the contrast that users' own tables get; .01 on Baby and Sports, .1 on Clothing and Electronics."""
    user_temperature: PositiveFloat = 0.1
    """Temperature of that contrast; .1 on Baby and Sports, .2 on Clothing and Electronics."""
    noise: NonNegativeFloat = 0.1
    """Length epsilon of the random vectors in that contrast; fixed in the official code."""
    l2: NonNegativeFloat = 1e-5
    """Weight of half the squared norm of the batch's final embeddings."""
    extended_l2: NonNegativeFloat = 0.1
    """Weight of half the squared norm of the positives after users' own tables have reached them."""


@dataclass(frozen=True)
class GumeTold(Told):
    """Also the nodes as users' own tables reach them, and how far the modalities' moments are apart."""

    extended: Nodes | None
    gap: Float[Tensor, ""]


class Gume(GatedViews):
    """score(u, i) = <C_u + side_u, C_i + side_i>: LightGCN plus what content adds, with edges between like items.

    In the user-item graph each item has directed edges to the neighbours that it has in every modality. C is LightGCN
    of the identities over this graph, views and side are as in MGCN. In training users have one more table per
    modality, which goes over the same graph together with the items' views; the mean over modalities is T. Loss: BPR +
    L2 of the final embeddings + alpha * InfoNCE between side and C + gap of the views' means and variances over all
    nodes + InfoNCE of users between T and side, and each of both under two draws of noise + L2 of the positives' T.

    Source: Lin et al., GUME: Graphs and User Modalities Enhancement for Long-Tail Multimodal Recommendation, CIKM
    2024; details as in its official code: edges only from common neighbours of ten, trained raw vectors, noise alike
    for a user that stands in several triples. Any number of modalities from one on: edges go to what is common to all
    of them, the gap is the mean over pairs of modalities. Propagation is linear, so the mean of the modalities' tables
    goes through it once instead of each.
    """

    Config = GumeConfig
    card = ModelCard(
        "GUME",
        "GUME: Graphs and User Modalities Enhancement for Long-Tail Multimodal Recommendation, CIKM 2024",
        2024,
        ("content",),
    )

    def __init__(
        self,
        config: GumeConfig,
        train: Interactions,
        item_graphs: Mapping[str, Graph],
        content: ItemFeatures,
        graph: Graph,
    ) -> None:
        super().__init__(config, train, item_graphs, content, graph)
        self.config = config
        # Nothing but these two terms reads them.
        used = self.item_graphs if config.user_contrast or config.extended_l2 else []
        self.users_by_modality = nn.ModuleList(xavier_table(train.n_users, config.width) for _ in used)

    @classmethod
    def build(cls, config: GumeConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        train, content = data.interactions, content_of(data.features, "gume")
        lists = content_lists(content, data.neighbours, data.graphs, config.neighbours)
        item_graphs = {name: item_graph(lists[name], "cosine") for name in content}
        linked = content_lists(content, data.neighbours, data.graphs, config.linked)
        links = common_neighbours(list(linked.values()))
        graph = user_item_graph_with_links(train.users, train.items, train.n_users, train.n_items, links)
        with seeded(rng):
            return cls(config, train, item_graphs, content, graph)

    def _tell(self, rows: Distinct | None) -> Told:
        if rows is None:
            return super()._tell(None)
        items = self._views_of_items()
        extended, behaviour = self._propagated(items, rows)
        if not self.config.moments or len(items) == 1:
            views = [self._with_users(view, rows) for view in items]
            return GumeTold(behaviour, views, extended, behaviour.new_zeros(()))
        # Moments are those of all nodes.
        everything = [self._with_users(view, None) for view in items]
        gap = moment_gaps(everything) / comb(len(everything), 2)
        nodes = rows.nodes(self.users.num_embeddings)
        views = [view.index_select(0, nodes) for view in everything]
        return GumeTold(behaviour, views, extended, gap)

    def _propagated(self, views: Sequence[Tensor], rows: Distinct) -> tuple[Nodes | None, Nodes]:
        """The mean of users' tables with that of the items' views, and identities, after all hops."""
        if not self.users_by_modality:
            return None, self._behaviour(rows)
        users = torch.stack(list(self.users_by_modality.parameters())).mean(0)
        extended = torch.cat([users, torch.stack(list(views)).mean(0)])
        both = torch.cat([torch.cat([self.users.weight, self.items.weight]), extended], dim=1)
        hops = [self.graph] * self.settings.layers
        behaviour, extended = light_propagate_rows(hops, both, rows.nodes(self.users.num_embeddings))[
            0
        ].chunk(2, 1)
        return extended, behaviour

    def _more_terms(self, rows: Distinct, told: Told, side: Nodes) -> Step:
        config, terms = self.config, {}
        assert isinstance(told, GumeTold)
        if config.moments and len(told.views) > 1:
            terms["moments"] = config.moments * told.gap
        if told.extended is None:
            return Step(terms)
        users, items = rows.apart(told.extended)
        if config.user_contrast:
            content, _ = rows.apart(side)
            contrast = rows.contrast_of_users(users, content, config.user_temperature)
            for table in (content, users):
                one, other = perturbed(table, config.noise), perturbed(table, config.noise)
                contrast = contrast + rows.contrast_of_users(one, other, config.user_temperature)
            terms["user contrast"] = config.user_contrast * contrast
        if config.extended_l2:
            _, positives, _ = rows.spread(users, items)
            norm = half_squared_l2(positives, full_size=rows.batch.full_size)
            terms["extended l2"] = config.extended_l2 * norm
        return Step(terms)
