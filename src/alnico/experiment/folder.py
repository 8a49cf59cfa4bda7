"""A run's folder: the source of truth for every later table, figure, comparison and explanation."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from alnico.contracts import Scorer
from alnico.data.dataset import Dataset
from alnico.data.dealing import dealt_out
from alnico.data.filtering import filter_to_core
from alnico.data.sources import open_or_read
from alnico.data.split import Split
from alnico.data.splitting import Given, PerUser, SplitRecipe, split
from alnico.errors import StorageError
from alnico.evaluation.evaluate import Scores
from alnico.experiment.spec import ContentPlan, RunSpec, read_spec
from alnico.models import restore
from alnico.randomness import rng
from alnico.ranking import Ranking, Seen
from alnico.storage import read_json, read_tensors, write_json, write_tensors
from alnico.training.checkpoint import load_scorer_state
from alnico.training.history import read_rows

RECORD, RESULT = "run.json", "result.json"
TEST_LISTS, ROUTING = "test.safetensors", "routing.safetensors"

QUESTION = ("data", "split", "mask", "protocol")
"""What two runs must share before one may be held against the other; see ``question_of``."""
Question = tuple[str, str, str, str]


@dataclass(frozen=True)
class Run:
    """A run folder that exists.

    ``run.json`` holds the settings, fingerprints and versions; ``history.jsonl`` and ``steps.jsonl`` the training;
    ``checkpoint.safetensors`` its latest state; ``scorer.safetensors`` the finished model; ``result.json`` the
    measures; ``test.safetensors`` the test lists and per-user values; ``routing.safetensors`` how the test pairs
    were routed.
    """

    folder: Path

    @cached_property
    def record(self) -> dict[str, Any]:
        """Settings, fingerprints, versions."""
        content: dict[str, Any] = read_json(self.folder / RECORD)
        return content

    @cached_property
    def spec(self) -> RunSpec:
        """What was asked."""
        return read_spec(self.record["spec"])

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def label(self) -> str:
        """What tables call the run: the model, and what sets it apart."""
        return str(self.record["label"])

    @property
    def is_tested(self) -> bool:
        """Whether the test part has been opened."""
        return (self.folder / RESULT).exists()

    @cached_property
    def result(self) -> dict[str, Any]:
        """Measures of the finished run. Raises StorageError while there are none."""
        self.require_finished()
        content: dict[str, Any] = read_json(self.folder / RESULT)
        return content

    def require_finished(self) -> None:
        """Raise StorageError while the test part has not been opened."""
        if not self.is_tested:
            raise StorageError(
                f"run {self.folder} is not finished; go on with `alnico train --resume {self.folder}`"
            )

    @property
    def history(self) -> list[dict[str, float]]:
        """One row per epoch."""
        return read_rows(self.folder / "history.jsonl")

    @property
    def steps(self) -> list[dict[str, float]]:
        """One row per optimiser step."""
        return read_rows(self.folder / "steps.jsonl")

    def scorer(self) -> Scorer:
        """The finished model of the best epoch. Raises StorageError while there is none."""
        path = self.folder / "scorer.safetensors"
        if not path.exists():
            raise StorageError(
                f"run {self.folder} has no finished model yet; go on with `alnico train --resume {self.folder}`"
            )
        return restore(load_scorer_state(path))

    @cached_property
    def dataset(self) -> Dataset:
        """The data it was trained on, in the run's modalities. Raises StorageError if the data have changed since."""
        return self._checked(self.spec)

    def moved(self, dataset: str | None = None, device: str | None = None) -> "Run":
        """The run with its data at another place, on another device, as run.json says from now on.

        Raises StorageError if the data there are others.
        """
        given = {"dataset": dataset, "device": device}
        settings = {
            **self.record["spec"],
            **{key: value for key, value in given.items() if value is not None},
        }
        if settings == self.record["spec"]:
            return self
        self._checked(read_spec(settings))
        write_json(self.folder / RECORD, {**self.record, "spec": settings})
        return Run(self.folder)

    def _checked(self, spec: RunSpec) -> Dataset:
        dataset = open_for(spec)
        if dataset.fingerprint != self.record["dataset"]["fingerprint"]:
            raise StorageError(
                f"the data at {spec.dataset} are not those that run {self.folder} was trained on; "
                "bring the old data back, or train again"
            )
        return dataset

    @cached_property
    def split(self) -> Split:
        """The split it was trained on."""
        return split(self.dataset, self.spec.split or default_recipe(self.dataset))

    @property
    def seen(self) -> Seen:
        """Training items of each user: what is not recommended again."""
        train = self.split.train
        return Seen(train.offsets, train.items_by_id)

    def test_ranking(self) -> Ranking:
        """The stored test lists."""
        tensors, _ = read_tensors(self.folder / TEST_LISTS)
        return Ranking(tensors["users"].numpy(), tensors["items"].numpy(), tensors["scores"].numpy())

    def test_scores(self) -> Scores:
        """The stored per-user test values."""
        tensors, _ = read_tensors(self.folder / TEST_LISTS)
        values = {key[6:]: value.numpy() for key, value in tensors.items() if key.startswith("value/")}
        return Scores(tensors["users"].numpy(), values)

    def routing(self) -> dict[str, torch.Tensor] | None:
        """Per test pair: ``users``, ``items``, ``routing`` [pairs, experts], ``reliance`` [pairs, parts]; or None."""
        path = self.folder / ROUTING
        return read_tensors(path)[0] if path.exists() else None


