"""Modality cues: what an item looks or reads like, and what a user's items look or read like on average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from alnico.data.features import Modality
from alnico.data.interactions import Interactions
from alnico.graphs.content import unit_rows
from alnico.graphs.graph import Graph, mean_pooling
from alnico.models.magnet.config import MagnetConfig

MLP_WIDTH = 256


@dataclass(frozen=True)
class Cue:
    """Cues of one modality for some rows: vectors [rows, d] and which of them are there [rows].

    ``coherence`` [rows] is there for users whose router reads it.
    """

    vectors: Float[Tensor, "rows width"]
    present: Bool[Tensor, " rows"]
    coherence: Float[Tensor, " rows"] | None = None

    def at(self, places: Int[Tensor, " places"]) -> "Cue":
        """The cues at these places, each as often as it is named."""
        own = None if self.coherence is None else self.coherence[places]
        return Cue(self.vectors.index_select(0, places), self.present[places], own)

    def first(self, n: int) -> "Cue":
        """The first n cues, without coherence."""
        return Cue(self.vectors[:n], self.present[:n])


@runtime_checkable
class Reading(Protocol):
    """The cues of one modality as parameters stand at one moment."""

    def items(self, rows: Int[Tensor, " rows"]) -> Cue:
        """Cues of these items."""

    def users(self, rows: Int[Tensor, " rows"], left_out: Int[Tensor, " rows"] | None = None) -> Cue:
        """Cues of these users; with ``left_out`` each without what that one training item gave to it."""


@runtime_checkable
class Reader(Protocol):
    """What it takes to read an item that was not there in training.

    ``vectors`` [items, width], of length one, are those of all known items where they are needed, else None.
    """

    @property
    def vectors(self) -> Float[Tensor, "items raw"] | None:
        """Vectors of length one of all known items, where they are needed."""

    @property
    def width(self) -> int:
        """Width of the raw vectors."""

    def read(
        self, modality: Modality, config: MagnetConfig, device: torch.device
    ) -> tuple[Float[Tensor, "new width"], "Reader"]:
        """Cues of new items, and the reader that knows them too."""

    def tensors(self) -> dict[str, Tensor]:
        """By name, for storing."""


@dataclass(frozen=True)
class Scale:
    """How columns of raw vectors are centred and spread before projection; fitted on the catalogue."""

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, modality: Modality, how: str) -> "Scale":
        """Mean and deviation of the present rows where ``how`` is "standardised", else no change."""
        if how == "standardised" and modality.present.any():
            known = modality.vectors[modality.present]
            deviation = known.std(0)
            return cls(known.mean(0), np.where(deviation > 0, deviation, 1).astype(np.float32))
        return cls(np.zeros(modality.width, np.float32), np.ones(modality.width, np.float32))


def prepared(modality: Modality, how: str, scale: Scale) -> NDArray[np.float32]:
    """Raw vectors as the projection reads them; absent rows are zero. See ``MagnetConfig.feature_input``."""
    vectors = np.where(modality.present[:, None], (modality.vectors - scale.centre) / scale.spread, 0)
    return unit_rows(vectors) if how == "unit" else vectors.astype(np.float32)


class ModalityCues(nn.Module):
    """Projects one modality and pools it over histories.

    h_i = W x_i + b (or a small network), h_u = mean of h_i over the user's training items that have the modality.
    With the linear projection pooling and projecting commute: raw vectors are pooled once, an item is left out of
    a raw pool, and only rows that a batch needs are ever projected. An empty pool is an absent cue.
    Implements: Eq. (7), Eq. (8).
    """

    vectors: Tensor
    present: Tensor
    counts: Tensor
    pooled: Tensor

    def __init__(self, modality: Modality, train: Interactions, config: MagnetConfig) -> None:
        super().__init__()
        self.scale = Scale.of(modality, config.feature_input)
        vectors = torch.from_numpy(prepared(modality, config.feature_input, self.scale))
        self.linear = config.projection == "linear" and not config.features_trainable
        self.coherent = config.router_input == "coherence"
        if config.features_trainable:
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors, persistent=False)
        present = torch.from_numpy(np.array(modality.present))
        self.register_buffer("present", present, persistent=False)
        has = modality.present[train.items]
        users, items = train.users[has], train.items[has]
        counts = np.bincount(users, minlength=train.n_users)
        self.register_buffer("counts", torch.from_numpy(counts.astype(np.float32)), persistent=False)
        self.pool: Graph = mean_pooling(users, items, train.n_users, train.n_items)
        pooled = self.pool.propagate(vectors) if self.linear or self.coherent else None
        self.register_buffer("pooled", pooled, persistent=False)
        self.projection = make_projection(modality.width, config)

    def reading(
        self, identities: Float[Tensor, "items width"], users: Int[Tensor, " users"] | None = None
    ) -> Reading:
        """These cues, which do not depend on identities."""
        del identities, users
        return self

    def reader(self, identities: Float[Tensor, "items width"]) -> "ContentReader":
        """What the finished model needs for new items; identities play no part in it."""
        del identities
        weights = {key: value.detach().clone() for key, value in self.projection.state_dict().items()}
        return ContentReader(self.scale, weights, self.vectors if self.coherent else None)

    def items(self, rows: Int[Tensor, " rows"]) -> Cue:
        """Cues of these items."""
        return Cue(self.projection(self.vectors.index_select(0, rows)), self.present[rows])

    def users(self, rows: Int[Tensor, " rows"], left_out: Int[Tensor, " rows"] | None = None) -> Cue:
        """Cues of these users; with ``left_out`` each user's pool is without that one training item."""
        counts = self.counts[rows]
        inside = None if left_out is None else self.present[left_out].float()
        rest = counts if inside is None else counts - inside
        total = coherence = None
        if self.linear or self.coherent:
            total = self.pooled.index_select(0, rows) * counts[:, None]
            if left_out is not None and inside is not None:
                total = total.addcmul_(self.vectors.index_select(0, left_out), inside[:, None], value=-1)
        if total is not None and self.coherent:
            coherence = coherence_of(total, rest)
        if total is not None and self.linear:
            pooled: Tensor = self.projection(total / rest.clamp(min=1)[:, None])
        else:
            pooled = self._pooled_afterwards(rows, counts, left_out, inside)
        return Cue(pooled, rest > 0, coherence)

    def _pooled_afterwards(
        self, rows: Tensor, counts: Tensor, left_out: Tensor | None, inside: Tensor | None
    ) -> Float[Tensor, "rows width"]:
        """The pool's mean of every item's projection, where projecting does not commute with pooling."""
        distinct, place = torch.unique(rows, return_inverse=True)
        # Absent items are not in the pool.
        projected = self.projection(self.vectors)
        pooled = self.pool.propagate(projected, distinct).index_select(0, place)
        if left_out is None or inside is None:
            return pooled
        total = counts[:, None] * pooled - inside[:, None] * projected.index_select(0, left_out)
        mean: Tensor = total / (counts - inside).clamp(min=1)[:, None]
        return mean


