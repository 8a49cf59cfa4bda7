"""Ways to weigh modalities against each other."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ModalityAttention(nn.Module):
    """Weights modalities per row: softmax over modalities of w2' tanh(W1 y_m + b1), shared by all modalities.

    Source: Yu et al., MGCN, MM 2023; SOIL, GUME and CMDL use the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False))

    def forward(self, views: Sequence[Float[Tensor, "rows width"]]) -> Float[Tensor, "rows width"]:
        """The weighted sum of the modalities' tables; weights of each row sum to 1."""
        weights = torch.cat([self.query(view) for view in views], dim=1).softmax(1)
        return torch.stack([weights[:, m, None] * view for m, view in enumerate(views)]).sum(0)
