"""Finished runs as compact records, and what can be said about them side by side.

A record holds what tables and comparisons need: settings, fingerprints, history, measures, and per-user
values of a few measures. It is written from a run folder and outlives it.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from alnico.errors import ConfigError, StorageError
from alnico.evaluation.evaluate import Scores
from alnico.evaluation.significance import Comparison, compare, holm
from alnico.experiment.folder import RECORD, Question, Run, open_run, question_of
from alnico.randomness import rng
from alnico.storage import write_atomically

FORMAT = 1
SUFFIX = ".npz"
KEPT_METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
"""Measures whose per-user values a record keeps."""
SIGNIFICANCE = 0.05
OWN_MODEL = "magnet"


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One finished run: ``record`` is its run.json, ``result`` its result.json, ``history`` one row per
    epoch.

    ``scores`` are the per-user test values.
    """

    name: str
    record: Mapping[str, Any]
    result: Mapping[str, Any]
    history: Sequence[Mapping[str, float | None]]
    scores: Scores = field(repr=False)

    @property
    def label(self) -> str:
        """What tables call the run."""
        return str(self.record["label"])

    @property
    def settings(self) -> Mapping[str, Any]:
        """All settings of the run, defaults included."""
        settings: Mapping[str, Any] = self.record["spec"]
        return settings

    @property
    def model(self) -> str:
        """The model's name in ``alnico models``."""
        return str(self.settings["model"]["name"])

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return str(self.record["dataset"]["name"])

    @property
    def question(self) -> Question:
        """What was asked: data, split, mask and protocol. Only runs with the same question may stand in one table."""
        return question_of(self.record)

    @property
    def protocol(self) -> str | None:
        """The name of the protocol that the run was made under, None where it was none."""
        stamp = self.record.get("protocol")
        return None if stamp is None else str(stamp["name"])

    def measure(self, part: Literal["valid", "test"], metric: str) -> float | None:
        """The mean of one measure, None where it was not taken."""
        value = self.result[part].get(metric)
        return None if value is None else float(value)


Verdict = Literal["better", "worse", "open"]


@dataclass(frozen=True)
class Duel:
    """One run against another on one measure; differences are first minus second.

    ``p_holm`` is the two-sided p corrected for all duels made together. ``verdict`` speaks of the first:
    better or worse where the corrected p is below 5 % and the interval of the mean difference lies on that
    side of zero, else open. The test looks at ranks, so the two can disagree; then nothing is claimed.
    """

    first: str
    second: str
    second_model: str
    comparison: Comparison
    p_holm: float

    @property
    def verdict(self) -> Verdict:
        """Whether the first is better, worse, or neither can be claimed."""
        told = self.comparison
        low, high = told.interval
        if self.p_holm < SIGNIFICANCE:
            if low > 0 and told.rank_biserial > 0:
                return "better"
            if high < 0 and told.rank_biserial < 0:
                return "worse"
        return "open"

    @property
    def sentence(self) -> str:
        """The duel in one plain sentence."""
        told = self.comparison
        low, high = told.interval
        gain = "" if np.isnan(told.relative_gain) else f", {told.relative_gain:+.1%}"
        numbers = (
            f"{told.metric} {told.mean_a:.4f} against {told.mean_b:.4f} "
            f"(difference {told.difference:+.4f}{gain}, {told.level:.0%} interval {low:+.4f} to {high:+.4f}, "
            f"{spoken_p(self.p_holm)} after correction)"
        )
        if self.verdict == "better":
            return f"{self.first} is better than {self.second}: {numbers}."
        if self.verdict == "worse":
            return f"{self.first} is worse than {self.second}: {numbers}."
        return (
            f"No difference between {self.first} and {self.second} can be claimed: {numbers}; with "
            f"{told.n_users} users a true difference below {told.smallest_detectable_effect:.4f} would often "
            "stay unseen."
        )


def summary(duel: Duel) -> dict[str, Any]:
    """A duel as plain values."""
    told = duel.comparison
    return {
        "first": duel.first,
        "second": duel.second,
        "metric": told.metric,
        "users": told.n_users,
        "difference": told.difference,
        "interval": list(told.interval),
        "p": told.p_value,
        "p_holm": duel.p_holm,
        "smallest_detectable_effect": told.smallest_detectable_effect,
        "wins": told.wins,
        "ties": told.ties,
        "losses": told.losses,
        "verdict": duel.verdict,
        "sentence": duel.sentence,
    }


def spoken_p(value: float) -> str:
    """A p value for a sentence."""
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.2g}"


def record_of(run: Run) -> RunRecord:
    """The record of a finished run. Raises StorageError while it is not finished."""
    return RunRecord(run.name, run.record, run.result, run.history, run.test_scores())


def main_run(records: Sequence[RunRecord]) -> RunRecord:
    """The run that the others are held against: the first MAGNET run, or else the first run."""
    return next((record for record in records if record.model == OWN_MODEL), records[0])


def best_baseline(records: Sequence[RunRecord], metric: str) -> RunRecord | None:
    """The run of another model than MAGNET that validates best by ``metric``; None where there is none."""
    others = [
        record
        for record in records
        if record.model != OWN_MODEL and record.measure("valid", metric) is not None
    ]
    return max(others, key=lambda record: record.measure("valid", metric) or 0.0, default=None)


