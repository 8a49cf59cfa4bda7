"""``alnico data check`` on pictures and texts."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alnico.cli.main import main
from alnico.encoders.encode import encode_folder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Thirty items with known faults: 1 is a copy of 0, 2 is cut short, 3 has no picture, 4 no text.

    User u0 has item 0 in training and item 1 in the test part; item "gone" is in no table.
    """
    place = tmp_path / "shop"
    (place / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = ["item_id,title,description,image"]
    for item in range(30):
        pixels = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((80, 80))
        pixels.save(place / "images" / f"{item}.jpg")
        words = " ".join(f"word{n}" for n in random.integers(0, 500, 12))
        text = f"Thing {item},{words}" if item != 4 else ","
        rows.append(f"i{item},{text},{f'images/{item}.jpg' if item != 3 else ''}")
    first = rows[1].removeprefix("i0,").removesuffix("images/0.jpg")
    rows[2] = f"i1,{first.upper()}images/1.jpg"
    Image.open(place / "images" / "0.jpg").resize((60, 60)).save(place / "images" / "1.jpg", quality=70)
    whole = (place / "images" / "2.jpg").read_bytes()
    (place / "images" / "2.jpg").write_bytes(whole[: len(whole) // 2])
    (place / "items.csv").write_text("\n".join(rows) + "\n")
    events = [
        "user_id,item_id,x_label",
        "u0,i0,0",
        "u0,i1,2",
        "u1,i1,2",
        "u1,i5,0",
        "u2,i2,0",
        "u2,i3,1",
        "u2,gone,0",
    ]
    (place / "interactions.csv").write_text("\n".join(events) + "\n")
    return place


def test_known_faults_are_found(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(shop), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = told["content"]
    assert [bad["item"] for bad in found["quarantined"]] == ["i2"]
    assert "truncated" in found["quarantined"][0]["reason"]
    for kind in ("same_pictures", "same_texts", "near_texts"):
        assert [[named["item"] for named in group] for group in found[kind]["largest"]] == [["i0", "i1"]]
    assert found["same_files"]["groups"] == 0
    # Without a picture: i2 (cut short), i3 and the unknown one; on them are 3 of 7 interactions.
    assert (found["gaps"]["image"]["items"], found["gaps"]["text"]["items"]) == (3, 2)
    assert found["gaps"]["image"]["interactions_share"] == pytest.approx(3 / 7)
    # Of the three interactions outside training only u0's is on a copy of what its user has in training.
    assert found["leaks"] == {"groups_across": 1, "interactions": 1, "share": pytest.approx(1 / 3)}
    messages = [finding["message"] for finding in told["findings"]]
    assert any("1 items of the interactions are not in the item table" in message for message in messages)
    assert any(message.startswith("1 pictures cannot be read") for message in messages)


def test_page_stands_alone_and_escapes(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = (shop / "items.csv").read_text()
    (shop / "items.csv").write_text(
        table.replace("Thing 0", "<script>alert(1)</script>").replace("THING 0", "<SCRIPT>alert(1)</script>")
    )
    page = shop / "page.html"
    assert main(["data", "check", str(shop), "--report", str(page)]) == 0
    text = page.read_text()
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "http" not in text
    assert "images/2.jpg" in text
    assert (
        text.count("data:image/jpeg") == 6
    )  # two groups of pictures and texts, of two items each, and near texts
    assert f"the page to open: {page}" in capsys.readouterr().out


def test_contents_can_be_left_alone(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(shop), "--no-content", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["content"] is None
    assert not any(finding["topic"] == "copies" for finding in told["findings"])


def test_conflict_is_told_where_there_are_vectors(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encode_folder(shop, "light", "light")
    capsys.readouterr()
    # The unknown item would not fit the vectors' rows.
    events = (shop / "interactions.csv").read_text().replace("u2,gone,0\n", "")
    (shop / "interactions.csv").write_text(events)
    main(["data", "check", str(shop), "--json"])
    (facts,) = json.loads(capsys.readouterr().out)["content"]["conflicts"]
    assert (facts["first"], facts["second"], facts["neighbours"]) == ("image", "text", 10)
    assert facts["chance"] == pytest.approx(10 / 26)
    assert len(facts["worst"]) == 27
