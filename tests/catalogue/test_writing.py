"""A shop as files."""

import csv
import errno
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alnico.catalogue import writing
from alnico.catalogue.shop import ShopPlan, draw_items
from alnico.catalogue.tastes import START_SECONDS
from alnico.catalogue.truth import read_truth
from alnico.catalogue.writing import make_shop, outside_ids
from alnico.errors import ConfigError, StorageError

SMALL = ShopPlan(n_users=30, n_items=60, n_interactions=240, new_share=0.1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shop, written once."""
    return make_shop(SMALL, tmp_path_factory.mktemp("shops") / "small").folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_plan_gives_the_same_bytes(shop: Path, tmp_path: Path) -> None:
    make_shop(SMALL, tmp_path / "again")
    assert bytes_of(tmp_path / "again") == bytes_of(shop)


def test_another_seed_gives_other_pictures_and_choices(shop: Path, tmp_path: Path) -> None:
    make_shop(SMALL.model_copy(update={"seed": 8}), tmp_path / "other")
    one, two = bytes_of(shop), bytes_of(tmp_path / "other")
    assert one["interactions.csv"] != two["interactions.csv"]
    both = [name for name in one if name.startswith("images/") and name in two]
    assert all(one[name] != two[name] for name in both)


def test_report_counts_what_was_written(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    made = make_shop(SMALL, tmp_path / "shop", progress=lambda done, total: told.append((done, total)))
    items = rows(made.folder / "items.csv")
    events = rows(made.folder / "interactions.csv")
    sold = {row["item_id"] for row in events}
    assert (made.n_users, made.n_items, made.n_interactions) == (30, len(items), len(events)) == (30, 60, 240)
    assert made.n_images == sum(bool(row["image"]) for row in items) == 57
    assert made.n_texts == sum(bool(row["title"]) for row in items) == 57
    assert made.n_new == 6
    assert made.n_unsold == 60 - len(sold)
    assert told == [(done, 57) for done in range(1, 58)]


def test_interactions_rise_in_time_and_never_repeat(shop: Path) -> None:
    events = rows(shop / "interactions.csv")
    times = [int(row["timestamp"]) for row in events]
    assert times == sorted(times)
    assert times[0] >= START_SECONDS
    pairs = {(row["user_id"], row["item_id"]) for row in events}
    assert len(pairs) == len(events)
    assert {row["user_id"] for row in events} == set(outside_ids("u", 30))


def test_every_named_picture_is_there_and_can_be_decoded(shop: Path) -> None:
    named = [row["image"] for row in rows(shop / "items.csv") if row["image"]]
    assert sorted(named) == sorted(f"images/{path.name}" for path in (shop / "images").iterdir())
    for name in named:
        with Image.open(shop / name) as picture:
            assert picture.format == "JPEG"
            picture.load()
            assert picture.size == (96, 96)


def test_items_without_a_text_have_no_word_at_all(shop: Path) -> None:
    wordless = [row for row in rows(shop / "items.csv") if not row["title"]]
    assert len(wordless) == 3
    assert all(row["description"] == row["category"] == "" for row in wordless)
    assert all(float(row["price"]) > 0 for row in wordless)


def test_price_knows_nothing_of_style_or_purpose(tmp_path: Path) -> None:
    plan = SMALL.model_copy(update={"noise": True})
    make_shop(plan, tmp_path / "noisy")
    make_shop(SMALL, tmp_path / "plain")
    prices = [[row["price"] for row in rows(tmp_path / name / "items.csv")] for name in ("plain", "noisy")]
    assert prices[0] == prices[1]


def test_control_world_has_the_same_choices_and_other_content(shop: Path, tmp_path: Path) -> None:
    noisy = make_shop(SMALL.model_copy(update={"noise": True}), tmp_path / "noisy").folder
    assert (noisy / "interactions.csv").read_bytes() == (shop / "interactions.csv").read_bytes()
    plain_items, noisy_items = rows(shop / "items.csv"), rows(noisy / "items.csv")
    assert [row["image"] for row in plain_items] == [row["image"] for row in noisy_items]
    changed = sum(a["description"] != b["description"] for a, b in zip(plain_items, noisy_items, strict=True))
    assert changed > 40


def test_truth_can_be_read_back(shop: Path) -> None:
    truth = read_truth(shop)
    items = draw_items(SMALL)
    assert truth.plan == SMALL
    assert truth.items["style"].to_list() == items.styles.tolist()
    assert truth.items["told_purpose"].to_list() == items.told.tolist()
    assert truth.items["buyers"].sum() == 240
    # Of 30 users 35 % are visual, 10.5 rounded to even; those and the textual ones are 70 %, 21.
    kinds = dict(truth.users["kind"].value_counts().iter_rows())
    assert kinds == {"visual": 10, "textual": 11, "fashion": 9}
    shares = truth.users.select("style_share", "purpose_share", "fashion_share").to_numpy()
    assert shares.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert all(len(text.split()) == SMALL.favourites for text in truth.users["styles"])


def test_favourites_of_one_are_read_as_text(tmp_path: Path) -> None:
    plan = SMALL.model_copy(update={"favourites": 1})
    make_shop(plan, tmp_path / "one")
    assert all(text.isdigit() for text in read_truth(tmp_path / "one").users["fashions"])


def test_folder_without_truth_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="holds no truth"):
        read_truth(tmp_path)


def test_existing_shop_is_kept_unless_forced(tmp_path: Path) -> None:
    folder = make_shop(SMALL, tmp_path / "shop").folder
    before = bytes_of(folder)
    other = SMALL.model_copy(update={"seed": 8})
    with pytest.raises(StorageError, match="exists already"):
        make_shop(other, folder)
    assert bytes_of(folder) == before
    make_shop(other, folder, force=True)
    assert bytes_of(folder) != before
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_force_never_replaces_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear")
    with pytest.raises(StorageError, match="exists already; choose another place"):
        make_shop(SMALL, tmp_path / "letters", force=True)
    assert (tmp_path / "letters" / "dear.txt").read_text() == "Dear"


def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing, "_write_images", fill_up)
    with pytest.raises(StorageError, match="No space left on device"):
        make_shop(SMALL, tmp_path / "shop")
    assert list(tmp_path.iterdir()) == []


def test_plan_that_cannot_be_carried_out_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="between"):
        make_shop(SMALL.model_copy(update={"n_interactions": 10}), tmp_path / "shop")
    assert list(tmp_path.iterdir()) == []


def test_ids_have_room_for_large_shops() -> None:
    assert outside_ids("u", 3) == ["u0000", "u0001", "u0002"]
    assert outside_ids("i", 20_000)[-1] == "i19999"
    assert len(set(map(len, outside_ids("i", 10_001)))) == 1
    assert np.unique(outside_ids("i", 10_001)).size == 10_001
