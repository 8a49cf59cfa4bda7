"""`alnico data fetch` against a server on this machine: whole, broken off, lying, wrong, silent, gone, and by hand."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alnico.lock import locked
from command_lines import CommandLine
from fetches import CLICKS, SHA, Fetch, arrived, everywhere, refused, write_list
from file_servers import Shelf, serving


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
