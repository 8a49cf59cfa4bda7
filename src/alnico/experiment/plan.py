"""What a study is asked to find out: a strict file of data, parts and runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    field_validator,
    model_validator,
)

from alnico.errors import ConfigError, nearest
from alnico.experiment.spec import read_table, validated
from alnico.models import MODELS

Table = Literal["overall", "ablations", "schedules", "efficiency", "faithfulness", "corruption"]
Figure = Literal[
    "templates",
    "pool",
    "replicas",
    "routing",
    "difficulty",
    "mechanism",
    "dynamics",
    "trigger",
    "regularisation",
    "sensitivity",
    "cost",
    "embedding",
    "cases",
]
"""The tables and figures that runs serve: the paper's, and two of whether the routing can be believed. Table 2 needs
no runs."""

Fact = Literal["steps", "epochs", "best_epoch", "switch_step"]


class Reference(BaseModel, frozen=True, extra="forbid"):
    """A setting that is known only when another run of the same data set and seed is finished."""

    source: str = Field(alias="from")
    """A variant of the same part, or PART/VARIANT."""
    fact: Fact
    """Which number of its result.json."""
    times: PositiveFloat = 1.0
    """Factor on it."""

    def of(self, result: Mapping[str, Any]) -> int:
        """The setting's value, a whole number, from the result of that run.

        Raises ConfigError if the run has no such fact, or says that it never happened.
        """
        found = result.get(self.fact)
        if not isinstance(found, int) or found < 0:
            raise ConfigError(
                f"{self.source!r} has no {self.fact} to go by: {found}; a setting depends on it, "
                "take another fact or a fixed number"
            )
        return max(1, int(found * self.times))


def _dotted(settings: Any, prefix: str = "") -> Any:
    """Nested tables, which TOML makes of bare dotted keys, as one table with dotted keys; references recognised."""
    if not isinstance(settings, dict):
        return settings
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and "from" in value:
            flat[prefix + key] = validated(Reference, value, prefix + key)
        elif isinstance(value, dict) and value:
            flat.update(_dotted(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


Settings = Annotated[dict[str, Any], BeforeValidator(_dotted)]
"""Settings by dotted key; in variants a ``Reference`` where one depends on another run."""


class Entry(BaseModel, frozen=True, extra="forbid"):
    """A model under a name of its own: a settings file, or another entry, with settings on top."""

    file: str | None = None
    """The settings file; ``{dataset}`` stands for the data set's name."""
    like: str | None = None
    """The entry that this one changes."""
    label: str | None = None
    """What tables call it; by default the model's title."""
    set: Settings = Field(default_factory=dict)
    """Settings on top."""

    @model_validator(mode="after")
    def _begins_somewhere(self) -> Self:
        if (self.file is None) == (self.like is None):
            raise ValueError("an entry begins with either a file or another entry (like)")
        return self


