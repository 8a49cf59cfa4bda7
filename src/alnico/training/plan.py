"""How a model is trained; defaults live here and nowhere else."""

from collections.abc import Mapping

from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


class TrainPlan(BaseModel, frozen=True, extra="forbid"):
    """Settings of the training loop."""

    epochs: PositiveInt = 1000
    """Most epochs to train."""
    batch_size: PositiveInt = 2048
    """Training pairs per step."""
    learning_rate: PositiveFloat = 1e-3
    """Adam's step size."""
    learning_rates: Mapping[str, PositiveFloat] = Field(default_factory=dict)
    """Another step size for a named parameter group of the model; by default the model's own ratio to the above."""
    learning_rate_decay: PositiveFloat = 1.0
    """The step size in epoch e is learning_rate * decay^((e - 1) / 50)."""
    weight_decay: NonNegativeFloat = 0.0
    """Adam's coupled L2 on all parameters."""
    patience: NonNegativeInt = 20
    """Training stops when more than this many validations in a row bring no improvement."""
    metric: str = "recall@20"
    """The validation metric that chooses the best epoch."""
    validate_every: PositiveInt = 1
    """Epochs between validations."""
