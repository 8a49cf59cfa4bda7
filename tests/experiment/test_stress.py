"""New items and users, yesterday's weights and failing content, on worlds whose truth is known."""

import json
from pathlib import Path

import numpy as np
import pytest

import worlds
from alnico.data.store import save_dataset
from alnico.errors import ConfigError
from alnico.experiment.spec import RunSpec, read_spec
from alnico.experiment.stress import (
    SECTIONS,
    Known,
    cold_items,
    failing_content,
    harmed,
    new_users,
    warm_start,
)
from alnico.report.stress_page import write_section
from command_lines import CommandLine

BOARD = worlds.checkerboard()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkerboard as a data folder: content tells which half of the users likes an item."""
    folder = tmp_path_factory.mktemp("board") / "board"
    save_dataset(worlds.dataset_of(BOARD, "board"), folder)
    return folder


def spec_of(data: Path, model: dict[str, object], epochs: int = 3, rate: float = 0.02) -> RunSpec:
    """A short run."""
    return read_spec(
        {
            "dataset": str(data),
            "model": model,
            "seed": 1,
            "training": {"epochs": epochs, "batch_size": 64, "learning_rate": rate, "metric": "ndcg@20"},
        }
    )


LIGHTGCN = {"name": "lightgcn", "width": 8, "layers": 2}
MAGNET = {
    **{"name": "magnet", "preset": "projected", "evidence": False},
    **{"width": 8, "neighbours": 5, "induced": 10},
}


def test_content_finds_new_items_and_popularity_cannot(data: Path) -> None:
    rows = {row["way"]: row for row in cold_items([spec_of(data, LIGHTGCN, 4), spec_of(data, MAGNET, 4)])}
    assert list(rows) == [
        "popularity",
        "item-kNN on content",
        "lightgcn, new items like those they resemble",
        "lightgcn, new items projected from content",
        "magnet, new items by its own reading",
    ]
    for row in rows.values():
        assert (row["items"], row["new_items"]) == (32, 8)
    # Of eight new items in lists of twenty all are listed: it is their order that tells.
    blind = rows["popularity"]["among ndcg@20"]
    for way, row in rows.items():
        if way != "popularity":
            assert row["among ndcg@20"] > blind + 0.1
    # Everybody's unseen items of the own parity are the new ones alone: known items are seen or of the wrong kind.
    assert rows["item-kNN on content"]["all recall@20"] > rows["popularity"]["all recall@20"]
    assert "known recall@20" in rows["lightgcn, new items projected from content"]
    assert "known recall@20" not in rows["popularity"]


def test_what_is_held_out_is_nobodys_training(data: Path) -> None:
    known = Known.of(worlds.dataset_of(BOARD), 3)
    users, items = known.valid.pairs()
    assert len(items) == round(0.1 * len(BOARD.split.train))
    assert not set((users * 40 + items).tolist()) & set(known.train.pair_keys.tolist())
    assert len(known.train) + len(items) == len(BOARD.split.train)


def test_new_users_stand_beside_themselves_as_trained(data: Path) -> None:
    rows = new_users([spec_of(data, LIGHTGCN)])
    assert [row["users"] for row in rows] == ["trained", "by items alone"]
    assert rows[1]["recall@20"] > 0.8 * rows[0]["recall@20"]


def test_yesterdays_weights_are_ahead_while_there_is_much_to_learn(data: Path) -> None:
    rows = {row["training"]: row for row in warm_start([spec_of(data, LIGHTGCN, 1, 0.003)])}
    assert list(rows) == ["yesterday's", "anew", "from yesterday's weights"]
    assert all(row["new_users"] == 0 for row in rows.values())
    assert rows["from yesterday's weights"]["ndcg@20"] > rows["anew"]["ndcg@20"]
    with pytest.raises(ConfigError, match="popularity has no weights, so there is nothing to start from"):
        warm_start([spec_of(data, {"name": "popularity"})])


def test_content_fails_for_the_share_that_is_asked_for() -> None:
    whole = worlds.dataset_of(BOARD)
    content = whole.features
    missing = harmed(whole, ["image"], "missing", 0.5, 1).features
    assert missing["text"] is content["text"]
    had = int(content["image"].present.sum())
    assert int(missing["image"].present.sum()) == had - round(0.5 * had)
    swapped = harmed(whole, ["image"], "swapped", 0.5, 1).features
    own = content["image"].present
    changed = (swapped["image"].vectors != content["image"].vectors).any(axis=1)
    assert changed[own].sum() == round(0.5 * had)
    assert not changed[~own].any()
    untouched = harmed(whole, ["image", "text"], "missing", 0.0, 1).features
    assert all(np.array_equal(untouched[name].vectors, content[name].vectors) for name in content)


def test_what_is_dealt_out_already_is_not_put_under_stress(data: Path) -> None:
    spec = read_spec({**spec_of(data, {"name": "popularity"}).model_dump(), "content": {"dealt": ["image"]}})
    for _, measure in SECTIONS.values():
        with pytest.raises(ConfigError, match=r"content\.dealt = \['image'\] makes the data others"):
            measure([spec])


def test_every_share_of_failing_content_is_a_row(data: Path, tmp_path: Path) -> None:
    spec = spec_of(data, {"name": "item_knn", "source": "content"})
    rows = failing_content([spec], (0.0, 1.0))
    assert [(row["content"], row["share"]) for row in rows] == [
        ("missing", 0.0),
        ("missing", 1.0),
        ("swapped", 1.0),
    ]
    assert rows[0]["ndcg@20"] > max(rows[1]["ndcg@20"], rows[2]["ndcg@20"])
    write_section(tmp_path, "board", "content", rows, [spec])
    page = write_section(tmp_path, "board", "users", new_users([spec]), [spec])
    text = page.read_text()
    assert text.index("## New users") < text.index("## Content that fails")
    assert f"| item_knn | missing | 0.0000 | 0 | 0 | {rows[0]['seconds']:.4f}" in text


def test_the_command_writes_page_and_numbers(data: Path, command_line: CommandLine, tmp_path: Path) -> None:
    settings = tmp_path / "knn.toml"
    settings.write_text(f'dataset = "{data}"\n[model]\nname = "item_knn"\nsource = "content"\n')
    answer = command_line("stress", settings, "--section", "cold", "--to", tmp_path / "results", "--json")
    assert answer.code == 0
    rows = json.loads(answer.out)["cold"]
    stored = json.loads((tmp_path / "results" / "stress-board.json").read_text())
    assert stored["cold"]["rows"] == rows
    assert "## New items" in (tmp_path / "results" / "stress-board.md").read_text()
    answer = command_line("stress", settings, "--section", "colt")
    assert (answer.code, "there is no section 'colt'; did you mean 'cold'?" in answer.err) == (2, True)
