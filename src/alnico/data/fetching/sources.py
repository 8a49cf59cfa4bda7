"""The list of data sets that have a name, as records."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alnico.errors import ConfigError, nearest

OWN_LIST = Path(__file__).with_name("sources.toml")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RemoteFile(_Record):
    """One file as its publisher has it. ``None`` where nobody reliable states the size or the checksum."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    size: int | None = Field(default=None, gt=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    mirrors: tuple[str, ...] = ()


class ImportPlan(_Record):
    """What `alnico data import` is told. ``read`` is a file of the data set, or ``.`` for their folder."""

    read: str
    items: str | None = None
    min_item: int = 0
    allow_unknown_items: bool = False


class Counts(_Record):
    """How large the imported data set is, as published."""

    users: int
    items: int
    interactions: int


class DataSource(_Record):
    """One data set that has a name. ``by_hand`` says where a person finds files that no address serves."""

    name: str
    title: str
    terms: str
    by_hand: str | None = None
    files: tuple[RemoteFile, ...] = Field(min_length=1)
    plan: ImportPlan
    counts: Counts | None = None

    @property
    def size(self) -> int | None:
        """Bytes of all files together, None if that of one is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def read_sources(path: Path = OWN_LIST) -> dict[str, DataSource]:
    """Name -> data set, in the order of the file. Raises ConfigError naming what does not fit."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except FileNotFoundError as error:
        raise ConfigError(f"there is no list of data sets {path}") from error
    try:
        return {name: DataSource.model_validate({"name": name, **entry}) for name, entry in content.items()}
    except (ValidationError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path} does not fit at {place or 'its tables'}: {first['msg']}") from error


def named(sources: dict[str, DataSource], name: str) -> DataSource:
    """The data set of this name. Raises ConfigError, with the nearest one, for a name that is not there."""
    if name not in sources:
        raise ConfigError(f"there is no data set {name!r} by name{nearest(name, sources)}")
    return sources[name]
