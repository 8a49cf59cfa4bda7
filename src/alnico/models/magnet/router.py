"""Which experts a pair is sent to."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from alnico.contracts import batch_mean
from alnico.kernels.precision import in_full_precision


class Router(nn.Module):
    """Logits over experts for a pair; a user part and an item part that add up before any non-linearity.

    linear: logits = scale * (A u + B i + c). mlp: logits = scale * (C relu(A u + B i + c) + c').
    In full precision in any case: which experts a pair is sent to hangs on small differences.
    Implements: Eq. (17), Eq. (18).
    """

    def __init__(
        self,
        user_width: int,
        item_width: int,
        n_experts: int,
        hidden: int | None,
        scale: float,
        dropout: float,
    ) -> None:
        super().__init__()
        inner = n_experts if hidden is None else hidden
        # One layer on the concatenation, kept whole so that its initial law is that of the printed router.
        self.first = nn.Linear(user_width + item_width, inner)
        self.second = None if hidden is None else nn.Linear(hidden, n_experts)
        self.dropout = nn.Dropout(dropout)
        self.user_width = user_width
        self.scale = scale

    @in_full_precision
    def user_part(self, users: Float[Tensor, "rows width"]) -> Float[Tensor, "rows inner"]:
        """The user's share of the first layer, bias included."""
        return functional.linear(users, self.first.weight[:, : self.user_width], self.first.bias)

    @in_full_precision
    def item_part(self, items: Float[Tensor, "rows width"]) -> Float[Tensor, "rows inner"]:
        """The item's share of the first layer."""
        return functional.linear(items, self.first.weight[:, self.user_width :])

    @in_full_precision
    def logits(self, combined: Float[Tensor, "*rows inner"]) -> Float[Tensor, "*rows experts"]:
        """Logits from the sum of the two parts."""
        if self.second is not None:
            combined = self.second(self.dropout(functional.relu(combined)))
        return self.scale * combined


def sparse_gate(logits: Float[Tensor, "pairs experts"], k: int) -> Float[Tensor, "pairs experts"]:
    """Softmax over the k largest logits of each row, zero elsewhere; ties go to the lower expert.

    The same as softmax over all, keeping the k largest, and renormalising them.
    Implements: Eq. (19).
    """
    if k >= logits.shape[1]:
        return logits.softmax(1)
    # A stable sort, because top-k promises nothing about ties.
    kept = logits.detach().sort(dim=1, descending=True, stable=True).indices[:, :k]
    mask = torch.full_like(logits, -torch.inf).scatter(1, kept, 0.0)
    return (logits + mask).softmax(1)


def entropy(probabilities: Float[Tensor, "*rows experts"]) -> Float[Tensor, "*rows"]:
    """Shannon entropy in nats along the last axis; 0 log 0 is 0. Implements: Eq. (24)."""
    return -(probabilities * probabilities.clamp(min=1e-12).log()).sum(-1)


def coverage_loss(mean_routing: Float[Tensor, " experts"]) -> Float[Tensor, ""]:
    """How far the batch's mean routing is from using all experts alike: KL(mean || uniform). Implements: Eq. (29)."""
    n_experts = torch.tensor(float(len(mean_routing)), device=mean_routing.device)
    return n_experts.log() - entropy(mean_routing)


def confidence_loss(routing: Float[Tensor, "pairs experts"]) -> Float[Tensor, ""]:
    """Mean entropy of the single pairs' routing. Implements: Eq. (30)."""
    return batch_mean(entropy(routing))


def routing_facts(
    routing: Float[Tensor, "pairs experts"], gate: Float[Tensor, "pairs experts"]
) -> dict[str, float]:
    """How a batch was routed: plain numbers for the step's log.

    entropy: H of the mean routing over ln E; effective_experts: exp of H; specialisation: 1 - mean pair entropy
    over ln E; top3_mass, top_gap, winner_share: mean mass of the three largest, mean distance of the two largest,
    mean of the largest; max_load: the largest mean gate weight; hhi: normalised sum of squared mean shares;
    hhi_pairs: mean over pairs of the normalised sum of the pair's squared shares, from 0 (even) to 1 (one expert).
    Implements: Eq. (33), Eq. (34).
    """
    n_experts = routing.shape[1]
    ceiling = max(float(torch.tensor(float(n_experts)).log()), 1e-12)
    mean = batch_mean(routing)
    total = float(entropy(mean))
    largest = routing.topk(min(3, n_experts), dim=1).values
    even = 1 / n_experts

    def normalised(squares: Tensor) -> Tensor:
        return (squares - even) / max(1 - even, 1e-12)

    gap = float((largest[:, 0] - largest[:, 1]).mean()) if n_experts > 1 else 1.0
    return {
        "entropy": total / ceiling,
        "effective_experts": float(torch.tensor(total).exp()),
        "specialisation": 1 - float(entropy(routing).mean()) / ceiling,
        "top3_mass": float(largest.sum(1).mean()),
        "top_gap": gap,
        "winner_share": float(largest[:, 0].mean()),
        "max_load": float(gate.mean(0).max()),
        "hhi": float(normalised(mean.pow(2).sum())),
        "hhi_pairs": float(normalised(routing.pow(2).sum(1).mean())),
    }
