"""Whether the routing means what it says: does the part that it names matter most to the score?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from alnico.contracts import Expert, ExplainingScorer
from alnico.diagnostics.routing import PAIR_BLOCK, RoutedPairs, reliance_shares
from alnico.errors import DataError
from alnico.evaluation.significance import bootstrap_interval

DRAWS = 2_000
"""Draws of the bootstrap of a shift."""
PROMISED = 0.8
"""Share of pairs in which the named part must matter more than the others' mean."""


@dataclass(frozen=True, eq=False)
class Damage:
    """What averaging each part does to some pairs.

    ``routing``, ``gate`` [pairs, experts] as the model routes them; ``falls`` [pairs, experts, parts]: how far each
    expert's own score falls when that part of user and item is the catalogue's mean.
    """

    routing: Float[Tensor, "pairs experts"]
    gate: Float[Tensor, "pairs experts"]
    falls: Float[Tensor, "pairs experts parts"]

    def by_part(
        self, gate: Float[Tensor, "pairs experts"] | None = None
    ) -> Float[NDArray[np.float64], "pairs parts"]:
        """How far the pair's score falls, the routing being fixed: at the model's gate, or at another one."""
        fixed = self.gate if gate is None else gate
        fallen: NDArray[np.float64] = torch.einsum("pe,pem->pm", fixed, self.falls).double().numpy()
        return fallen


@dataclass(frozen=True)
class NamedPart:
    """Pairs whose routing names this part: the share in which it matters more than the mean of the others.

    ``exchanged_share``: the same with each pair routed as another, drawn at random (its gate makes the score and its
    routing the name): what a router that ignores the pair would reach. ``misnamed_share``: the score as it is and the
    name of another pair.
    """

    part: str
    pairs: int
    share: float
    exchanged_share: float
    misnamed_share: float

    @property
    def keeps_promise(self) -> bool:
        """Whether the share is at least .8 and above both controls."""
        return self.share >= PROMISED and self.share > max(self.exchanged_share, self.misnamed_share)


def damage(
    scorer: ExplainingScorer,
    averaged: Mapping[str, ExplainingScorer],
    users: NDArray[np.int64],
    items: NDArray[np.int64],
) -> Damage:
    """The damage to these pairs; ``averaged[part]`` is the model with that part of everybody at its mean.

    Raises DataError if a part of the model is not among ``averaged``.
    """
    if missing := [part for part in scorer.parts if part not in averaged]:
        raise DataError(f"faithfulness needs the model with {missing[0]!r} averaged; found {list(averaged)}")
    routing, gates, falls = [], [], []
    for start in range(0, len(users), PAIR_BLOCK):
        block = slice(start, start + PAIR_BLOCK)
        pairs = [torch.from_numpy(np.array(side[block])).to(scorer.device) for side in (users, items)]
        whole = scorer.explain_pairs(pairs[0], pairs[1])
        scores = [averaged[part].explain_pairs(pairs[0], pairs[1]).expert_scores for part in scorer.parts]
        routing.append(whole.routing.cpu())
        gates.append(whole.gate.cpu())
        falls.append((whole.expert_scores[:, :, None] - torch.stack(scores, dim=2)).cpu())
    return Damage(torch.cat(routing), torch.cat(gates), torch.cat(falls))


def named_parts(
    experts: Sequence[Expert], parts: Sequence[str], routing: Float[Tensor, "pairs experts"]
) -> Int[NDArray[np.int64], " pairs"]:
    """The part whose anchor group has the largest mass, as a place in ``parts``."""
    groups = torch.zeros(len(routing), len(parts), dtype=torch.float64)
    for column, expert in enumerate(experts):
        groups[:, list(parts).index(expert.group)] += routing[:, column].double()
    named: NDArray[np.int64] = groups.argmax(1).numpy()
    return named


