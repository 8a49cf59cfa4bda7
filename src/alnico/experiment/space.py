"""What a search for settings may try: a strict, small file."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    Field,
    NonNegativeInt,
    PositiveInt,
    StrictFloat,
    StrictInt,
    field_validator,
    model_validator,
)

from alnico.errors import ConfigError
from alnico.experiment.spec import (
    RunSpec,
    changed,
    look_up,
    put,
    read_settings,
    read_spec,
    read_table,
    validated,
)

MOST_POINTS = 10_000
"""A grid beyond this is a slip."""
SEARCHED = ("model", "training")
"""Groups of settings that a search may change."""
FIXED = {
    "model.name": "compare models by searching each for itself",
    "training.metric": "say metric = ... at the top of the search",
}
"""Settings of these groups that it may not change all the same, and what to do instead."""

Point = Mapping[str, Any]
"""Values by setting, each named as ``--set`` names it: ``{"training.learning_rate": 1e-3}``."""


class Choices(BaseModel, frozen=True, extra="forbid"):
    """A setting that takes one of some values, whatever they are."""

    choices: tuple[Any, ...] = Field(min_length=1)
    """The values, in the order in which a grid tries them."""

    @field_validator("choices")
    @classmethod
    def _plain(cls, choices: tuple[Any, ...]) -> tuple[Any, ...]:
        seen = set()
        for choice in choices:
            try:
                text = label(choice)
            except (TypeError, ValueError):
                raise ValueError(f"{choice!r} is not a value that settings have") from None
            if text in seen:
                raise ValueError(f"{choice!r} stands there twice")
            seen.add(text)
        return choices

    @property
    def values(self) -> Sequence[Any]:
        """Every value."""
        return self.choices

    @property
    def ends(self) -> Sequence[Any]:
        """Values that stand for all when settings are checked."""
        return self.choices

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is one of them."""
        return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.choices)


