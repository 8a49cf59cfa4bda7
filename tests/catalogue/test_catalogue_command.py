"""``alnico catalogue``."""

import json
from pathlib import Path

import pytest

from alnico.cli.main import main

SMALL = ["--users", "12", "--items", "48", "--interactions", "80", "--seed", "3"]


def test_command_writes_a_shop_and_names_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["catalogue", str(tmp_path / "shop"), *SMALL]) == 0
    told = capsys.readouterr()
    assert "12 users and 48 items" in told.out
    assert f"Next: alnico encode {tmp_path / 'shop'}" in told.out
    assert "pictures: 46 of 46" in told.err
    assert sorted(path.name for path in (tmp_path / "shop").iterdir()) == [
        "images",
        "interactions.csv",
        "items.csv",
        "truth",
    ]


def test_json_holds_counts_and_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalogue", str(tmp_path / "shop"), *SMALL, "--noise", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n_users"], told["n_items"], told["n_interactions"]) == (12, 48, 80)
    assert told["plan"]["noise"] is True
    assert told["plan"]["seed"] == 3


def test_existing_folder_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["catalogue", str(tmp_path / "shop"), *SMALL])
    capsys.readouterr()
    assert main(["catalogue", str(tmp_path / "shop"), *SMALL]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["catalogue", str(tmp_path / "shop"), *SMALL, "--force"]) == 0


def test_impossible_numbers_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalogue", str(tmp_path / "shop"), "--users", "100", "--interactions", "100"]) == 2
    assert "need between 500 and 30000 interactions" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_importing_the_command_is_light() -> None:
    source = Path(__file__).parents[2] / "src" / "alnico" / "cli"
    for name in ("catalogue.py", "encode.py", "counting.py"):
        imports = [
            line
            for line in (source / name).read_text(encoding="utf-8").splitlines()
            if line.startswith(("import ", "from "))
        ]
        roots = {line.split()[1].split(".")[0] for line in imports}
        assert roots <= {"collections", "contextlib", "pathlib", "sys", "time", "typer", "typing"}