def coherence_of(
    total: Float[Tensor, "rows width"], counts: Float[Tensor, " rows"]
) -> Float[Tensor, " rows"]:
    """Mean cosine between different items of a pool, from the sum s of its n unit vectors; 0 where n is below 2.

    High where a user keeps to one look (or one kind of text): (|s|^2 - n) / (n (n - 1)).
    """
    mean = (total.pow(2).sum(1) - counts) / (counts * (counts - 1)).clamp(min=1)
    return torch.where(counts >= 2, mean, torch.zeros_like(mean))


@dataclass(frozen=True)
class ContentReader:
    """Scale and projection of new items' vectors; known vectors are kept where new users' coherence is needed."""

    scale: Scale
    projection: Mapping[str, Tensor]
    vectors: Float[Tensor, "items raw"] | None

    @property
    def width(self) -> int:
        """Width of the raw vectors."""
        return len(self.scale.centre)

    def read(
        self, modality: Modality, config: MagnetConfig, device: torch.device
    ) -> tuple[Float[Tensor, "new width"], Reader]:
        """New items' vectors, projected."""
        vectors = torch.from_numpy(prepared(modality, config.feature_input, self.scale)).to(device)
        projection = make_projection(modality.width, config).to(device)
        projection.load_state_dict(dict(self.projection))
        known = None if self.vectors is None else torch.cat([self.vectors, vectors])
        return projection(vectors).detach(), replace(self, vectors=known)

    def tensors(self) -> dict[str, Tensor]:
        """By name, for storing."""
        named = {
            "centre": torch.from_numpy(np.array(self.scale.centre)),
            "spread": torch.from_numpy(np.array(self.scale.spread)),
        }
        if self.vectors is not None:
            named["vectors"] = self.vectors
        return {**named, **{f"projection.{key}": value for key, value in self.projection.items()}}

    @classmethod
    def from_tensors(cls, own: Mapping[str, Tensor]) -> "ContentReader":
        """What ``tensors`` described."""
        scale = Scale(own["centre"].cpu().numpy(), own["spread"].cpu().numpy())
        start = "projection."
        weights = {name[len(start) :]: value for name, value in own.items() if name.startswith(start)}
        return cls(scale, weights, own.get("vectors"))


