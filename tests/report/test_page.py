"""The page: self-contained, escaped, and honest about simpler models."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from alnico.errors import ConfigError, StorageError
from alnico.experiment.folder import Run
from alnico.report.chapters import Chapter, chapters_of
from alnico.report.page import page, write_page
from finished_runs import Finished
from pages import Reader

METRIC = "ndcg@20"


@pytest.fixture(scope="session")
def text(finished: Finished) -> str:
    """A page about three runs."""
    (chapter,) = chapters_of(finished.runs)
    kinds = {0: "visual", 1: "textual", 2: "fashion", 3: "visual"}
    return page("A <title> & more", [replace(chapter, kinds=kinds)], METRIC)


def test_page_needs_no_other_file_and_no_network(text: str) -> None:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert [address for address in reader.followed if not address.startswith(("#", "data:image/"))] == []
    assert not reader.tags & {"script", "link", "iframe", "object"}
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_page_follows_light_and_dark(text: str) -> None:
    assert "prefers-color-scheme: dark" in text
    defined = set(re.findall(r"(--[a-z0-9]+):", text))
    assert set(re.findall(r"var\((--[a-z0-9]+)\)", text)) <= defined


def test_page_shows_every_run_and_the_pictures_of_items(text: str, finished: Finished) -> None:
    for run in finished.runs:
        assert f"<td>{run.label}</td>" in text
    assert text.count("data:image/jpeg;base64,") >= 3
    assert "Why these recommendations?" in text
    assert "By true kind of user" in text


def test_items_without_a_picture_get_a_placeholder_with_their_title(text: str, finished: Finished) -> None:
    placeholders = re.findall(r'<div class="none">([^<]+)</div>', text)
    assert placeholders
    titles = set(finished.magnet.dataset.cards.columns["title"])
    assert all(shown in titles or shown.startswith("item ") for shown in placeholders)


def test_page_names_simple_models_that_are_not_significantly_worse(text: str) -> None:
    # Two epochs on 40 users beat nobody.
    assert re.search(r'class="warning"><p>On ndcg@20, .*item_knn', text)


def test_texts_are_escaped(text: str) -> None:
    assert "A &lt;title&gt; &amp; more" in text
    assert "<title> & more" not in text


def test_same_runs_give_the_same_page(finished: Finished, text: str) -> None:
    fresh = [Run(run.folder) for run in finished.runs]
    (chapter,) = chapters_of(fresh)
    kinds = {0: "visual", 1: "textual", 2: "fashion", 3: "visual"}
    assert page("A <title> & more", [replace(chapter, kinds=kinds)], METRIC) == text


def test_runs_that_cannot_explain_still_make_a_page(finished: Finished) -> None:
    alone = page("t", chapters_of([finished.popularity]), METRIC)
    assert "Why these recommendations?" not in alone
    assert "Is the difference real?" not in alone


def test_page_goes_without_the_data_and_says_so(finished: Finished, tmp_path: Path) -> None:
    class Moved(Run):
        @property
        def dataset(self) -> object:  # type: ignore[override]
            raise StorageError("the data are gone")

    shown = page("t", chapters_of([Moved(finished.magnet.folder)]), METRIC)
    assert "Left out, because the data are needed for it: the data are gone" in shown
    assert "not checked: the data are gone" in shown


def test_unknown_measure_is_one_sentence(finished: Finished) -> None:
    with pytest.raises(ConfigError, match="recall@21"):
        page("t", chapters_of(finished.runs), "recall@21")


def test_page_is_written_to_a_new_folder(finished: Finished, tmp_path: Path) -> None:
    write_page(tmp_path / "new" / "page.html", "t", [Chapter("c", [finished.popularity])], METRIC)
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
