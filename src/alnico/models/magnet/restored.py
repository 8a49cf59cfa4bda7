"""Head, router and gates of a finished model, from its stored parameters; none of them can be trained."""

from collections.abc import Mapping

import torch
from torch import Tensor

from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.cues import CueGates
from alnico.models.magnet.heads import ConcatHead, HadamardHead, make_head
from alnico.models.magnet.router import Router
from alnico.models.magnet.sides import under

Parameters = Mapping[str, Tensor]


def restored_head(
    config: MagnetConfig, n_experts: int, parameters: Parameters, device: torch.device
) -> HadamardHead | ConcatHead:
    """The head; one for all where there is no mixture."""
    head = make_head(config.head, n_experts if config.mixture else 1, config.width).to(device).eval()
    head.load_state_dict(under(parameters, "head."))
    return head.requires_grad_(False)


def restored_router(
    config: MagnetConfig, n_experts: int, n_modalities: int, parameters: Parameters, device: torch.device
) -> Router | None:
    """The router, or None where there is no mixture."""
    if not config.mixture:
        return None
    width, extra = config.width, n_modalities if config.router_input == "coherence" else 0
    hidden = width if config.router == "mlp" else None
    router = Router(width + extra, width, n_experts, hidden, config.router_scale, 0.0).to(device).eval()
    router.load_state_dict(under(parameters, "router."))
    return router.requires_grad_(False)


def restored_gates(
    config: MagnetConfig, n_modalities: int, parameters: Parameters, device: torch.device
) -> CueGates | None:
    """The gates on cues, or None where cues pass whole."""
    if not config.cue_gate:
        return None
    gates = CueGates(n_modalities, config.width).to(device).eval()
    gates.load_state_dict(under(parameters, "gates."))
    return gates.requires_grad_(False)