class Range(BaseModel, frozen=True, extra="forbid"):
    """A setting that takes any number from ``low`` to ``high``; whole numbers where both are whole."""

    low: StrictInt | StrictFloat
    """The smallest value."""
    high: StrictInt | StrictFloat
    """The largest value."""
    log: bool = False
    """Whether orders of magnitude are drawn evenly, not values."""
    step: StrictInt | StrictFloat | None = None
    """Distance between values; none allows all."""

    @model_validator(mode="after")
    def _agree(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0; found {self.low}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0; found {self.step}")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))

    @property
    def values(self) -> Sequence[Any] | None:
        """Every value, ascending; None where there are too many to list."""
        step = self.step if self.step is not None else 1 if self.is_whole and not self.log else None
        if step is None:
            return None
        # Rounded, because seven tenths are not seven times a tenth.
        count = math.floor(round((self.high - self.low) / step, 9)) + 1
        return [
            self.low + n * step if self.is_whole else round(self.low + n * step, 12) for n in range(count)
        ]

    @property
    def ends(self) -> Sequence[Any]:
        """Values that stand for all when settings are checked."""
        return (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is one of them."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not self.low <= value <= self.high or (self.is_whole and not isinstance(value, int)):
            return False
        return self.step is None or any(math.isclose(value, one) for one in self.values or ())


Entry = Choices | Range


def label(value: Any) -> str:
    """The value as text: equal texts are equal values."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


class Pruning(BaseModel, frozen=True, extra="forbid"):
    """When a trial is given up early, by its validation values so far."""

    rule: Literal["median", "halving", "none"] = "median"
    """median: where its best value is below the median of the finished trials of its stage at the same epoch;
    halving: where it is not in the best ``1/factor`` of those that came as far, looked at after ``warm_up``,
    ``factor * warm_up``, ``factor^2 * warm_up``, ... epochs."""
    warm_up: PositiveInt = 10
    """Epochs that every trial is given."""
    startup: NonNegativeInt = 5
    """median: finished trials of the stage before any other is given up."""
    factor: int = Field(3, ge=2)
    """halving: one trial in so many goes on."""


class Stage(BaseModel, frozen=True, extra="forbid"):
    """Some settings that are searched together, those of earlier stages fixed at their best."""

    name: str = Field(min_length=1)
    """What tables call it."""
    search: Literal["one_at_a_time", "grid", "random", "tpe"] = "one_at_a_time"
    """one_at_a_time: each setting in turn, the best value kept before the next; grid: every combination; random: drawn
    anew each time; tpe: drawn where finished trials were good (Bergstra et al., NIPS 2011)."""
    space: Mapping[str, Entry] = Field(min_length=1)
    """Values by setting."""
    trials: PositiveInt | None = None
    """random and tpe: how many."""
    startup: PositiveInt = 10
    """tpe: finished trials before it learns from them; until then it draws as random does."""

    @property
    def sweeps(self) -> Sequence[Mapping[str, Entry]]:
        """What is searched at once: one setting after the other, or all together."""
        if self.search == "one_at_a_time":
            return [{name: entry} for name, entry in self.space.items()]
        return [self.space]

    @property
    def is_listed(self) -> bool:
        """Whether its points are known beforehand, not drawn."""
        return self.search in ("one_at_a_time", "grid")

    def points(self, sweep: int) -> Sequence[Point]:
        """The points of one sweep of a listed stage, the last setting varying fastest."""
        entries = self.sweeps[sweep]
        columns = [entry.values or () for entry in entries.values()]
        return [dict(zip(entries, values, strict=True)) for values in itertools.product(*columns)]

    def size(self) -> int:
        """How many trials it asks for; 0 where nothing says so."""
        if self.is_listed:
            return sum(
                math.prod(len(entry.values or ()) for entry in sweep.values()) for sweep in self.sweeps
            )
        return self.trials or 0


class Joint(BaseModel, frozen=True, extra="forbid"):
    """A search of one stage."""

    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """How points are chosen; see ``Stage.search``."""
    startup: PositiveInt = 10
    """See ``Stage.startup``."""


class SpaceFile(BaseModel, frozen=True, extra="forbid"):
    """What a search file may say."""

    base: str | Mapping[str, Any]
    """A run's settings: their file, or the settings themselves. ``{dataset}`` in the path of either, file or data, is
    what ``--dataset`` says."""
    metric: str | None = None
    """The validation metric that chooses epochs and trials; by default the base's ``training.metric``."""
    trials: PositiveInt | None = None
    """Most trials to train in all."""
    joint: Mapping[str, Any] | None = None
    """One stage over ``space``; see ``Joint``."""
    space: Mapping[str, Any] = Field(default_factory=dict)
    """Values by setting, of ``joint``."""
    stage: tuple[Mapping[str, Any], ...] = ()
    """Stages, in order; see ``Stage``."""
    pruning: Pruning = Field(default_factory=Pruning)
    """When trials are given up early."""


@dataclass(frozen=True)
class Search:
    """A search for settings, checked: where it starts, what it tries, when it gives up a trial.

    ``base`` are the settings as they were given, so that a preset goes on filling what nobody set; ``spec`` is what
    they mean.
    """

    base: Mapping[str, Any]
    spec: RunSpec
    stages: tuple[Stage, ...]
    pruning: Pruning
    trials: int | None = None

    @property
    def metric(self) -> str:
        """The validation metric that chooses."""
        return self.spec.training.metric

    @property
    def size(self) -> int | None:
        """How many trials it comes to at most; None where nothing says so."""
        endless = any(not stage.is_listed and stage.trials is None for stage in self.stages)
        asked = None if endless else sum(stage.size() for stage in self.stages)
        return min((limit for limit in (asked, self.trials) if limit is not None), default=None)

    def settings_of(self, point: Point) -> RunSpec:
        """The run that ``point`` asks for. Raises ConfigError where it contradicts other settings."""
        settings = deepcopy(dict(self.base))
        for name, value in point.items():
            put(settings, name, value, f"space: {name}")
        return read_spec(settings)

    def origin(self, stage: Stage, fixed: Point) -> Point | None:
        """Where a drawn stage starts: the values that hold without it, or None if one is outside its space."""
        plain = self.settings_of(fixed).resolved()
        point = {name: look_up(plain, name) for name in stage.space}
        return point if all(entry.holds(point[name]) for name, entry in stage.space.items()) else None

    def described(self) -> dict[str, Any]:
        """What is asked, as plain JSON values; budgets are no part of it."""
        stages = [stage.model_dump(mode="json") for stage in self.stages]
        if len(stages) == 1:
            del stages[0]["trials"]
        return {"base": self.spec.resolved(), "stages": stages, "pruning": self.pruning.model_dump()}


def load_search(
    path: Path, dataset: str | None = None, changes: Sequence[str] = (), trials: int | None = None
) -> Search:
    """The search that a TOML or JSON file describes, with ``key.sub=value`` changes to its base.

    ``dataset`` replaces ``{dataset}`` in the base; paths are meant from where the command runs. ``trials`` wins over
    the file. Every setting and every listed value is tried on the base. Raises ConfigError for anything that no
    run could be asked for, naming the setting.
    """
    said = validated(SpaceFile, read_table(path, "search file"), "")
    settings = changed(_base(said.base, dataset), changes)
    if said.metric is not None:
        put(settings, "training.metric", said.metric, "metric")
    limit = trials or said.trials
    stages = _stages(said, limit)
    search = Search(settings, read_spec(settings), stages, said.pruning, limit)
    for stage in stages:
        _check(search, stage)
    return search


def _base(base: str | Mapping[str, Any], dataset: str | None) -> dict[str, Any]:
    path = base if isinstance(base, str) else str(base.get("dataset", ""))
    named = "{dataset}" in path
    if named and dataset is None:
        raise ConfigError(f"the search starts from {path}; say which with --dataset NAME")
    if dataset is not None and not named:
        raise ConfigError(
            f"--dataset {dataset} fits only a base with {{dataset}} in its path; change the data with --set dataset=..."
        )
    path = path.replace("{dataset}", dataset or "")
    if isinstance(base, str):
        return read_settings(Path(path))
    return {**base, "dataset": path} if path else dict(base)


def _stages(said: SpaceFile, trials: int | None) -> tuple[Stage, ...]:
    found = [name for name in ("joint", "space", "stage") if name in said.model_fields_set]
    if found not in (["joint", "space"], ["stage"]):
        raise ConfigError(
            "a search is either [joint] with a [space], or [[stage]] tables with a space each; found "
            + (", ".join(f"[{name}]" for name in found) or "none")
        )
    if said.joint is not None:
        joint = validated(Joint, said.joint, "joint")
        entries = _entries(said.space, "space")
        limit = None if joint.sampler == "grid" else trials
        return (
            Stage(name="joint", search=joint.sampler, space=entries, trials=limit, startup=joint.startup),
        )
    stages = []
    for number, table in enumerate(said.stage, start=1):
        where = f"stage {number}"
        space = table.get("space")
        if not isinstance(space, Mapping):
            raise ConfigError(f"{where} has no [stage.space] with values by setting")
        stages.append(validated(Stage, {**table, "space": _entries(space, f"{where}: space")}, where))
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ConfigError(f"two stages have the same name; found {', '.join(names)}")
    for stage in stages:
        if not stage.is_listed and stage.trials is None:
            raise ConfigError(
                f"stage {stage.name!r} draws its points by {stage.search}; say trials = how many"
            )
        if stage.is_listed and stage.trials is not None:
            raise ConfigError(f"stage {stage.name!r} tries every point of its grid; it takes no trials")
    return tuple(stages)


def _entries(space: Mapping[str, Any], where: str) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for name, table in space.items():
        if not isinstance(table, Mapping) or name in SEARCHED:
            raise ConfigError(
                f'{where}: a setting is searched as "model.width" = {{ choices = [32, 64] }} or "model.width" = '
                f"{{ low = 32, high = 64 }}, its name in quotes; found {name} = {table!r}"
            )
        kind: type[Entry] = Range if "low" in table or "high" in table else Choices
        entries[name] = validated(kind, table, f'{where}."{name}"')
    return entries


def _check(search: Search, stage: Stage) -> None:
    for name, entry in stage.space.items():
        group = name.split(".")[0]
        if name in FIXED:
            raise ConfigError(f"a search may not change {name}; {FIXED[name]}")
        if group in RunSpec.model_fields and group not in SEARCHED:
            raise ConfigError(
                f"a search may not change {name}: trials could not be compared; it may change model.* and training.*"
            )
        for value in entry.ends:
            search.settings_of({name: value})
        if stage.is_listed and entry.values is None:
            raise ConfigError(
                f"stage {stage.name!r} lists its points, but {name} is a range without end; give it choices or a step"
            )
    if not stage.is_listed:
        return
    if stage.size() > MOST_POINTS:
        raise ConfigError(
            f"stage {stage.name!r} has {stage.size()} points, more than {MOST_POINTS}; search one_at_a_time or by tpe"
        )
    for number in range(len(stage.sweeps)):
        for point in stage.points(number):
            search.settings_of(point)
