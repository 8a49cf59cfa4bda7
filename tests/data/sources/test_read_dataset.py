"""Raw folders and files of every format, read from end to end."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from alnico.data.dataset import Dataset
from alnico.data.sources import dataset_from_frames, open_or_read, read_dataset
from alnico.data.sources.vectors import item_ids_digest
from alnico.data.store import save_dataset
from alnico.errors import ConfigError, DataError


def pairs(data: Dataset) -> list[tuple[object, object]]:
    """The interactions under outside ids."""
    events = data.interactions
    return list(zip(data.users.of(events.users).tolist(), data.items.of(events.items).tolist(), strict=True))


@pytest.fixture
def mmrec(tmp_path: Path) -> Path:
    folder = tmp_path / "baby"
    folder.mkdir()
    (folder / "baby.inter").write_text(
        "userID\titemID\trating\ttimestamp\tx_label\n1\t0\t5\t30\t0\n0\t2\t1\t10\t2\n0\t0\t4\t5\t0\n"
    )
    np.save(folder / "text_feat.npy", np.arange(8, dtype=np.float64).reshape(4, 2) + 1)
    np.save(folder / "image_feat.npy", np.eye(4, 3))
    return folder


def test_mmrec_folder_needs_no_words(mmrec: Path) -> None:
    data, notices = read_dataset(mmrec)
    assert data.name == "baby"
    assert (data.n_users, data.n_items) == (2, 4)
    assert pairs(data) == [(0, 0), (0, 2), (1, 0)]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 2, 0]
    assert data.features.names == ("image", "text")
    assert notices == [
        "1 all-zero rows of features 'image' are taken as absent",
        "no interactions with 2 of 4 items; they are kept",
    ]


def test_mmrec_file_alone_is_only_interactions(mmrec: Path) -> None:
    data, _ = read_dataset(mmrec / "baby.inter")
    assert len(data.features) == 0
    assert data.items.names.tolist() == [0, 2]


def test_feature_file_that_no_rule_names_is_left_out_and_told(mmrec: Path) -> None:
    np.save(mmrec / "image_feat_new.npy", np.ones((4, 2)))
    np.savez(mmrec / "knn.npz", indices=np.array([[1], [0], [3], [2]]), cosine=np.full((4, 1), 0.5))
    data, notices = read_dataset(mmrec)
    assert data.features.names == ("image", "text")
    assert (
        "left out: image_feat_new.npy; take a file as a modality with --features NAME=image_feat_new.npy"
        in notices[0]
    )
    assert "left out: knn.npz; take a file with --neighbours NAME=knn.npz" in notices[1]


def test_named_features_take_the_place_of_those_found(mmrec: Path) -> None:
    np.save(mmrec / "better.npy", np.ones((4, 5)))
    (mmrec / "image_feat.npy").write_bytes(b"broken, but not asked for")
    np.savez(mmrec / "knn.npz", indices=np.array([[1], [0], [3], [2]]), cosine=np.full((4, 1), 0.5))
    data, notices = read_dataset(
        mmrec, features={"text": "text_feat.npy", "image": "better.npy"}, neighbours={"image": "knn.npz"}
    )
    assert data.features.names == ("text", "image")
    assert data.features["image"].width == 5
    assert data.neighbours["image"].items.tolist() == [[1], [0], [3], [2]]
    assert "left out: image_feat.npy" in notices[0]


def test_mmrec_rows_are_ids_whatever_the_item_table_does(mmrec: Path) -> None:
    (mmrec / "items.tsv").write_text("itemID\ttitle\tgenres\tposter\n2\tTwo\ta|b\tp/2.jpg\n0\tZero\tc\t\n")
    data, _ = read_dataset(mmrec)
    assert data.n_items == 4
    assert data.cards.columns["title"] == ("Zero", "", "Two", "")
    assert data.cards.columns["category"] == ("c", "", "a|b", "")
    assert data.cards.columns["image"] == ("", "", str(mmrec.resolve() / "p" / "2.jpg"), "")


def test_mmrec_names_of_items_are_kept_as_a_card(mmrec: Path) -> None:
    (mmrec / "i_id_mapping.csv").write_text("asin\titemID\nB00\t0\nB01\t1\nB02\t2\nB03\t3\n")
    data, _ = read_dataset(mmrec)
    assert data.cards.columns == {"asin": ("B00", "B01", "B02", "B03")}


def test_item_table_that_names_more_items_than_there_are_rows_is_an_error(mmrec: Path) -> None:
    (mmrec / "items.csv").write_text("itemID,title\n4,Four\n")
    with pytest.raises(DataError, match="have 4 rows, for the items 0 to 3, but the item table name item 4"):
        read_dataset(mmrec)


def test_two_sets_in_one_folder_must_be_named(mmrec: Path) -> None:
    (mmrec / "sports.inter").write_text("userID\titemID\n0\t0\n")
    with pytest.raises(
        DataError, match=r"has 2 \.inter files \(baby\.inter, sports\.inter\); name the one to read"
    ):
        read_dataset(mmrec)


@pytest.fixture
def recbole(tmp_path: Path) -> Path:
    folder = tmp_path / "ml"
    folder.mkdir()
    (folder / "ml.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\tlabel:float\nu1\ti1\t4\t10\t1\nu1\ti2\t3\t5\t0\n"
    )
    (folder / "ml.item").write_text(
        "item_id:token\ttitle:token_seq\timage_feat:float_seq\ni2\tHeat Two\t0.5 1\ni1\tUp\t\ni3\tNew\t2 3\n"
    )
    return folder


def test_recbole_folder_with_items_and_vectors(recbole: Path) -> None:
    data, notices = read_dataset(recbole)
    assert data.name == "ml"
    assert data.items.names.tolist() == ["i2", "i1", "i3"]
    assert pairs(data) == [("u1", "i2"), ("u1", "i1")]
    assert data.labels is None
    assert data.cards.columns == {"title": ("Heat Two", "Up", "New")}
    assert data.features["image"].vectors.tolist() == [[0.5, 1], [0, 0], [2, 3]]
    assert data.features["image"].present.tolist() == [True, False, True]
    assert "1 all-zero rows of features 'image' are taken as absent" in notices


def test_recbole_parts_are_a_split(tmp_path: Path) -> None:
    header = "user_id:token\titem_id:token\n"
    for part, rows in {"train": "1\t7\n2\t7\n", "valid": "1\t8\n", "test": "2\t8\n1\tx\n"}.items():
        (tmp_path / f"set.{part}.inter").write_text(header + rows)
    data, _ = read_dataset(tmp_path, name="given")
    assert data.name == "given"
    # One item is text, so all items are; users stay numbers.
    assert pairs(data) == [(1, "7"), (1, "8"), (1, "x"), (2, "7"), (2, "8")]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2, 0, 2]


def test_recbole_vectors_of_different_lengths_are_refused(recbole: Path) -> None:
    (recbole / "ml.item").write_text("item_id:token\timage:float_seq\ni1\t1 2\ni2\t1\n")
    with pytest.raises(DataError, match=r"ml\.item, column 'image': vectors have 2 different lengths"):
        read_dataset(recbole)


def test_recbole_sets_in_one_folder_must_be_named(recbole: Path) -> None:
    (recbole / "other.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    with pytest.raises(DataError, match=r"has 2 \.inter files"):
        read_dataset(recbole)
    assert read_dataset(recbole / "other.inter")[0].name == "other"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "features").mkdir(parents=True)
    (folder / "interactions.csv").write_text(
        "user_id,item_id,timestamp,event\nann,p2,2024-01-01,view\nann,p1,2024-01-02,buy\nbob,p2,2024-01-03,buy\nann,p2,2024-01-04,buy\n"
    )
    (folder / "items.csv").write_text(
        'item_id,title,description,category,price,image\np2,Cup,"Blue, small",kitchen,5,images/2.jpg\np1,Tea,,kitchen,3,\nnew,Pot,Big,kitchen,9,https://shop/pot.jpg\n'
    )
    np.save(folder / "features" / "image.npy", np.array([[1, 2], [0, 0], [3, 4]], np.float32))
    (folder / "features" / "image.json").write_text(
        json.dumps({"item_ids_sha256": item_ids_digest(["p2", "p1", "new"])})
    )
    return folder


def test_shop_folder_needs_no_words(shop: Path) -> None:
    data, notices = read_dataset(shop)
    assert data.name == "shop"
    assert pairs(data) == [("ann", "p2"), ("ann", "p1"), ("bob", "p2")]
    assert data.items.names.tolist() == ["p2", "p1", "new"]
    assert data.cards.columns["description"] == ("Blue, small", "", "Big")
    assert data.cards.columns["image"] == (str(shop.resolve() / "images/2.jpg"), "", "https://shop/pot.jpg")
    assert data.features["image"].present.tolist() == [True, False, True]
    assert len(notices) == 4


def test_shop_events_can_be_weighed(shop: Path) -> None:
    data, _ = read_dataset(shop, events={"buy": 3.0, "view": 1.0})
    assert data.interactions.weights is not None
    assert data.interactions.weights.tolist() == [3, 3, 3]
    viewed, _ = read_dataset(shop, events={"view": 1.0})
    assert pairs(viewed) == [("ann", "p2")]
    assert viewed.n_items == 3


def test_features_of_another_item_table_are_refused(shop: Path) -> None:
    text = (shop / "items.csv").read_text().replace("new,", "newer,")
    (shop / "items.csv").write_text(text)
    with pytest.raises(DataError, match=r"image\.npy were made for another list of items .*`alnico encode`"):
        read_dataset(shop)
    with pytest.raises(DataError, match=r"image\.npy were made for another list of items"):
        read_dataset(shop, features={"image": "features/image.npy"})


def test_shop_without_item_table_takes_items_from_interactions(shop: Path) -> None:
    (shop / "items.csv").unlink()
    with pytest.raises(
        DataError, match=r"come without item ids, and the interactions name items by text \('p2'\)"
    ):
        read_dataset(shop)
    (shop / "features" / "image.npy").unlink()
    assert read_dataset(shop)[0].items.names.tolist() == ["p1", "p2"]


def test_unknown_item_in_the_interactions_is_an_error_unless_allowed(shop: Path) -> None:
    with (shop / "interactions.csv").open("a") as file:
        file.write("bob,ghost,2024-01-09,buy\n")
    with pytest.raises(DataError, match="1 items that the item table does not have, the first is 'ghost'"):
        read_dataset(shop)
    data, _ = read_dataset(shop, allow_unknown_items=True)
    assert data.items.names.tolist() == ["p2", "p1", "new", "ghost"]


def test_two_item_tables_or_two_files_of_one_modality_are_refused(shop: Path) -> None:
    np.savez(shop / "features" / "image.npz", vectors=np.ones((3, 2)))
    with pytest.raises(DataError, match="has several files for modality 'image'; keep one"):
        read_dataset(shop)
    (shop / "features" / "image.npz").unlink()
    pl.DataFrame({"item_id": ["p1"]}).write_parquet(shop / "items.parquet")
    with pytest.raises(DataError, match=r"has items\.csv, items\.parquet; keep one"):
        read_dataset(shop)


def test_single_table_with_given_columns_and_item_table(tmp_path: Path) -> None:
    pl.DataFrame({"who": [1, 2], "what": ["a", "b"], "n": [2, 3]}).write_parquet(tmp_path / "log.parquet")
    (tmp_path / "things.csv").write_text("what;label\na;A\nb;B\n")
    with pytest.raises(DataError, match=r"log\.parquet has no column for the user: it has who, what, n"):
        read_dataset(tmp_path / "log.parquet")
    data, _ = read_dataset(
        tmp_path / "log.parquet",
        columns={"user": "who", "item": "what", "weight": "n", "title": "label"},
        items="things.csv",
        separator=";",
    )
    assert data.cards.columns == {"title": ("A", "B")}
    assert data.interactions.weights is not None
    assert data.interactions.weights.tolist() == [2, 3]


def test_item_listed_twice_is_an_error(shop: Path) -> None:
    with (shop / "items.csv").open("a") as file:
        file.write("p1,Tea again,,,,\n")
    with pytest.raises(DataError, match=r"items\.csv lists item 'p1' twice"):
        read_dataset(shop)


def test_lists_in_an_item_table_become_text(tmp_path: Path) -> None:
    data = dataset_from_frames(
        {"user": [1], "item": [1]},
        pl.DataFrame(
            {"item": [1, 2], "categories": [["a", "b"], None], "name": ["x", None], "rank": [0.5, 1]}
        ),
    )
    assert data.cards.columns == {"category": ("a, b", ""), "title": ("x", ""), "rank": ("0.5", "1.0")}
    with pytest.raises(DataError, match="item column 'd' holds nested records; flatten it to text"):
        dataset_from_frames({"user": [1], "item": [1]}, pl.DataFrame({"item": [1], "d": [{"a": 1}]}))


def test_second_column_of_a_kind_keeps_its_own_name() -> None:
    items = {"item": ["a"], "summary": ["short"], "description": ["long"]}
    data = dataset_from_frames({"user": [1], "item": ["a"]}, items)
    assert data.cards.columns == {"summary": ("short",), "description": ("long",)}


EVENTS = {"user": ["b", "a", "a"], "item": [2, 0, 2], "time": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame, pa.table, dict])
def test_frames_of_all_libraries_give_the_same_data(kind: type) -> None:
    data = dataset_from_frames(kind(EVENTS), features={"image": np.eye(3)}, name="frames")
    assert pairs(data) == [("a", 0), ("a", 2), ("b", 2)]
    assert data.n_items == 3
    assert data.features["image"].width == 3


def test_frames_may_bring_items_graphs_and_columns(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.ones((3, 2)))
    data = dataset_from_frames(
        pd.DataFrame({"buyer": ["x"], "sku": ["s2"]}),
        pd.DataFrame({"sku": ["s1", "s2", "s3"], "name": ["A", "B", "C"]}),
        features={
            "text": tmp_path / "text.npy",
            "image": pd.DataFrame({"item_id": ["s3", "s1"], "x": [1.0, 2.0], "y": [3.0, 4.0]}),
        },
        neighbours={"text": {"indices": np.array([[1], [2], [0]]), "cosine": np.ones((3, 1))}},
        columns={"user": "buyer", "item": "sku"},
    )
    assert data.features["image"].vectors.tolist() == [[2, 4], [0, 0], [1, 3]]
    assert data.features.names == ("text", "image")
    assert data.cards.get("title", 2) == "C"
    assert data.neighbours["text"].items.tolist() == [[1], [2], [0]]


def test_notices_on_frames_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="alnico"):
        dataset_from_frames({"user": [1, 1], "item": [0, 0]}, features={"image": np.array([[1.0], [0.0]])})
    assert [record.getMessage() for record in caplog.records] == [
        "1 repeated interactions were merged into the first of their user and item",
        "1 all-zero rows of features 'image' are taken as absent",
        "no interactions with 1 of 2 items; they are kept",
    ]


def test_columns_of_an_item_table_need_one() -> None:
    with pytest.raises(ConfigError, match="a column for the title was given but there is no item table"):
        dataset_from_frames({"user": [1], "item": [1], "name": ["x"]}, columns={"title": "name"})


def test_unknown_role_of_a_column_is_refused(shop: Path) -> None:
    with pytest.raises(ConfigError, match="no column role 'tittle'; did you mean 'title'"):
        read_dataset(shop, columns={"tittle": "name"})


def test_missing_path_and_folder_without_interactions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder .*nowhere"):
        read_dataset(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(
        DataError, match=r"has no interactions: expected interactions\.csv .*; it has notes\.txt"
    ):
        read_dataset(tmp_path)
    with pytest.raises(DataError, match=r"notes\.txt has an unknown suffix; expected \.inter, \.csv"):
        read_dataset(tmp_path / "notes.txt")


def test_stored_folder_is_opened_but_not_imported_again(mmrec: Path, tmp_path: Path) -> None:
    data, notices = read_dataset(mmrec)
    save_dataset(data, tmp_path / "stored", notices=notices)
    opened, told = open_or_read(tmp_path / "stored")
    assert opened.fingerprint == data.fingerprint
    assert told == notices
    assert open_or_read(mmrec)[0].fingerprint == data.fingerprint
    with pytest.raises(DataError, match="is a data folder already"):
        read_dataset(tmp_path / "stored")


def test_encoded_features_beside_mmrec_files_are_offered_and_checked(mmrec: Path) -> None:
    (mmrec / "features").mkdir()
    np.save(mmrec / "features" / "image.npy", np.ones((4, 2)))
    _, notices = read_dataset(mmrec)
    assert "left out: features/image.npy" in notices[0]
    note = mmrec / "features" / "image.json"
    note.write_text(json.dumps({"item_ids_sha256": item_ids_digest([0, 1, 2, 3])}))
    data, _ = read_dataset(mmrec, features={"image": "features/image.npy"})
    assert data.features["image"].width == 2
    # Rows are item ids here; vectors in the order of an item table that is sorted otherwise must not pass.
    note.write_text(json.dumps({"item_ids_sha256": item_ids_digest([2, 0, 1, 3])}))
    with pytest.raises(DataError, match="for another list of items than there is now, or for another order"):
        read_dataset(mmrec, features={"image": "features/image.npy"})
