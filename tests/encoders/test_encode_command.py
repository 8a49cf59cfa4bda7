"""``alnico encode``."""

import json
from pathlib import Path

import pytest

from alnico.catalogue.shop import ShopPlan
from alnico.catalogue.writing import make_shop
from alnico.cli import counting
from alnico.cli.main import main
from alnico.data.sources import read_dataset

LIGHT = ("--image", "light", "--text", "light")
PLAN = ShopPlan(n_users=12, n_items=48, n_interactions=80)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A small shop, not encoded yet: of 48 items 46 have a picture, 46 a text."""
    return make_shop(PLAN, tmp_path / "shop").folder


def test_command_encodes_a_shop_and_says_what_it_made(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", str(shop), *LIGHT]) == 0
    told = capsys.readouterr()
    assert "image.npy: 46 of 48 items, 276 numbers each, by colour-gradient (written)" in told.out
    assert "text.npy: 46 of 48 items, 46 numbers each, by tfidf-svd (written)" in told.out
    assert "pictures: 46 of 46" in told.err
    assert main(["encode", str(shop), *LIGHT]) == 0
    assert capsys.readouterr().out.count("(up to date)") == 2


def test_encoded_shop_goes_through_the_importer(shop: Path) -> None:
    main(["encode", str(shop), *LIGHT])
    dataset, _ = read_dataset(shop)
    assert (dataset.n_users, dataset.n_items, len(dataset.interactions)) == (12, 48, 80)
    assert dataset.features.names == ("image", "text")
    assert [int(modality.present.sum()) for modality in dataset.features.values()] == [46, 46]
    assert Path(dataset.cards.get("image", dataset.items.number("i0000"))).is_file()


def test_unreadable_pictures_are_told(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, path in enumerate(sorted((shop / "images").iterdir())[:21]):
        path.write_bytes(b"" if number else b"no picture")
    assert main(["encode", str(shop), *LIGHT]) == 0
    told = capsys.readouterr().out
    assert "not a picture in a known format" in told
    assert told.count("cannot read images/") == 20
    assert "and 1 more that cannot be read" in told


def test_json_report_is_all_that_is_printed(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", str(shop), "--image", "light", "--text", "none", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [made["modality"] for made in report["modalities"]] == ["image"]
    assert report["modalities"][0]["present"] == 46


def test_wrong_folder_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "has no item table" in told
    assert told.count("\n") == 1


def test_lines_of_progress_are_rare(capsys: pytest.CaptureFixture[str]) -> None:
    with counting.counting("pictures") as tell:
        for done in range(1, 1001):
            tell(done, 1000)
    # All within the first seconds: only the last is worth a line.
    assert capsys.readouterr().err.count("\n") == 1


def test_bar_of_a_terminal_shows_count_and_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with counting.counting("pictures") as tell:
        tell(3, 10)
        tell(10, 10)
    assert "10/10" in capsys.readouterr().err
