"""Item vectors as models read them."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from alnico.data.features import ItemFeatures, Modality
from alnico.errors import DataError
from alnico.graphs.content import unit_rows
from alnico.randomness import rng


def content_of(features: ItemFeatures, model: str) -> ItemFeatures:
    """The modalities that some item has. Raises DataError, naming the model, where there is none."""
    names = [name for name, modality in features.items() if modality.present.any()]
    if not names:
        raise DataError(
            f"{model} reads item content, and the data hold none; import vectors with the data, "
            "or choose a model that reads interactions only (lightgcn)"
        )
    return features.only(*names)


class FeatureTable(nn.Module):
    """One modality's vectors: a parameter where the source trains them, else a buffer that is not stored.

    Items without the modality stand at the mean of those that have it, as in the data that the published tables
    rest on; ``present`` says which are real. Vectors wider than ``projected`` are multiplied by a Gaussian matrix to
    that width and scaled to length one; the matrix depends on the two widths alone, so that weights learned behind it
    fit it in every run. With ``unit`` rows are scaled to length one in any case.
    """

    vectors: Tensor
    present: Tensor

    def __init__(
        self, modality: Modality, *, trainable: bool, projected: int | None = None, unit: bool = False
    ) -> None:
        super().__init__()
        vectors = np.array(modality.vectors)
        if modality.present.any():
            vectors[~modality.present] = vectors[modality.present].mean(0)
        if unit:
            vectors = unit_rows(vectors)
        table = torch.from_numpy(vectors)
        if projected is not None and modality.width > projected:
            size = modality.width, projected
            drawn = rng(0, "projection").standard_normal(size, dtype=np.float32)
            table = functional.normalize(table @ torch.from_numpy(drawn), dim=1)
        if trainable:
            self.vectors = nn.Parameter(table)
        else:
            self.register_buffer("vectors", table, persistent=False)
        self.register_buffer("present", torch.from_numpy(np.array(modality.present)), persistent=False)

    @property
    def width(self) -> int:
        """Numbers per item."""
        return int(self.vectors.shape[1])

    def forward(self, rows: Int[Tensor, " rows"] | None = None) -> Float[Tensor, "rows width"]:
        """The vectors of all items, or of these."""
        return self.vectors if rows is None else self.vectors.index_select(0, rows)

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """As ``forward``."""
        result: Tensor = super().__call__(*args, **kwargs)
        return result


class GatedContent(nn.Module):
    """Item identities, each entry let through as far as the item's content says.

    Source: the purifier of MGCN (Yu et al., MM 2023, Eqs. (5) and (6)); SOIL, GUME and CMDL use the same.
    """

    def __init__(self, modality: Modality, width: int, *, trainable: bool) -> None:
        super().__init__()
        self.table = FeatureTable(modality, trainable=trainable)
        self.project = nn.Linear(self.table.width, width)
        self.gate = nn.Linear(width, width)

    def forward(self, items: Float[Tensor, "items width"]) -> Float[Tensor, "items width"]:
        """items * sigmoid(W' (W x + b) + b'), x the vectors of all items."""
        return items * torch.sigmoid(self.gate(self.project(self.table())))


def content_network(inputs: int, width: int) -> nn.Sequential:
    """Two layers, with a leaky rectifier between them, from raw vectors over 4 * ``width`` numbers to ``width``.

    Source: DRAGON (Zhou et al., ECAI 2023); MENTOR and COHESION use the same.
    """
    return nn.Sequential(nn.Linear(inputs, 4 * width), nn.LeakyReLU(), nn.Linear(4 * width, width))
