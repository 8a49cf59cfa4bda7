"""What MGCN and its kin share: LightGCN, and content that is added to it."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph, symmetric_graph, user_block
from alnico.nn.features import GatedContent
from alnico.nn.fusion import ModalityAttention
from alnico.nn.losses import half_squared_l2
from alnico.nn.propagation import light_propagate, light_propagate_rows, xavier_table
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot

Nodes = Float[Tensor, "nodes width"]


class BesideConfig(ModelConfig):
    """Settings that these models have in common; a model names the source of its own values."""

    width: PositiveInt = 64
    """Length d of the embeddings."""
    layers: PositiveInt = 2
    """Hops over the user-item graph."""
    contrast: NonNegativeFloat = 0.01
    """Weight of the contrast between content and behaviour."""
    temperature: PositiveFloat = 0.2
    """Temperature tau of the contrast."""
    l2: NonNegativeFloat = 1e-4
    """Weight of half the squared norm of the batch's final embeddings."""


@dataclass(frozen=True)
class Told:
    """What one pass says of some nodes, or of all: their behaviour C, and a view of them per modality."""

    behaviour: Nodes
    views: Sequence[Nodes]


class BesideBehaviour(TrainableRecommender):
    """score(u, i) = <C_u + side_u, C_i + side_i>, C from LightGCN and the side from views of the content.

    Loss: BPR + contrast * (InfoNCE between side and C, of positives and of users) + l2 of the final embeddings.
    A model says what its views are and how they make the side; ``graph`` and ``histories`` (users' rows, items'
    columns) may be others than the graph of who took what.
    """

    def __init__(
        self,
        settings: BesideConfig,
        train: Interactions,
        graph: Graph | None = None,
        histories: Graph | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.graph = graph or symmetric_graph(train.users, train.items, train.n_users, train.n_items)
        self.histories = histories or user_block(self.graph, train.n_users)
        self.users = xavier_table(train.n_users, settings.width)
        self.items = xavier_table(train.n_items, settings.width)

    @abstractmethod
    def _views(self, rows: Distinct | None) -> list[Nodes]:
        """What each modality says of these users and items, or of all."""

    @abstractmethod
    def _side(self, behaviour: Nodes, views: Sequence[Nodes]) -> Nodes:
        """What content adds to ``behaviour``."""

    def _more_terms(self, rows: Distinct, told: Told, side: Nodes) -> Step:
        """Further terms of the loss; none by default. ``told`` is what ``_tell`` gave for these rows."""
        del rows, told, side
        return Step({})

    def _contrast(self, rows: Distinct, told: Told, side: Nodes) -> Float[Tensor, ""]:
        """The contrast between side and behaviour, without its weight."""
        return rows.contrast(rows.apart(side), rows.apart(told.behaviour), self.settings.temperature)

    def _tell(self, rows: Distinct | None) -> Told:
        """Behaviour and views of these users and items, or of all."""
        return Told(self._behaviour(rows), self._views(rows))

    def _smoothed(self, items: Float[Tensor, "items width"], graph: Graph, hops: int) -> Tensor:
        """``items`` after some hops over an item graph."""
        for _ in range(hops):
            items = graph.propagate(items)
        return items

    def _with_users(self, items: Float[Tensor, "items width"], rows: Distinct | None) -> Nodes:
        """Users, as sums over their histories, and items: of these rows, or of all."""
        if rows is None:
            return torch.cat([self.histories.propagate(items), items])
        return torch.cat([self.histories.propagate(items, rows.users), items.index_select(0, rows.items)])

    def _behaviour(self, rows: Distinct | None) -> Nodes:
        table = torch.cat([self.users.weight, self.items.weight])
        hops = [self.graph] * self.settings.layers
        if rows is None:
            return light_propagate(hops, table)
        return light_propagate_rows(hops, table, rows.nodes(self.users.num_embeddings))[0]

    def loss_terms(self, batch: Batch) -> Step:
        settings, rows = self.settings, Distinct.of(batch)
        told = self._tell(rows)
        side = self._side(told.behaviour, told.views)
        users, items = rows.apart(told.behaviour + side)
        terms = {"bpr": rows.bpr(users, items)}
        if settings.contrast:
            terms["contrast"] = settings.contrast * self._contrast(rows, told, side)
        if settings.l2:
            final = rows.spread(users, items)
            terms["l2"] = settings.l2 * half_squared_l2(*final, full_size=batch.full_size)
        more = self._more_terms(rows, told, side)
        return Step({**terms, **more.terms}, more.facts)

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        told = self._tell(None)
        final = told.behaviour + self._side(told.behaviour, told.views)
        n_users = self.users.num_embeddings
        return frozen_dot(final[:n_users], final[n_users:])


class GatedConfig(BesideConfig):
    """Settings of models whose views are gated identities; a model names the source of its own values."""

    item_layers: PositiveInt = 1
    """Hops over the item graphs."""
    neighbours: PositiveInt = 10
    """Neighbours k per item and modality, the item itself among them."""
    features_trainable: bool = True
    """Whether the raw vectors are trained too."""


class GatedViews(BesideBehaviour):
    """Views of content are identities that it lets through, smoothed over an item graph per modality.

    The side is the mean of what the views share, found by attention, and of what each has alone; gates read from
    behaviour weigh the latter unless ``preferences`` is off.
    Source: Yu et al., MGCN, MM 2023; GUME uses the same, SOIL without the gates.
    """

    def __init__(
        self,
        settings: GatedConfig,
        train: Interactions,
        item_graphs: Mapping[str, Graph],
        content: ItemFeatures,
        graph: Graph | None = None,
        histories: Graph | None = None,
        *,
        preferences: bool = True,
    ) -> None:
        super().__init__(settings, train, graph, histories)
        width = settings.width
        self.item_layers = settings.item_layers
        self.item_graphs = list(item_graphs.values())
        self.purifiers = nn.ModuleList(
            GatedContent(modality, width, trainable=settings.features_trainable)
            for modality in content.values()
        )
        self.attention = ModalityAttention(width)
        gated = self.item_graphs if preferences else []
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in gated)

    def _views_of_items(self) -> list[Float[Tensor, "items width"]]:
        """What each modality says of all items."""
        return [
            self._smoothed(purify(self.items.weight), graph, self.item_layers)
            for purify, graph in zip(self.purifiers, self.item_graphs, strict=True)
        ]

    def _views(self, rows: Distinct | None) -> list[Nodes]:
        return [self._with_users(items, rows) for items in self._views_of_items()]

    def _side(self, behaviour: Nodes, views: Sequence[Nodes]) -> Nodes:
        shared = self.attention(views)
        alone = [view - shared for view in views]
        if self.gates:
            gates = [torch.sigmoid(gate(behaviour)) for gate in self.gates]
            alone = [gate * part for gate, part in zip(gates, alone, strict=True)]
        return torch.stack([*alone, shared]).mean(0)
