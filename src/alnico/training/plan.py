"""How a model is trained; defaults live here and nowhere else."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_serializer,
)

from alnico.kernels.precision import Precision


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
    precision: Precision = "float32"
    """bfloat16: products of dense tables in 16 bits, for GPUs; parameters, gradients, losses and Adam stay float32."""
    validate_every: PositiveInt = 1
    """Epochs between validations."""

    @model_serializer(mode="wrap")
    def _written(self, write: Callable[[BaseModel], dict[str, Any]]) -> dict[str, Any]:
        # What was recorded before there was a choice of precision stays equal to what is recorded now.
        return {key: value for key, value in write(self).items() if (key, value) != ("precision", "float32")}
