"""A graph convolution per modality, averaged."""

from collections.abc import Mapping
from typing import Self, cast

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender, TrainingData
from alnico.data.features import ItemFeatures, Modality
from alnico.data.interactions import Interactions
from alnico.graphs.graph import averaging_graph, mean_pooling
from alnico.model_card import ModelCard
from alnico.nn.features import FeatureTable, content_of
from alnico.nn.propagation import xavier_table
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct
from alnico.scorers import DotScorer, frozen_dot

Rows = Float[Tensor, "rows width"]


class MmgcnConfig(ModelConfig):
    """Settings of MMGCN. Defaults are those of the public port that the published tables rest on."""

    width: PositiveInt = 64
    """Length d of identities and of every layer's result."""
    layers: int = Field(3, ge=2)
    """Layers per modality; the port has 3 whatever its settings say."""
    reduced: Mapping[str, PositiveInt] = {"image": 256}
    """Modalities that a trained linear map takes to this length first; others go in at their own length."""
    train_ids: bool = False
    """Whether identities and preferences are trained, as in the paper. In the port they stay where they start."""
    l2: NonNegativeFloat = 0.0
    """Weight of the mean squares of identities and preferences; grid 0 to .1. No part in it without train_ids."""
    features_trainable: bool = False
    """Whether the raw vectors are trained too; frozen in paper and port."""


