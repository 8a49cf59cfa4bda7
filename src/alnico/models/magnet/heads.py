"""phi and Score: from an expert's user and item vectors to one number."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class HadamardHead(nn.Module):
    """s_e = (U_e x_u + c_e) * (V_e x_i + c'_e); Score(s) = <a, s>.

    U and V start at the identity, c at 0 and a at 1, so that the untrained head is a dot product.
    Implements: Eq. (11), Eq. (21).
    """

    def __init__(self, n_experts: int, width: int) -> None:
        super().__init__()
        identity = torch.eye(width).expand(n_experts, -1, -1).clone()
        self.user_maps = nn.Parameter(identity.clone())
        self.item_maps = nn.Parameter(identity)
        self.user_bias = nn.Parameter(torch.zeros(n_experts, 1, width))
        self.item_bias = nn.Parameter(torch.zeros(n_experts, 1, width))
        self.readout = nn.Parameter(torch.ones(width))

    def user_side(self, mixed: Float[Tensor, "experts rows width"]) -> Float[Tensor, "experts rows width"]:
        """The user's factor, the readout folded in."""
        return (torch.baddbmm(self.user_bias, mixed, self.user_maps.transpose(1, 2))) * self.readout

    def item_side(self, mixed: Float[Tensor, "experts rows width"]) -> Float[Tensor, "experts rows width"]:
        """The item's factor."""
        return torch.baddbmm(self.item_bias, mixed, self.item_maps.transpose(1, 2))

    def pair_scores(
        self, users: Float[Tensor, "experts pairs width"], items: Float[Tensor, "experts pairs width"]
    ) -> Float[Tensor, "pairs experts"]:
        """Each expert's score of aligned pairs."""
        return (users * items).sum(2).T


class ConcatHead(nn.Module):
    """s_e = relu(W_e [x_u; x_i] + b_e); Score(s) = <v, s> + v0. The literal reading of the printed head.

    Implements: Eq. (11), Eq. (21).
    """

    def __init__(self, n_experts: int, width: int) -> None:
        super().__init__()
        layers = [nn.Linear(2 * width, width) for _ in range(n_experts)]
        readout = nn.Linear(width, 1)
        self.user_maps = nn.Parameter(torch.stack([layer.weight[:, :width] for layer in layers]).detach())
        self.item_maps = nn.Parameter(torch.stack([layer.weight[:, width:] for layer in layers]).detach())
        self.bias = nn.Parameter(torch.stack([layer.bias for layer in layers])[:, None, :].detach())
        self.readout = nn.Parameter(readout.weight[0].detach())
        # Score's constant moves every score alike: ranking never sees it, and BPR gives it no gradient.
        self.offset = nn.Parameter(readout.bias[0].detach())

    def user_side(self, mixed: Float[Tensor, "experts rows width"]) -> Float[Tensor, "experts rows width"]:
        """The user's share of the layer, bias included."""
        return torch.baddbmm(self.bias, mixed, self.user_maps.transpose(1, 2))

    def item_side(self, mixed: Float[Tensor, "experts rows width"]) -> Float[Tensor, "experts rows width"]:
        """The item's share of the layer."""
        return torch.bmm(mixed, self.item_maps.transpose(1, 2))

    def pair_scores(
        self, users: Float[Tensor, "experts pairs width"], items: Float[Tensor, "experts pairs width"]
    ) -> Float[Tensor, "pairs experts"]:
        """Each expert's score of aligned pairs; the gate's weights sum to 1, so the constant may stand inside."""
        return (functional.relu(users + items) @ self.readout).T + self.offset


def make_head(kind: str, n_experts: int, width: int) -> HadamardHead | ConcatHead:
    """The head of this kind."""
    return HadamardHead(n_experts, width) if kind == "hadamard" else ConcatHead(n_experts, width)
