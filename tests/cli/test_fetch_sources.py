"""`alnico data fetch` and its list: what it records, holds to, asks for by hand, says and refuses."""

import json
from pathlib import Path

import pytest

from alnico.data.fetching.sources import OWN_LIST, read_sources
from alnico.data.store import open_dataset
from command_lines import CommandLine
from fetches import CLICKS, ITEMS, ROWS, SHA, Fetch, arrived, everywhere, refused, write_list
from file_servers import Shelf


def test_a_first_fetch_is_recorded_and_later_ones_are_held_to_it(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS), sha256=None)
    first = fetch()
    arrived(first, place)
    assert "has no published checksum: taken on trust, recorded, and held to from now on" in first.out
    record = place.with_name("clicks.csv.sha256")
    assert record.read_text() == f"{SHA}  clicks.csv\n"
    assert "is as when it was first fetched" in fetch().out
    # Damage in the cache is noticed and put right.
    place.write_bytes(CLICKS[:-1])
    answer = fetch()
    arrived(answer, place)
    assert "it is fetched again" in answer.err
    # Other bytes than those of the first fetch are not.
    place.unlink()
    (tmp_path / "data").rename(tmp_path / "before")
    shelf.put("clicks.csv", CLICKS + b"\n1,1,1")
    refused(fetch(), place, f"but the first fetch recorded {SHA} in {record}; delete that record if")
    record.unlink()
    assert fetch().code == 0
    record.write_text("nonsense")
    answer = fetch()
    assert answer.code == 2
    assert "is not a line of sha256sum; delete it" in answer.err


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"<html>We have moved.</html>", "is cut short or no gzip file"),
        (ITEMS[:-4], "is cut short or no gzip file"),
        (b"", "is empty"),
    ],
)
def test_a_first_fetch_that_is_no_archive_is_not_trusted(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path, content: bytes, fault: str
) -> None:
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS))
    with (tmp_path / "list.toml").open("a") as file:
        file.write(
            f'[[clicks.files]]\nname = "items.json.gz"\nmirrors = ["{shelf.put("items.json.gz", content)}"]'
        )
    refused(fetch(), place.with_name("items.json.gz"), f"items.json.gz gave a file that {fault}")
    assert not place.with_name("items.json.gz.sha256").exists()
    # Some servers call a .gz file a gzipped something; it must not be unpacked on the way.
    shelf.put("items.json.gz", ITEMS, headers={"Content-Encoding": "gzip"})
    assert fetch().code == 0
    assert place.with_name("items.json.gz").read_bytes() == ITEMS


