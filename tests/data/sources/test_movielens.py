"""MovieLens releases of each generation, from the archive or its folder, with known ratings and films."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from alnico.data.dataset import Dataset
from alnico.data.sources import read_dataset
from alnico.errors import DataError

FLAGS = "|".join(["0", "1", "1"])
RELEASES: dict[str, Mapping[str, str]] = {
    "ml-100k": {
        "u.data": "7\t2\t3\t100\n5\t1\t5\t50\n7\t1\t4\t90\n",
        "u.item": f"1|Amélie (2001)|01-Jan-2001||http://x.test|{FLAGS}\n2|Heat (1995)|||http://x.test|1|0|0\n\n",
        "u.genre": "unknown|0\nAction|1\nDrama|2\n\n",
    },
    "ml-1m": {
        "ratings.dat": "7::2::3::100\n5::1::5::50\n7::1::4::90\n",
        "movies.dat": "1::Amélie (2001)::Action|Drama\n2::Heat (1995)::(no genres listed)\n",
    },
    "ml-25m": {
        "ratings.csv": "userId,movieId,rating,timestamp\n7,2,3.0,100\n5,1,5.0,50\n7,1,4.0,90\n",
        "movies.csv": 'movieId,title,genres\n1,"Amélie (2001)",Action|Drama\n2,Heat (1995),(no genres listed)\n',
    },
}


def written(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_bytes(text.encode("utf-8" if name.endswith(".csv") else "latin-1"))
    return folder


def archived(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, f"{folder.name}/{file.name}")
    return path


def is_as_written(dataset: Dataset) -> bool:
    """Whether the data set holds the three ratings and two films of every release above."""
    return (
        dataset.users.names.tolist() == [5, 7]
        and dataset.items.names.tolist() == [1, 2]
        and dataset.interactions.pair_keys.tolist() == [0, 2, 3]
        and dataset.interactions.times is not None
        and dataset.interactions.times.tolist() == [50.0, 90.0, 100.0]
        and dataset.cards.columns
        == {"title": ("Amélie (2001)", "Heat (1995)"), "category": ("Action, Drama", "")}
    )


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_read_from_its_archive_and_its_folder(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path / name, RELEASES[name])
    dataset, _ = read_dataset(folder)
    assert is_as_written(dataset)
    archive = archived(folder)
    again, _ = read_dataset(archive)
    assert is_as_written(again)
    assert dataset.name == again.name == name


def test_ratings_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alnico.data.sources.movielens._BLOCK", 3)
    for name, files in RELEASES.items():
        assert is_as_written(read_dataset(written(tmp_path / name, files))[0])


def test_a_rating_limit_works_as_elsewhere(tmp_path: Path) -> None:
    dataset, _ = read_dataset(written(tmp_path / "ml-1m", RELEASES["ml-1m"]), min_rating=4)
    assert len(dataset.interactions) == 2


@pytest.mark.parametrize(
    ("name", "file", "text", "said"),
    [
        ("ml-1m", "ratings.dat", "7::2::much::100\n", r"ratings\.dat\) cannot be read as ratings"),
        ("ml-1m", "ratings.dat", "", r"ratings\.dat\) has no ratings"),
        ("ml-1m", "movies.dat", "1::Amelie\n", r"movies\.dat\), film 1: expected 3 fields, found 2"),
        ("ml-100k", "u.item", "1|Amelie|||\n", r"u\.item\), film 1: expected 8 fields, found 5"),
        ("ml-25m", "ratings.csv", "user,item\n1,2\n", "expected the header userId,movieId,rating,timestamp"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, name: str, file: str, text: str, said: str) -> None:
    folder = written(tmp_path / name, {**RELEASES[name], file: text})
    with pytest.raises(DataError, match=said):
        read_dataset(folder)


def test_other_and_damaged_archives_are_refused(tmp_path: Path) -> None:
    archive = archived(written(tmp_path / "ml-1m", RELEASES["ml-1m"]))
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-30])
    with pytest.raises(DataError, match="is not a zip archive, or is cut short"):
        read_dataset(archive)
    # A letter of the first member changes; its checksum does not.
    place = whole.index(b"ml-1m/") + 20
    archive.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    with pytest.raises(DataError, match="is a damaged archive"):
        read_dataset(archive)
    other = archived(written(tmp_path / "other", {"notes.csv": "a\n"}))
    with pytest.raises(
        DataError, match=r"is no MovieLens release: expected u\.data and u\.item; ratings\.dat"
    ):
        read_dataset(other)
