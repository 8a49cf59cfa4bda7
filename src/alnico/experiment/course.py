"""The runs that a study consists of, each once, in an order in which they can be made."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from alnico.errors import ConfigError, nearest
from alnico.experiment.folder import finite
from alnico.experiment.plan import Entry, Grid, Part, Patience, Reference, StudyPlan
from alnico.experiment.protocol import Protocol
from alnico.experiment.spec import RunSpec, put, read_settings, read_spec
from alnico.models import MODELS

PLACEHOLDER = 1
"""Stands for a setting that another run will tell, while the others are checked."""


@dataclass(frozen=True)
class Trial:
    """What a part asks of one data set: settings without the protocol's, the references among them, and what sets
    them apart in the part."""

    variant: str
    slug: str
    label: str | None
    settings: Mapping[str, Any]
    references: Mapping[str, Reference]
    varied: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """A run to be made: its settings under the protocol, and the settings that wait for other runs' outcome.

    ``references`` gives by dotted key the reference and the name of the run that it waits for. ``exception`` says
    where it departs from the protocol.
    """

    name: str
    dataset: str
    seed: int
    label: str | None
    settings: Mapping[str, Any]
    references: Mapping[str, tuple[Reference, str]]
    exception: str | None
    alone: bool

    @property
    def model(self) -> str:
        """The model's name in ``alnico models``."""
        return str(self.settings["model"]["name"])

    @property
    def needs(self) -> frozenset[str]:
        """The names of the runs that must be finished before it can begin."""
        return frozenset(source for _, source in self.references.values())

    def spec(self, results: Mapping[str, Mapping[str, Any]]) -> RunSpec:
        """Its settings in full, given the results of what it needs. Raises ConfigError if they tell no such fact."""
        told = {key: ref.of(results[source]) for key, (ref, source) in self.references.items()}
        return _with(self.settings, told, self.name)

    def outline(self) -> RunSpec:
        """Its settings with something in place of those that other runs will tell."""
        return _with(self.settings, dict.fromkeys(self.references, PLACEHOLDER), self.name)


@dataclass(frozen=True)
class Placed:
    """Where a run stands in a part: under which name, what sets it apart, on which data and seed."""

    run: str
    variant: str
    varied: Mapping[str, Any]
    dataset: str
    seed: int


@dataclass(frozen=True)
class Course:
    """A study with all its runs named: ``runs`` in order, those that others wait for first; by part, who serves it."""

    plan: StudyPlan
    protocol: Protocol
    runs: tuple[PlannedRun, ...]
    placed: Mapping[str, tuple[Placed, ...]]

    def run(self, name: str) -> PlannedRun:
        """The planned run of this name."""
        return next(run for run in self.runs if run.name == name)

    def serving(self, part: str | None) -> tuple[PlannedRun, ...]:
        """The runs of one part (None: of all) and what they wait for. Raises ConfigError for an unknown part."""
        if part is None:
            return self.runs
        wanted = {placed.run for placed in self.placed[self.plan.part(part).name]}
        # Those that others wait for stand before them, so that one pass from the end finds all.
        for run in reversed(self.runs):
            if run.name in wanted:
                wanted |= run.needs
        return tuple(run for run in self.runs if run.name in wanted)


def lay_out(plan: StudyPlan, protocol: Protocol) -> Course:
    """Every run of the plan with all its settings checked; equal runs once, whichever parts they serve.

    Raises ConfigError for a settings file that is missing or wrong, for settings that the protocol decides, and for
    runs that wait for one that is unknown or for each other.
    """
    return _Layout(plan, protocol).course()


Address = tuple[str, str, str, int]
"""Part, variant, data set and seed: where a run stands in the plan."""


