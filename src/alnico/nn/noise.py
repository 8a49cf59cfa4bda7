"""Random perturbations for contrast."""

import torch
from jaxtyping import Float
from torch import Tensor


def perturbed(table: Float[Tensor, "rows width"], size: float, parts: int = 1) -> Float[Tensor, "rows width"]:
    """Each row moved by a random vector of length ``size`` in the row's own orthant.

    With ``parts`` each of so many equal pieces of a row is moved by a vector of its own.
    Source: Yu et al., SimGCL, SIGIR 2022, Eq. (4): e + size * sign(e) * u / |u|, u uniform on the unit cube.
    """
    drawn = torch.rand_like(table).reshape(len(table), parts, -1)
    drawn /= drawn.norm(dim=2, keepdim=True).clamp(min=1e-12)
    return torch.addcmul(table, table.detach().sign(), drawn.mul_(size).flatten(1))
