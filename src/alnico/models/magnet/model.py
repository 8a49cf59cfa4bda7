"""MAGNET: two graph views, modality cues, template experts, a sparse router, and training in two stages."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from alnico.contracts import Batch, Step, TrainableRecommender, TrainingData, batch_mean
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.graphs.augment import InducedEdges, induce_edges
from alnico.graphs.content import nearest_neighbours
from alnico.graphs.evidence import content_evidence
from alnico.graphs.graph import Graph, symmetric_graph
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.cues import Cue, ModalityCues, mean_length, scaled_cue
from alnico.models.magnet.heads import make_head
from alnico.models.magnet.router import Router, confidence_loss, coverage_loss, routing_facts, sparse_gate
from alnico.models.magnet.scorer import ContentReader, MagnetScorer, Side
from alnico.models.magnet.stages import StageState, after_epoch, after_step, initial_state, stage_weights
from alnico.models.magnet.templates import expert_pool, renormalised, template_table
from alnico.nn.losses import bpr, info_nce
from alnico.nn.propagation import light_propagate, xavier_table
from alnico.nn.seeding import seeded

FINISHED = ("head.", "router.", "fusion")
"""Beginnings of the names of parameters that a finished model carries."""


class Magnet(TrainableRecommender):
    """MAGNET (dual-view encoder, modality-guided experts, entropy-triggered routing).

    A pair's score: identities are propagated over the observed graph and over the observed graph with
    content-induced edges, and averaged (z); histories are pooled per modality (h); each expert mixes z and the h by
    its template and scores the two mixtures; a router on the pair keeps K experts and mixes their scores.
    Trained by BPR, agreement between the views, and a routing term that first spreads the load over the experts and,
    once entropy says that they are covered, sharpens each pair's choice.

    Source: the MAGNET paper; what it leaves open is listed in docs/assumptions.md.
    Implements: Algorithm 1 (scoring), Algorithm 2 (training step), Eq. (6), Eq. (9), Eq. (10), Eq. (20), Eq. (32).
    """

    Config = MagnetConfig
    fixed_templates: Tensor
    stage_buffer: Tensor
    user_known: Tensor
    item_known: Tensor
    item_reached: Tensor
    user_share: Tensor
    item_share: Tensor

    def __init__(
        self,
        config: MagnetConfig,
        train: Interactions,
        cues: Mapping[str, ModalityCues],
        observed: Graph,
        induced: InducedEdges | None,
        trust: float,
        recall: Mapping[str, float],
    ) -> None:
        super().__init__()
        self.config = config
        self.train_set = train
        self.names = tuple(cues)
        self.observed = observed
        self.induced = induced
        self.augmented = observed if induced is None else _augmented(train, induced)
        self.full_augmented = self.augmented
        self.users = xavier_table(train.n_users, config.width)
        self.items = xavier_table(train.n_items, config.width)
        self.cues = nn.ModuleDict({f"cue_{number}": cue for number, cue in enumerate(cues.values())})
        self.experts = expert_pool(config, self.names)
        parts = 1 + len(self.names)
        n_experts = len(self.experts) if config.mixture else 1
        self.head = make_head(config.head, n_experts, config.width)
        self._add_templates(parts, n_experts)
        self._add_router(n_experts)
        self.dropout = nn.Dropout(config.dropout)
        self.modality_dropout = config.modality_dropout * trust
        self.recall = recall
        self._add_presence(train, induced)
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

    def _add_presence(self, train: Interactions, induced: InducedEdges | None) -> None:
        known = torch.from_numpy(train.item_degrees > 0)
        reached = known.clone()
        if induced is not None:
            reached[torch.from_numpy(np.array(induced.items))] = True
        for name, mask in (
            ("item_known", known),
            ("item_reached", reached),
            ("user_known", torch.from_numpy(train.user_degrees > 0)),
        ):
            self.register_buffer(name, mask, persistent=False)
        for side, degrees in (("user", train.user_degrees), ("item", train.item_degrees)):
            share = torch.from_numpy((degrees / max(len(train), 1)).astype(np.float32))
            self.register_buffer(f"{side}_share", share, persistent=False)

    @classmethod
    def build(cls, config: MagnetConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        train = data.interactions
        induced, trust = None, 1.0
        lists: dict[str, ItemNeighbours] = {}
        if data.features and (config.views == "dual" or config.evidence):
            lists = {
                name: data.neighbours[name].first(min(config.neighbours, data.neighbours[name].k))
                if name in data.neighbours
                else nearest_neighbours(
                    modality, config.neighbours, data.graphs, search=config.neighbour_search
                )
                for name, modality in data.features.items()
            }
            question = (train, data.features, lists, config.induced, config.visibility, data.graphs)
            if config.evidence:
                trust = content_evidence(*question).weight
            if config.views == "dual":
                edges = induce_edges(*question)
                if config.induced_weight == "visibility":
                    edges = edges.weighed_by_visibility()
                induced = edges.scaled(trust)
        observed = symmetric_graph(train.users, train.items, train.n_users, train.n_items)
        recall = {name: found.recall for name, found in lists.items() if found.recall is not None}
        with seeded(rng):
            cues = {name: ModalityCues(modality, train, config) for name, modality in data.features.items()}
            return cls(config, train, cues, observed, induced, trust, recall)

    # -- graphs and stages -------------------------------------------------------------------------

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw this epoch's induced edges where a cap is set; evaluation always uses all."""
        if self.induced is not None and self.config.induced_cap is not None:
            some = self.induced.capped(self.config.induced_cap, rng)
            self.augmented = _augmented(self.train_set, some)

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

    def _identities(self) -> Float[Tensor, "nodes width"]:
        # Items without training edges have no identity: whatever their row holds is never read.
        items = self.items.weight * self.item_known[:, None]
        return torch.cat([self.users.weight, items])

    def _views(
        self, rows: Int[Tensor, " rows"] | None, augmented: Graph
    ) -> tuple[Float[Tensor, "out width"], Float[Tensor, "out width"] | None]:
        table = self._identities()
        plain = light_propagate(self.observed, table, self.config.layers, rows)
        if self.induced is None:
            return plain, None
        return plain, light_propagate(augmented, table, self.config.layers, rows)

    def templates(self) -> Float[Tensor, "experts parts"]:
        """The share of each part in each expert."""
        if self.template_logits is not None:
            return self.template_logits.softmax(1)
        return self.fixed_templates

    def _mixed(
        self,
        z: Float[Tensor, "rows width"],
        cues: list[Cue],
        known: Tensor,
        lengths: Float[Tensor, " parts"],
        kept: Float[Tensor, "rows parts"],
    ) -> Float[Tensor, "experts rows width"]:
        """x(w_e) of every expert; absent parts are left out and the others' shares scaled up (Eqs. 9, 10)."""
        vectors = [
            scaled_cue(cue.vectors, self.config.cue_scale, lengths[0], own)
            for cue, own in zip(cues, lengths[1:], strict=True)
        ]
        parts = torch.stack([z, *(self.dropout(vector) for vector in vectors)], dim=1)
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

    @staticmethod
    def _lengths(z: Float[Tensor, "rows width"], cues: list[Cue], known: Tensor) -> Float[Tensor, " parts"]:
        """Mean lengths of identities and of each cue over these rows."""
        even = torch.ones(len(z), device=z.device)
        own = [mean_length(cue.vectors, cue.present, even) for cue in cues]
        return torch.stack([mean_length(z, known, even), *own])

    def loss_terms(self, batch: Batch) -> Step:
        """Algorithm 2, one step: all terms of Eq. (32) on one batch."""
        config, n_users = self.config, self.users.num_embeddings
        nodes = torch.cat([batch.users, batch.positives + n_users, batch.negatives + n_users])
        rows, place = torch.unique(nodes, return_inverse=True)
        plain, other = self._views(rows, self.augmented)
        z_rows = plain if other is None else (plain + other) / 2
        # Not z_rows[place]: the gradient of plain indexing is summed in whatever order the threads come.
        users, positives, negatives = z_rows.index_select(0, place).chunk(3)
        left_out = batch.positives if config.leave_one_out else None
        user_cues = [cue.users(batch.users, left_out) for cue in self._cue_list()]
        known = self.user_known[batch.users]
        kept = self._kept_parts(len(batch))
        lengths = self._lengths(users, user_cues, known)
        left = self.head.user_side(self._mixed(users, user_cues, known, lengths, kept))
        user_part = self._user_logits(users, batch.users, left_out)
        scores, gates, routings = [], [], []
        for z, items in ((positives, batch.positives), (negatives, batch.negatives)):
            cues = [cue.items(items) for cue in self._cue_list()]
            if items is batch.positives:
                # One measure for both: negatives are less popular and shorter, and a factor of their own would
                # tell the model which is which.
                lengths = self._lengths(z, cues, self.item_reached[items])
            right = self.head.item_side(self._mixed(z, cues, self.item_reached[items], lengths, kept))
            expert_scores = self.head.pair_scores(left, right)
            if self.router is None or user_part is None:
                scores.append(expert_scores[:, 0])
                continue
            logits = self.router.logits(user_part + self.router.item_part(z))
            gate = sparse_gate(logits, config.experts_per_pair)
            scores.append((gate * expert_scores).sum(1))
            gates.append(gate)
            routings.append(logits.softmax(1))
        terms = {"bpr": bpr(scores[0], scores[1], batch.weights, config.bpr)}
        facts: dict[str, float] = {}
        if routings:
            facts = self._add_routing_terms(terms, routings[0], gates[0])
        if other is not None and config.contrast:
            terms["contrast"] = config.contrast * self._contrast(rows, plain, other, batch)
        if config.l2:
            terms["l2"] = config.l2 * self._l2(batch)
        return Step(terms, facts)

    def _cue_list(self) -> list[ModalityCues]:
        return list(self.cues.children())  # type: ignore[arg-type]

    def _user_logits(
        self, z: Float[Tensor, "rows width"], users: Int[Tensor, " rows"], left_out: Tensor | None
    ) -> Float[Tensor, "rows inner"] | None:
        if self.router is None:
            return None
        if self.config.router_input == "coherence":
            coherence = [cue.coherence(users, left_out) for cue in self._cue_list()]
            z = torch.cat([z, torch.stack(coherence, dim=1)], dim=1)
        return self.router.user_part(z)

    def _add_routing_terms(self, terms: dict[str, Tensor], routing: Tensor, gate: Tensor) -> dict[str, float]:
        """Coverage and confidence on the positive pairs, weighed by stage and entropy (Algorithm 2, line 9)."""
        with torch.no_grad():
            facts = routing_facts(routing, gate)
        stage = self.stage
        cover, sharpen = stage_weights(stage.stage, facts["entropy"], self.config)
        terms["coverage"] = cover * coverage_loss(batch_mean(routing))
        terms["confidence"] = sharpen * confidence_loss(routing)
        return {**facts, "stage": stage.stage, "window_count": stage.count}

    def _contrast(self, rows: Tensor, plain: Tensor, other: Tensor, batch: Batch) -> Tensor:
        """Eq. (28): each unique user and positive item of the batch should look alike in both views, both ways."""
        n_users = self.users.num_embeddings
        total = torch.zeros((), device=plain.device)
        for nodes in (torch.unique(batch.users), torch.unique(batch.positives) + n_users):
            at = torch.searchsorted(rows, nodes)
            left, right = plain.index_select(0, at), other.index_select(0, at)
            temperature = self.config.temperature
            total = total + (info_nce(left, right, temperature) + info_nce(right, left, temperature)) / 2
        return total

    def _l2(self, batch: Batch) -> Tensor:
        if self.config.regulariser == "everything":
            return torch.stack([parameter.pow(2).sum() for parameter in self.parameters()]).sum()
        identities = (self.users(batch.users), self.items(batch.positives), self.items(batch.negatives))
        return torch.stack([table.pow(2).sum() for table in identities]).sum() / len(batch)

    def parameter_groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """identities: the ID tables; content: projections (and trainable vectors); routing: router and learned
        templates; head: expert maps and readout. Dense maps see every pair of every batch and move far faster than
        a single identity, so a plan may want to slow them down."""
        groups: dict[str, list[nn.Parameter]] = {"identities": [], "content": [], "routing": [], "head": []}
        homes = {
            "users": "identities",
            "items": "identities",
            "cues": "content",
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
        plain, other = self._views(None, self.full_augmented)
        z = plain if other is None else (plain + other) / 2
        n_users = self.users.num_embeddings
        users, items = z[:n_users], z[n_users:]
        everyone = torch.arange(len(users), device=z.device)
        everything = torch.arange(len(items), device=z.device)
        user_cues = [cue.users(everyone) for cue in self._cue_list()]
        item_cues = [cue.items(everything) for cue in self._cue_list()]
        coherence = None
        if self.config.router_input == "coherence":
            coherence = torch.stack([cue.coherence(everyone) for cue in self._cue_list()], dim=1)
        scorer = MagnetScorer(
            self.config,
            self.names,
            Side.of(users, user_cues, self.user_known, self.user_share, coherence),
            Side.of(items, item_cues, self.item_reached, self.item_share, None),
            self.templates().detach().clone(),
            self._content_readers(),
            {
                name: value.detach().clone()
                for name, value in self.named_parameters()
                if name.startswith(FINISHED)
            },
        )
        self.train(was_training)
        return scorer

    def _content_readers(self) -> dict[str, ContentReader]:
        readers = {}
        for name, cue in zip(self.names, self._cue_list(), strict=True):
            weights = {key: value.detach().clone() for key, value in cue.projection.state_dict().items()}
            vectors = cue.vectors if self.config.router_input == "coherence" else None
            readers[name] = ContentReader(cue.scale, weights, vectors)
        return readers


def _augmented(train: Interactions, induced: InducedEdges) -> Graph:
    """G_UIG: observed edges of weight 1 together with the induced ones."""
    assert induced.weights is not None
    return symmetric_graph(
        np.concatenate([train.users, induced.users]),
        np.concatenate([train.items, induced.items]),
        train.n_users,
        train.n_items,
        np.concatenate([np.ones(len(train), np.float32), induced.weights]),
    )
