"""What the finished model keeps of its users and of its items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alnico.models.magnet.cues import Cue, mean_length


@dataclass(frozen=True)
class Side:
    """All users or all items: identities z [n, d], cues h [n, modalities, d], presence [n, parts].

    Cues are as they are before scale, gate, factor and anchor (``MagnetScorer.part_vectors``).

    ``length`` and ``cue_lengths`` [modalities] are the mean lengths of identities and cues, each row weighing as
    often as it stands in training pairs, which is how a training batch measures them. ``coherence``
    [n, modalities] is the users' extra router input. ``weights`` [n, modalities] is there for items whose cues are
    summed over histories, each with its weight, and divided by the root of their number; without it the mean is taken.
    """

    z: Float[Tensor, "rows width"]
    cues: Float[Tensor, "rows modalities width"]
    present: Float[Tensor, "rows parts"]
    length: Float[Tensor, ""]
    cue_lengths: Float[Tensor, " modalities"]
    coherence: Float[Tensor, "rows modalities"] | None
    weights: Float[Tensor, "rows modalities"] | None = None

    @classmethod
    def of(
        cls,
        z: Tensor,
        cues: Sequence[Cue],
        known: Tensor,
        share: Tensor,
        coherence: Tensor | None,
        weights: Tensor | None = None,
    ) -> "Side":
        """Copies, detached from training."""
        present = torch.stack([known, *(cue.present for cue in cues)], dim=1).float()
        stacked = torch.stack([cue.vectors for cue in cues], dim=1)
        return cls(
            z.detach().clone(),
            stacked.detach().clone(),
            present,
            mean_length(z, known, share),
            torch.stack([mean_length(cue.vectors, cue.present, share) for cue in cues]),
            None if coherence is None else coherence.detach().clone(),
            weights,
        )

    def to(self, device: torch.device) -> "Side":
        """The same tables on ``device``."""
        return Side.from_tensors(
            {name: part.to(device) for name, part in self.tensors("side").items()}, "side"
        )

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """By name, for storing."""
        named = {
            "z": self.z,
            "cues": self.cues,
            "present": self.present,
            "length": self.length,
            "cue_lengths": self.cue_lengths,
        }
        if self.coherence is not None:
            named["coherence"] = self.coherence
        if self.weights is not None:
            named["weights"] = self.weights
        return {f"{prefix}.{name}": tensor for name, tensor in named.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str) -> "Side":
        """What ``tensors`` described."""
        own = under(tensors, f"{prefix}.")
        return cls(
            own["z"],
            own["cues"],
            own["present"],
            own["length"],
            own["cue_lengths"],
            own.get("coherence"),
            own.get("weights"),
        )

    def terms(self, rows: Int[Tensor, " rows"]) -> Float[Tensor, "rows modalities width"]:
        """What these items add to the sum over a history; nothing where they lack the modality."""
        cues = self.cues[rows] * self.present[rows][:, 1:, None]
        return cues if self.weights is None else cues * self.weights[rows][:, :, None]

    def divisor(self, counts: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What the sum over so many of these items is divided by."""
        counts = counts.clamp(min=1)
        return counts if self.weights is None else counts.sqrt()


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
