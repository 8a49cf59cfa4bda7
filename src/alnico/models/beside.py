"""What MGCN and its kin share: LightGCN, and content that is added to it."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph, symmetric_graph, user_block
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

    def _more_terms(self, rows: Distinct, behaviour: Nodes, side: Nodes, views: Sequence[Nodes]) -> Step:
        """Further terms of the loss; none by default."""
        del rows, behaviour, side, views
        return Step({})

    def _contrast(self, rows: Distinct, behaviour: Nodes, side: Nodes) -> Float[Tensor, ""]:
        """The contrast between side and behaviour, without its weight."""
        return rows.contrast(rows.apart(side), rows.apart(behaviour), self.settings.temperature)

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
        behaviour, views = self._behaviour(rows), self._views(rows)
        side = self._side(behaviour, views)
        users, items = rows.apart(behaviour + side)
        contrast = self._contrast(rows, behaviour, side)
        more = self._more_terms(rows, behaviour, side, views)
        terms = {"bpr": rows.bpr(users, items), "contrast": settings.contrast * contrast}
        if settings.l2:
            final = rows.spread(users, items)
            terms["l2"] = settings.l2 * half_squared_l2(*final, full_size=batch.full_size)
        return Step({**terms, **more.terms}, more.facts)

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        behaviour = self._behaviour(None)
        final = behaviour + self._side(behaviour, self._views(None))
        n_users = self.users.num_embeddings
        return frozen_dot(final[:n_users], final[n_users:])
