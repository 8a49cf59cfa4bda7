"""What the runs of one table have in common: split, selection, measures, seeds. A file, known by name or by path."""

import hashlib
import json
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from alnico.data.splitting import RULES, SplitRecipe, read_recipe
from alnico.errors import ConfigError, nearest
from alnico.evaluation.metrics import parse_metric
from alnico.experiment.spec import EvaluationPlan, read_table, validated

HOME = files("alnico.experiment") / "protocols"


class SplitRule(BaseModel, frozen=True, extra="allow"):
    """How data are split: ``common`` (the labels given with the data, else MMRec's per-user rule) or a rule with its
    settings. ``seed = "run"`` draws the split by the run's own seed."""

    rule: str
    seed: NonNegativeInt | Literal["run"] | None = None

    def recipe(self, seed: int) -> SplitRecipe | None:
        """The split of a run with this seed; None leaves it to what comes with the data.

        Raises ConfigError for a rule or a setting that there is not.
        """
        if self.rule == "common":
            if self.model_extra or self.seed is not None:
                raise ConfigError(
                    "split rule 'common' has no settings: the labels or MMRec's rule decide; take per_user or another"
                )
            return None
        if self.rule not in RULES:
            raise ConfigError(f"there is no split rule {self.rule!r}{nearest(self.rule, [*RULES, 'common'])}")
        settings = self.model_dump(exclude_none=True)
        return read_recipe({**settings, "seed": seed} if self.seed == "run" else settings)


class Selection(BaseModel, frozen=True, extra="forbid"):
    """How the epoch that counts is found."""

    metric: str
    """The validation measure that chooses the best epoch."""
    patience: NonNegativeInt
    """Validations in a row without improvement that training goes on for."""
    epochs: PositiveInt
    """Most epochs to train."""
    validate_every: PositiveInt = 1
    """Epochs between validations."""

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        return str(parse_metric(metric))


class Protocol(BaseModel, frozen=True, extra="forbid"):
    """What all runs of a table share; what differs between them is the model, its settings and the seed."""

    name: str = Field(min_length=1)
    """Its name in tables."""
    about: str = ""
    """What it is, for people."""
    seeds: tuple[NonNegativeInt, ...] = Field(min_length=1)
    """Seeds over which a table takes its means."""
    ablation_seed: NonNegativeInt
    """The one seed of ablations and figures."""
    min_user: NonNegativeInt = 0
    """Users with fewer interactions are left out before the split."""
    split: SplitRule
    """How data are split."""
    training: Selection
    """How the best epoch is chosen and when training stops."""
    evaluation: EvaluationPlan
    """Measures, length of lists, mask."""

    @model_validator(mode="after")
    def _measures_what_chooses(self) -> Self:
        if self.training.metric not in self.evaluation.metrics:
            raise ValueError(
                f"evaluation.metrics lack {self.training.metric!r}, by which training.metric chooses the best epoch"
            )
        return self

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that it decides; the words about it do not count."""
        content = self.model_dump(mode="json", exclude={"about"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def kind(self) -> str:
        """What sets its tables apart from others': split rule, selection, mask, who is left out."""
        users = f", users with at least {self.min_user}" if self.min_user else ""
        return (
            f"split {self.split.rule}{users}, chosen by validation {self.training.metric}, "
            f"mask {self.evaluation.mask}"
        )

    def decides(self, key: str) -> bool:
        """Whether this dotted setting of a run is the protocol's and not the plan's."""
        group, _, name = key.partition(".")
        return group in {"seed", "split", "min_user", "evaluation"} or (
            group == "training" and name in Selection.model_fields
        )

    def imposed(self, settings: dict[str, Any], seed: int, patience: int | None = None) -> dict[str, Any]:
        """The settings of a run with this seed under the protocol; ``patience`` where an exception is made."""
        recipe = self.split.recipe(seed)
        training = {**settings.get("training", {}), **self.training.model_dump()}
        if patience is not None:
            training["patience"] = patience
        return {
            **settings,
            "seed": seed,
            "min_user": self.min_user,
            "split": None if recipe is None else recipe.model_dump(),
            "training": training,
            "evaluation": self.evaluation.model_dump(),
        }

    def stamp(self, exception: str | None = None) -> dict[str, Any]:
        """What a run's record says of it; ``exception`` tells where the run departs from it, and why."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "kind": self.kind,
            "exception": exception,
        }


def read_protocol(name: str) -> Protocol:
    """The protocol that is shipped under this name, or that stands in the file of this path.

    Raises ConfigError for an unknown name, a missing file, or a setting that is wrong.
    """
    path = Path(name)
    if path.suffix not in {".toml", ".json"}:
        shipped = [Path(file.name).stem for file in HOME.iterdir()]
        if name not in shipped:
            raise ConfigError(
                f"there is no protocol {name!r}{nearest(name, shipped)}; or give the path of a .toml file"
            )
        path = Path(str(HOME / f"{name}.toml"))
    protocol = validated(Protocol, read_table(path, "protocol"), "")
    protocol.split.recipe(protocol.ablation_seed)
    return protocol