def open_run(folder: str | Path) -> Run:
    """The run in this folder. Raises StorageError when there is none."""
    path = Path(folder)
    if not (path / RECORD).exists():
        raise StorageError(f"{path} is not a run folder: it has no {RECORD}; `alnico train` makes one")
    return Run(path)


def question_of(record: Mapping[str, Any]) -> Question:
    """What a run.json says was asked: ``QUESTION`` in its order.

    Protocols count by their kind (how runs are split and chosen), so that those that differ in degree only, such as
    in patience, stay comparable. It is empty for runs that were made under none.
    """
    return (
        str(record["dataset"]["fingerprint"]),
        str(record["split"]["fingerprint"]),
        str(record["spec"]["evaluation"]["mask"]),
        str((record.get("protocol") or {}).get("kind", "")),
    )


def open_for(spec: RunSpec) -> Dataset:
    """The data that ``spec`` names, with its modalities only and without users that have too few interactions.

    Where the content of a modality is to be dealt out anew, it is, and the data's name says so. Raises DataError if
    one of its modalities is not there.
    """
    dataset, _ = open_or_read(spec.dataset)
    if spec.modalities is not None:
        dataset = replace(dataset, features=dataset.features.only(*spec.modalities))
    for name in spec.content.dealt:
        dataset = dealt_out(dataset, name, rng(spec.content.seed, f"dealt {name}"))
    if spec.content.dealt:
        dataset = replace(dataset, name="-".join([dataset.name, "dealt", *spec.content.dealt]))
    if (dataset.interactions.user_degrees < spec.min_user).any():
        dataset, _ = filter_to_core(dataset, users=spec.min_user)
    return dataset


def intact_fingerprint(spec: RunSpec) -> str:
    """The fingerprint of the data that ``spec`` names, as they are before content is dealt out."""
    return open_for(spec.model_copy(update={"content": ContentPlan()})).fingerprint


def default_recipe(dataset: Dataset) -> SplitRecipe:
    """Given labels where the data have them, else MMRec's per-user rule."""
    return Given() if dataset.labels is not None else PerUser()


def settings_fingerprint(
    spec: RunSpec, data: str, split: str, leaving_out: Sequence[str] = ("dataset",)
) -> str:
    """A hash of the settings and of the fingerprints of data and split.

    Where the data stand and which device trains does not matter, what the data hold does. Top-level settings in
    ``leaving_out`` do not count.
    """
    settings = {key: value for key, value in spec.resolved().items() if key not in leaving_out}
    if "device" in settings:
        # Checkpoints written when the device still counted stay readable, where it was the CPU.
        settings["device"] = "cpu"
    if not settings.get("min_user"):
        # Checkpoints written before there was this setting stay readable.
        settings.pop("min_user", None)
    text = json.dumps([finite(settings), data, split], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def finite(content: Any) -> Any:
    """The same record with numbers that JSON cannot hold (no users in a group, say) as None."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return content


def store_test(folder: Path, ranking: Ranking, scores: Scores) -> None:
    """Keep the test lists and per-user values."""
    tensors = {
        "users": torch.from_numpy(ranking.users.copy()),
        "items": torch.from_numpy(ranking.items.copy()),
        "scores": torch.from_numpy(ranking.scores.copy()),
    }
    tensors.update(
        {f"value/{name}": torch.from_numpy(values.copy()) for name, values in scores.values.items()}
    )
    write_tensors(folder / TEST_LISTS, tensors, {})


def store_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Keep the measures; their file's presence says that the test part has been opened."""
    write_json(folder / RESULT, finite(result))
