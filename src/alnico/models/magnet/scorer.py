"""The finished MAGNET: tables, templates, router and head; scores, ranks and explains without any graph."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from alnico.contracts import Expert, ExplainingScorer, Likeness, PairExplanation, ScorerState
from alnico.data.features import ItemFeatures
from alnico.errors import DataError, UnsupportedError
from alnico.kernels.routed_ranking import HiddenLayer, Readout, RoutedItems, routed_scores, routed_top
from alnico.kernels.routed_stages import TwoStages
from alnico.models.magnet.arrivals import folded_in
from alnico.models.magnet.coalitions import coalitions, shapley
from alnico.models.magnet.config import PAPER, MagnetConfig
from alnico.models.magnet.cues import ContentReader, Reader, anchored, scaled_cue
from alnico.models.magnet.heads import ConcatHead
from alnico.models.magnet.neighbourhood import NeighbourReader
from alnico.models.magnet.restored import restored_gates, restored_head, restored_router
from alnico.models.magnet.router import sparse_gate
from alnico.models.magnet.sides import Side, under
from alnico.models.magnet.templates import BEHAVIOUR, expert_pool, renormalised
from alnico.ranking import Ranking, Seen, as_users, stack

NEVER = -60.0
"""What is added to the logit of an expert that is to have no say; its exponential is nothing beside 1."""
LATER = ("cue", "cue_weight", "cue_gate", "anchored", "induced_between", "alignment", "attraction")
"""Settings that a stored model may lack: it is from before they were there, and has their printed form."""


class MagnetScorer(ExplainingScorer):
    """MAGNET after training.

    ``names`` are the content modalities in order; parts are behaviour and then these. ``tilt`` is added to the router's
    logits: zero but for ``emphasising``. Implements: Algorithm 1.
    """

    kind = "magnet"
    reads_content = True
    ranks_in_stages = True

    def __init__(
        self,
        config: MagnetConfig,
        names: Sequence[str],
        users: Side,
        items: Side,
        templates: Float[Tensor, "experts parts"],
        readers: Mapping[str, Reader],
        parameters: Mapping[str, Tensor],
        tilt: Float[Tensor, " experts"] | None = None,
    ) -> None:
        self.config = config
        self.names = tuple(names)
        self.users = users
        self.items = items
        self._templates = templates
        self.readers = dict(readers)
        self.parameters = dict(parameters)
        n_experts, device = len(templates), users.z.device
        self.head = restored_head(config, n_experts, self.parameters, device)
        self.router = restored_router(config, n_experts, len(self.names), self.parameters, device)
        self.gates = restored_gates(config, len(self.names), self.parameters, device)
        self.tilt = torch.zeros(len(self.experts), device=self.device) if tilt is None else tilt

    @property
    def parts(self) -> tuple[str, ...]:
        """Behaviour and the content modalities."""
        return (BEHAVIOUR, *self.names)

    @property
    def experts(self) -> list[Expert]:
        """The pool in order; a single unnamed expert where there is no mixture."""
        return (
            expert_pool(self.config, self.names) if self.router is not None else [Expert("all", "fused", 0)]
        )

    @property
    def templates(self) -> Float[Tensor, "experts parts"]:
        """The share of each part in each expert, before absent parts are left out."""
        return self._templates

    @property
    def n_users(self) -> int:
        return len(self.users.z)

    @property
    def n_items(self) -> int:
        return len(self.items.z)

    @property
    def device(self) -> torch.device:
        return self.users.z.device

    # -- sides ---------------------------------------------------------------------------------------

    def part_vectors(self, side: Side, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows parts width"]:
        """Identity and cues, each by itself: scaled, gated and with its factor, but not on an anchor."""
        cues = [
            scaled_cue(side.cues[rows, place], self.config.cue_scale, side.length, side.cue_lengths[place])
            for place in range(len(self.names))
        ]
        if self.gates is not None:
            cues = self.gates(side.z[rows], cues)
        if self.config.cue_weight != 1:
            cues = [cue * self.config.cue_weight for cue in cues]
        return torch.stack([side.z[rows], *cues], dim=1)

    def as_mixed(self, parts: Float[Tensor, "rows parts width"]) -> Float[Tensor, "rows parts width"]:
        """The vectors that experts mix, from ``part_vectors``: anchored where the model is."""
        return anchored(parts) if self.config.anchored else parts

    def _mixed(
        self, parts: Float[Tensor, "rows parts width"], present: Float[Tensor, "rows parts"]
    ) -> Float[Tensor, "experts rows width"]:
        parts = self.as_mixed(parts)
        if "fusion" in self.parameters:
            share = present * present.shape[1] / present.sum(1, keepdim=True).clamp(min=1)
            return ((parts * share[:, :, None]).flatten(1) @ self.parameters["fusion"].T)[None]
        return torch.bmm(renormalised(self.templates, present), parts).transpose(0, 1).contiguous()

    def _user_side(self, users: Tensor) -> Float[Tensor, "experts rows width"]:
        return self.head.user_side(
            self._mixed(self.part_vectors(self.users, users), self.users.present[users])
        )

    def _user_part(self, users: Tensor) -> Float[Tensor, "rows inner"]:
        assert self.router is not None
        read = self.users.z[users]
        if self.users.coherence is not None:
            read = torch.cat([read, self.users.coherence[users]], dim=1)
        return self.router.user_part(read)

    @cached_property
    def _routed_items(self) -> RoutedItems:
        rows = torch.arange(self.n_items, device=self.device)
        mixed = self._mixed(self.part_vectors(self.items, rows), self.items.present)
        head = self.head
        readout = Readout(head.readout, float(head.offset)) if isinstance(head, ConcatHead) else None
        kept = min(self.config.experts_per_pair, len(mixed))
        routing, hidden = torch.zeros((self.n_items, 1), device=self.device), None
        if self.router is not None:
            routing = self.router.item_part(self.items.z)
            if self.router.second is None:
                routing = self.router.scale * routing + self.tilt
            else:
                second, scale = self.router.second, self.router.scale
                hidden = HiddenLayer(scale * second.weight, scale * second.bias + self.tilt)
        return RoutedItems(head.item_side(mixed).contiguous(), routing, kept, readout, hidden)

    @cached_property
    def _two_stages(self) -> TwoStages:
        return TwoStages(self._routed_items)

    # -- scoring -------------------------------------------------------------------------------------

    def _routing(self, users: Tensor) -> Float[Tensor, "rows inner"]:
        if self.router is None:
            return torch.zeros((len(users), 1), device=self.device)
        part = self._user_part(users)
        return part if self.router.second is not None else self.router.scale * part

    @torch.no_grad()
    def scores(self, users: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        return routed_scores(self._user_side(users), self._routing(users), self._routed_items)

    @torch.no_grad()
    def top(self, users: NDArray[np.int64], seen: Seen, k: int, block: int | None = None) -> Ranking:
        """The k best items of each user, as ``Scorer.top`` has it; no table of scores is formed.

        ``block`` users' vectors are made at a time, 1,024 by default, so memory is block * experts * width * 4 bytes.
        """
        parts, block = [], block or 1024
        for start in range(0, len(users), block):
            some = users[start : start + block]
            rows, own = as_users(some, self.device), seen.rows(some)
            found = routed_top(
                self._user_side(rows), self._routing(rows), self._routed_items, own.offsets, own.items, k
            )
            parts.append(Ranking(some, *found))
        return stack(parts, k)

    @torch.no_grad()
    def top_of_few(self, users: NDArray[np.int64], seen: Seen, k: int) -> Ranking:
        """In two stages: candidates by 8-bit vectors with proven bounds, then exact scores of these."""
        rows, own = as_users(users, self.device), seen.rows(users)
        found = self._two_stages.top(self._user_side(rows), self._routing(rows), own.offsets, own.items, k)
        return Ranking(users, found.items, found.values)

    @torch.no_grad()
    def score_pairs(
        self, users: Int[Tensor, " pairs"], items: Int[Tensor, " pairs"]
    ) -> Float[Tensor, " pairs"]:
        return self._pair_arithmetic(users, self.part_vectors(self.items, items), items)[3]

    def _pair_arithmetic(
        self, users: Tensor, item_parts: Float[Tensor, "pairs parts width"], items: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Routing, gate, expert scores and score of pairs whose item vectors are given."""
        right = self.head.item_side(self._mixed(item_parts, self.items.present[items]))
        expert_scores = self.head.pair_scores(self._user_side(users), right)
        if self.router is None:
            one = torch.ones_like(expert_scores)
            return one, one, expert_scores, expert_scores[:, 0]
        logits = self.router.logits(self._user_part(users) + self.router.item_part(item_parts[:, 0]))
        logits = logits + self.tilt
        gate = sparse_gate(logits, self.config.experts_per_pair)
        return logits.softmax(1), gate, expert_scores, (gate * expert_scores).sum(1)

    @torch.no_grad()
    def explain_pairs(self, users: Int[Tensor, " pairs"], items: Int[Tensor, " pairs"]) -> PairExplanation:
        """The arithmetic behind the scores of these pairs; see ``PairExplanation``."""
        routing, gate, expert_scores, score = self._pair_arithmetic(
            users, self.part_vectors(self.items, items), items
        )
        n_parts = len(self.parts)
        values = {own: self._score_keeping(users, items, own) for own in coalitions(n_parts)}
        everything = frozenset(range(n_parts))
        without = torch.stack([values[everything - {part}] for part in range(n_parts)], dim=1)
        reliance = torch.stack([shapley(values, part, n_parts) for part in range(n_parts)], dim=1)
        return PairExplanation(routing, gate, expert_scores, score, reliance, without, values[frozenset()])

    def _score_keeping(self, users: Tensor, items: Tensor, own: frozenset[int]) -> Float[Tensor, " pairs"]:
        """The score when only the parts in ``own`` are the item's and the others are the catalogue's mean."""
        parts = self.part_vectors(self.items, items)
        kept = torch.tensor([float(part in own) for part in range(len(self.parts))], device=self.device)
        # A part that the item lacks has no share in its score: there is nothing to take away.
        kept = torch.where(self.items.present[items] > 0, kept, 1.0)[:, :, None]
        blended = parts * kept + self._mean_parts * (1 - kept)
        return self._pair_arithmetic(users, blended, items)[3]

    @torch.no_grad()
    def forgetting(self, user: int, item: int, history: NDArray[np.int64]) -> Float[Tensor, " history"]:
        """The pair's score when one history item at a time is left out of the pooled cues; z stays as it is.

        ``history`` is the whole training history that the cues were pooled over.
        """
        rows = torch.from_numpy(np.array(history, dtype=np.int64)).to(self.device)
        own = torch.full_like(rows, user)
        has = self.items.present[rows][:, 1:, None]
        counts = has.sum(0)
        rest = counts - has
        known = self.users.cues[own] * self.items.divisor(counts)
        cues = (known - self.items.terms(rows)) / self.items.divisor(rest)
        present = torch.cat([self.users.present[own][:, :1], (rest[:, :, 0] > 0).float()], dim=1)
        coherence = None if self.users.coherence is None else self.users.coherence[own]
        altered = replace(self.users, z=self.users.z[own], cues=cues, present=present, coherence=coherence)
        everyone = torch.arange(len(rows), device=self.device)
        return self._with(users=altered).score_pairs(everyone, torch.full_like(rows, item))

    def emphasising(self, weights: Mapping[str, float]) -> "MagnetScorer":
        """The same with ``weights`` on the parts, in two places.

        Each expert's template is multiplied by them and scaled to sum to 1 again, and the router's odds of an expert by
        what its template multiplied by them sums to: an expert on a silenced part alone is never asked.
        """
        factors = self._factors(weights)
        if self.router is None:
            raise UnsupportedError(
                "this MAGNET mixes its parts by one learned map, so none can be turned up or down; "
                "train one with experts"
            )
        turned = self.templates * factors
        total = turned.sum(1, keepdim=True)
        new = self._with(templates=torch.where(total > 0, turned / total.clamp(min=1e-12), self.templates))
        new.tilt = self.tilt + total[:, 0].log().clamp(min=NEVER)
        return new

    @cached_property
    def _mean_parts(self) -> Float[Tensor, "parts width"]:
        rows = torch.arange(self.n_items, device=self.device)
        present = self.items.present[:, :, None]
        total = (self.part_vectors(self.items, rows) * present).sum(0)
        return total / present.sum(0).clamp(min=1)

    # -- people and things that training did not know --------------------------------------------------

    def fold_in(self, histories: Sequence[NDArray[np.int64]]) -> "MagnetScorer":
        """New users: z at the mean of their items' z at a known user's mean length; cues are pooled exactly."""
        known = [self.readers[name].vectors for name in self.names]
        return self._with(users=folded_in(histories, self.users, self.items, known))

    @property
    def reads_neighbours(self) -> int:
        """As many as induced edges are made from; none where there is one view."""
        return self.config.neighbours if self.config.views == "dual" else 0

    def with_items(self, features: ItemFeatures, near: Likeness | None = None) -> "MagnetScorer":
        """New items speak by their content; their behaviour part is absent unless they are like known items.

        ``features`` needs this model's modalities; a modality that a new item lacks is absent. In training an item that
        nobody has stands, in the view with induced edges, where those stand whose users would be led to it, and
        nowhere in the other view: so z is half the weighted mean of the z of the items that it is like. Departs: A68.
        """
        for name in self.names:
            if name not in features:
                raise DataError(f"new items need modality {name!r}; found {', '.join(features) or 'none'}")
        n_new = features.n_items
        z, reached = self._induced(n_new, near)
        cues, present, readers = [], [reached.cpu()], {}
        for name in self.names:
            reader, modality = self.readers[name], features[name]
            if modality.width != reader.width:
                raise DataError(
                    f"new items' {name!r} vectors have width {modality.width}; "
                    f"the model was trained on {reader.width}"
                )
            read, readers[name] = reader.read(modality, self.config, self.device)
            cues.append(read)
            present.append(torch.from_numpy(modality.present.astype(np.float32)))
        weights = self.items.weights
        if weights is not None:
            # As for known items that nobody has.
            weights = torch.cat([weights, weights.new_ones((n_new, len(self.names)))])
        items = replace(
            self.items,
            z=torch.cat([self.items.z, z]),
            cues=torch.cat([self.items.cues, torch.stack(cues, dim=1)]),
            present=torch.cat([self.items.present, torch.stack(present, dim=1).to(self.device)]),
            weights=weights,
        )
        return self._with(items=items, readers=readers)

    def _induced(
        self, n_new: int, near: Likeness | None
    ) -> tuple[Float[Tensor, "new width"], Float[Tensor, " new"]]:
        """Identities of new items from those that they are like, and whether they are like any."""
        if near is None or not self.reads_neighbours:
            return torch.zeros((n_new, self.config.width), device=self.device), torch.zeros(n_new)
        shares = torch.from_numpy(near.shares()).to(self.device)
        known = self.items.z[torch.from_numpy(near.items).to(self.device)]
        return (known * shares[:, :, None]).sum(1) / 2, (shares.sum(1) > 0).float()

    def _with(
        self,
        users: Side | None = None,
        items: Side | None = None,
        readers: Mapping[str, Reader] | None = None,
        templates: Tensor | None = None,
    ) -> "MagnetScorer":
        """This model with other users, items or templates; all that does not depend on them is shared."""
        new = copy(self)
        if users is not None:
            new.users = users
        if readers is not None:
            new.readers = dict(readers)
        if items is not None:
            new.items = items
        if templates is not None:
            new._templates = templates
        if items is not None or templates is not None:
            for name in ("_routed_items", "_two_stages", "_mean_parts"):
                new.__dict__.pop(name, None)
        return new

    # -- storing ---------------------------------------------------------------------------------------

    def state(self) -> ScorerState:
        tensors = {**self.users.tensors("users"), **self.items.tensors("items"), "templates": self.templates}
        if self.tilt.any():
            tensors["tilt"] = self.tilt
        tensors.update({f"parameters.{name}": value for name, value in self.parameters.items()})
        for number, reader in enumerate(self.readers.values()):
            tensors.update({f"readers.{number}.{name}": value for name, value in reader.tensors().items()})
        return ScorerState(
            self.kind, tensors, {"config": self.config.model_dump(), "names": list(self.names)}
        )

    @classmethod
    def from_state(cls, state: ScorerState) -> Self:
        tensors, names = state.tensors, state.settings["names"]
        printed = {name: PAPER[name] for name in LATER}
        config = MagnetConfig.model_validate({**printed, **state.settings["config"]})
        kind = ContentReader if config.cue == "projection" else NeighbourReader
        readers: dict[str, Reader] = {
            name: kind.from_tensors(under(tensors, f"readers.{number}.")) for number, name in enumerate(names)
        }
        return cls(
            config,
            names,
            Side.from_tensors(tensors, "users"),
            Side.from_tensors(tensors, "items"),
            tensors["templates"],
            readers,
            under(tensors, "parameters."),
            tensors.get("tilt"),
        )

    def to(self, device: torch.device) -> "MagnetScorer":
        state = self.state()
        moved = {name: tensor.to(device) for name, tensor in state.tensors.items()}
        return MagnetScorer.from_state(ScorerState(state.kind, moved, state.settings))