def test_files_fetched_by_hand_are_verified_and_used(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    write_list(tmp_path, f"{shelf.address}/clicks.csv")
    hand = tmp_path / "hand"
    hand.mkdir()
    (hand / "clicks (1).csv").write_bytes(CLICKS)
    refused(
        fetch("--from", hand),
        place,
        f"{hand} has clicks (1).csv; it lacks what clicks needs",
        f"fetch clicks.csv from {shelf.address}/clicks.csv by hand, put it into one folder and run "
        "`alnico data fetch clicks --from FOLDER`",
    )
    (hand / "clicks.csv").write_bytes(CLICKS[:-1])
    refused(fetch("--from", hand), place, f"{hand / 'clicks.csv'} has the sha256", "expected")
    (hand / "clicks.csv").write_bytes(CLICKS)
    answer = fetch("--from", hand)
    arrived(answer, place)
    assert f"from {hand}; sha256 {SHA[:12]}.. is as published" in answer.out
    assert shelf.asked == []
    # From now on the cache has it.
    arrived(fetch(), place)
    answer = fetch("--from", tmp_path / "nowhere")
    assert answer.code == 2
    assert "is neither a folder nor an address" in answer.err


def test_files_that_no_server_hands_out_are_asked_for(
    tmp_path: Path, fetch: Fetch, place: Path, command_line: CommandLine
) -> None:
    write_list(tmp_path, more='by_hand = "shelf 7 of the library"')
    refused(
        fetch(),
        place,
        "no server hands out clicks to a program: fetch clicks.csv (shelf 7 of the library) by hand",
    )
    answer = command_line(
        "data", "fetch", "baby-mmrec", "--cache", tmp_path / "cache", "--to", tmp_path / "b"
    )
    assert answer.code == 2
    assert (
        "fetch baby.inter and image_feat.npy and text_feat.npy (folder baby of https://drive." in answer.err
    )


def test_a_mirror_takes_the_place_of_the_list(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    write_list(tmp_path, f"{shelf.address}/gone/clicks.csv")
    shelf.put("mine/clicks.csv", CLICKS)
    arrived(fetch("--from", f"{shelf.address}/mine/"), place)
    assert shelf.asked == [("mine/clicks.csv", "")]


def test_other_counts_than_published_are_said(tmp_path: Path, shelf: Shelf, fetch: Fetch) -> None:
    counts = "counts = { users = 500, items = 899, interactions = %d }"
    address = shelf.put("clicks.csv", CLICKS)
    write_list(tmp_path, address, more=counts % ROWS)
    assert "another version" not in fetch().err
    write_list(tmp_path, address, more=counts % 7)
    answer = fetch()
    assert answer.code == 0
    assert "500 users, 899 items, 7 interactions: these files are of another version" in answer.err
    assert json.loads(fetch("--json").out)["as_published"] is False


def test_words_without_vectors_are_encoded(tmp_path: Path, shelf: Shelf, fetch: Fetch) -> None:
    kinds = ("red cup", "blue pot", "green tea", "old book")
    titles = "\n".join(["item,title", *(f"{i},{kinds[i % 4]}" for i in range(899)), "899,of nobody"])
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS))
    text = (tmp_path / "list.toml").read_text()
    text = text.replace('"clicks.csv" }', '"clicks.csv", items = "items.csv", min_item = 1 }')
    address = shelf.put("items.csv", titles.encode())
    (tmp_path / "list.toml").write_text(
        f'{text}[[clicks.files]]\nname = "items.csv"\nmirrors = ["{address}"]\n'
    )
    answer = fetch()
    assert answer.code == 0, answer.err
    assert "the text vectors were made here, from the items' words, by tfidf-svd" in answer.err
    dataset = open_dataset(tmp_path / "data")
    vectors = dataset.features["text"].vectors
    # The item without a click is gone; equal titles have equal vectors.
    assert dataset.n_items == len(vectors) == 899
    assert vectors[0] @ vectors[4] == pytest.approx(1)
    assert vectors[0] @ vectors[1] < 0.1
    assert fetch("--text", "none").code == 0
    assert not open_dataset(tmp_path / "data").features.modalities


def test_the_list_says_what_there_is_and_what_is_here(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, command_line: CommandLine
) -> None:
    own = command_line("data", "fetch", "--cache", tmp_path / "cache")
    assert own.code == 0
    assert "movielens-100k         5 MB  absent  over HTTP" in own.out
    assert "baby-mmrec          unknown  absent    by hand" in own.out
    assert "Research use" in own.out
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS))
    states = []
    for _ in range(2):
        listed = json.loads(command_line("data", "fetch", "--list", "--json", *everywhere(tmp_path)).out)
        states.append(listed["sources"][0]["state"])
        fetch()
    assert states == ["absent", "cached"]


def test_own_list_promises_only_what_can_be_held() -> None:
    sources = read_sources(OWN_LIST)
    assert {"baby", "sports", "clothing", "electronics", "movielens-100k", "movielens-1m"} <= set(sources)
    for source in sources.values():
        names = {file.name for file in source.files}
        assert {source.plan.read, source.plan.items} - {".", None} <= names
        # What no server hands out says where a person finds it; what is not checked comes over TLS.
        for file in source.files:
            assert bool(file.mirrors) != bool(source.by_hand)
            assert all(mirror.endswith(f"/{file.name}") for mirror in file.mirrors)
            assert file.sha256 or all(mirror.startswith("https://") for mirror in file.mirrors)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "is not TOML"),
        ("a = 1", "does not fit"),
        (
            '[a]\ntitle = "x"\nterms = "y"\nplan = { read = "." }\nfiles = [{ name = "../x" }]',
            r"files\.0\.name",
        ),
        (
            '[a]\ntitle = "x"\nterms = "y"\nplan = { read = "." }\nfiles = []\nmore = 1',
            "does not fit at files",
        ),
    ],
)
def test_a_list_that_does_not_fit_is_refused(
    tmp_path: Path, command_line: CommandLine, text: str, said: str
) -> None:
    (tmp_path / "list.toml").write_text(text)
    answer = command_line("data", "fetch", "--sources", tmp_path / "list.toml")
    assert answer.code == 2
    assert said.replace("\\", "") in answer.err
