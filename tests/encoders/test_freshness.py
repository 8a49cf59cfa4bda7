"""Stale and mixed vectors are noticed."""

import json
from pathlib import Path

import numpy as np
import pytest

from alnico.cli.main import main
from alnico.encoders.encode import encode_folder

ITEMS = "item_id,title\n" + "".join(f"i{n},Thing {n} of {'wood' if n % 2 else 'tin'}\n" for n in range(6))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six items with texts, encoded, and a few interactions."""
    place = tmp_path / "shop"
    place.mkdir()
    (place / "items.csv").write_text(ITEMS)
    events = "".join(f"u{n % 3},i{n}\n" for n in range(6))
    (place / "interactions.csv").write_text("user_id,item_id\n" + events)
    encode_folder(place, "none", "light")
    return place


def told(place: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the check says of the vectors, in lines of severity and message."""
    capsys.readouterr()
    main(["data", "check", str(place), "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return [f"{f['severity']}: {f['message']}" for f in findings if f["topic"] == "vectors"]


def test_fresh_vectors_name_their_encoder_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "import", str(folder), "--to", str(folder / "data")]) == 0
    manifest = json.loads((folder / "data" / "manifest.json").read_text())
    note = json.loads((folder / "features" / "text.json").read_text())
    assert manifest["encodings"]["text"]["fingerprint"] == note["fingerprint"]
    for place in (folder, folder / "data"):
        (line,) = told(place, capsys)
        assert line.startswith("note: the 'text' vectors are by tfidf-svd, ")


def test_changed_texts_make_vectors_stale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "items.csv").write_text(ITEMS.replace("tin", "steel"))
    assert "texts of" in told(folder, capsys)[0]
    encode_folder(folder, "none", "light")
    assert len(told(folder, capsys)) == 1


def test_vectors_made_again_since_the_import_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["data", "import", str(folder), "--to", str(folder / "data")])
    (folder / "items.csv").write_text(ITEMS.replace("tin", "steel plate"))
    encode_folder(folder, "none", "light")
    assert "was made again since the import, of other content" in told(folder / "data", capsys)[0]


def test_replaced_vectors_are_of_unknown_origin(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(folder / "features" / "text.npy", np.eye(6, dtype=np.float32))
    lines = told(folder, capsys)
    assert "is not the file that text.json beside it describes" in lines[0]
    assert lines[1] == "note: nothing says which encoder made the 'text' vectors"


def test_smaller_data_set_keeps_the_encoding(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "import", str(folder), "--to", str(folder / "data"), "--min-user", "2"])
    assert told(folder / "data", capsys)[0].startswith("note: the 'text' vectors are by tfidf-svd")