class Mmgcn(TrainableRecommender):
    """score(u, i) = <r_u, r_i>, r the mean over modalities of what a graph convolution makes of each.

    Per modality x starts as users' preferences and items' vectors, rows scaled to length one. A layer takes
    h = leaky(mean over neighbours of W_1 x), o = leaky(W_2 x + b) + e with the identities e that all modalities share,
    and gives leaky(W_3 [h, o] + b'). Loss: BPR + l2 * (mean squares of the batch's identities, and of the first
    modality's preferences).

    Source: Wei et al., MMGCN: Multi-modal Graph Convolution Network for Personalized Recommendation of Micro-video, MM
    2019, with its mean aggregation and its concatenating combination. Details as in the port of it in the MMRec
    toolkit: rows of length one, a reduced first modality, and preferences and identities at random, untrained;
    train_ids gives the paper's. Finished models come from a fresh pass, not from the last batch's. Any number of
    modalities from one on.
    """

    Config = MmgcnConfig
    card = ModelCard(
        "MMGCN",
        "Multi-modal Graph Convolution Network for Personalized Recommendation of Micro-video, MM 2019",
        2019,
        ("content",),
        remark="by default as in the public port, which leaves identities and preferences at their random start; "
        "train_ids trains them, as the paper does",
    )

    def __init__(self, config: MmgcnConfig, train: Interactions, content: ItemFeatures) -> None:
        super().__init__()
        self.config = config
        sides = train.users, train.items, train.n_users, train.n_items
        self.graph = averaging_graph(*sides, own=False)
        # The same for users and for items alone: what does not learn is averaged once an epoch.
        self.histories = mean_pooling(*sides)
        self.takers = mean_pooling(train.items, train.users, train.n_items, train.n_users)
        identities = xavier_table(train.n_users + train.n_items, config.width, "normal").weight.detach()
        self.users = _StartTable(identities[: train.n_users], trained=config.train_ids)
        self.items = _StartTable(identities[train.n_users :], trained=config.train_ids)
        self.views = nn.ModuleList(
            _View(config, modality, config.reduced.get(name)) for name, modality in content.items()
        )
        self.user_preferences = nn.ModuleList(
            _preferences(train.n_users, view.width, trained=config.train_ids) for view in self._views
        )
        self.constants: list[dict[str, Tensor]] = [{} for _ in self.views]

    @classmethod
    def build(cls, config: MmgcnConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        content = content_of(data.features, "mmgcn")
        with seeded(rng):
            return cls(config, data.interactions, content)

    @property
    def _views(self) -> "list[_View]":
        return cast("list[_View]", list(self.views))

    def _first_users(self, number: int) -> Rows:
        """The users' rows of a modality's first x."""
        weight = cast(_StartTable, self.user_preferences[number]).weight
        return functional.normalize(weight, dim=1) if self.config.train_ids else weight

    @torch.no_grad()
    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Average what does not learn."""
        del epoch, rng
        for number, view in enumerate(self._views):
            constant: dict[str, Tensor] = {}
            if not self.config.train_ids:
                constant["of items"] = self.takers.propagate(self._first_users(number))
            if not view.learns:
                constant["items"] = view.first_items()
                constant["of users"] = self.histories.propagate(constant["items"])
            self.constants[number] = constant

    def _first_layer(self, number: int, constant: Mapping[str, Tensor]) -> Float[Tensor, "nodes width"]:
        view, users = self._views[number], self._first_users(number)
        items = constant["items"] if "items" in constant else view.first_items()
        of_users = constant["of users"] if "of users" in constant else self.histories.propagate(items)
        of_items = constant["of items"] if "of items" in constant else self.takers.propagate(users)
        layer = view.layers[0]
        return torch.cat(
            [layer(of_users, users, self.users.weight), layer(of_items, items, self.items.weight)]
        )

    def _final(self, rows: Distinct | None) -> Float[Tensor, "nodes width"]:
        """r of these users and items, or of all; for all of them nothing that was averaged before is taken."""
        identities = torch.cat([self.users.weight, self.items.weight])
        nodes = None if rows is None else rows.nodes(len(self.users.weight))
        found = []
        for number, view in enumerate(self._views):
            x = self._first_layer(number, {} if rows is None else self.constants[number])
            for layer in list(view.layers)[1:-1]:
                x = layer(self.graph.propagate(x), x, identities)
            of_neighbours, own, known = self.graph.propagate(x, nodes), x, identities
            if nodes is not None:
                own, known = x.index_select(0, nodes), identities.index_select(0, nodes)
            found.append(view.layers[-1](of_neighbours, own, known))
        return torch.stack(found).mean(0)

    def loss_terms(self, batch: Batch) -> Step:
        rows = Distinct.of(batch)
        users, items = rows.apart(self._final(rows))
        terms = {"bpr": rows.bpr(users, items)}
        if self.config.train_ids and self.config.l2:
            own = rows.spread(
                self.users.weight.index_select(0, rows.users), self.items.weight.index_select(0, rows.items)
            )
            # Each triple stands for two pairs: user and positive, user and negative.
            of_user, of_positive, of_negative = (table.pow(2).mean() for table in own)
            preferences = cast(_StartTable, self.user_preferences[0]).weight.pow(2).mean()
            terms["l2"] = self.config.l2 * (of_user + (of_positive + of_negative) / 2 + preferences)
        return Step(terms)

    def random_tables(self) -> frozenset[str]:
        """Identities and preferences that are not trained."""
        return frozenset(name for name, _ in self.named_buffers() if name.startswith(("user", "item")))

    @torch.no_grad()
    def scorer(self) -> DotScorer:
        final, n_users = self._final(None), len(self.users.weight)
        return frozen_dot(final[:n_users], final[n_users:])


class _StartTable(nn.Module):
    """A table that is trained, or stays where it starts and is stored with the model."""

    weight: Tensor

    def __init__(self, table: Tensor, *, trained: bool) -> None:
        super().__init__()
        if trained:
            self.weight = nn.Parameter(table.clone())
        else:
            self.register_buffer("weight", table.clone())


class _Layer(nn.Module):
    """leaky(W_3 [leaky(W_1 m), leaky(W_2 x + b) + e] + b'), m the mean of the neighbours' x."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.gather = nn.Linear(width, width, bias=False)
        self.keep = nn.Linear(width, out)
        self.join = nn.Linear(width + out, out)

    def forward(
        self,
        of_neighbours: Float[Tensor, "rows width"],
        own: Float[Tensor, "rows width"],
        identities: Float[Tensor, "rows out"],
    ) -> Float[Tensor, "rows out"]:
        """The next x."""
        gathered = functional.leaky_relu(self.gather(of_neighbours), inplace=True)
        kept = functional.leaky_relu(self.keep(own), inplace=True) + identities
        # The product with the two side by side, without laying them there.
        width = gathered.shape[1]
        joined = functional.linear(gathered, self.join.weight[:, :width], self.join.bias)
        joined = joined + functional.linear(kept, self.join.weight[:, width:])
        return functional.leaky_relu(joined, inplace=True)


def _preferences(n_users: int, width: int, *, trained: bool) -> _StartTable:
    table = xavier_table(n_users, width, "normal").weight.detach()
    # Only their direction is ever used; what does not learn can have length one once and for all.
    return _StartTable(table if trained else functional.normalize(table, dim=1), trained=trained)


class _View(nn.Module):
    """One modality: its items' vectors and its layers."""

    def __init__(self, config: MmgcnConfig, modality: Modality, reduced: int | None) -> None:
        super().__init__()
        self.table = FeatureTable(modality, trainable=config.features_trainable)
        self.reduce = None if reduced is None else nn.Linear(modality.width, reduced)
        self.learns = config.features_trainable or reduced is not None
        self.width = modality.width if reduced is None else reduced
        widths = [self.width, *[config.width] * (config.layers - 1)]
        self.layers = nn.ModuleList(_Layer(own, config.width) for own in widths)

    def first_items(self) -> Rows:
        """The items' rows of the first x."""
        vectors = self.table()
        return functional.normalize(vectors if self.reduce is None else self.reduce(vectors), dim=1)
