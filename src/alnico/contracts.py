"""What a model owes the rest of the house.

A recommender is built from training data alone, yields named loss terms, and hands out a scorer: the finished
model that evaluation, explanation and serving see. Nothing here knows a model's name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor, nn

from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import ConfigError, UnsupportedError, nearest
from alnico.graphs.cache import GraphCache
from alnico.model_card import ModelCard
from alnico.ranking import Ranking, Seen, as_users, ranking_from_scores, stack

LEAST_WIDTH = 16
"""Nobody is advised to make vectors shorter than this."""
SCORED_BYTES = 2**23
"""Largest table of scores that is formed at a time: larger ones are no faster, and leave holes in the heap."""


class ModelConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings of one model; an unknown key is an error."""

    def thriftier(self) -> list[dict[str, Any]]:
        """Changes to these settings, each by itself, with which the model needs less memory or time.

        Those that change the model least come first. By default half the width, where there is one.
        """
        width = self.model_dump().get("width")
        return [{"width": width // 2}] if isinstance(width, int) and width >= 2 * LEAST_WIDTH else []


@dataclass(frozen=True)
class TrainingData:
    """All that a model may see: no validation, no test.

    ``neighbours`` are item graphs given with the data; ``graphs`` remembers deterministic graphs.
    """

    interactions: Interactions
    features: ItemFeatures
    neighbours: Mapping[str, ItemNeighbours] = field(default_factory=dict)
    graphs: GraphCache = field(default_factory=GraphCache)


@dataclass(frozen=True)
class Batch:
    """Training triples: ``negatives[b]`` was never taken by ``users[b]`` in training.

    ``weights`` are event strengths (ones where the data has none). Shapes: users, positives, weights [B];
    negatives [B].
    """

    users: Int[Tensor, " batch"]
    positives: Int[Tensor, " batch"]
    negatives: Int[Tensor, " batch"]
    weights: Float[Tensor, " batch"]
    planned: int = 0
    """Triples of a full batch; the last of an epoch may hold fewer. 0 where that is not known."""

    @property
    def full_size(self) -> int:
        """What losses divide by that the source divides by the configured batch size."""
        return self.planned or len(self)

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Step:
    """What one batch says: named, already weighted loss terms, and plain numbers worth logging."""

    terms: Mapping[str, Float[Tensor, ""]]
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Likeness:
    """Known items that new ones resemble: new item j is like ``items[j]`` to the degree of ``weights[j]``.

    Weights are not negative; 0 fills short rows, and a row of zeros is like nothing. Shapes: both [new, k].
    """

    items: NDArray[np.int64]
    weights: NDArray[np.float32]

    def shares(self) -> NDArray[np.float32]:
        """Weights scaled to sum to 1 in each row that has any."""
        total = self.weights.sum(1, keepdims=True)
        return (self.weights / np.where(total > 0, total, 1)).astype(np.float32)


@dataclass(frozen=True)
class ScorerState:
    """A scorer as data: tensors for safetensors, settings for JSON."""

    kind: str
    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any]


class Scorer(ABC):
    """A finished model: scores every item for every user. No graph, no optimiser, no training data."""

    kind: ClassVar[str]
    reads_content: ClassVar[bool] = False
    """Whether ``with_items`` ranks new items by what they look and read like."""
    holds_histories: ClassVar[bool] = False
    """Whether its users are nothing but their histories, which then lie in its state."""
    ranks_in_stages: ClassVar[bool] = False
    """Whether ``top_of_few`` has a way of its own."""

    @property
    @abstractmethod
    def n_users(self) -> int:
        """Users it can score."""

    @property
    @abstractmethod
    def n_items(self) -> int:
        """Items it ranks."""

    @property
    def device(self) -> torch.device:
        """Where its tables are."""
        return torch.device("cpu")

    @abstractmethod
    def scores(self, users: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        """The score of every item for these users; higher is better, finite."""

    def score_pairs(
        self, users: Int[Tensor, " pairs"], items: Int[Tensor, " pairs"]
    ) -> Float[Tensor, " pairs"]:
        """The scores of given pairs."""
        unique, row = torch.unique(users, return_inverse=True)
        return self.scores(unique)[row, items]

    def top(self, users: NDArray[np.int64], seen: Seen, k: int, block: int | None = None) -> Ranking:
        """The k best items of each user, without those that ``seen`` lists under the user's number.

        ``block`` users are scored at a time, so memory is block * items * 4 bytes; by default as many as fit into
        ``SCORED_BYTES``.
        """
        if block is None:
            block = max(1, SCORED_BYTES // (4 * max(self.n_items, 1)))
        parts = []
        for start in range(0, len(users), block):
            some = users[start : start + block]
            parts.append(
                ranking_from_scores(self.scores(as_users(some, self.device)), some, seen.rows(some), k)
            )
        return stack(parts, k)

    def top_of_few(self, users: NDArray[np.int64], seen: Seen, k: int) -> Ranking:
        """The lists of ``top``, to the bit, in the way that takes least for a few users and very many items."""
        return self.top(users, seen, k)

    @abstractmethod
    def fold_in(self, histories: Sequence[NDArray[np.int64]]) -> "Scorer":
        """A scorer for users that were never trained: user j has the items ``histories[j]``."""

    @property
    def reads_neighbours(self) -> int:
        """How many known items that each new one is like ``with_items`` wants to be told; 0 where it uses none."""
        return 0

    def with_items(self, features: ItemFeatures, near: Likeness | None = None) -> "Scorer":
        """A scorer that also ranks new items, appended after the known ones in the order of ``features``.

        ``near`` are known items that the new ones are like; see ``reads_neighbours``.
        """
        raise UnsupportedError(
            f"{type(self).__name__} knows items only by who took them and cannot rank items that nobody has; "
            "train again with them, or use a model that reads content (magnet)"
        )

    def with_items_like(self, near: Likeness) -> "Scorer":
        """A scorer that also ranks new items, appended after the known ones, as it ranks those that they resemble.

        What a model can do with content that it has never read (``with_items`` is refused); an item that is like
        nothing has the lowest standing that the model can give without knowing anything.
        """
        raise UnsupportedError(f"{type(self).__name__} has no place for items that are like others")

    @abstractmethod
    def state(self) -> ScorerState:
        """This scorer as data."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: ScorerState) -> Self:
        """The scorer that ``state`` described."""

    @abstractmethod
    def to(self, device: torch.device) -> "Scorer":
        """The same scorer with its tables on ``device``."""


@dataclass(frozen=True)
class Expert:
    """One expert's place in the pool: its anchor (group), its template's family and its replica number."""

    group: str
    family: str
    replica: int = 0

    @property
    def label(self) -> str:
        """Short name for tables and figures."""
        suffix = f" #{self.replica + 1}" if self.replica else ""
        return f"{self.group} {self.family}{suffix}"


@dataclass(frozen=True)
class PairExplanation:
    """The arithmetic behind the scores of some pairs; rows are pairs.

    routing: softmax over all experts; gate: the kept experts' weights; expert_scores: each expert's own score;
    score = sum of gate * expert_scores. reliance: each part's exact share (Shapley value) of the difference between
    the score and ``baseline``, the score of an item that is average in every part; without: the score when this
    part of the item is replaced by the catalogue's mean. Shapes: routing, gate, expert_scores [pairs, experts];
    score, baseline [pairs]; reliance, without [pairs, parts].
    """

    routing: Float[Tensor, "pairs experts"]
    gate: Float[Tensor, "pairs experts"]
    expert_scores: Float[Tensor, "pairs experts"]
    score: Float[Tensor, " pairs"]
    reliance: Float[Tensor, "pairs parts"]
    without: Float[Tensor, "pairs parts"]
    baseline: Float[Tensor, " pairs"]


class ExplainingScorer(Scorer):
    """A scorer whose scores are a mixture of experts over parts (behaviour and modalities)."""

    @property
    @abstractmethod
    def parts(self) -> tuple[str, ...]:
        """Behaviour and the content modalities, in the order of the explanation's columns."""

    @property
    @abstractmethod
    def experts(self) -> list[Expert]:
        """The pool, in the order of the explanation's columns."""

    @property
    @abstractmethod
    def templates(self) -> Float[Tensor, "experts parts"]:
        """The share of each part in each expert."""

    @abstractmethod
    def explain_pairs(self, users: Int[Tensor, " pairs"], items: Int[Tensor, " pairs"]) -> PairExplanation:
        """The arithmetic behind the scores of these pairs."""

    def emphasising(self, weights: Mapping[str, float]) -> "ExplainingScorer":
        """The same model with the named parts counting so many times as much, the others as before.

        Raises UnsupportedError if the model cannot, ConfigError for an unknown part or a negative weight.
        """
        del weights
        raise UnsupportedError(
            f"the parts of {type(self).__name__} cannot be turned up or down; ask without emphasis"
        )

    def _factors(self, weights: Mapping[str, float]) -> Float[Tensor, " parts"]:
        """The factor of each part, 1 where none is named."""
        for part, weight in weights.items():
            if part not in self.parts:
                raise ConfigError(f"the model has no part {part!r}{nearest(part, self.parts)}")
            if not 0 <= weight < float("inf"):
                raise ConfigError(f"the weight of {part!r} must be a number of at least 0; found {weight}")
        return torch.tensor([float(weights.get(part, 1)) for part in self.parts], device=self.device)

    @abstractmethod
    def forgetting(self, user: int, item: int, history: NDArray[np.int64]) -> Float[Tensor, " history"]:
        """The pair's score when one history item at a time is left out of the user's content profile."""


class Recommender(ABC):
    """A model that can be asked for a scorer. Those without parameters stop here."""

    Config: ClassVar[type[ModelConfig]]
    card: ClassVar[ModelCard]

    @classmethod
    @abstractmethod
    def build(cls, config: Any, data: TrainingData, rng: np.random.Generator) -> Self:
        """The model for this data, untrained; all randomness comes from ``rng``."""

    @abstractmethod
    def scorer(self) -> Scorer:
        """A copy of the model's present knowledge; later training does not move it."""


class TrainableRecommender(Recommender, nn.Module):
    """A model with parameters, moved by the one training loop."""

    @abstractmethod
    def loss_terms(self, batch: Batch) -> Step:
        """Named, already weighted terms of the loss on this batch; the loop minimises their sum."""

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Called before each epoch (first is 1): redraw edges, refresh tables. May depend on nothing else."""
        del epoch, rng

    def observe(self, facts: Mapping[str, float]) -> None:
        """Called after each optimiser step with that step's facts; controllers count here."""
        del facts

    def end_epoch(self, epoch: int) -> Mapping[str, float]:
        """Called after each epoch; returns plain numbers for the epoch's row of the history."""
        del epoch
        return {}

    def parameter_groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Parameters by group name; the plan may give each group its own learning rate."""
        return {"all": list(self.parameters())}

    def relative_rates(self) -> Mapping[str, float]:
        """How much faster (or slower) than the plan's learning rate a named group moves; 1 where not named."""
        return {}

    def inert_parameters(self) -> frozenset[str]:
        """Names of parameters that the source itself leaves without gradient."""
        return frozenset()

    def random_tables(self) -> frozenset[str]:
        """Names of buffers that stay as they were drawn and that weights rest on: a warm start takes them over too."""
        return frozenset()

    def adopt(
        self, old: Mapping[str, Tensor], users: NDArray[np.int64], items: NDArray[np.int64]
    ) -> list[str]:
        """Start from another run's weights (same settings, other users and items).

        ``users[u]`` is the old number of user u or -1, likewise ``items``. Returns the names taken over.
        Rows of users and items that the old run did not know keep their fresh values.
        """
        taken = []
        state = self.state_dict()
        # Of buffers only those: others hold where a controller stands, and training begins anew.
        tables = [(name, state[name]) for name in sorted(self.random_tables())]
        for name, parameter in [*self.named_parameters(), *tables]:
            value, source = state[name], old.get(name)
            if source is None:
                continue
            rows = _rows_of_table(name, users, items)
            if rows is not None and value.ndim == 2 and len(value) == len(rows):
                if source.shape[1:] != value.shape[1:]:
                    continue
                known = torch.from_numpy(np.flatnonzero(rows >= 0))
                value[known.to(value.device)] = source[torch.from_numpy(rows[rows >= 0])].to(value)
                taken.append(name)
            elif parameter.shape == source.shape:
                value.copy_(source)
                taken.append(name)
        self.load_state_dict(state)
        return taken


def batch_mean(values: Float[Tensor, "batch *rest"]) -> Float[Tensor, "*rest"]:
    """The mean over the batch. One function, so that a distributed trainer can make it the global mean."""
    return values.mean(dim=0)


def _rows_of_table(name: str, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Which old rows the rows of a table are: ``user...weight``, ``item...weight`` and trained ``...vectors``."""
    if name.startswith("user") and name.endswith("weight"):
        return users
    if (name.startswith("item") and name.endswith("weight")) or name.endswith(".vectors"):
        return items
    return None
