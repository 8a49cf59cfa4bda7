"""Random perturbations for contrast."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def perturbed(table: Float[Tensor, "rows width"], size: float) -> Float[Tensor, "rows width"]:
    """Each row moved by a random vector of length ``size`` in the row's own orthant.

    Source: Yu et al., SimGCL, SIGIR 2022, Eq. (4): e + size * sign(e) * u / |u|, u uniform on the unit cube.
    """
    return table + table.sign() * size * functional.normalize(torch.rand_like(table), dim=1)
