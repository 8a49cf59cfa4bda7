"""Where pairs were sent, and which modality truly decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from alnico.contracts import Expert, ExplainingScorer

PAIR_BLOCK = 4096


@dataclass(frozen=True)
class RoutedPairs:
    """Routing [pairs, experts] and reliance [pairs, parts] of some pairs; see ``PairExplanation``."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    routing: Float[Tensor, "pairs experts"]
    reliance: Float[Tensor, "pairs parts"]


def route_pairs(scorer: ExplainingScorer, users: NDArray[np.int64], items: NDArray[np.int64]) -> RoutedPairs:
    """How these pairs are routed, in blocks."""
    routing, reliance = [], []
    for start in range(0, len(users), PAIR_BLOCK):
        block = slice(start, start + PAIR_BLOCK)
        pairs = [torch.from_numpy(np.array(side[block])).to(scorer.device) for side in (users, items)]
        explained = scorer.explain_pairs(pairs[0], pairs[1])
        routing.append(explained.routing.cpu())
        reliance.append(explained.reliance.cpu())
    return RoutedPairs(users, items, torch.cat(routing), torch.cat(reliance))


def reliance_shares(reliance: Float[Tensor, "pairs parts"]) -> Float[Tensor, "pairs parts"]:
    """Each part's share of the absolute contributions of its pair; rows sum to 1 (0 where nothing contributes)."""
    size = reliance.abs()
    return size / size.sum(1, keepdim=True).clamp(min=1e-12)


@dataclass(frozen=True)
class Concentration:
    """How evenly a mean routing spreads over E experts.

    ``entropy`` H in nats; ``effective_experts`` exp H, from 1 to E; ``diversity`` H / ln E, from 0 to 1; ``hhi`` the
    sum of squared shares, from 1 / E to 1; ``normalised_hhi`` the same from 0 to 1.
    """

    entropy: float
    effective_experts: float
    diversity: float
    hhi: float
    normalised_hhi: float


def concentration(mean: NDArray[np.float64]) -> Concentration:
    """How evenly these shares of experts, which sum to 1, are spread; a single expert counts as fully diverse.

    Implements: Eq. (34).
    """
    n_experts = len(mean)
    entropy = float(-(mean * np.log(np.maximum(mean, 1e-12))).sum())
    hhi = float((mean**2).sum())
    alone = n_experts == 1
    return Concentration(
        entropy=entropy,
        effective_experts=float(np.exp(entropy)),
        diversity=1.0 if alone else entropy / float(np.log(n_experts)),
        hhi=hhi,
        normalised_hhi=0.0 if alone else (hhi - 1 / n_experts) / (1 - 1 / n_experts),
    )


def content_share(groups: Mapping[str, float], parts: Sequence[str]) -> float | None:
    """Mass of the groups anchored in content (the paper's A + S); None where experts have no such anchors.

    ``parts`` are behaviour and then the modalities.
    """
    own = [groups[part] for part in parts[1:] if part in groups]
    return sum(own) if own else None


def routing_summary(
    experts: list[Expert],
    parts: tuple[str, ...],
    templates: Float[Tensor, "experts parts"],
    routed: RoutedPairs,
) -> dict[str, object]:
    """Mean routing over pairs, by expert, group and family, with its spread and the reliance behind it.

    entropy, effective_experts, diversity, hhi: see ``Concentration``; content_share: see ``content_share``;
    weighted_reliance: mean routing times the templates' shares; reliance: mean over pairs of each
    part's share of the absolute contributions to the score.
    Implements: Eq. (33), Eq. (34).
    """
    mean = routed.routing.mean(0).double().numpy()
    spread = concentration(mean)
    groups = summed([expert.group for expert in experts], mean)
    shares = reliance_shares(routed.reliance).mean(0)
    # A model without a mixture has no templates that its one expert could be read by.
    weighted = routed.routing.mean(0) @ templates if len(templates) == len(experts) else None
    return {
        "experts": {expert.label: float(share) for expert, share in zip(experts, mean, strict=True)},
        "groups": groups,
        "families": summed([expert.family for expert in experts], mean),
        "content_share": content_share(groups, parts),
        "entropy": spread.entropy,
        "effective_experts": spread.effective_experts,
        "diversity": spread.diversity,
        "hhi": spread.hhi,
        "reliance": dict(zip(parts, shares.tolist(), strict=True)),
        "weighted_reliance": None if weighted is None else dict(zip(parts, weighted.tolist(), strict=True)),
        "pairs": len(routed.users),
    }


def summed(names: list[str], shares: NDArray[np.float64]) -> dict[str, float]:
    """Shares added up by name, in order of first appearance."""
    total: dict[str, float] = {}
    for name, share in zip(names, shares.tolist(), strict=True):
        total[name] = total.get(name, 0.0) + share
    return total


def by_user_kind(
    kinds: Mapping[int, str], experts: list[Expert], parts: tuple[str, ...], routed: RoutedPairs
) -> dict[str, dict[str, dict[str, float]]]:
    """Mean group mass and mean reliance share of the pairs of each kind of user."""
    shares = reliance_shares(routed.reliance)
    labels = np.array([kinds.get(int(user), "") for user in routed.users])
    out = {}
    for kind in sorted(set(kinds.values())):
        rows = torch.from_numpy(labels == kind)
        if rows.any():
            mean = routed.routing[rows].mean(0).double().numpy()
            out[kind] = {
                "groups": summed([expert.group for expert in experts], mean),
                "reliance": dict(zip(parts, shares[rows].mean(0).tolist(), strict=True)),
            }
    return out
