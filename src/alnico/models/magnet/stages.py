"""From coverage to confidence: a pure step of the stage controller."""

from dataclasses import astuple, dataclass, replace

import torch
from torch import Tensor

from alnico.models.magnet.config import MagnetConfig


@dataclass(frozen=True)
class StageState:
    """Where the controller stands; all numbers, so that it lives in a buffer and is saved with the weights."""

    stage: int = 1
    count: int = 0
    """n: consecutive units at or above the threshold."""
    steps: int = 0
    smoothed: float = -1.0
    """Exponential mean of the entropy; negative before the first step."""
    epoch_sum: float = 0.0
    epoch_steps: int = 0
    switch_step: int = -1
    """The step at which stage 2 began; -1 before."""

    def to_tensor(self) -> Tensor:
        """All fields as float64."""
        return torch.tensor(astuple(self), dtype=torch.float64)

    @classmethod
    def from_tensor(cls, values: Tensor) -> "StageState":
        """The state that ``to_tensor`` described."""
        stage, count, steps, smoothed, total, n, switch = values.tolist()
        return cls(int(stage), int(count), int(steps), smoothed, total, int(n), int(switch))


def initial_state(config: MagnetConfig) -> StageState:
    """Stage 1, or stage 2 where training starts with confidence."""
    return StageState(stage=2, switch_step=0) if config.switch == "start" else StageState()


def after_step(state: StageState, entropy: float, config: MagnetConfig) -> StageState:
    """The state after one optimiser step whose batch had this normalised entropy.

    With ``trigger_unit = "step"`` and no smoothing this is Eq. (26) as printed: n <- n + 1 if the entropy is at
    or above H*, else 0; stage 2 once n reaches W, for good.

    Implements: Eq. (26).
    """
    smoothed = entropy
    if config.smoothing and state.smoothed >= 0:
        smoothed = config.smoothing * state.smoothed + (1 - config.smoothing) * entropy
    state = replace(
        state,
        steps=state.steps + 1,
        smoothed=smoothed,
        epoch_sum=state.epoch_sum + entropy,
        epoch_steps=state.epoch_steps + 1,
    )
    if config.switch == "fixed" and state.stage == 1 and state.steps >= (config.fixed_switch_step or 0):
        return _switched(state)
    if config.switch == "entropy" and config.trigger_unit == "step":
        return _counted(state, smoothed, config)
    return state


def after_epoch(state: StageState, config: MagnetConfig) -> StageState:
    """The state after an epoch: with ``trigger_unit = "epoch"`` its mean entropy counts once."""
    mean = state.epoch_sum / max(state.epoch_steps, 1)
    if config.switch == "entropy" and config.trigger_unit == "epoch" and state.epoch_steps:
        state = _counted(state, mean, config)
    return replace(state, epoch_sum=0.0, epoch_steps=0)


def _counted(state: StageState, entropy: float, config: MagnetConfig) -> StageState:
    if state.stage == 2:
        return state
    state = replace(state, count=state.count + 1 if entropy >= config.entropy_threshold else 0)
    if state.count >= config.window and state.steps >= config.min_stage1_steps:
        return _switched(state)
    return state


def _switched(state: StageState) -> StageState:
    return replace(state, stage=2, switch_step=state.steps)


def stage_weights(stage: int, entropy: float, config: MagnetConfig) -> tuple[float, float]:
    """Weights of the coverage and the confidence term, given the batch's normalised entropy.

    Stage 1 weighs coverage only, stage 2 confidence only. With ``coverage_floor`` stage 2 hands the weight
    back as entropy nears the floor: sharpening keeps the share g = (H - floor) / (1 - floor), clipped to
    [0, 1], and coverage takes 1 - g. Without it confidence drives all pairs to the same few experts.

    Implements: Eq. (31) and the strategies of Table 6.
    """
    cover, sharpen = {
        "linear": (1 - entropy, entropy),
        "quadratic": ((1 - entropy) ** 2, entropy**2),
        "constant": (1.0, 1.0),
        "reverse": (entropy, 1 - entropy),
    }[config.schedule]
    if stage == 1:
        return config.routing * cover, 0.0
    if config.coverage_floor is None:
        return 0.0, config.routing * sharpen
    room = min(max((entropy - config.coverage_floor) / (1 - config.coverage_floor), 0.0), 1.0)
    return config.routing * (1 - room), config.routing * sharpen * room
