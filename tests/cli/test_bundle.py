"""alnico export, add-items, and recommend and explain on bundles."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from alnico.serving.folder import load_bundle
from command_lines import CommandLine
from finished_runs import Finished


@pytest.fixture
def bundle(finished: Finished, command_line: CommandLine, tmp_path: Path) -> Path:
    """A bundle of MAGNET."""
    answer = command_line("export", finished.magnet.folder, "--to", tmp_path / "bundle")
    assert answer.code == 0
    assert "40 users, 48 items" in answer.out
    return tmp_path / "bundle"


def test_a_bundle_is_asked_like_a_run(finished: Finished, bundle: Path, command_line: CommandLine) -> None:
    user = str(finished.magnet.dataset.users.name(3))
    by_run = json.loads(
        command_line("recommend", finished.magnet.folder, "--user", user, "-k", 4, "--json").out
    )
    by_bundle = json.loads(command_line("recommend", bundle, "--user", user, "-k", 4, "--json").out)
    assert [{key: row[key] for key in by_run[0]} for row in by_bundle] == by_run
    assert {row["basis"] for row in by_bundle} == {"trained"}
    item = by_run[0]["item_id"]
    told = command_line("explain", bundle, "--user", user, "--item", item)
    assert told.code == 0
    assert told.out == command_line("explain", finished.magnet.folder, "--user", user, "--item", item).out


def test_somebody_unknown_is_known_by_items(
    finished: Finished, bundle: Path, command_line: CommandLine
) -> None:
    history = [str(name) for name in finished.magnet.dataset.items.names.tolist()[:2]]
    options = [part for item in history for part in ("--history", item)]
    rows = json.loads(command_line("recommend", bundle, *options, "-k", 3, "--json").out)
    assert [row["user_id"] for row in rows] == [None] * 3
    assert {row["basis"] for row in rows} == {"history"}
    told = command_line("explain", bundle, *options, "--item", rows[0]["item_id"])
    assert told.out.startswith(f"user -, item {rows[0]['item_id']}")
    assert command_line("recommend", bundle, *options).out.split("\n")[1].startswith("-")


def test_mistakes_are_one_sentence(finished: Finished, bundle: Path, command_line: CommandLine) -> None:
    run = finished.magnet.folder
    for arguments, sentence in (
        (("recommend", run), "a list is for somebody: give --user ID, or --history ITEM"),
        (("recommend", run, "--history", "i1"), "--history needs a bundle; make one with `alnico export"),
        (("explain", run, "--item", "i1"), "an item is explained to somebody: give --user ID"),
        (("explain", run, "--item", "i1", "--history", "i1"), "--history needs a bundle"),
        (("export", run, "--to", bundle), "exists already; pass --force to replace it"),
        (("export", bundle, "--to", bundle), "exists already"),
        (("export", bundle, "--to", f"{bundle}2"), "is not a run folder"),
        (("add-items", run, finished.shop), "is no bundle: it has no bundle.json"),
        (("add-items", bundle, finished.shop), "is in the bundle already; new items need ids of their own"),
        (("add-items", bundle, bundle / "none.csv"), "there is no item table"),
        (
            ("add-items", bundle, finished.shop, "--features", "image"),
            "--features takes NAME=FILE, found 'image'",
        ),
    ):
        answer = command_line(*arguments)
        assert answer.code == 2
        assert sentence in answer.err
        assert answer.err.count("\n") == 1


def test_export_replaces_and_leaves_out_what_it_is_told_to(
    finished: Finished, bundle: Path, command_line: CommandLine
) -> None:
    answer = command_line(
        "export",
        finished.magnet.folder,
        "--to",
        bundle,
        "--force",
        "--without-histories",
        "--without-pictures",
        "--json",
    )
    told = json.loads(answer.out)
    assert told["items"] == 48
    opened = load_bundle(bundle)
    assert opened.histories is None
    assert not any(opened.pictures)
    assert told["bytes"] == sum(
        path.stat().st_size for path in bundle.iterdir() if path.name != "bundle.json"
    )


def items_of(finished: Finished) -> list[dict[str, str]]:
    """The rows of the shop's item table."""
    with (finished.shop / "items.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def newcomers(finished: Finished, folder: Path) -> Path:
    """A folder with two old items of the shop under new ids, one of them without its picture, and one of nothing."""
    (folder / "images").mkdir(parents=True)
    rows = items_of(finished)
    with_picture = [row for row in rows if row["image"] and row["title"]][:2]
    column = next(iter(rows[0]))
    told = []
    for number, row in enumerate(with_picture):
        picture = folder / "images" / f"{number}.jpg"
        shutil.copy(finished.shop / row["image"], picture)
        told.append({**row, column: f"new-{number}", "image": f"images/{number}.jpg" if number == 0 else ""})
    told.append({**dict.fromkeys(rows[0], ""), column: "new-2"})
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(told)
    return folder


def test_pictures_and_words_are_enough_where_the_bundle_holds_the_encoder(
    finished: Finished, bundle: Path, command_line: CommandLine, tmp_path: Path
) -> None:
    folder = newcomers(finished, tmp_path / "new")
    assert set(load_bundle(bundle).facts.encoders) == {"image", "text"}
    answer = command_line("add-items", bundle, folder, "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["added"] == {"new-0": "content", "new-1": "content", "new-2": "nothing"}
    opened = load_bundle(bundle)
    assert (opened.n_items, told["added_items"]) == (51, 3)
    present = [own.present[48:].tolist() for own in opened.content.values()]
    assert present == [[True, False, False], [True, True, False]]
    # The same picture and words as a known item's: its vectors are the same.
    rows = [row for row in items_of(finished) if row["image"] and row["title"]]
    twin = opened.items.number(next(iter(rows[0].values())))
    for own in opened.content.values():
        assert float(own.vectors[48] @ own.vectors[twin]) == pytest.approx(1, abs=1e-3)
    assert opened.similar("new-0", "image", 1).items[0].item == opened.items.name(twin)
    assert opened.picture("new-0")
    assert opened.card("new-1")["title"] == rows[1]["title"]


def test_vectors_may_be_given_and_the_old_bundle_kept(
    finished: Finished, bundle: Path, command_line: CommandLine, tmp_path: Path
) -> None:
    folder = newcomers(finished, tmp_path / "new")
    width = load_bundle(bundle).content["image"].width
    vectors = np.zeros((3, width), np.float32)
    vectors[2, 0] = 1
    np.save(tmp_path / "image.npy", vectors)
    answer = command_line(
        "add-items",
        bundle,
        folder,
        "--features",
        f"image={tmp_path / 'image.npy'}",
        "--to",
        tmp_path / "more",
    )
    assert answer.code == 0, answer.err
    assert "new-2: ranked by its content" in answer.out
    assert load_bundle(bundle).n_items == 48
    assert load_bundle(tmp_path / "more").content["image"].present[48:].tolist() == [False, False, True]
    np.save(tmp_path / "image.npy", vectors[:2])
    answer = command_line("add-items", bundle, folder, "--features", f"image={tmp_path / 'image.npy'}")
    assert "has 2 rows but the item table has 3; rows must match, or carry ids" in answer.err


def test_export_measures_two_stages_where_they_will_be_used(
    finished: Finished, command_line: CommandLine, tmp_path: Path
) -> None:
    asked = ("export", finished.magnet.folder, "--two-stages-above", 20)
    answer = command_line(*asked, "--to", tmp_path / "one")
    assert "lists in two stages: recall@20 against exact 1.0000 (40 users)" in answer.out
    told = json.loads(command_line(*asked, "--to", tmp_path / "two", "--json").out)
    assert told["stages"] == {"above": 20, "recall": 1.0, "k": 20, "users": 40}
