"""Reviews and items as shops publish them: one record per line, as JSON or as Python literals, gzipped."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from alnico.data.sources import read_dataset
from alnico.data.sources.lines import read_lines
from alnico.errors import DataError

REVIEWS: list[dict[str, Any]] = [
    {
        "reviewerID": "A2",
        "asin": "0001",
        "helpful": [0, 1],
        "reviewText": "good",
        "overall": 5.0,
        "unixReviewTime": 20,
    },
    {"reviewerID": "A1", "asin": "0001", "overall": 4.0, "unixReviewTime": 10, "reviewTime": "01 1, 1970"},
    {"reviewerID": "A1", "asin": "B007", "overall": 1.0, "unixReviewTime": 30},
]
ITEMS: list[dict[str, Any]] = [
    {"asin": "ZZZZ", "title": "of nobody"},
    {
        "asin": "B007",
        "title": "Cup 'n' \"saucer\"",
        "price": 3.5,
        "imUrl": "http://x.test/b.jpg",
        "related": {"also_bought": ["0001"]},
        "categories": [["Baby", "Feeding"], ["Home"]],
        "brand": "Kettle",
        "salesRank": {"Baby": 3},
    },
    {"asin": "0001", "description": "Plain tea.", "imUrl": "http://x.test/a.jpg"},
    {"asin": "0001", "description": "the same item again"},
]


def zipped(path: Path, lines: list[str]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The two files of one shop; the items are Python literals, as in the dumps of 2014."""
    zipped(tmp_path / "reviews_Cups_5.json.gz", [json.dumps(review) for review in REVIEWS])
    zipped(tmp_path / "meta_Cups.json.gz", [repr(item) for item in ITEMS])
    return tmp_path


def test_reviews_and_items_become_a_data_set(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="alnico")
    dataset, _ = read_dataset(shop / "reviews_Cups_5.json.gz", items="meta_Cups.json.gz")
    assert dataset.name == "reviews_Cups_5"
    assert dataset.users.names.tolist() == ["A1", "A2"]
    # The items' order is that of their table; ids stay text, because B007 is none of the numbers.
    assert dataset.items.names.tolist() == ["B007", "0001"]
    assert dataset.interactions.users.tolist() == [0, 0, 1]
    assert dataset.interactions.times is not None
    assert dict(
        zip(dataset.interactions.pair_keys.tolist(), dataset.interactions.times.tolist(), strict=True)
    ) == {
        0: 30.0,
        1: 10.0,
        3: 20.0,
    }
    assert dataset.cards.columns == {
        "title": ("Cup 'n' \"saucer\"", ""),
        "price": ("3.5", ""),
        "image": ("http://x.test/b.jpg", "http://x.test/a.jpg"),
        "category": ("Baby, Feeding, Home", ""),
        "brand": ("Kettle", ""),
        "description": ("", "Plain tea."),
    }
    assert "1 records that no interaction names were left out" in caplog.text
    assert "1 records of items that stood there before were left out" in caplog.text


def test_a_list_of_pictures_gives_the_first(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"user_id": "u", "parent_asin": "i", "rating": 5, "timestamp": 7}\n')
    (tmp_path / "m.jsonl").write_text(
        '{"parent_asin": "i", "imageURL": ["http://x.test/1.jpg", "http://x.test/2.jpg"], "description": ["a", "b"]}\n'
    )
    dataset, _ = read_dataset(tmp_path / "r.jsonl", items=tmp_path / "m.jsonl")
    assert dataset.cards.columns == {"image": ("http://x.test/1.jpg",), "description": ("a, b",)}


def test_a_column_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"who": 3, "what": 4, "noise": 1}\n{"who": 3, "what": 5}\n')
    dataset, _ = read_dataset(tmp_path / "r.jsonl", columns={"user": "who", "item": "what"})
    np.testing.assert_array_equal(dataset.items.names, [4, 5])


def test_batches_of_different_fields_are_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alnico.data.sources.lines._BATCH", 2)
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n{"b": null, "a": 3}\n')
    expected = pl.DataFrame({"a": ["1", "2", "3"], "b": pl.Series([None, None, None], dtype=pl.String)})
    assert read_lines(path, {"a", "b"}).equals(expected)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; expected one record per line"),
        (b'{"asin": 1}\n[1, 2]\n', r"line 2: expected a record such as .* found '\[1, 2\]'"),
        (b"__import__('os').getcwd()\n", "line 1: expected a record"),
        (b"[" * 100_000 + b"\n", "line 1: expected a record"),
        (b'{"asin": "\xff"}\n', "is not UTF-8 text"),
    ],
)
def test_what_is_no_record_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "reviews.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_lines(path, {"asin"})


def test_a_file_that_is_cut_short_is_refused(shop: Path) -> None:
    path = shop / "reviews_Cups_5.json.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="is cut short or no gzip file"):
        read_dataset(path)
    path.write_text("<html>moved</html>")
    with pytest.raises(DataError, match="is cut short or no gzip file"):
        read_dataset(path)


def test_items_of_another_shop_are_refused(shop: Path) -> None:
    zipped(shop / "meta_Cups.json.gz", [repr(ITEMS[0])])
    with pytest.raises(DataError, match="describes none of the items of the interactions"):
        read_dataset(shop / "reviews_Cups_5.json.gz", items="meta_Cups.json.gz")
