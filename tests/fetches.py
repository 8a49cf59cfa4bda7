"""Fetches of one small data set from a server on this machine, and how they end."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alnico.data.store import open_dataset
from command_lines import Answer, CommandLine
from file_servers import Shelf, serving

ROWS = 40_000
CLICKS = "\n".join(["user,item,time", *(f"{i % 500},{i * 7 % 899},{i}" for i in range(ROWS))]).encode()
SHA = hashlib.sha256(CLICKS).hexdigest()
ITEMS = gzip.compress(b'{"item": 1, "title": "Cup"}\n', mtime=0)
Fetch = Callable[..., Answer]


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with serving() as shelf:
        yield shelf


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the file `clicks.csv` of the data set `clicks` stays."""
    return tmp_path / "cache" / "clicks" / "clicks.csv"


def write_list(tmp_path: Path, *mirrors: str, sha256: str | None = SHA, more: str = "") -> None:
    """A list with one data set, `clicks`, of one file."""
    checksum = f'sha256 = "{sha256}"' if sha256 else ""
    (tmp_path / "list.toml").write_text(
        f'[clicks]\ntitle = "Clicks"\nterms = "Do as you like."\nplan = {{ read = "clicks.csv" }}\n{more}\n'
        f'[[clicks.files]]\nname = "clicks.csv"\n{checksum}\nmirrors = {json.dumps(mirrors)}\n'
    )


@pytest.fixture
def fetch(tmp_path: Path, command_line: CommandLine) -> Fetch:
    """Runs ``alnico data fetch clicks`` with the list, the cache and the data folder of this test."""

    def run(*options: object) -> Answer:
        return command_line("data", "fetch", "clicks", *everywhere(tmp_path), *options)

    return run


def everywhere(tmp_path: Path) -> tuple[object, ...]:
    return (
        *("--sources", tmp_path / "list.toml", "--cache", tmp_path / "cache"),
        *("--to", tmp_path / "data", "--force"),
    )


def refused(answer: Answer, place: Path, *words: str) -> None:
    """Exit code 2, a last line with these words, and no file under the final name."""
    assert answer.code == 2, answer.out
    assert "Traceback" not in answer.err
    last = answer.err.splitlines()[-1]
    assert last.startswith("alnico: ")
    for word in words:
        assert word in last
    assert not place.exists()
    assert not (place.parents[2] / "data").exists()


def arrived(answer: Answer, place: Path) -> None:
    """All went well: the right bytes stand in the cache, nothing half-done does, the data set can be opened."""
    assert answer.code == 0, answer.err
    assert place.read_bytes() == CLICKS
    beside = {path.name for path in place.parent.iterdir()} - {"fetch.lock", "clicks.csv.sha256"}
    assert beside == {place.name}
    assert len(open_dataset(place.parents[2] / "data").interactions) == ROWS