def faithfulness(
    experts: Sequence[Expert],
    parts: Sequence[str],
    done: Damage,
    rng: np.random.Generator,
    against: Damage | None = None,
) -> list[NamedPart]:
    """For each named part how often it truly matters more than the others; parts that are never named are left out.

    ``against`` holds the damage to other items of the same users, so many in a row for each pair: falls then count
    beyond theirs, and what lowers all scores alike does not count. Raises DataError where no expert has an anchor.
    """
    if not {expert.group for expert in experts} <= set(parts):
        raise DataError(f"experts of {experts[0].group!r} name no part; faithfulness needs anchored experts")
    other = rng.permutation(len(done.gate))
    as_routed = _beyond(done, against, None)
    exchanged = _beyond(done, against, other)
    names = named_parts(experts, parts, done.routing)
    shares = [
        (_first(as_routed, names), names),
        (_first(exchanged, names[other]), names[other]),
        (_first(as_routed, names[other]), names[other]),
    ]
    told = []
    for place, part in enumerate(parts):
        if (names == place).any():
            own = [float(wins[name == place].mean()) for wins, name in shares]
            told.append(NamedPart(part, int((names == place).sum()), *own))
    return told


def _beyond(
    done: Damage, against: Damage | None, order: NDArray[np.int64] | None
) -> Float[NDArray[np.float64], "pairs parts"]:
    """Falls by part, less the mean fall of the user's other items; in ``order``, each at another pair's gate."""
    fallen = done.by_part(None if order is None else done.gate[torch.from_numpy(order)])
    if against is None:
        return fallen
    n_pairs, n_others = len(done.gate), len(against.gate) // len(done.gate)
    gates = against.gate.view(n_pairs, n_others, -1)
    if order is not None:
        gates = gates[torch.from_numpy(order)]
    others = against.by_part(gates.reshape(n_pairs * n_others, -1))
    beyond: NDArray[np.float64] = fallen - others.reshape(n_pairs, n_others, -1).mean(1)
    return beyond


def _first(
    falls: Float[NDArray[np.float64], "pairs parts"], named: Int[NDArray[np.int64], " pairs"]
) -> NDArray[np.bool_]:
    """Whether the named part's fall is larger than the mean fall of the others."""
    own = falls[np.arange(len(falls)), named]
    others = (falls.sum(1) - own) / max(falls.shape[1] - 1, 1)
    first: NDArray[np.bool_] = own > others
    return first


@dataclass(frozen=True)
class Shift:
    """How far reliance on one part moved between two trainings, over the same pairs.

    ``before`` and ``after`` are mean shares over the pairs, ``interval`` the 95 % bootstrap interval of after - before
    when users are drawn anew, each with all pairs; ``moved_share`` the share of pairs that rely less on the part than
    before.
    """

    part: str
    before: float
    after: float
    interval: tuple[float, float]
    moved_share: float

    @property
    def moved_away(self) -> bool:
        """Whether reliance fell by more than chance."""
        return self.interval[1] < 0


def reliance_shift(
    part: str, parts: Sequence[str], intact: RoutedPairs, corrupted: RoutedPairs, rng: np.random.Generator
) -> Shift:
    """How reliance on ``part`` moved from the training on intact content to the one where it was corrupted.

    Raises DataError if the two do not hold the same pairs.
    """
    if not (np.array_equal(intact.users, corrupted.users) and np.array_equal(intact.items, corrupted.items)):
        raise DataError(
            "reliance can be compared on the same pairs only; route the same pairs with both models"
        )
    column = list(parts).index(part)
    before, after = (
        reliance_shares(pairs.reliance)[:, column].double().numpy() for pairs in (intact, corrupted)
    )
    # The mean over pairs as one over users, to first order, so that users can be drawn with all their pairs.
    _, place = np.unique(intact.users, return_inverse=True)
    moved, counts = np.bincount(place, after - before), np.bincount(place)
    mean = float((after - before).mean())
    per_user = mean + (moved - mean * counts) / counts.mean()
    return Shift(
        part,
        float(before.mean()),
        float(after.mean()),
        bootstrap_interval(per_user, np.zeros(len(per_user)), rng, draws=DRAWS),
        float((after < before).mean()),
    )