class Grid(BaseModel, frozen=True, extra="forbid"):
    """Settings on top of a part's base, tried in all combinations or one at a time."""

    name: str = ""
    """What sets its trials apart from those of the part's other grids."""
    mode: Literal["product", "one_at_a_time"] = "product"
    """product: every combination; one_at_a_time: each value alone, the others as in the base."""
    settings: Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_dotted)] = Field(min_length=1)
    """Values by dotted key."""
    set: Settings = Field(default_factory=dict)
    """Settings that all trials share."""

    @field_validator("settings")
    @classmethod
    def _some(cls, settings: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        empty = [key for key, values in settings.items() if not values]
        if empty:
            raise ValueError(f"{empty[0]!r} has no values to try")
        return settings


class Part(BaseModel, frozen=True, extra="forbid"):
    """One table or figure and the runs that it needs."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    """Its name, for --only and for PART/VARIANT."""
    table: Table | None = None
    """The table that it serves; or else:"""
    figure: Figure | None = None
    """the figure that it serves."""
    models: tuple[str, ...] = ()
    """Entries, or settings files (``{dataset}`` stands for the data set's name)."""
    base: str | None = None
    """The entry or settings file that variants and grids change."""
    variants: Mapping[str, Settings] = Field(default_factory=dict)
    """Settings on top of the base, by the name that the table shows."""
    grids: tuple[Grid, ...] = ()
    """Settings tried on top of the base."""
    seeds: Literal["all", "ablation"] | tuple[NonNegativeInt, ...] = "all"
    """The study's seeds, the protocol's one seed of ablations, or these."""
    datasets: tuple[str, ...] | None = None
    """Some of the study's data sets; by default all."""
    alone: bool = False
    """Whether its runs are timed, so that nothing else may run beside them."""

    @property
    def serves(self) -> str:
        """The table or the figure that it is made for."""
        served = self.table or self.figure
        assert served is not None
        return served

    @model_validator(mode="after")
    def _serves_and_runs(self) -> Self:
        if (self.table is None) == (self.figure is None):
            raise ValueError(f"part {self.name!r} serves either a table or a figure; name one of them")
        if (self.base is None) != (not self.variants and not self.grids):
            raise ValueError(
                f"part {self.name!r} needs a base for its variants and grids, and them for its base"
            )
        if not self.models and self.base is None:
            raise ValueError(f"part {self.name!r} has no runs; give it models, variants or grids")
        return self


class Patience(BaseModel, frozen=True, extra="forbid"):
    """An exception to the protocol: models that are too slow for its patience."""

    models: tuple[str, ...] = Field(min_length=1)
    """Their names in ``alnico models``."""
    datasets: tuple[str, ...] | None = Field(None, min_length=1)
    """The data sets on which they get it, by name; by default all of the study."""
    patience: NonNegativeInt
    """What they get."""
    reason: str = Field(min_length=10)
    """Why, in words; every run's record repeats it."""

    @field_validator("models")
    @classmethod
    def _known(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        for name in models:
            if name not in MODELS:
                raise ValueError(f"there is no model {name!r}{nearest(name, MODELS)}")
        return models


class StudyPlan(BaseModel, frozen=True, extra="forbid"):
    """A study: one protocol, some data sets, and the parts that are asked of them."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    """Its name."""
    about: str = ""
    """What it is for, for people."""
    protocol: str
    """Name of a shipped protocol, or path of a file."""
    datasets: Mapping[str, str] = Field(min_length=1)
    """Where each data set stands, by name."""
    seeds: tuple[NonNegativeInt, ...] | None = Field(None, min_length=1)
    """Seeds of parts that want all; by default the protocol's."""
    models: Mapping[str, Entry] = Field(default_factory=dict)
    """Entries by name."""
    patience: tuple[Patience, ...] = ()
    """Exceptions for slow models."""
    parts: tuple[Part, ...] = Field(min_length=1)
    """What is asked."""

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        names = [part.name for part in self.parts]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two parts are called {twice!r}")
        named = {f"part {part.name!r}": part.datasets for part in self.parts}
        named |= {f"the patience of {', '.join(one.models)}": one.datasets for one in self.patience}
        for where, datasets in named.items():
            for name in datasets or ():
                if name not in self.datasets:
                    raise ValueError(
                        f"{where} names no data set of this study: {name!r}{nearest(name, self.datasets)}"
                    )
        return self

    def part(self, name: str) -> Part:
        """The part of this name. Raises ConfigError when there is none."""
        for part in self.parts:
            if part.name == name:
                return part
        raise ConfigError(
            f"the study {self.name} has no part {name!r}{nearest(name, [part.name for part in self.parts])}"
        )


def load_plan(path: Path, places: Mapping[str, str] | None = None) -> StudyPlan:
    """The study in this file; ``places`` says for some of its data sets where they stand instead.

    Paths in it are meant from where the command runs. Raises ConfigError for anything unknown, naming it.
    """
    plan = validated(StudyPlan, read_table(path, "plan"), "")
    for name in places or {}:
        if name not in plan.datasets:
            raise ConfigError(f"the study {plan.name} has no data set {name!r}{nearest(name, plan.datasets)}")
    return plan.model_copy(update={"datasets": {**plan.datasets, **(places or {})}})