class _Layout:
    def __init__(self, plan: StudyPlan, protocol: Protocol) -> None:
        self.plan, self.protocol = plan, protocol
        self.trials: dict[Address, Trial] = {}
        self.files: dict[str, Mapping[str, Any]] = {}
        self.names: dict[Address, str] = {}
        self.by_content: dict[str, PlannedRun] = {}

    def course(self) -> Course:
        for part in self.plan.parts:
            for seed in self._seeds(part):
                for dataset in part.datasets or self.plan.datasets:
                    for trial in self._trials(part, dataset):
                        address = (part.name, trial.variant, dataset, seed)
                        if address in self.trials:
                            raise ConfigError(
                                f"part {part.name!r} has two runs called {trial.variant!r}; give them labels, or "
                                "their grids names, that differ"
                            )
                        self.trials[address] = trial
        for address in self.trials:
            self._settle(address, ())
        timed = {part.name for part in self.plan.parts if part.alone}
        alone = {name for address, name in self.names.items() if address[0] in timed}
        runs = tuple(replace(run, alone=run.name in alone) for run in self.by_content.values())
        placed = {
            part.name: tuple(
                Placed(self.names[address], trial.variant, trial.varied, address[2], address[3])
                for address, trial in self.trials.items()
                if address[0] == part.name
            )
            for part in self.plan.parts
        }
        return Course(self.plan, self.protocol, runs, placed)

    def _seeds(self, part: Part) -> tuple[int, ...]:
        if part.seeds == "all":
            return self.plan.seeds or self.protocol.seeds
        return (self.protocol.ablation_seed,) if part.seeds == "ablation" else part.seeds

    def _trials(self, part: Part, dataset: str) -> Iterator[Trial]:
        for name in part.models:
            settings, label = self._entry(name, dataset)
            slug = Path(name).stem
            variant = label or (name if name in self.plan.models else _title(settings))
            yield Trial(variant, slug, label, settings, {}, {})
        if part.base is None:
            return
        base, label = self._entry(part.base, dataset)
        slug = Path(part.base).stem
        tried = [(name, settings, settings) for name, settings in part.variants.items()]
        tried += [cell for grid in part.grids for cell in _cells(grid)]
        for variant, changes, varied in tried:
            settings = self._changed(base, changes, f"part {part.name!r}, {variant!r}")
            shown = f"{label}: {variant}" if label else variant
            references = {key: value for key, value in changes.items() if isinstance(value, Reference)}
            yield Trial(variant, f"{slug}-{variant}", shown, settings, references, varied)

    def _entry(
        self, name: str, dataset: str, within: tuple[str, ...] = ()
    ) -> tuple[Mapping[str, Any], str | None]:
        """The settings and the label of an entry or of a settings file."""
        if name not in self.plan.models:
            if Path(name).suffix not in {".toml", ".json"}:
                raise ConfigError(
                    f"the study {self.plan.name} has no model {name!r}{nearest(name, self.plan.models)}; "
                    "or give the path of a settings file"
                )
            return self._file(name.replace("{dataset}", dataset)), None
        if name in within:
            raise ConfigError(
                f"the models {' and '.join(map(repr, within))} are like each other; one of them needs a file"
            )
        entry: Entry = self.plan.models[name]
        if entry.like is not None:
            settings, label = self._entry(entry.like, dataset, (*within, name))
        else:
            assert entry.file is not None
            settings, label = self._file(entry.file.replace("{dataset}", dataset)), None
        return self._changed(settings, entry.set, f"model {name!r}"), entry.label or label

    def _file(self, path: str) -> Mapping[str, Any]:
        if path not in self.files:
            self.files[path] = _grouped(read_settings(Path(path)), path)
        return self.files[path]

    def _changed(
        self, settings: Mapping[str, Any], changes: Mapping[str, Any], where: str
    ) -> Mapping[str, Any]:
        changed: dict[str, Any] = _copied(settings)
        for key, value in changes.items():
            if self.protocol.decides(key) or key in {"dataset", "device"}:
                raise ConfigError(
                    f"{where}: {key!r} is not a plan's to set: the protocol {self.protocol.name} decides split, "
                    "selection and measures ([[patience]] makes exceptions), the command line names data and device"
                )
            put(changed, key, value, where)
        return _grouped(changed, where)

    def _settle(self, address: Address, waiting: tuple[Address, ...]) -> PlannedRun:
        """The run at this address, after those that it waits for."""
        part, variant, dataset, seed = address
        where = f"part {part!r}, {variant!r}"
        if address in waiting:
            circle = " -> ".join(f"{one}/{other}" for one, other, _, _ in (*waiting, address))
            raise ConfigError(f"runs wait for each other's outcome: {circle}; give one of them a fixed value")
        trial = self.trials[address]
        sources = {
            key: self._settle(self._source(reference, address), (*waiting, address)).name
            for key, reference in trial.references.items()
        }
        settings = _copied(trial.settings)
        settings["dataset"] = self.plan.datasets[dataset]
        patience = self._exception(str(settings["model"].get("name")), dataset)
        settings = self.protocol.imposed(settings, seed, None if patience is None else patience.patience)
        exception = (
            None
            if patience is None
            else (
                f"patience {patience.patience} instead of {self.protocol.training.patience}: {patience.reason}"
            )
        )
        resolved = _with(settings, dict.fromkeys(sources, PLACEHOLDER), where).resolved()
        waits = {key: [sources[key], ref.fact, ref.times] for key, ref in trial.references.items()}
        content = json.dumps([dataset, finite(resolved), waits, exception], sort_keys=True)
        if content not in self.by_content:
            references = {key: (ref, sources[key]) for key, ref in trial.references.items()}
            name = self._name(f"{dataset}-{trial.slug}-{seed}", content)
            self.by_content[content] = PlannedRun(
                name, dataset, seed, trial.label, settings, references, exception, False
            )
        self.names[address] = self.by_content[content].name
        return self.by_content[content]

    def _source(self, reference: Reference, address: Address) -> Address:
        source = (address[0], reference.source, *address[2:])
        if source not in self.trials:
            # Names of variants may hold a stroke (w/o ...), those of parts do not.
            part, _, variant = reference.source.partition("/")
            source = (part, variant, *address[2:])
        if source not in self.trials:
            same = [other for other in self.trials if other[2:] == address[2:]]
            known = [one if place == address[0] else f"{place}/{one}" for place, one, _, _ in same]
            raise ConfigError(
                f"part {address[0]!r}, {address[1]!r} waits for a run that is not in the plan for data set "
                f"{address[2]!r} and seed {address[3]}: {reference.source!r}{nearest(reference.source, known)}"
            )
        return source

    def _exception(self, model: str, dataset: str) -> Patience | None:
        return next(
            (
                one
                for one in self.plan.patience
                if model in one.models and (one.datasets is None or dataset in one.datasets)
            ),
            None,
        )

    def _name(self, wish: str, content: str) -> str:
        name = re.sub(r"[^A-Za-z0-9._=+-]+", "-", wish).strip("-.")
        taken = any(run.name == name for run in self.by_content.values())
        return f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:6]}" if taken else name


