"""Runs and records that are there already, found by what they are and not by what they are called."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alnico.data.dataset import Dataset
from alnico.data.features import ItemFeatures
from alnico.data.splitting import split as split_dataset
from alnico.errors import ConfigError
from alnico.experiment.folder import RECORD, Run, default_recipe, open_for, open_run, settings_fingerprint
from alnico.experiment.results import SUFFIX, RunRecord, read_record, record_of, write_record
from alnico.experiment.spec import RunSpec, read_spec

TOLD_BY_FINGERPRINTS = ("dataset", "min_user", "split", "device")
"""Settings that say nothing which the fingerprints of data and split do not, and the machine."""


@dataclass(frozen=True)
class Known:
    """A run that is there: its folder, or its record, or both; ``place`` is the record's, as DATASET/NAME."""

    name: str
    run: Run | None = None
    record: RunRecord | None = None
    place: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether its test is done."""
        return self.record is not None or (self.run is not None and self.run.is_tested)

    @property
    def result(self) -> Mapping[str, Any]:
        """Its result.json."""
        if self.record is not None:
            return self.record.result
        assert self.run is not None
        return self.run.result

    @property
    def device(self) -> str:
        """Where it was trained."""
        if self.record is not None:
            return str(self.record.settings["device"])
        assert self.run is not None
        return str(self.run.record["spec"]["device"])

    def in_full(self) -> RunRecord:
        """Its record, made from the folder where none was kept."""
        if self.record is not None:
            return self.record
        assert self.run is not None
        return record_of(self.run)


class Shelf:
    """The run folders in ``runs`` and the records under ``records``, by their identity.

    Two runs are the same where settings, data and split are; where their data stand and on which device they ran does
    not count, nor does the protocol's name, because its settings are the run's own. Runs that began from another run's
    weights, and those whose settings this version does not know, are left alone.
    """

    def __init__(self, runs: Path, records: Path) -> None:
        self.runs, self.records = runs, records
        self._known: dict[str, Known] = {}
        self._names: dict[str, str | None] = {}
        self._data: dict[tuple[Any, ...], tuple[str, Dataset, dict[Any, str]]] = {}
        for path in sorted(records.glob(f"*/*{SUFFIX}")):
            record = read_record(path)
            self._put(Known(record.name, record=record, place=_place(path)), record.record)
        for path in sorted(runs.glob(f"*/{RECORD}")):
            run = open_run(path.parent)
            self._put(Known(run.name, run), run.record)

    def _put(self, known: Known, record: Mapping[str, Any]) -> None:
        identity = told_identity(record)
        self._names[known.name] = identity
        if identity is None:
            return
        before = self._known.get(identity)
        # A folder and its record stand together under one name; a finished run is not given up for one begun anew.
        if before is not None and before.is_finished and not known.is_finished:
            return
        if before is not None and before.name == known.name:
            known = Known(
                known.name,
                known.run or before.run,
                known.record or before.record,
                known.place or before.place,
            )
        self._known[identity] = known

    def identity(self, spec: RunSpec) -> str:
        """What makes a run with these settings the same as another. Reads the data."""
        place = (spec.dataset, spec.min_user, spec.modalities, spec.content)
        if place not in self._data:
            dataset = open_for(spec)
            # Splits look at no content, and content that was dealt out is not on disk but in memory.
            bare = replace(dataset, features=ItemFeatures(dataset.n_items), neighbours={})
            self._data[place] = (dataset.fingerprint, bare, {})
        data, dataset, splits = self._data[place]
        recipe = spec.split or default_recipe(dataset)
        if recipe not in splits:
            splits[recipe] = split_dataset(dataset, recipe).fingerprint
        return settings_fingerprint(spec, data, splits[recipe], TOLD_BY_FINGERPRINTS)

    def find(self, identity: str) -> Known | None:
        """The run of this identity."""
        return self._known.get(identity)

    def name(self, wish: str, identity: str) -> str:
        """A name for a new run of this identity: the wish, with a hash behind it where another run has that name."""
        if self._names.get(wish, identity) != identity:
            wish = f"{wish}-{identity[:6]}"
        self._names[wish] = identity
        return wish

    def keep(self, name: str) -> Known:
        """Take in the finished run in this folder and write its record, if there is none of it."""
        run = open_run(self.runs / name)
        self._put(Known(name, run), run.record)
        identity = told_identity(run.record)
        known = Known(name, run) if identity is None else self._known[identity]
        if known.record is None:
            record = known.in_full()
            known = Known(name, run, record, _place(write_record(record, self.records)))
            if identity is not None:
                self._known[identity] = known
        return known


def _place(record: Path) -> str:
    return f"{record.parent.name}/{record.name.removesuffix(SUFFIX)}"


def told_identity(record: Mapping[str, Any]) -> str | None:
    """The identity of a run by its run.json; None where it can be that of no planned run."""
    if record.get("warm_start"):
        return None
    try:
        spec = read_spec(record["spec"])
    except ConfigError:
        return None
    return settings_fingerprint(
        spec, record["dataset"]["fingerprint"], record["split"]["fingerprint"], TOLD_BY_FINGERPRINTS
    )
