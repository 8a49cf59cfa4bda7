"""Gaussian noise that is added to vectors in steps, and a network that takes it away again."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from alnico.nn.propagation import xavier_table


@dataclass(frozen=True)
class Diffusion:
    """x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise with a_t = 1 - scale * t / steps, t from 0 to ``steps``.

    Vectors are meant to have entries of mean square 1, which the noise then keeps. ``scale`` is below 1.
    Source: Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020, Eqs. (4), (6) and (7); a small final
    share of noise, and the network's guess of x_0 rather than of the noise, as in Wang et al., Diffusion Recommender
    Model, SIGIR 2023.
    """

    steps: int
    scale: float

    def kept(self, step: int) -> float:
        """a_t, the share of the signal in the mean square."""
        return 1 - self.scale * step / self.steps

    def noised(
        self,
        rows: Float[Tensor, "rows width"],
        step: Int[Tensor, " rows"],
        noise: Float[Tensor, "rows width"],
    ) -> Float[Tensor, "rows width"]:
        """x_t of each row at its own step."""
        lost = (self.scale / self.steps * step)[:, None]
        return (1 - lost).sqrt() * rows + lost.sqrt() * noise

    def previous(
        self,
        noisy: Float[Tensor, "rows width"],
        guess: Float[Tensor, "rows width"],
        step: int,
        noise: Float[Tensor, "rows width"] | None = None,
    ) -> Float[Tensor, "rows width"]:
        """x_(t-1) from x_t and a guess of x_0: the posterior's mean, with its spread where ``noise`` is given."""
        now, before = self.kept(step), self.kept(step - 1)
        added = 1 - now / before
        of_guess = math.sqrt(before) * added / (1 - now)
        of_noisy = math.sqrt(now / before) * (1 - before) / (1 - now)
        mean = of_guess * guess + of_noisy * noisy
        return mean if noise is None else mean + math.sqrt(added * (1 - before) / (1 - now)) * noise

    def importance(self) -> Float[Tensor, " steps"]:
        """How much a wrong guess counts at steps 1, 2, ...: by how much the step lowers signal to noise; mean 1.

        The first step, before which nothing is noise, counts 1 beside the drops of the others.
        Source: Wang et al., Diffusion Recommender Model, SIGIR 2023, Eqs. (9) and (10), up to a factor.
        """
        kept = torch.tensor([self.kept(step) for step in range(1, self.steps + 1)])
        drops = torch.cat([torch.ones(1), -(kept / (1 - kept)).diff()])
        return drops / drops.mean()


class Denoiser(nn.Module):
    """Guesses x_0 from x_t and t: x_t + W' tanh(W x_t + b + e_t) + b'."""

    def __init__(self, diffusion: Diffusion, width: int) -> None:
        super().__init__()
        self.diffusion = diffusion
        self.enter = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)
        self.steps = xavier_table(diffusion.steps, width)

    def guess(
        self, noisy: Float[Tensor, "rows width"], step: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows width"]:
        """x_0 as far as the network can tell; steps count from 1."""
        told = self.steps.weight.index_select(0, step - 1)
        change: Tensor = self.leave(torch.tanh(self.enter(noisy) + told))
        return noisy + change

    def loss(self, rows: Float[Tensor, "rows width"]) -> Float[Tensor, ""]:
        """The weighted mean squared error of guesses at steps drawn for each row; moves the network, not the rows."""
        rows = rows.detach()
        step = torch.randint(1, self.diffusion.steps + 1, (len(rows),), device=rows.device)
        noisy = self.diffusion.noised(rows, step, torch.randn_like(rows))
        errors = (self.guess(noisy, step) - rows).pow(2).mean(1)
        return (self.diffusion.importance().to(rows.device).index_select(0, step - 1) * errors).mean()

    def denoised(
        self, rows: Float[Tensor, "rows width"], start: int = 0, *, noisy: bool = False
    ) -> Float[Tensor, "rows width"]:
        """All steps back, beginning with x_start of ``rows`` in the place of the last x.

        Where ``noisy``, noise from torch's stream goes into the beginning and into each step but the last; otherwise
        every vector is the mean of its law.
        """
        diffusion = self.diffusion

        def drawn() -> Tensor:
            return torch.randn_like(rows) if noisy else torch.zeros_like(rows)

        moved = rows
        if start:
            moved = diffusion.noised(rows, torch.full((len(rows),), start, device=rows.device), drawn())
        for step in range(diffusion.steps, 0, -1):
            guess = self.guess(moved, torch.full((len(rows),), step, device=rows.device))
            moved = diffusion.previous(moved, guess, step, drawn() if step > 1 else None)
        return moved
