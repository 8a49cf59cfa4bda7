"""What DRAGON and MENTOR share: modalities that are propagated apart and joined as each user weighs them."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import ModelConfig, TrainableRecommender
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph, symmetric_graph
from alnico.nn.features import FeatureTable, content_network
from alnico.nn.propagation import light_propagate, xavier_table
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot

Nodes = Float[Tensor, "nodes wide"]
Tables = tuple[Float[Tensor, "users wide"], Float[Tensor, "items wide"]]


class JoinedConfig(ModelConfig):
    """Settings that these models have in common; the values are those of their official codes."""

    width: PositiveInt = 64
    """Length d of each modality's embeddings; users and items have one after the other."""
    layers: PositiveInt = 2
    """Hops over the user-item graph."""
    neighbours: PositiveInt = 10
    """Neighbours k per item and modality, the item itself among them."""
    shares: Mapping[str, PositiveFloat] | None = None
    """Share of each modality in the item graph; by default .1 for image and .9 for text, others even."""
    l2: NonNegativeFloat = 1e-3
    """Weight of the mean squares of the batch's user preferences, modality by modality, and of all users' weights."""
    features_trainable: bool = False
    """Whether the raw vectors are trained too; the official codes hold a trainable copy but read the frozen one."""


class JoinedModalities(TrainableRecommender):
    """A graph of users and items per modality; users and items are its results side by side.

    Modality m: x = rows of length one of [P_m; V_m leaky(W_m X_m + b_m) + c_m], P_m a table of user preferences, X_m
    the items' raw vectors; h = x + A x + A^2 x over the user-item graph A. A user is [w_u1 h_u1, w_u2 h_u2, ...] with
    learned weights w_u, an item [h_i1, h_i2, ...] plus its one-hop sum over a frozen item graph. Loss: BPR in
    logarithms to base 2 + l2 * (mean squares of the batch's P_m + mean square of all w).
    """

    def __init__(
        self, settings: JoinedConfig, train: Interactions, items: Graph, content: ItemFeatures
    ) -> None:
        super().__init__()
        self.settings = settings
        self.n_users = train.n_users
        self.graph = symmetric_graph(train.users, train.items, train.n_users, train.n_items)
        self.item_graph = items
        self.features = nn.ModuleList(
            FeatureTable(modality, trainable=settings.features_trainable) for modality in content.values()
        )
        self.user_preferences = self._preferences(len(self.features))
        self.networks = self._networks(1)
        # They start near an even share and may then leave it.
        noise = xavier_table(train.n_users, len(self.features), "normal").weight.detach()
        self.user_weights = _table(noise.softmax(1))

    @abstractmethod
    def _final(self) -> Tables:
        """All users and items as they are scored."""

    def _preferences(self, tables: int) -> nn.Embedding:
        """Tables of user preferences side by side."""
        drawn = [xavier_table(self.n_users, self.settings.width, "normal").weight for _ in range(tables)]
        return _table(torch.cat(drawn, 1).detach())

    def _networks(self, times: int) -> nn.ModuleList:
        """Networks that read each modality's raw vectors, so many times over."""
        widths = [int(table().shape[1]) for table in self.features] * times
        return nn.ModuleList(content_network(inputs, self.settings.width) for inputs in widths)

    def _vectors(self) -> list[Float[Tensor, "items _width"]]:
        """The raw vectors of each modality."""
        return [table() for table in self.features]

    def _start(
        self, preferences: nn.Embedding, networks: Iterable[nn.Module], vectors: Sequence[Tensor]
    ) -> Nodes:
        """What is propagated: one block of columns per network, rows of length one in each."""
        items = [
            functional.normalize(network(table), dim=1)
            for network, table in zip(networks, vectors, strict=True)
        ]
        pieces = preferences.weight.reshape(self.n_users, len(items), -1)
        return torch.cat([functional.normalize(pieces, dim=2).flatten(1), torch.cat(items, 1)])

    def _walked(self, start: Nodes) -> Nodes:
        """The sum of all layers."""
        layers = self.settings.layers
        return light_propagate([self.graph] * layers, start) * (layers + 1)

    def _weighed(self, users: Float[Tensor, "users wide"]) -> Float[Tensor, "users wide"]:
        """Each user's modalities multiplied by their weights."""
        weights = self.user_weights.weight
        return (users.reshape(*weights.shape, -1) * weights[:, :, None]).flatten(1)

    def _with_like(
        self, items: Float[Tensor, "items wide"], rows: Int[Tensor, " rows"] | None = None
    ) -> Float[Tensor, "rows wide"]:
        """Items, or these of them, with their sums over the item graph."""
        own = items if rows is None else items.index_select(0, rows)
        return own + self.item_graph.propagate(items, rows)

    def _ranking(
        self, rows: Distinct, users: Float[Tensor, "users wide"], items: Float[Tensor, "items wide"]
    ) -> dict[str, Tensor]:
        """The terms that these models have in common, from the batch's distinct users and items."""
        preferences = self.user_preferences.weight.index_select(0, rows.batch.users)
        # One mean over all columns is the mean over modalities of their means.
        squares = len(self.features) * preferences.square().mean() + self.user_weights.weight.square().mean()
        return {"bpr": rows.bpr(users, items) / math.log(2), "l2": self.settings.l2 * squares}

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        return frozen_dot(*self._final())


def _table(values: Float[Tensor, "users wide"]) -> nn.Embedding:
    """A trained table that starts with these values."""
    rows, wide = values.shape
    return nn.Embedding(rows, wide, _weight=values)
