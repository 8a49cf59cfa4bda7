"""What a run is asked to do: a strict, small file."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, ValidationError, field_validator

from alnico.contracts import ModelConfig
from alnico.data.splitting import SplitRecipe, read_recipe
from alnico.errors import ConfigError, nearest
from alnico.evaluation.metrics import parse_metric
from alnico.models import model_class
from alnico.training.plan import TrainPlan

T = TypeVar("T", bound=BaseModel)

METRICS = (
    "recall@5",
    "recall@10",
    "recall@20",
    "recall@50",
    "ndcg@5",
    "ndcg@10",
    "ndcg@20",
    "ndcg@50",
    "precision@10",
    "precision@20",
    "hit_rate@10",
    "hit_rate@20",
    "average_precision@20",
    "reciprocal_rank@20",
)


class EvaluationPlan(BaseModel, frozen=True, extra="forbid"):
    """How lists are made and measured."""

    metrics: tuple[str, ...] = Field(METRICS, min_length=1)
    """Measures, each as name@cut-off."""
    k: PositiveInt = 50
    """Length of the stored test lists; at least the largest cut-off."""
    mask: Literal["train", "train+valid"] = "train"
    """What a test list may not contain: the user's training items, or validation items too."""

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for metric in metrics:
            parse_metric(metric)
        return metrics


class ContentPlan(BaseModel, frozen=True, extra="forbid"):
    """What is done to the items' content before anything learns from it."""

    dealt: tuple[str, ...] = ()
    """Modalities whose vectors and given neighbours are dealt out anew among the items that have them, so that they say
    nothing of an item: to see whether a model notices."""
    seed: NonNegativeInt = 0
    """Seed of that order, apart from the run's."""

    @field_validator("dealt")
    @classmethod
    def _each_once(cls, dealt: tuple[str, ...]) -> tuple[str, ...]:
        # Each has an order of its own, so that theirs does not matter: the same modalities are the same content.
        return tuple(sorted(set(dealt)))


class RunSpec(BaseModel, frozen=True, extra="forbid"):
    """One run: data, split, model, training, evaluation, seed."""

    dataset: str
    """A folder made by ``alnico data import``, or raw data that it would understand."""
    model: Mapping[str, Any]
    """``name`` and the model's own settings."""
    seed: NonNegativeInt = 999
    """Seed of everything random but the split, which has its own."""
    split: SplitRecipe | None = None
    """How to split; by default the labels given with the data, or else MMRec's per-user rule."""
    min_user: NonNegativeInt = 0
    """Users with fewer interactions are left out before the split; items stay."""
    modalities: tuple[str, ...] | None = None
    """Modalities to use, in order; by default all in the data's order."""
    content: ContentPlan = Field(default_factory=ContentPlan)
    """What is done to them; by default nothing."""
    training: TrainPlan = Field(default_factory=TrainPlan)
    """The training loop's settings."""
    evaluation: EvaluationPlan = Field(default_factory=EvaluationPlan)
    """The evaluation's settings."""
    device: str = "cpu"
    """Where to train: cpu, cuda, cuda:1, ..."""

    @property
    def model_name(self) -> str:
        """The model's name in ``alnico models``."""
        return str(self.model["name"])

    def model_config_record(self) -> ModelConfig:
        """The model's settings, checked."""
        return read_model(self.model)

    def resolved(self) -> dict[str, Any]:
        """Everything, defaults included, as plain JSON values; ``content`` only where something is done to it.

        So runs and searches from before there was that setting stay known, and a seed by which nothing is drawn makes
        no other run.
        """
        plain = self.model_dump(mode="json", exclude=set() if self.content.dealt else {"content"})
        plain["model"] = {"name": self.model_name, **self.model_config_record().model_dump(mode="json")}
        return plain


def read_model(settings: Mapping[str, Any]) -> ModelConfig:
    """A model's settings from plain values with a ``name``. Raises ConfigError for anything unknown."""
    if "name" not in settings:
        raise ConfigError(
            'the settings name no model; add [model] with name = "magnet", or --set model.name=magnet'
        )
    config = model_class(str(settings["name"])).Config
    return validated(config, {key: value for key, value in settings.items() if key != "name"}, "model")


def read_spec(settings: Mapping[str, Any]) -> RunSpec:
    """A run's settings from plain values. Raises ConfigError naming the setting, with the nearest known one."""
    plain = dict(settings)
    if isinstance(plain.get("split"), Mapping):
        plain["split"] = read_recipe(plain["split"]).model_dump()
    spec = validated(RunSpec, plain, "")
    spec.model_config_record()
    if spec.evaluation.k < max(parse_metric(metric).cutoff for metric in spec.evaluation.metrics):
        raise ConfigError(
            f"evaluation.k = {spec.evaluation.k} is shorter than the largest cut-off of evaluation.metrics"
        )
    if spec.training.metric not in spec.evaluation.metrics:
        raise ConfigError(
            f"training.metric {spec.training.metric!r} is not among evaluation.metrics"
            f"{nearest(spec.training.metric, spec.evaluation.metrics)}"
        )
    return spec


