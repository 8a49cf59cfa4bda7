"""Users that came after training, from the items that they have."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alnico.models.magnet.cues import coherence_of
from alnico.models.magnet.sides import Side


def folded_in(
    histories: Sequence[NDArray[np.int64]],
    users: Side,
    items: Side,
    vectors: Sequence[Tensor | None],
) -> Side:
    """One row per history of item rows: z is the mean of the items' z at the mean length of a known user's; cues are
    pooled as in training. ``vectors`` [items, raw] by modality, of length one, are read where known users have a
    coherence.
    """
    device, width, n_modalities = items.z.device, items.z.shape[1], items.cues.shape[1]
    z = torch.zeros((len(histories), width), device=device)
    cues = torch.zeros((len(histories), n_modalities, width), device=device)
    present = torch.zeros((len(histories), n_modalities + 1), device=device)
    coherence = (
        None if users.coherence is None else torch.zeros((len(histories), n_modalities), device=device)
    )
    for row, history in enumerate(histories):
        rows = torch.from_numpy(np.array(history, dtype=np.int64)).to(device)
        if not len(rows):
            continue
        mean = items.z[rows].mean(0)
        z[row] = mean / mean.norm().clamp(min=1e-12) * users.length
        has = items.present[rows]
        present[row] = (has.sum(0) > 0).float()
        cues[row] = items.terms(rows).sum(0) / items.divisor(has[:, 1:].sum(0))[:, None]
        if coherence is not None:
            for place, known in enumerate(vectors):
                if known is not None:
                    own = known[rows[has[:, 1 + place] > 0]]
                    coherence[row, place] = coherence_of(
                        own.sum(0)[None], torch.tensor([float(len(own))], device=device)
                    )[0]
    return replace(users, z=z, cues=cues, present=present, coherence=coherence)