def _grouped(settings: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The settings, if those that are read before all others are checked are groups. Raises ConfigError if not."""
    groups = {"model": {}, "training": {}} | {
        name: settings[name] for name in ("model", "training") if settings.get(name) is not None
    }
    for name, group in groups.items():
        if not isinstance(group, Mapping):
            raise ConfigError(
                f"{where}: {name!r} is a group of settings, in TOML [{name}] with a line for each; found {group!r}"
            )
    return {**settings, **groups}


def _title(settings: Mapping[str, Any]) -> str:
    """The title of the settings' model; its name where there is no such model, which is found out later."""
    name = str(settings["model"].get("name"))
    return MODELS[name].card.title if name in MODELS else name


def _with(settings: Mapping[str, Any], told: Mapping[str, Any], where: str) -> RunSpec:
    plain = _copied(settings)
    for key, value in told.items():
        put(plain, key, value, where)
    try:
        return read_spec(plain)
    except ConfigError as problem:
        raise ConfigError(f"{where}: {problem}") from problem


def _copied(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy whose groups can be changed; what stands in them is shared."""
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in settings.items()}


def _cells(grid: Grid) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """For each trial of a grid its name, its settings on top of the base, and those of them that vary."""
    if grid.mode == "product":
        cells = [dict(zip(grid.settings, values, strict=True)) for values in product(*grid.settings.values())]
    else:
        cells = [{key: value} for key, values in grid.settings.items() for value in values]
    for cell in cells:
        told = ", ".join(f"{key.rpartition('.')[2]}={_shown(value)}" for key, value in cell.items())
        yield f"{grid.name}: {told}" if grid.name else told, {**grid.set, **cell}, cell


def _shown(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
