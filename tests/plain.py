"""The method once more, as directly as it can be written: loops and double precision, nothing shared.

Slow and only for tiny worlds; the tests hold the real code to it.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from alnico.contracts import TrainingData
from alnico.data.features import ItemFeatures, Modality
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.graphs.evidence import content_evidence
from alnico.models.magnet.config import FAMILIES
from alnico.models.magnet.model import Magnet

Vector = np.ndarray

WHOLE = {
    "preset": "projected",
    "layers": 2,
    "views": "dual",
    "cue_scale": "balanced",
    "leave_one_out": True,
    "alpha": 0.6,
    "beta": 0.2,
    "delta": 0.5,
    "epsilon": 0.1,
    "auxiliary_order": "global",
    "evidence": False,
    "families": FAMILIES,
    "router": "linear",
    "router_input": "coherence",
    "router_scale": 1.0,
    "experts_per_pair": 4,
    "head": "hadamard",
    "dropout": 0.1,
    "modality_dropout": 0.3,
    "bpr": "mean",
    "regulariser": "identities",
    "l2": 1e-3,
    "contrast": 0.01,
    "routing": 0.3,
    "schedule": "linear",
    "switch": "entropy",
    "entropy_threshold": 0.9,
    "window": 3,
    "trigger_unit": "epoch",
    "smoothing": 0.9,
    "coverage_floor": 0.85,
}
"""MAGNET with projected cues and every part of it in play, whatever the defaults."""


def cosine(modality: Modality, left: int, right: int) -> float:
    """Cosine of two items; zero where one lacks the modality."""
    if not (modality.present[left] and modality.present[right]):
        return 0.0
    a, b = modality.vectors[left].astype(float), modality.vectors[right].astype(float)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


def induced_edges(
    train: Interactions,
    features: ItemFeatures,
    neighbours: Mapping[str, ItemNeighbours],
    per_user: int,
    visibility: str,
) -> list[tuple[int, int, float]]:
    """Eqs. (2) and (3), pair by pair: (user, item, visibility), by user and best first."""
    chosen = []
    for user in range(train.n_users):
        history = set(train.of_user(user).tolist())
        pool = {
            int(other)
            for lists in neighbours.values()
            for item in history
            for other in lists.items[item]
            if other >= 0
        } - history
        visible = {}
        for other in pool:
            total = 0.0
            for name, lists in neighbours.items():
                for item in history:
                    if visibility == "full":
                        total += cosine(features[name], item, other)
                    else:
                        listed = lists.items[item] == other
                        total += max(float(lists.weights[item][listed].sum()), 0.0)
            visible[other] = total / len(neighbours)
        best = sorted(pool, key=lambda other: (-round(visible[other], 6), other))[:per_user]
        chosen += [(user, other, visible[other]) for other in best]
    return chosen


def propagated(
    table: Vector, edges: Iterable[tuple[int, int, float]], n_users: int, n_items: int, layers: int
) -> Vector:
    """Eqs. (4) and (5): the mean over layers of D^-1/2 A D^-1/2 applied again and again."""
    adjacency = np.zeros((n_users + n_items, n_users + n_items))
    for user, item, weight in edges:
        adjacency[user, n_users + item] = adjacency[n_users + item, user] = weight
    degrees = adjacency.sum(1)
    for row, column in itertools.product(range(len(adjacency)), repeat=2):
        if adjacency[row, column]:
            adjacency[row, column] /= math.sqrt(degrees[row] * degrees[column])
    hops = [table]
    for _ in range(layers):
        hops.append(adjacency @ hops[-1])
    return sum(hops) / (layers + 1)


def template(group: int, family: str, n_parts: int, config: object) -> list[float]:
    """The shares of one expert whose anchor is part ``group``, from the formulas for any number of parts."""
    n = n_parts - 1
    if family == "dominant":
        anchor, others = (1 + config.alpha) / 2, [(1 - config.alpha) / (2 * n)] * n
    elif family == "balanced":
        anchor = 1 / n_parts + config.beta / 6
        others = [1 / n_parts - config.beta / (6 * n)] * n
    else:
        anchor, rest = config.epsilon, 1 - config.epsilon
        others = [rest] if n == 1 else [rest * config.delta] + [rest * (1 - config.delta) / (n - 1)] * (n - 1)
    order = [part for part in range(n_parts) if part != group]
    if config.auxiliary_order == "content_first" and group != 0:
        order = [*order[1:], 0]
    shares = [0.0] * n_parts
    shares[group] = anchor
    for part, share in zip(order, others, strict=True):
        shares[part] = share
    return shares


class PlainMagnet:
    """Algorithm 1, written from its description; takes its numbers from a model's parameters."""

    def __init__(
        self,
        model: Magnet,
        data: TrainingData,
        neighbours: Mapping[str, ItemNeighbours],
        leave_one_out: bool = False,
    ) -> None:
        self.config, self.train, self.names = model.config, data.interactions, list(data.features)
        self.value = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
        self.features = data.features
        self.histories = [self.train.of_user(user).tolist() for user in range(self.train.n_users)]
        self._propagate(neighbours)
        self._measure_lengths(leave_one_out)

    def _propagate(self, neighbours: Mapping[str, ItemNeighbours]) -> None:
        config, train = self.config, self.train
        known = train.item_degrees > 0
        table = np.concatenate([self.value["users.weight"], self.value["items.weight"] * known[:, None]])
        observed = [(u, i, 1.0) for u, i in zip(train.users.tolist(), train.items.tolist(), strict=True)]
        size = (train.n_users, train.n_items)
        self.plain = propagated(table, observed, *size, config.layers)
        self.other, induced = None, []
        if config.views == "dual":
            induced = induced_edges(train, self.features, neighbours, config.induced, config.visibility)
            if config.induced_weight == "visibility":
                top = max(visible for _, _, visible in induced)
                weighed = [(u, i, min(max(visible / top, 1e-3), 1.0)) for u, i, visible in induced]
            else:
                weighed = [(u, i, 1.0) for u, i, _ in induced]
            if config.evidence:
                # Counted by hand in tests/graphs/test_evidence.py.
                question = (train, self.features, neighbours, config.induced, config.visibility)
                trust = content_evidence(*question).weight
                weighed = [(u, i, trust * weight) for u, i, weight in weighed]
                induced = induced if trust else []
            self.other = propagated(table, observed + weighed, *size, config.layers)
        z = self.plain if self.other is None else (self.plain + self.other) / 2
        self.z_user, self.z_item = z[: train.n_users], z[train.n_users :]
        self.reached = known.copy()
        self.reached[[i for _, i, _ in induced]] = True

    # -- cues ----------------------------------------------------------------------------------------

    def _project(self, place: int, raw: Vector) -> Vector:
        name = f"cues.cue_{place}.projection"
        if self.config.projection == "linear":
            return self.value[f"{name}.weight"] @ raw + self.value[f"{name}.bias"]
        hidden = self.value[f"{name}.0.weight"] @ raw + self.value[f"{name}.0.bias"]
        hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
        return self.value[f"{name}.2.weight"] @ hidden + self.value[f"{name}.2.bias"]

    def _unit(self, place: int, item: int) -> Vector:
        raw = self.features[self.names[place]].vectors[item].astype(float)
        return raw / max(np.linalg.norm(raw), 1e-12)

    def item_cue(self, place: int, item: int) -> Vector | None:
        """Eq. (7), or None where the item lacks the modality."""
        if not self.features[self.names[place]].present[item]:
            return None
        return self._project(place, self._unit(place, item))

    def _pool(self, place: int, user: int, left_out: int | None) -> list[int]:
        present = self.features[self.names[place]].present
        return [item for item in self.histories[user] if present[item] and item != left_out]

    def user_cue(self, place: int, user: int, left_out: int | None = None) -> Vector | None:
        """Eq. (8), or None where nobody is left in the pool."""
        pool = self._pool(place, user, left_out)
        return np.mean([self.item_cue(place, item) for item in pool], axis=0) if pool else None

    def coherence(self, place: int, user: int, left_out: int | None = None) -> float:
        """Mean cosine between different items of the pool."""
        pool = self._pool(place, user, left_out)
        pairs = list(itertools.combinations(pool, 2))
        return float(np.mean([cosine(self.features[self.names[place]], *p) for p in pairs])) if pairs else 0.0

    def _measure_lengths(self, leave_one_out: bool) -> None:
        """Mean lengths over all training pairs, each pair counted once; with or without the pair's item."""
        users, items = self.train.users.tolist(), self.train.items.tolist()

        def mean(vectors: Iterable[Vector | None]) -> float:
            lengths = [np.linalg.norm(vector) for vector in vectors if vector is not None]
            return float(np.mean(lengths)) if lengths else 0.0

        self.user_length = mean(self.z_user[u] for u in users)
        self.item_length = mean(self.z_item[i] for i in items)
        places = range(len(self.names))
        pairs = [(u, i if leave_one_out else None) for u, i in zip(users, items, strict=True)]
        self.user_cue_lengths = [mean(self.user_cue(place, u, out) for u, out in pairs) for place in places]
        self.item_cue_lengths = [mean(self.item_cue(place, i) for i in items) for place in places]

    def _scaled(self, cue: Vector | None, length: float, own: float) -> Vector | None:
        if cue is None or self.config.cue_scale == "none":
            return cue
        if self.config.cue_scale == "unit":
            return cue / np.linalg.norm(cue) * length
        return cue * length / own

    def user_parts(self, user: int, left_out: int | None = None) -> list[Vector | None]:
        """Identity and cues of a user; None where absent."""
        cues = [
            self._scaled(self.user_cue(place, user, left_out), self.user_length, own)
            for place, own in enumerate(self.user_cue_lengths)
        ]
        return [self.z_user[user] if self.histories[user] else None, *cues]

    def item_parts(self, item: int) -> list[Vector | None]:
        """Identity and cues of an item; None where absent."""
        cues = [
            self._scaled(self.item_cue(place, item), self.item_length, own)
            for place, own in enumerate(self.item_cue_lengths)
        ]
        return [self.z_item[item] if self.reached[item] else None, *cues]

    # -- experts ---------------------------------------------------------------------------------------

    def templates(self) -> list[list[float]]:
        """One row of shares per expert."""
        config, n_parts = self.config, 1 + len(self.names)
        if config.templates == "learned":
            rows = []
            for logits in self.value["template_logits"]:
                powers = [math.exp(value) for value in logits]
                rows.append([power / sum(powers) for power in powers])
            return rows
        return [
            template(group, family, n_parts, config)
            for _ in range(config.replicas)
            for group in range(n_parts)
            for family in config.families
        ]

    def _mixed(self, shares: Sequence[float], parts: Sequence[Vector | None]) -> Vector:
        """Eqs. (9) and (10): absent parts are left out and the others' shares scaled up."""
        total = sum(share for share, part in zip(shares, parts, strict=True) if part is not None)
        mixed = np.zeros(self.config.width)
        for share, part in zip(shares, parts, strict=True):
            if part is not None:
                mixed = mixed + share / max(total, 1e-12) * part
        return mixed

    def _expert_score(self, expert: int, user: Vector, item: Vector) -> float:
        """Eqs. (11) and (21) of one expert."""
        value = {name.removeprefix("head."): v for name, v in self.value.items() if name.startswith("head.")}
        if self.config.head == "hadamard":
            left = value["user_maps"][expert] @ user + value["user_bias"][expert, 0]
            right = value["item_maps"][expert] @ item + value["item_bias"][expert, 0]
            return float(value["readout"] @ (left * right))
        weights = np.concatenate([value["user_maps"][expert], value["item_maps"][expert]], axis=1)
        hidden = weights @ np.concatenate([user, item]) + value["bias"][expert, 0]
        return float(value["readout"] @ np.maximum(hidden, 0) + value["offset"])

    def logits(self, user: int, z_item: Vector, left_out: int | None = None) -> Vector:
        """Eq. (17) and the router on it, for an item with this identity."""
        read = [self.z_user[user]]
        if self.config.router_input == "coherence":
            read.append(np.array([self.coherence(p, user, left_out) for p in range(len(self.names))]))
        q = np.concatenate([*read, z_item])
        hidden = self.value["router.first.weight"] @ q + self.value["router.first.bias"]
        if self.config.router == "mlp":
            hidden = (
                self.value["router.second.weight"] @ np.maximum(hidden, 0) + self.value["router.second.bias"]
            )
        return self.config.router_scale * hidden

    def routing(self, user: int, item: int, left_out: int | None = None) -> Vector:
        """Eq. (18): the softmax over all experts."""
        powers = np.exp(self.logits(user, self.z_item[item], left_out))
        return powers / powers.sum()

    def score(self, user: int, item: int, left_out: int | None = None) -> float:
        """Algorithm 1 for one pair; ``left_out`` is an item that the user's pools are without."""
        return self.score_of_parts(user, self.item_parts(item), self.z_item[item], left_out)

    def score_of_parts(
        self, user: int, right: Sequence[Vector | None], z_item: Vector, left_out: int | None = None
    ) -> float:
        """Algorithm 1 for an item made of these parts."""
        left = self.user_parts(user, left_out)
        if not self.config.mixture:
            fusion = self.value["fusion"]
            return self._expert_score(0, fusion @ self._joined(left), fusion @ self._joined(right))
        powers = np.exp(self.logits(user, z_item, left_out))
        kept = sorted(range(len(powers)), key=lambda e: (-powers[e], e))[: self.config.experts_per_pair]
        templates = self.templates()
        return sum(
            powers[e]
            / sum(powers[other] for other in kept)
            * self._expert_score(e, self._mixed(templates[e], left), self._mixed(templates[e], right))
            for e in kept
        )

    def score_keeping(self, user: int, item: int, own: Iterable[int]) -> float:
        """The score when only ``own`` of the item's parts are its own and the others the catalogue's mean."""
        everything = [self.item_parts(other) for other in range(self.train.n_items)]
        right = list(everything[item])
        for place, part in enumerate(right):
            if part is not None and place not in own:
                there = [parts[place] for parts in everything if parts[place] is not None]
                right[place] = np.mean(there, axis=0)
        return self.score_of_parts(user, right, self.z_item[item] if right[0] is None else right[0])

    def _joined(self, parts: Sequence[Vector | None]) -> Vector:
        """All parts in a row, absent ones zero and the present ones larger for it."""
        there = max(sum(part is not None for part in parts), 1)
        nothing = np.zeros(self.config.width)
        return np.concatenate([nothing if p is None else p * len(parts) / there for p in parts])

    def table(self) -> Vector:
        """The score of every pair."""
        users, items = range(self.train.n_users), range(self.train.n_items)
        return np.array([[self.score(user, item) for item in items] for user in users])


def shaken(model: Magnet, seed: int = 0) -> Magnet:
    """The model with every parameter but the raw vectors moved at random, so that nothing is at its start."""
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("vectors"):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=stream))
    return model
