"""MAGNET: two graph views, modality cues, template experts, a sparse router, and training in two stages."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from alnico.contracts import Batch, Step, TrainableRecommender, TrainingData, batch_mean
from alnico.data.interactions import Interactions
from alnico.model_card import ModelCard
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.cues import Cue, CueGates, Reader, mean_cue, mean_length, scaled_cue
from alnico.models.magnet.foundations import AnyCues, Ground, laid, made_cues
from alnico.models.magnet.heads import make_head
from alnico.models.magnet.neighbourhood import NeighbourhoodCues
from alnico.models.magnet.router import Router, confidence_loss, coverage_loss, routing_facts, sparse_gate
from alnico.models.magnet.scorer import MagnetScorer
from alnico.models.magnet.sides import Side
from alnico.models.magnet.stages import StageState, after_epoch, after_step, initial_state, stage_weights
from alnico.models.magnet.templates import expert_pool, renormalised, template_table
from alnico.models.magnet.terms import agreement, alignment, attraction
from alnico.models.magnet.views import Hops
from alnico.nn.losses import bpr, sum_of_squares
from alnico.nn.propagation import light_propagate, light_propagate_rows, xavier_table
from alnico.nn.seeding import seeded

FINISHED = ("head.", "router.", "fusion", "gates.")
"""Beginnings of the names of parameters that a finished model carries."""


class Magnet(TrainableRecommender):
    """MAGNET (dual-view encoder, modality-guided experts, entropy-triggered routing).

    A pair's score: identities are propagated over the observed graph and over the observed graph with
    content-induced edges, and averaged (z); histories are pooled per modality (h); each expert mixes z and the h by
    its template and scores the two mixtures; a router on the pair keeps K experts and mixes their scores.
    Trained by BPR, agreement between the views, and a routing term that first spreads the load over the experts and,
    once entropy says that they are covered, sharpens each pair's choice. By default cues are made of identities
    that content lets through and stand on z, and terms hold content and behaviour together; the paper's are settings.

    Source: the MAGNET paper; what it leaves open is listed in docs/assumptions.md.
    Implements: Algorithm 1 (scoring), Algorithm 2 (training step), Eq. (6), Eq. (9), Eq. (10), Eq. (20), Eq. (32).
    """

    Config = MagnetConfig
    card = ModelCard(
        "MAGNET",
        "modality-guided mixture of graph experts with entropy-triggered routing",
        None,
        ("content",),
        "own",
        "The paper leaves points open: preset 'paper' is its literal reading, 'projected' this project's with its "
        "cues, the default this project's with cues of the neighbourhood (docs/assumptions.md).",
    )
    fixed_templates: Tensor
    stage_buffer: Tensor
    user_known: Tensor
    item_known: Tensor
    item_reached: Tensor
    user_share: Tensor
    item_share: Tensor

    def __init__(
        self, config: MagnetConfig, train: Interactions, cues: Mapping[str, AnyCues], ground: Ground
    ) -> None:
        super().__init__()
        self.config = config
        self.train_set = train
        self.names = tuple(cues)
        self.views, self.recall = ground.views, ground.recall
        views = ground.views
        self.observed, self.augmented, self.induced = views.observed, views.augmented, views.induced
        self.hops = Hops.full(views.observed, views.augmented, config.layers)
        self.users = xavier_table(train.n_users, config.width)
        self.items = xavier_table(train.n_items, config.width)
        self.cues = nn.ModuleDict({f"cue_{number}": cue for number, cue in enumerate(cues.values())})
        self.experts = expert_pool(config, self.names)
        parts = 1 + len(self.names)
        n_experts = len(self.experts) if config.mixture else 1
        self.head = make_head(config.head, n_experts, config.width)
        self._add_templates(parts, n_experts)
        self._add_router(n_experts)
        self.gates = CueGates(len(self.names), config.width) if config.cue_gate else None
        self.dropout = nn.Dropout(config.dropout)
        self.modality_dropout = config.modality_dropout * ground.trust
        self._add_presence(train, views.reached)
        self.register_buffer("stage_buffer", initial_state(config).to_tensor())

    def _add_templates(self, parts: int, n_experts: int) -> None:
        config = self.config
        self.fusion: nn.Parameter | None = None
        self.template_logits: nn.Parameter | None = None
        if not config.mixture:
            # One head on all cues: a learned map of their concatenation that starts as their mean.
            width = config.width
            self.fusion = nn.Parameter((torch.eye(width) / parts).repeat(1, parts))
        elif config.templates == "learned":
            self.template_logits = nn.Parameter(0.1 * torch.randn(n_experts, parts))
        self.register_buffer("fixed_templates", template_table(config, self.names), persistent=False)

    def _add_router(self, n_experts: int) -> None:
        config = self.config
        self.router: Router | None = None
        if config.mixture:
            extra = len(self.names) if config.router_input == "coherence" else 0
            hidden = config.width if config.router == "mlp" else None
            self.router = Router(
                config.width + extra, config.width, n_experts, hidden, config.router_scale, config.dropout
            )

    def _add_presence(self, train: Interactions, reached: NDArray[np.bool_]) -> None:
        known = torch.from_numpy(train.item_degrees > 0)
        self.has_cold_items = not bool(known.all())
        for name, mask in (
            ("item_known", known),
            ("item_reached", torch.from_numpy(reached)),
            ("user_known", torch.from_numpy(train.user_degrees > 0)),
        ):
            self.register_buffer(name, mask, persistent=False)
        for side, degrees in (("user", train.user_degrees), ("item", train.item_degrees)):
            share = torch.from_numpy((degrees / max(len(train), 1)).astype(np.float32))
            self.register_buffer(f"{side}_share", share, persistent=False)

    @classmethod
    def build(cls, config: MagnetConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        ground = laid(config, data)
        with seeded(rng):
            return cls(config, data.interactions, made_cues(config, data), ground)

    # -- graphs and stages -------------------------------------------------------------------------

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw this epoch's induced edges and neighbours where that is asked for; evaluation always uses all."""
        self.hops = self.views.drawn(self.train_set, self.config, rng)

    @property
    def stage(self) -> StageState:
        """Where the stage controller stands."""
        return StageState.from_tensor(self.stage_buffer)

    def observe(self, facts: Mapping[str, float]) -> None:
        if "entropy" in facts:
            self._set_stage(after_step(self.stage, facts["entropy"], self.config))

    def end_epoch(self, epoch: int) -> Mapping[str, float]:
        self._set_stage(after_epoch(self.stage, self.config))
        told = {f"neighbour_recall/{name}": share for name, share in self.recall.items()}
        return {"stage": self.stage.stage, "switch_step": self.stage.switch_step, **told}

    def _set_stage(self, state: StageState) -> None:
        self.stage_buffer.copy_(state.to_tensor())

    # -- Algorithm 1: from a pair to a score ---------------------------------------------------------

    def _identities(self) -> tuple[Float[Tensor, "nodes width"], Float[Tensor, "items width"]]:
        """Identities of users and items in one table, and those of items alone."""
        items: Tensor = self.items.weight
        if self.has_cold_items:
            # Items without training edges have no identity: whatever their row holds is never read.
            items = items * self.item_known[:, None]
        return torch.cat([self.users.weight, items]), items

    def templates(self) -> Float[Tensor, "experts parts"]:
        """The share of each part in each expert."""
        if self.template_logits is not None:
            return self.template_logits.softmax(1)
        return self.fixed_templates

    def _mixed(
        self,
        z: Float[Tensor, "rows width"],
        cues: Sequence[Cue],
        known: Tensor,
        lengths: Float[Tensor, " parts"] | None,
        kept: Float[Tensor, "rows parts"],
    ) -> Float[Tensor, "experts rows width"]:
        """x(w_e) of every expert; absent parts are left out and the others' shares scaled up (Eqs. 9, 10).

        ``lengths`` are there where cues are scaled.
        """
        config = self.config
        vectors = [cue.vectors for cue in cues]
        if lengths is not None:
            vectors = [
                scaled_cue(vector, config.cue_scale, lengths[0], own)
                for vector, own in zip(vectors, lengths[1:], strict=True)
            ]
        if self.gates is not None:
            vectors = self.gates(z, vectors)
        told = self.dropout(torch.stack(vectors, dim=1))
        if config.cue_weight != 1:
            told = told * config.cue_weight
        if config.anchored:
            told = told + z[:, None]
        parts = torch.cat([z[:, None], told], dim=1)
        present = torch.stack([known, *(cue.present for cue in cues)], dim=1).float() * kept
        if self.fusion is not None:
            scaled = (
                parts * (present * present.shape[1] / present.sum(1, keepdim=True).clamp(min=1))[:, :, None]
            )
            return (scaled.flatten(1) @ self.fusion.T)[None]
        weights = renormalised(self.templates(), present)
        return torch.bmm(weights, parts).transpose(0, 1)

    def _kept_parts(self, n_pairs: int) -> Float[Tensor, "pairs parts"]:
        """Which parts each pair may use this time; at least one."""
        n_parts, rate = 1 + len(self.names), self.modality_dropout
        if not self.training or rate == 0:
            return torch.ones(n_pairs, n_parts, device=self.users.weight.device)
        draws = torch.rand(n_pairs, n_parts, device=self.users.weight.device)
        kept = (draws >= rate).float()
        # Where all are drawn out, the luckiest stays.
        kept.scatter_(1, draws.argmax(1, keepdim=True), 1.0)
        return kept

    def _lengths(
        self, z: Float[Tensor, "rows width"], cues: Sequence[Cue], known: Tensor
    ) -> Float[Tensor, " parts"] | None:
        """Mean lengths of identities and of each cue over these rows; none where cues are not scaled."""
        if self.config.cue_scale == "none":
            return None
        even = torch.ones(len(z), device=z.device)
        own = [mean_length(cue.vectors, cue.present, even) for cue in cues]
        return torch.stack([mean_length(z, known, even), *own])

    def loss_terms(self, batch: Batch) -> Step:
        """Algorithm 2, one step: all terms of Eq. (32) on one batch."""
        config, n_users, n_pairs = self.config, self.users.num_embeddings, len(batch)
        nodes = torch.cat([batch.users, batch.positives + n_users, batch.negatives + n_users])
        # Ascending, so users come first; whatever a node needs is computed once, however often it occurs.
        rows, place = torch.unique(nodes, return_inverse=True)
        n_distinct = int(torch.searchsorted(rows, n_users))
        table, identities = self._identities()
        plain, first = light_propagate_rows(self.hops.observed, table, rows)
        other = None
        if self.hops.augmented is not None:
            other, _ = light_propagate_rows(self.hops.augmented, table, rows)
        z_rows = plain if other is None else (plain + other) / 2
        # Not z_rows[place]: the gradient of plain indexing is summed in whatever order the threads come.
        users, positives, negatives = z_rows.index_select(0, place).chunk(3)
        left_out = batch.positives if config.leave_one_out else None
        readings = [cue.reading(identities, rows[:n_distinct]) for cue in self._cue_list()]
        user_cues = [reading.users(batch.users, left_out) for reading in readings]
        known, kept = self.user_known[batch.users], self._kept_parts(n_pairs)
        left = self.head.user_side(
            self._mixed(users, user_cues, known, self._lengths(users, user_cues, known), kept)
        )
        # Positives and negatives go through together.
        items, candidates = torch.cat([positives, negatives]), place[n_pairs:] - n_distinct
        distinct = rows[n_distinct:] - n_users
        told = [reading.items(distinct) for reading in readings]
        item_cues = [cue.at(candidates) for cue in told]
        reached = self.item_reached[distinct][candidates]
        # One measure for both: negatives are less popular and shorter, and a factor of their own would tell the
        # model which is which.
        lengths = self._lengths(positives, [cue.first(n_pairs) for cue in item_cues], reached[:n_pairs])
        right = self.head.item_side(self._mixed(items, item_cues, reached, lengths, torch.cat([kept, kept])))
        sides = (right[:, :n_pairs], right[:, n_pairs:])
        expert_scores = torch.cat([self.head.pair_scores(left, side) for side in sides])
        routing_terms: dict[str, Tensor] = {}
        facts: dict[str, float] = {}
        scores = expert_scores[:, 0]
        if self.router is not None:
            user_part = self._user_logits(users, user_cues)
            logits = self.router.logits(torch.cat([user_part, user_part]) + self.router.item_part(items))
            gate = sparse_gate(logits, config.experts_per_pair)
            scores = (gate * expert_scores).sum(1)
            routing_terms, facts = self._routing_terms(logits[:n_pairs].softmax(1), gate[:n_pairs])
        terms = {"bpr": bpr(scores[:n_pairs], scores[n_pairs:], batch.weights, config.bpr), **routing_terms}
        taken, positive_place = torch.unique(place[n_pairs : 2 * n_pairs], return_inverse=True)
        if other is not None and config.contrast:
            terms["contrast"] = config.contrast * agreement(
                plain, other, n_distinct, taken, config.temperature
            )
        if config.alignment or config.attraction:
            nodes_of_users = z_rows[:n_distinct], mean_cue([r.users(rows[:n_distinct]) for r in readings])
            nodes_of_items = z_rows.index_select(0, taken), mean_cue([c.at(taken - n_distinct) for c in told])
            pairs = place[:n_pairs], positive_place
            terms |= self._content_terms(nodes_of_users, nodes_of_items, pairs)
        if config.l2:
            terms["l2"] = config.l2 * self._l2(first.index_select(0, place))
        return Step(terms, facts)

    def _content_terms(
        self, users: tuple[Tensor, Cue], items: tuple[Tensor, Cue], pairs: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Alignment and attraction over the batch's distinct users and positives: z and mean cue of each."""
        config, terms = self.config, {}
        if config.alignment:
            both = [alignment(*side, config.alignment_temperature) for side in (users, items)]
            terms["alignment"] = config.alignment * (both[0] + both[1])
        if config.attraction:
            found = attraction(users, items, pairs, config.attraction_temperature)
            terms["attraction"] = config.attraction * found
        return terms

    def _cue_list(self) -> list[AnyCues]:
        return list(self.cues.children())  # type: ignore[arg-type]

    def _user_logits(
        self, z: Float[Tensor, "rows width"], cues: Sequence[Cue]
    ) -> Float[Tensor, "rows inner"]:
        assert self.router is not None
        coherence = [cue.coherence for cue in cues if cue.coherence is not None]
        if coherence:
            z = torch.cat([z, torch.stack(coherence, dim=1)], dim=1)
        return self.router.user_part(z)

    def _routing_terms(self, routing: Tensor, gate: Tensor) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Coverage and confidence on the positive pairs, weighed by stage and entropy (Algorithm 2, line 9)."""
        with torch.no_grad():
            facts = routing_facts(routing, gate)
        stage = self.stage
        cover, sharpen = stage_weights(stage.stage, facts["entropy"], self.config)
        terms = {
            "coverage": cover * coverage_loss(batch_mean(routing)),
            "confidence": sharpen * confidence_loss(routing),
        }
        return terms, {**facts, "stage": stage.stage, "window_count": stage.count}

    def _l2(self, identities: Float[Tensor, "three_per_pair width"]) -> Tensor:
        """Squares of all parameters, or of the identities of the batch's users and items, per pair."""
        if self.config.regulariser == "everything":
            return sum_of_squares(list(self.parameters()))
        return 3 * batch_mean(identities.pow(2).sum(1))

    def parameter_groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """identities: the ID tables; content: projections and gates (and trainable vectors); routing: router and
        learned templates; head: expert maps and readout. Dense maps see every pair of every batch and move far faster
        than a single identity, so a plan may want to slow them down."""
        groups: dict[str, list[nn.Parameter]] = {"identities": [], "content": [], "routing": [], "head": []}
        homes = {
            "users": "identities",
            "items": "identities",
            "cues": "content",
            "gates": "content",
            "head": "head",
            "fusion": "head",
        }
        for name, parameter in self.named_parameters():
            groups[homes.get(name.split(".")[0], "routing")].append(parameter)
        return {name: members for name, members in groups.items() if members}

    def relative_rates(self) -> Mapping[str, float]:
        return {"identities": self.config.identity_rate, "head": self.config.head_rate}

    def inert_parameters(self) -> frozenset[str]:
        if self.config.head == "concat":
            return frozenset({"head.offset"})
        # With a single expert the item's bias adds the same to a positive and to its negative.
        return frozenset() if self.config.mixture else frozenset({"head.item_bias"})

    # -- the finished model ------------------------------------------------------------------------

    @torch.no_grad()
    def scorer(self) -> MagnetScorer:
        was_training = self.training
        self.eval()
        table, identities = self._identities()
        hops = Hops.full(self.observed, self.augmented, self.config.layers)
        plain = light_propagate(hops.observed, table)
        other = None if hops.augmented is None else light_propagate(hops.augmented, table)
        z = plain if other is None else (plain + other) / 2
        n_users = self.users.num_embeddings
        users, items = z[:n_users], z[n_users:]
        everyone = torch.arange(len(users), device=z.device)
        everything = torch.arange(len(items), device=z.device)
        readings = [cue.reading(identities) for cue in self._cue_list()]
        user_cues = [reading.users(everyone) for reading in readings]
        item_cues = [reading.items(everything) for reading in readings]
        coherence = None
        if self.config.router_input == "coherence":
            coherence = torch.stack([cue.coherence for cue in user_cues if cue.coherence is not None], dim=1)
        scorer = MagnetScorer(
            self.config,
            self.names,
            Side.of(users, user_cues, self.user_known, self.user_share, coherence),
            Side.of(items, item_cues, self.item_reached, self.item_share, None, self._pool_weights()),
            self.templates().detach().clone(),
            self._content_readers(identities),
            {
                name: value.detach().clone()
                for name, value in self.named_parameters()
                if name.startswith(FINISHED)
            },
        )
        self.train(was_training)
        return scorer

    def _pool_weights(self) -> Float[Tensor, "items modalities"] | None:
        """What an item's cue counts for in sums over histories; none where histories are averaged."""
        weights = [cue.weights for cue in self._cue_list() if isinstance(cue, NeighbourhoodCues)]
        return torch.stack(weights, dim=1) if weights else None

    def _content_readers(self, identities: Float[Tensor, "items width"]) -> dict[str, Reader]:
        return {name: cue.reader(identities) for name, cue in zip(self.names, self._cue_list(), strict=True)}
