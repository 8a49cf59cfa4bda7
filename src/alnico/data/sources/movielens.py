"""MovieLens releases: ratings and films, from the archive as it is published or from its unpacked folder."""

import csv
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO, TextIOWrapper
from pathlib import Path

import polars as pl

from alnico.data.sources.assemble import RawData, Reading
from alnico.data.sources.cards import clean_items
from alnico.data.sources.events import clean_events
from alnico.errors import DataError

_SCHEMA = {"user": pl.Int32, "item": pl.Int32, "rating": pl.Float32, "time": pl.Int64}
# Bytes of a rating file that are parsed at once.
_BLOCK = 1 << 24
_NO_GENRE = {"(no genres listed)", "unknown"}


@dataclass(frozen=True)
class _Release:
    """How the files of one generation of releases are called and cut."""

    ratings: str
    films: str
    mark: str
    encoding: str
    has_header: bool = False


_RELEASES = (
    _Release("u.data", "u.item", "\t", "latin-1"),
    _Release("ratings.dat", "movies.dat", "::", "latin-1"),
    _Release("ratings.csv", "movies.csv", ",", "utf-8", has_header=True),
)


def is_movielens(path: Path) -> bool:
    """Whether a folder holds the ratings and films of a release."""
    return _release(path) is not None


def read_movielens(path: Path, reading: Reading) -> RawData:
    """The ratings with their times, and the films' titles and genres, of a ``.zip`` or a folder.

    Ids are the release's own. Raises DataError if the archive is damaged or holds no release that is known.
    """
    release = _release(path)
    if release is None:
        wanted = "; ".join(f"{known.ratings} and {known.films}" for known in _RELEASES)
        raise DataError(f"{path} is no MovieLens release: expected {wanted}")
    try:
        with _opened(path, release.ratings) as file:
            ratings = _ratings(file, release, f"{path} ({release.ratings})")
        genres = _genre_names(path) if release.films == "u.item" else []
        with _opened(path, release.films) as file:
            films = _films(file, release, genres, f"{path} ({release.films})")
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is a damaged archive ({error}); fetch it again") from error
    events, notices = clean_events(ratings, reading.event_columns, str(path))
    name = path.stem if path.is_file() else path.resolve().name
    return RawData(name, events, clean_items(films, {}, None, str(path)), notices=tuple(notices))


def _release(path: Path) -> _Release | None:
    names = _names(path)
    return next((known for known in _RELEASES if {known.ratings, known.films} <= set(names)), None)


def _names(path: Path) -> dict[str, str]:
    """File name -> where it stands in the archive or folder; the topmost wins."""
    if path.is_dir():
        return {file.name: file.name for file in path.iterdir() if file.is_file()}
    try:
        with zipfile.ZipFile(path) as archive:
            inside = sorted(archive.namelist(), key=lambda name: name.count("/"), reverse=True)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} is not a zip archive, or is cut short ({error})") from error
    return {name.rpartition("/")[2]: name for name in inside}


@contextmanager
def _opened(path: Path, name: str) -> Iterator[BufferedReader]:
    if path.is_dir():
        with (path / name).open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive, archive.open(_names(path)[name]) as member:
        yield BufferedReader(member)  # type: ignore[arg-type]


def _ratings(file: BufferedReader, release: _Release, where: str) -> pl.DataFrame:
    if release.has_header:
        header = file.readline().decode("utf-8", errors="replace").strip()
        if header.split(",") != ["userId", "movieId", "rating", "timestamp"]:
            raise DataError(
                f"{where}: expected the header userId,movieId,rating,timestamp, found {header[:60]!r}"
            )
    frames = []
    while block := file.read(_BLOCK):
        block += file.readline()
        # polars cuts at single letters only.
        mark = release.mark if len(release.mark) == 1 else "\t"
        block = block.replace(release.mark.encode(), mark.encode())
        try:
            frames.append(pl.read_csv(BytesIO(block), separator=mark, has_header=False, schema=_SCHEMA))
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{where} cannot be read as ratings: {str(error).splitlines()[0]}") from error
    if not frames:
        raise DataError(f"{where} has no ratings")
    return pl.concat(frames)


def _films(file: BufferedReader, release: _Release, genres: list[str], where: str) -> pl.DataFrame:
    try:
        with TextIOWrapper(file, encoding=release.encoding, newline="") as text:
            rows = list(_film_rows(text, release))
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not {release.encoding} text") from error
    if release.has_header:
        rows = rows[1:]
    # Item, title and one more; the first release has 24 columns, the last 19 say which genres.
    width = 5 + len(genres) if genres else 3
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise DataError(f"{where}, film {number}: expected {width} fields, found {len(row)}")
    if genres:
        kinds = [[genre for genre, flag in zip(genres, row[5:], strict=True) if flag == "1"] for row in rows]
    else:
        kinds = [row[2].split("|") for row in rows]
    category = [", ".join(kind for kind in named if kind not in _NO_GENRE) for named in kinds]
    return pl.DataFrame(
        {"item": [row[0] for row in rows], "title": [row[1] for row in rows], "category": category},
        schema=dict.fromkeys(("item", "title", "category"), pl.String),
    )


def _film_rows(text: Iterable[str], release: _Release) -> Iterator[list[str]]:
    if release.has_header:
        yield from csv.reader(text)
        return
    mark = "|" if release.films == "u.item" else release.mark
    for line in text:
        if not line.isspace():
            yield line.rstrip("\r\n").split(mark)


def _genre_names(path: Path) -> list[str]:
    """The genres of the first release in the order of its flags."""
    if "u.genre" not in _names(path):
        raise DataError(f"{path} has u.item but not u.genre, which names the genres")
    with _opened(path, "u.genre") as file:
        lines = file.read().decode("latin-1").splitlines()
    return [line.partition("|")[0] for line in lines if line.strip()]
