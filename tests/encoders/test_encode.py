"""Encoding the folder of a shop."""

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from alnico.encoders import encode
from alnico.encoders.encode import EncodeReport
from alnico.encoders.texts import WeighedWords
from alnico.errors import ConfigError, DataError, StorageError

TABLE = """item_id,title,description,category,price,image
7,Red tent,For camping,Outdoors,10,images/7.png
3,Blue tent,Camping again,Outdoors,11,images/3.png
9,,,,12,images/9.png
1,Cake tin,For baking cake,Kitchen,13,
"""


def encode_folder(
    folder: Path, image: str = "light", text: str = "light", *, force: bool = False
) -> EncodeReport:
    """With the built-in encoders unless others are named."""
    return encode.encode_folder(folder, image, text, force=force)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four items, of which one has no text and another no picture."""
    (tmp_path / "images").mkdir()
    random = np.random.default_rng(0)
    for name in (7, 3, 9):
        pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "items.csv").write_text(TABLE)
    return tmp_path


def note(folder: Path, modality: str) -> dict[str, object]:
    content = json.loads((folder / "features" / f"{modality}.json").read_text())
    assert isinstance(content, dict)
    return content


def test_rows_of_features_follow_rows_of_the_table(folder: Path) -> None:
    report = encode_folder(folder)
    image, text = (np.load(folder / "features" / f"{name}.npy") for name in ("image", "text"))
    assert [made.modality for made in report.modalities] == ["image", "text"]
    assert image.dtype == text.dtype == np.float32
    assert image.any(axis=1).tolist() == [True, True, True, False]
    assert text.any(axis=1).tolist() == [True, True, False, True]
    assert [made.present for made in report.modalities] == [3, 3]
    assert report.notices == ()


def test_note_says_how_the_vectors_were_made(folder: Path) -> None:
    encode_folder(folder)
    written = note(folder, "image")
    assert written["encoder"] == "colour-gradient"
    assert (written["items"], written["present"], written["unreadable"]) == (4, 3, 0)
    assert written["item_ids_sha256"] == hashlib.sha256(b"7\n3\n9\n1").hexdigest()
    content = (folder / "features" / "image.npy").read_bytes()
    assert written["vectors_sha256"] == hashlib.sha256(content).hexdigest()
    assert note(folder, "text")["fingerprint"] != written["fingerprint"]


def test_title_counts_twice() -> None:
    assert WeighedWords().words("Tent", "Camp", "Good") == "Tent\nTent\nGood\nCamp"


def test_second_call_changes_nothing(folder: Path) -> None:
    encode_folder(folder)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (folder / "features").iterdir()}
    report = encode_folder(folder)
    assert [made.renewed for made in report.modalities] == [False, False]
    assert [made.present for made in report.modalities] == [3, 3]
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (folder / "features").iterdir()
    }


def test_forced_call_writes_the_same_bytes_again(folder: Path) -> None:
    encode_folder(folder)
    before = {path.name: path.read_bytes() for path in (folder / "features").iterdir()}
    report = encode_folder(folder, force=True)
    assert all(made.renewed for made in report.modalities)
    assert before == {path.name: path.read_bytes() for path in (folder / "features").iterdir()}


def test_touched_picture_renews_the_image_vectors_only(folder: Path) -> None:
    encode_folder(folder)
    os.utime(folder / "images" / "3.png", ns=(1, 1))
    assert [made.renewed for made in encode_folder(folder).modalities] == [True, False]


def test_changed_text_renews_the_text_vectors_only(folder: Path) -> None:
    encode_folder(folder)
    (folder / "items.csv").write_text(TABLE.replace("Cake tin", "Cake form"))
    assert [made.renewed for made in encode_folder(folder).modalities] == [False, True]


def test_changed_price_renews_nothing(folder: Path) -> None:
    encode_folder(folder)
    (folder / "items.csv").write_text(TABLE.replace(",13,", ",14,"))
    assert [made.renewed for made in encode_folder(folder).modalities] == [False, False]


def test_other_order_of_items_renews_both(folder: Path) -> None:
    encode_folder(folder)
    header, first, *others = TABLE.splitlines()
    (folder / "items.csv").write_text("\n".join([header, *others, first]) + "\n")
    assert [made.renewed for made in encode_folder(folder).modalities] == [True, True]


@pytest.mark.parametrize("name", ["image.npy", "image.json"])
def test_damaged_files_are_made_again(folder: Path, name: str) -> None:
    encode_folder(folder)
    whole = (folder / "features" / name).read_bytes()
    (folder / "features" / name).write_bytes(whole[: len(whole) // 2])
    assert encode_folder(folder).modalities[0].renewed
    assert (folder / "features" / name).read_bytes() == whole


def test_table_may_be_tsv_or_parquet_with_other_names(folder: Path) -> None:
    encode_folder(folder)
    expected = np.load(folder / "features" / "image.npy")
    frame = pl.read_csv(folder / "items.csv", infer_schema=False)
    (folder / "items.csv").unlink()
    renamed = frame.rename(
        {"item_id": "Item ID", "title": "Name", "category": "Categories", "image": "Image_Path"}
    )
    renamed.write_csv(folder / "items.tsv", separator="\t")
    assert len(encode_folder(folder, force=True).modalities) == 2
    (folder / "items.tsv").unlink()
    renamed.write_parquet(folder / "items.parquet")
    encode_folder(folder, force=True)
    assert np.array_equal(np.load(folder / "features" / "image.npy"), expected)


def test_unreadable_pictures_are_listed_and_absent(folder: Path) -> None:
    (folder / "images" / "3.png").write_bytes(b"")
    (folder / "images" / "9.png").unlink()
    made = encode_folder(folder).modalities[0]
    assert (made.present, made.unreadable) == (1, 2)
    told = [(bad.item, bad.path, bad.reason) for bad in made.unreadable_images]
    assert told == [
        ("3", "images/3.png", "the file is empty"),
        ("9", "images/9.png", "there is no such file"),
    ]
    again = {"renewed": False, "encoded": 0, "seconds": 0.0}
    assert encode_folder(folder).modalities[0] == made.model_copy(update=again)


def test_only_the_first_twenty_unreadable_pictures_are_listed(folder: Path) -> None:
    rows = "".join(f"x{number},Tent,,,1,images/gone{number}.png\n" for number in range(30))
    (folder / "items.csv").write_text(TABLE + rows)
    made = encode_folder(folder).modalities[0]
    assert made.unreadable == 30
    assert len(made.unreadable_images) == 20


def test_no_readable_picture_at_all_is_an_error(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"none of the 3 pictures .* no such file.*--image none"):
        encode_folder(folder)
    assert not (folder / "features" / "image.npy").exists()


def test_table_without_pictures_encodes_texts_and_says_so(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id,title\na,Tent\nb,Cake\nc,Tent cake\n")
    report = encode_folder(folder)
    assert [made.modality for made in report.modalities] == ["text"]
    assert "names no picture file" in report.notices[0]


def test_addresses_of_pictures_are_left_out_with_a_reason(folder: Path) -> None:
    (folder / "items.csv").write_text(
        "asin,title,imUrl\na,Tent,http://x.example/a.jpg\nb,Cake,http://x.example/b.jpg\n"
    )
    report = encode_folder(folder)
    assert "holds addresses" in report.notices[0]
    with pytest.raises(DataError, match="holds addresses; download the pictures"):
        encode_folder(folder, image="colour-gradient")


def test_encoder_asked_for_by_name_must_find_something(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id,image\n7,images/7.png\n3,images/3.png\n")
    with pytest.raises(DataError, match="no words in columns called title, description or category"):
        encode_folder(folder, text="tfidf-svd")


def test_one_modality_can_be_left_out(folder: Path) -> None:
    assert [made.modality for made in encode_folder(folder, image="none").modalities] == ["text"]
    assert sorted(path.name for path in (folder / "features").iterdir()) == ["text.json", "text.npy"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("item_id,price\na,1\n", "nothing to encode: .*no picture file.*no words"),
        ("name,price\na,1\n", "no column for the item"),
        ("", "empty"),
    ],
)
def test_table_without_content_is_refused(folder: Path, content: str, reason: str) -> None:
    (folder / "items.csv").write_text(content)
    with pytest.raises(DataError, match=reason):
        encode_folder(folder)
    assert not (folder / "features").exists()


def test_leaving_out_both_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="both image and text are 'none'"):
        encode_folder(folder, image="none", text="none")


def test_texts_that_differ_in_nothing_are_refused(folder: Path) -> None:
    (folder / "items.csv").write_text("item_id,title\na,Tent\nb,Tent\n")
    with pytest.raises(DataError, match="differ in nothing"):
        encode_folder(folder)


def test_missing_table_and_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no item table; expected items\.csv"):
        encode_folder(tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        encode_folder(tmp_path / "nowhere")


def test_misspelt_encoder_gets_a_hint(folder: Path) -> None:
    with pytest.raises(
        ConfigError, match="no image encoder 'color-gradient'; did you mean 'colour-gradient'"
    ):
        encode_folder(folder, image="color-gradient")


def test_full_disk_leaves_the_old_vectors_with_their_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_folder(folder)
    before = (folder / "features" / "image.npy").read_bytes()

    def fill_up(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(StorageError, match="No space left on device"):
        encode_folder(folder, force=True)
    assert (folder / "features" / "image.npy").read_bytes() == before
    monkeypatch.undo()
    assert [made.renewed for made in encode_folder(folder).modalities] == [False, False]
    assert not list((folder / "features").rglob("*.draft"))