def load_spec(path: Path | None, changes: Sequence[str] = (), **given: Any) -> RunSpec:
    """A run's settings from a TOML or JSON file with ``key.sub=value`` changes on top.

    ``given`` are whole top-level values that win over the file (None means not given). Values of changes are
    read as TOML where possible, else as text. A relative data path is meant from where the command runs.
    """
    settings: dict[str, Any] = read_settings(path) if path is not None else {}
    settings.update({key: value for key, value in given.items() if value is not None})
    for change in changes:
        _apply(settings, change)
    return read_spec(settings)


def read_settings(path: Path) -> dict[str, Any]:
    """The plain settings in a TOML or JSON file, a run's run.json included. Raises ConfigError if it holds none."""
    content = read_table(path, "settings file")
    # A finished run's own record can be asked for again.
    return dict(content["spec"]) if isinstance(content.get("spec"), dict) else content


def read_table(path: Path, what: str) -> dict[str, Any]:
    """The table in a TOML or JSON file. Raises ConfigError, calling the file ``what``, if it holds none."""
    try:
        raw = path.read_bytes()
    except OSError as problem:
        raise ConfigError(f"cannot read the {what} {path}: {problem.strerror}") from problem
    try:
        text = raw.decode()
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as problem:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"the {what} {path} is not valid {kind}: {problem}") from problem
    if not isinstance(content, dict):
        raise ConfigError(f"the {what} {path} must hold a table of settings")
    return content


def _apply(settings: dict[str, Any], change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set expects key=value, for example model.width=48; found {change!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    put(settings, key.strip(), value, f"--set {change}")


def put(settings: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set a setting by its dotted key, in place. Raises ConfigError, beginning with ``where``, if it goes through a
    single value."""
    *path, last = key.split(".")
    place = settings
    for step in path:
        if place.get(step) is None:
            # A record of a run says null where a group was left to its default.
            place[step] = {}
        inner = place[step]
        if not isinstance(inner, dict):
            raise ConfigError(f"{where}: {step!r} is a single value, not a group of settings")
        place = inner
    place[last] = value


def look_up(plain: Mapping[str, Any], name: str) -> Any:
    """The value of a setting by its dotted name; None where there is none."""
    place: Any = plain
    for step in name.split("."):
        place = place.get(step) if isinstance(place, Mapping) else None
    return place


def changed(settings: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A copy of ``settings`` with ``key.sub=value`` changes on top, unchecked."""
    copy = deepcopy(dict(settings))
    for change in changes:
        _apply(copy, change)
    return copy


def settings_toml(settings: Mapping[str, Any]) -> str:
    """Settings as a TOML document, groups as tables; what is None is left out, since TOML cannot say it."""
    said = {key: value for key, value in settings.items() if value is not None}
    lines = [
        f"{_toml_key(key)} = {_toml(value)}" for key, value in said.items() if not isinstance(value, Mapping)
    ]
    for group, inner in said.items():
        if isinstance(inner, Mapping):
            lines += ["", f"[{_toml_key(group)}]"]
            lines += [
                f"{_toml_key(key)} = {_toml(value)}" for key, value in inner.items() if value is not None
            ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = [f"{_toml_key(key)} = {_toml(one)}" for key, one in value.items() if one is not None]
        return "{ " + ", ".join(inner) + " }" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for one character that JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def validated(kind: type[T], settings: Mapping[str, Any], where: str) -> T:
    """``settings`` as a record of this kind; the first problem becomes one sentence, misspelt names before all else."""
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as problem:
        errors = problem.errors()
        first = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
        path = [str(step) for step in first["loc"]]
        name = ".".join([where, *path] if where else path)
        if first["type"] == "extra_forbidden":
            record = _record_at(kind, path[:-1])
            raise ConfigError(
                f"there is no setting {name!r}{nearest(path[-1], record.model_fields)}"
            ) from problem
        found = "" if first["type"] in ("missing", "value_error") else f"; found {first['input']!r}"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{name or 'settings'}: {message}{found}") from problem


def _record_at(kind: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    for step in path:
        if step not in kind.model_fields:
            continue  # a place in a list, or a name in a table, of such records
        annotation = kind.model_fields[step].annotation
        records = (
            inner
            for inner in (annotation, *get_args(annotation))
            if isinstance(inner, type) and issubclass(inner, BaseModel)
        )
        inner = next(records, None)
        if inner is None:
            break
        kind = inner
    return kind