def make_projection(width: int, config: MagnetConfig) -> nn.Module:
    """The untrained map from raw vectors to cues."""
    if config.projection == "linear":
        layers: list[nn.Module] = [nn.Linear(width, config.width)]
    else:
        layers = [nn.Linear(width, MLP_WIDTH), nn.LeakyReLU(), nn.Linear(MLP_WIDTH, config.width)]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def mean_length(
    vectors: Float[Tensor, "rows width"], present: Bool[Tensor, " rows"], share: Float[Tensor, " rows"]
) -> Float[Tensor, ""]:
    """Mean Euclidean length of the present rows, each weighing ``share``; detached."""
    weights = share * present
    lengths: Tensor = vectors.detach().norm(dim=1)
    return (lengths * weights).sum() / weights.sum().clamp(min=1e-12)


def scaled_cue(
    vectors: Float[Tensor, "rows width"], how: str, length: Float[Tensor, ""], own_length: Float[Tensor, ""]
) -> Float[Tensor, "rows width"]:
    """Cues brought to the identities' size, so that a template's fixed shares mean what they say.

    ``length`` is the identities' mean length, ``own_length`` that of these cues. See ``MagnetConfig.cue_scale``.
    """
    if how == "none":
        return vectors
    even = functional.normalize(vectors, dim=1) * length
    if how == "unit":
        return even
    # A cue that no training pair has was never measured: one length for all, not a factor without bounds.
    return torch.where(own_length > 0, vectors * (length / own_length.clamp(min=1e-12)), even)


class CueGates(nn.Module):
    """How much of each cue a node lets through: sigmoid(W_m z + b_m), per modality m and entry.

    Source: the gates of Yu et al., MGCN, MM 2023, that behaviour puts on content. Departs: A69.
    """

    def __init__(self, n_modalities: int, width: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(width, width) for _ in range(n_modalities))

    def forward(
        self, z: Float[Tensor, "rows width"], cues: Sequence[Float[Tensor, "rows width"]]
    ) -> list[Float[Tensor, "rows width"]]:
        """What is left of the cues of these rows."""
        return [cue * torch.sigmoid(gate(z)) for cue, gate in zip(cues, self.maps, strict=True)]


def anchored(parts: Float[Tensor, "rows parts width"]) -> Float[Tensor, "rows parts width"]:
    """Each cue on top of the identity, which is the first part. See ``MagnetConfig.anchored``."""
    return torch.cat([parts[:, :1], parts[:, 1:] + parts[:, :1]], dim=1)


def mean_cue(cues: Sequence[Cue]) -> Cue:
    """The mean of each row's present cues; a row without any is absent."""
    present = torch.stack([cue.present for cue in cues], dim=1)
    shares = present / present.sum(1, keepdim=True).clamp(min=1)
    vectors = torch.stack([cue.vectors for cue in cues], dim=1)
    return Cue((vectors * shares[:, :, None]).sum(1), present.any(1))
