"""A depth of propagation for each source, and a look at items drawn from the whole catalogue."""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.features import ItemFeatures, Modality
from alnico.data.interactions import Interactions
from alnico.graphs.graph import symmetric_graph_with_own, with_dropped_values
from alnico.model_card import ModelCard
from alnico.nn.features import FeatureTable, content_of
from alnico.nn.losses import bpr, half_squared_l2
from alnico.nn.noise import dropped
from alnico.nn.picks import Picks
from alnico.nn.propagation import damped_propagate
from alnico.nn.seeding import seeded
from alnico.scorers import DotScorer, frozen_dot

FIXED_SEED = 0
"""Starts the draw of the items that the finished model looks at: the same in every run, after resuming too."""


class MigGtConfig(ModelConfig):
    """Settings of MIG-GT. Defaults are the official ones for Baby; those for other data beside them."""

    width: PositiveInt = 64
    """Length d of the embeddings."""
    hidden: PositiveInt = 512
    """Length of the hidden layer between content and embedding; 2048 on Clothing."""
    projected: PositiveInt = 384
    """Wider vectors are first projected at random to this width; the official code does so with images."""
    id_hops: NonNegativeInt = 4
    """Hops k_e of the users' identities; 2 on Sports and Clothing."""
    hops: NonNegativeInt = 2
    """Hops of modalities that hops_of does not name; as text in the official settings."""
    hops_of: Mapping[str, NonNegativeInt] = {"image": 1, "text": 2}
    """Hops k_v, k_t of named modalities; image 3 on Sports, 0 on Clothing."""
    alpha: float = Field(0.1, ge=0, le=1)
    """Weight alpha of the start in each hop, as in the official code."""
    beta: float = Field(0.9, gt=0, le=1)
    """Weight beta of what a hop gathers, as in the official code."""
    input_dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout on the vectors; .2 on Sports, .1 on Clothing."""
    hidden_dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout on the hidden layer; .5 on Sports, .4 on Clothing."""
    user_dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout on the users' identities; .1 on Sports and Clothing."""
    item_dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout on the items' embeddings; .2 on Sports, .1 on Clothing."""
    edge_dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout on the graph's values, drawn for each source; .5 on Sports, .25 on Clothing."""
    fused_dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout on the sum Z of the sources; .3 on Clothing."""
    samples: PositiveInt = 10
    """Items S that each node looks at; 20 on Clothing."""
    attention_width: PositiveInt = 4
    """Length of queries and keys, as in the official code."""
    global_share: float = Field(0.1, ge=0, le=1)
    """Share of what a node sees in its final embedding, as in the official code."""
    l2: NonNegativeFloat = 1e-5
    """Weight of half the squared norm of all final embeddings; 1e-4 on Sports."""
    features_trainable: bool = False
    """Whether the vectors are trained too; frozen in the official code."""


class MigGt(TrainableRecommender):
    """score(u, i) = <f_u, f_i>, f from three kinds of source, each spread over the graph at its own depth.

    Users' identities and each modality's items (an MLP of their vectors; items have no identities) are spread by
    damped hops over the user-item graph in which every node is its own neighbour too; Z is their sum. Every node draws
    S items of the catalogue: M = [Z_n, Z_i1, ..., Z_iS], out = .1 softmax(Q K^T / 2) M + .9 M with queries and keys
    of length 4 read from M, f_n = out_0. Loss, summed over the batch: BPR + cross-entropy of a user's products with the
    S + 1 outputs of the positive, whose own must win, + l2 / 2 * the squared norm of f over all nodes.

    Source: Hu, Hooi, He and Wei, Modality-Independent Graph Neural Networks with Global Transformers for Multimodal
    Recommendation, AAAI 2025: modality-independent receptive fields, sampling-based global transformer, transformer
    unsmooth regularisation. Spreading as in MGDCF (Hu et al., TKDE 2024). Dropout, batch norm and the random
    projection of wide vectors are those of the official code. Any number of modalities from one on.

    Where it differs: the official code draws negatives from all items, a user's own among them; the one training loop
    rejects those (on Baby .09 % of all user-item pairs are training positives, .14 % where users count as often as
    they stand in pairs). It draws the S items anew at evaluation too; here they are then the same each time. Biases
    without any part are left out: ahead of batch norm, and of keys. Published numbers used an easier mask: test lists
    leave out validation items, and validation lists test items.
    """

    Config = MigGtConfig
    card = ModelCard(
        "MIG-GT",
        "Modality-Independent Graph Neural Networks with Global Transformers, AAAI 2025",
        2025,
        ("content",),
        remark="published numbers used an easier mask: validation and test items leave each other's lists",
    )

    def __init__(self, config: MigGtConfig, train: Interactions, content: ItemFeatures) -> None:
        super().__init__()
        self.config = config
        self.graph = symmetric_graph_with_own(train.users, train.items, train.n_users, train.n_items)
        self.n_items = train.n_items
        self.users = nn.Embedding(train.n_users, config.width)
        nn.init.normal_(self.users.weight, std=config.width**-0.5)
        self.hops = [config.hops_of.get(name, config.hops) for name in content]
        self.encoders = nn.ModuleList(_Encoder(config, modality) for modality in content.values())
        self.query = nn.Linear(config.width, config.attention_width)
        # Without bias: it would add the same to all that a query is compared with.
        self.key = nn.Linear(config.width, config.attention_width, bias=False)

    @classmethod
    def build(cls, config: MigGtConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "mig_gt")
        with seeded(rng):
            return cls(config, data.interactions, content)

    def _spread(self, users: Tensor, items: Tensor, hops: int) -> Float[Tensor, "nodes width"]:
        """One source after its hops, in training over a graph that lacks values drawn for it alone."""
        graph = self.graph.on(users.device)
        if self.training and self.config.edge_dropout and hops:
            graph = with_dropped_values(graph, self.config.edge_dropout)
        table = torch.cat([users, items])
        return damped_propagate(graph, table, hops, alpha=self.config.alpha, beta=self.config.beta)

    def _fused(self) -> Float[Tensor, "nodes width"]:
        """Z of all nodes."""
        config, users = self.config, self.users.weight
        no_users, no_items = torch.zeros_like(users), users.new_zeros(self.n_items, config.width)
        total = self._spread(dropped(users, config.user_dropout, self.training), no_items, config.id_hops)
        for encode, hops in zip(self.encoders, self.hops, strict=True):
            items = dropped(encode(), config.item_dropout, self.training)
            total = total + self._spread(no_users, items, hops)
        return dropped(total, config.fused_dropout, self.training)

    def _final(
        self, fused: Float[Tensor, "nodes width"], drawn: Int[Tensor, "nodes samples"]
    ) -> Float[Tensor, "nodes width"]:
        """f of all nodes: each looks at itself and at the items it drew."""
        share, picks = self.config.global_share, Picks(drawn, self.n_items)
        queries, keys, items = self._queries(fused), self.key(fused), fused[-self.n_items :]
        own = (queries * keys).sum(1, keepdim=True)
        others = picks.products(queries, keys[-self.n_items :])
        weights = torch.cat([own, others], dim=1).softmax(1)
        seen = weights[:, :1] * fused + picks.sums(weights[:, 1:], items)
        return share * seen + (1 - share) * fused

    def _queries(self, fused: Float[Tensor, "nodes width"]) -> Float[Tensor, "nodes attention"]:
        queries: Tensor = self.query(fused) / self.config.attention_width**0.5
        return queries

    def _unsmooth(
        self,
        batch: Batch,
        users: Float[Tensor, "batch width"],
        items: Float[Tensor, "items width"],
        drawn: Int[Tensor, "items samples"],
    ) -> Float[Tensor, ""]:
        """How far each positive's own output is from winning its user over the outputs of what it drew.

        An output is a mixture of the rows of M, so its product with the user is one of the rows' products.
        """
        share = self.config.global_share
        positives, place = torch.unique(batch.positives, return_inverse=True)
        group = torch.cat([positives[:, None], drawn.index_select(0, positives)], dim=1)
        queries, keys = (
            read(items).index_select(0, group.flatten()).view(*group.shape, -1)
            for read in (self._queries, self.key)
        )
        weights = (queries @ keys.transpose(1, 2)).softmax(2).index_select(0, place)
        products = Picks(group.index_select(0, place), self.n_items).products(users, items)
        outputs = share * (weights @ products[:, :, None])[:, :, 0] + (1 - share) * products
        return functional.cross_entropy(outputs, torch.zeros_like(place), reduction="sum")

    def loss_terms(self, batch: Batch) -> Step:
        fused, n_users = self._fused(), self.users.num_embeddings
        drawn = torch.randint(self.n_items, (len(fused), self.config.samples), device=fused.device)
        final = self._final(fused, drawn)
        nodes = torch.cat([batch.users, batch.positives + n_users, batch.negatives + n_users])
        users, positives, negatives = final.index_select(0, nodes).chunk(3)
        gains, losses = (users * positives).sum(1), (users * negatives).sum(1)
        return Step(
            {
                "bpr": bpr(gains, losses, batch.weights, "sum"),
                "unsmooth": self._unsmooth(batch, users, fused[n_users:], drawn[n_users:]),
                "l2": self.config.l2 * half_squared_l2(final, full_size=1),
            }
        )

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        fused, n_users = self._fused(), self.users.num_embeddings
        generator = torch.Generator().manual_seed(FIXED_SEED)
        drawn = torch.randint(self.n_items, (len(fused), self.config.samples), generator=generator)
        final = self._final(fused, drawn.to(fused.device))
        return frozen_dot(final[:n_users], final[n_users:])


class _Encoder(nn.Module):
    """One modality's items: dropout, linear, batch norm, PReLU, dropout, linear, batch norm, PReLU."""

    def __init__(self, config: MigGtConfig, modality: Modality) -> None:
        super().__init__()
        self.config = config
        self.table = FeatureTable(modality, trainable=config.features_trainable, projected=config.projected)
        # Without bias: batch norm takes away the mean.
        self.widen = nn.Linear(self.table.width, config.hidden, bias=False)
        self.narrow = nn.Linear(config.hidden, config.width, bias=False)
        for layer in (self.widen, self.narrow):
            nn.init.xavier_uniform_(layer.weight)
        self.hidden = nn.Sequential(nn.BatchNorm1d(config.hidden), nn.PReLU())
        self.last = nn.Sequential(nn.BatchNorm1d(config.width), nn.PReLU())

    def forward(self) -> Float[Tensor, "items width"]:
        """The embeddings of all items; batch norm is over all of them."""
        config = self.config
        hidden = self.hidden(self.widen(dropped(self.table(), config.input_dropout, self.training)))
        result: Tensor = self.last(self.narrow(dropped(hidden, config.hidden_dropout, self.training)))
        return result
