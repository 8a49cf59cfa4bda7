"""`alnico data fetch` against a server on this machine: whole, broken off, lying, wrong, silent, gone, and by hand."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alnico.data.fetching.sources import OWN_LIST, read_sources
from alnico.data.store import open_dataset
from alnico.lock import locked
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


def test_a_data_set_is_fetched_verified_and_imported(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS))
    first = fetch()
    arrived(first, place)
    assert first.err.startswith("Clicks. Terms: Do as you like.\n")
    assert first.err.count("clicks.csv: 523 KB of 523 KB") == 1
    assert "per second" in first.err
    assert f"from {shelf.address}/clicks.csv; sha256 {SHA[:12]}.. is as published" in first.out
    assert f"{tmp_path / 'data'}: 500 users, 899 items, 40000 interactions" in first.out
    again = json.loads(fetch("--json").out)
    assert again["files"][0] == {
        "name": "clicks.csv",
        "path": str(place),
        "size": len(CLICKS),
        "sha256": SHA,
        "origin": "cache",
        "trust": "published",
    }
    assert (again["name"], again["users"], again["as_published"]) == ("clicks", 500, None)
    assert len(shelf.asked) == 1


def test_a_connection_that_breaks_off_is_taken_up_where_it_was(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS, breaks=2))
    arrived(fetch(), place)
    # Whole chunks of 64 KiB count; the rest of 150,000 bytes may be lost with the connection.
    starts = [int(asked[6:-1]) for asked in shelf.ranges[1:]]
    assert shelf.ranges[0] == ""
    assert 131_072 <= starts[0] <= 150_000
    assert 131_072 <= starts[1] - starts[0] <= 150_000
    assert len(starts) == 2


def test_without_ranges_it_begins_anew(tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path) -> None:
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS, breaks=1, ranges=False))
    arrived(fetch(), place)
    assert len(shelf.asked) == 2


def test_without_a_mark_of_the_version_it_begins_anew(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS, breaks=1, tag=False))
    arrived(fetch(), place)
    assert shelf.ranges == ["", ""]


def test_a_file_that_changed_meanwhile_is_not_patched_together(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    old = bytes(len(CLICKS))
    write_list(tmp_path, shelf.put("clicks.csv", old, breaks=1, becomes=CLICKS), sha256=None)
    arrived(fetch(), place)
    assert len(shelf.ranges) == 2
    assert shelf.ranges[1].startswith("bytes=")


def test_another_part_than_asked_for_is_not_taken(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS, breaks=1, starts=lambda start: start + 1000))
    arrived(fetch(), place)
    assert [bool(asked) for asked in shelf.ranges] == [False, True, False]


@pytest.mark.parametrize("claims", [lambda n: n + 5000, lambda n: n - 5000, lambda n: "many", lambda n: 0])
def test_a_lie_about_the_length_is_found_and_the_next_address_used(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path, claims: Callable[[int], object]
) -> None:
    bad = shelf.put("bad/clicks.csv", CLICKS, claims=claims, ranges=False)
    write_list(tmp_path, bad)
    refused(fetch(), place, "no address gave it", "clicks.csv")
    write_list(tmp_path, bad, shelf.put("clicks.csv", CLICKS))
    answer = fetch()
    arrived(answer, place)
    assert "the next address is tried" in answer.err


def test_wrong_bytes_are_refused_and_nothing_of_them_stays(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    bad = shelf.put("bad/clicks.csv", CLICKS.replace(b"1", b"2"))
    write_list(tmp_path, bad)
    refused(fetch(), place, f"{bad} gave a file that has the sha256", f"expected {SHA}")
    assert [path.name for path in place.parent.iterdir()] == ["fetch.lock"]
    write_list(tmp_path, bad, shelf.put("clicks.csv", CLICKS))
    answer = fetch()
    arrived(answer, place)
    assert f"from {shelf.address}/clicks.csv" in answer.out


@pytest.mark.parametrize(
    ("status", "leads_to", "said"),
    [
        (404, "", "answers 404 Not Found"),
        (500, "", "answers 500 Internal Server Error"),
        (302, "clicks.csv", "redirects without end"),
    ],
)
def test_what_the_server_answers_is_said(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path, status: int, leads_to: str, said: str
) -> None:
    address = shelf.put("clicks.csv", CLICKS, status=status, leads_to=leads_to)
    write_list(tmp_path, address)
    refused(
        fetch(),
        place,
        f"clicks needs clicks.csv, and no address gave it ({address} {said}); try again",
        f"fetch clicks.csv from {address} by hand, put it into one folder and run "
        "`alnico data fetch clicks --from FOLDER`",
    )


def test_a_redirect_is_followed(tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path) -> None:
    shelf.put("new/clicks.csv", CLICKS, breaks=1)
    write_list(tmp_path, shelf.put("clicks.csv", b"x", status=301, leads_to="new/clicks.csv"))
    arrived(fetch(), place)


def test_a_server_that_falls_silent_is_left_for_the_next(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    silent = shelf.put("silent/clicks.csv", CLICKS, hangs=True, portion=0)
    write_list(tmp_path, silent, shelf.put("clicks.csv", CLICKS))
    answer = fetch("--timeout", 0.2)
    arrived(answer, place)
    assert f"{silent} was silent for 0.2 seconds; the next address is tried" in answer.err


def test_without_a_network_one_sentence_says_what_to_do(tmp_path: Path, fetch: Fetch, place: Path) -> None:
    with serving() as gone:
        address = f"{gone.address}/clicks.csv"
    write_list(tmp_path, address)
    refused(
        fetch(), place, f"{address} does not take connections", f"fetch clicks.csv from {address} by hand"
    )


def test_a_killed_fetch_goes_on(tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path) -> None:
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS, hangs=True, portion=300_000))
    command = [sys.executable, "-m", "alnico.cli.main", "data", "fetch", "clicks"]
    process = subprocess.Popen(
        [*command, *map(str, everywhere(tmp_path))], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    part = place.with_name("clicks.csv.part")
    until = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= 262_144):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not place.exists()
    had = part.stat().st_size
    shelf.put("clicks.csv", CLICKS)
    arrived(fetch(), place)
    assert shelf.ranges == ["", f"bytes={had}-"]


def test_a_part_that_is_whole_is_not_asked_for_again(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path
) -> None:
    # As if killed between the last byte and the last step.
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS))
    arrived(fetch(), place)
    note = {"address": f"{shelf.address}/clicks.csv", "validator": '"x"', "total": len(CLICKS)}
    place.rename(place.with_name("clicks.csv.part"))
    place.with_name("clicks.csv.part.json").write_text(json.dumps(note))
    arrived(fetch(), place)
    assert len(shelf.asked) == 1
    # A note that says more than the server has now.
    place.rename(place.with_name("clicks.csv.part"))
    place.with_name("clicks.csv.part.json").write_text(json.dumps({**note, "total": len(CLICKS) + 1}))
    arrived(fetch(), place)
    assert len(shelf.asked) >= 2


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


def test_two_fetches_do_not_share_a_part(tmp_path: Path, shelf: Shelf, fetch: Fetch, place: Path) -> None:
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS))
    with locked(place.parent, "fetch"):
        refused(
            fetch(),
            place,
            f"another fetch is at work in {place.parent} (process {os.getpid()}); wait for it, or choose",
            "another --cache",
        )


def test_what_cannot_be_written_is_found_before_anything_is_fetched(
    tmp_path: Path, shelf: Shelf, fetch: Fetch, command_line: CommandLine
) -> None:
    write_list(tmp_path, shelf.put("clicks.csv", CLICKS))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("mine")
    answer = fetch()
    assert answer.code == 2
    assert "exists already; choose another place" in answer.err
    assert shelf.asked == []
    assert "did you mean 'clicks'?" in command_line("data", "fetch", "click", *everywhere(tmp_path)).err


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