def duels(pairs: Sequence[tuple[RunRecord, RunRecord]], metric: str) -> list[Duel]:
    """Each pair, first minus second, paired by user; p values are corrected for being several.

    Raises ConfigError if the two of a pair answered different questions or lack the measure.
    """
    made = []
    for first, second in pairs:
        if first.question != second.question:
            raise ConfigError(
                f"{first.label} and {second.label} differ in data, split, mask or protocol; only like can be compared "
                "with like"
            )
        made.append(compare(first.scores, second.scores, metric, rng(0, "comparison")))
    corrected = holm([told.p_value for told in made])
    return [
        Duel(first.label, second.label, second.model, told, float(p))
        for (first, second), told, p in zip(pairs, made, corrected, strict=True)
    ]


def not_beaten(fought: Sequence[Duel]) -> list[Duel]:
    """The duels with other models than MAGNET that the first did not win: these models are not significantly worse."""
    return [duel for duel in fought if duel.second_model != OWN_MODEL and duel.verdict != "better"]


def warning(fought: Sequence[Duel]) -> str | None:
    """One sentence that names every other model than MAGNET that is not significantly worse; None where there is
    none."""
    open_ones = not_beaten(fought)
    if not open_ones:
        return None
    first, metric = open_ones[0].first, open_ones[0].comparison.metric
    worse = [duel.second for duel in open_ones if duel.verdict == "worse"]
    equal = [duel.second for duel in open_ones if duel.verdict == "open"]
    parts = []
    if worse:
        parts.append(
            f"{listed(worse)} {'is' if len(worse) == 1 else 'are'} significantly better than {first}"
        )
    if equal:
        parts.append(
            f"{listed(equal)} {'is' if len(equal) == 1 else 'are'} not significantly worse than {first}"
        )
    return f"On {metric}, {' and '.join(parts)}: on these data {first} may not be needed."


def listed(names: Sequence[str]) -> str:
    """Names as a phrase: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def write_record(record: RunRecord, folder: Path) -> Path:
    """Write the record as ``folder/<dataset>/<run>.npz`` and return its path; plain arrays and JSON, no
    pickle."""
    told = {
        "format": FORMAT,
        "name": record.name,
        "record": record.record,
        "result": record.result,
        "history": [*record.history],
    }
    arrays: dict[str, NDArray[Any]] = {
        "record": np.frombuffer(json.dumps(told, allow_nan=False).encode(), np.uint8),
        "users": record.scores.users.astype(np.int32),
    }
    for metric in KEPT_METRICS:
        if metric in record.scores.values:
            # Few distinct values: their list and one small number per user lose nothing and pack well.
            levels, codes = np.unique(record.scores.of(metric), return_inverse=True)
            arrays[f"levels/{metric}"] = levels
            arrays[f"codes/{metric}"] = codes.astype(np.uint16 if len(levels) < 2**16 else np.uint32)
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    path = folder / record.dataset / f"{record.name}{SUFFIX}"
    write_atomically(path, lambda file: file.write(buffer.getvalue()))
    return path


def read_record(path: Path) -> RunRecord:
    """The record that ``write_record`` wrote. Raises StorageError if it is missing, damaged or of a newer
    format."""
    try:
        # By way of memory: numpy would leave the file of a damaged archive open.
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        told = json.loads(arrays.pop("record").tobytes())
        if told["format"] > FORMAT:
            raise StorageError(
                f"{path} has format {told['format']}, newer than this alnico reads ({FORMAT}); upgrade alnico"
            )
        users = arrays.pop("users").astype(np.int64)
        values = {
            name.removeprefix("levels/"): levels[arrays[name.replace("levels/", "codes/", 1)]]
            for name, levels in arrays.items()
            if name.startswith("levels/")
        }
        return RunRecord(told["name"], told["record"], told["result"], told["history"], Scores(users, values))
    except (OSError, ValueError, KeyError, IndexError, TypeError, BadZipFile) as problem:
        raise StorageError(
            f"{path} cannot be read as a record of a run: {problem}; write it again with `alnico results`"
        ) from problem


def finished_runs(folder: Path) -> tuple[list[Run], list[Run]]:
    """The runs directly in ``folder``, finished ones and others, by name."""
    found = [open_run(path.parent) for path in sorted(folder.glob(f"*/{RECORD}"))]
    return [run for run in found if run.is_tested], [run for run in found if not run.is_tested]


def gather(runs: Path, results: Path) -> tuple[dict[str, list[RunRecord]], list[str]]:
    """All records by data set, from run folders and from stored records, and notices on what was left out.

    A run folder takes precedence over a stored record of the same name.
    """
    known: dict[tuple[str, str], RunRecord] = {}
    for path in sorted(results.glob(f"*/*{SUFFIX}")):
        record = read_record(path)
        known[record.dataset, record.name] = record
    done, others = finished_runs(runs) if runs.is_dir() else ([], [])
    for run in done:
        record = record_of(run)
        known[record.dataset, record.name] = record
    notices = [f"{run.folder} is not finished and was left out" for run in others]
    by_dataset: dict[str, list[RunRecord]] = {}
    for (dataset, _), record in sorted(known.items()):
        by_dataset.setdefault(dataset, []).append(record)
    return by_dataset, notices


def told_apart(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The records with labels that differ: where several share one, each run's own name stands behind it."""
    times = Counter(record.label for record in records)
    return [
        replace(record, record={**record.record, "label": f"{record.label} ({record.name})"})
        if times[record.label] > 1
        else record
        for record in records
    ]


def by_question(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Records in groups that answered the same question, in order of first appearance."""
    groups: dict[Question, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(record.question, []).append(record)
    return list(groups.values())
