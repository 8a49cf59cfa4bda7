"""Triplet templates: fixed shares of behaviour and content, one row per expert."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from alnico.contracts import Expert
from alnico.errors import ConfigError
from alnico.models.magnet.config import MagnetConfig

BEHAVIOUR = "behaviour"


def dominant(alpha: float, n_auxiliaries: int) -> list[float]:
    """[anchor, auxiliaries]: (1 - alpha) [1/2, evenly 1/2] + alpha [1, 0]. Implements: Eq. (12)."""
    return [(1 + alpha) / 2] + [(1 - alpha) / (2 * n_auxiliaries)] * n_auxiliaries


def balanced(beta: float, n_auxiliaries: int) -> list[float]:
    """[anchor, auxiliaries]: even shares, tilted by beta / 6 towards the anchor. Implements: Eq. (13)."""
    even = 1 / (n_auxiliaries + 1)
    return [even + beta / 6] + [even - beta / (6 * n_auxiliaries)] * n_auxiliaries


def complementary(delta: float, epsilon: float, n_auxiliaries: int) -> list[float]:
    """[anchor, auxiliaries]: epsilon for the anchor; delta of the rest for the first auxiliary, the rest evenly.

    With one auxiliary it takes all of the rest. Implements: Eq. (14).
    """
    rest = 1 - epsilon
    if n_auxiliaries == 1:
        return [epsilon, rest]
    others = n_auxiliaries - 1
    return [epsilon, rest * delta] + [rest * (1 - delta) / others] * others


def expert_pool(config: MagnetConfig, modalities: Sequence[str]) -> list[Expert]:
    """The experts in order: replica, then group (behaviour first), then family."""
    groups = (BEHAVIOUR, *modalities)
    return [
        Expert(group, family, replica)
        for replica in range(config.replicas)
        for group in groups
        for family in config.families
    ]


def template_table(config: MagnetConfig, modalities: Sequence[str]) -> Float[Tensor, "experts parts"]:
    """The share w_e^m of each part (behaviour, then modalities) in each expert; rows sum to 1.

    Shares are put in place by the anchor and the order of its auxiliaries: the global order with the anchor
    removed, or content before behaviour.

    Raises ConfigError if a share is negative or there is no content modality.
    """
    if not modalities:
        raise ConfigError("MAGNET needs at least one content modality, but the data set has no features")
    parts = (BEHAVIOUR, *modalities)
    shares = {
        "dominant": dominant(config.alpha, len(modalities)),
        "balanced": balanced(config.beta, len(modalities)),
        "complementary": complementary(config.delta, config.epsilon, len(modalities)),
    }
    rows = []
    for expert in expert_pool(config, modalities):
        auxiliaries = [part for part in parts if part != expert.group]
        if config.auxiliary_order == "content_first" and expert.group != BEHAVIOUR:
            auxiliaries = auxiliaries[1:] + auxiliaries[:1]
        share_of = dict(zip([expert.group, *auxiliaries], shares[expert.family], strict=True))
        rows.append([share_of[part] for part in parts])
    table = torch.tensor(rows, dtype=torch.float32)
    if (table < 0).any():
        raise ConfigError(f"beta = {config.beta} makes a share of a balanced template negative; lower it")
    return table


def renormalised(
    templates: Float[Tensor, "experts parts"], present: Float[Tensor, "rows parts"]
) -> Float[Tensor, "rows experts parts"]:
    """Each row's shares with absent parts at 0 and the present ones scaled to sum to 1; all zero if none is there."""
    kept = templates[None, :, :] * present[:, None, :]
    return kept / kept.sum(2, keepdim=True).clamp(min=1e-12)
