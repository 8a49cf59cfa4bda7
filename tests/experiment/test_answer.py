"""Questions to a finished run, asked and answered in outside ids."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from alnico.errors import ConfigError, DataError, UnsupportedError
from alnico.experiment.answer import explain_pair, named, neighbour_lists, recommend
from alnico.experiment.folder import RECORD, open_run
from alnico.graphs.content import nearest_neighbours
from finished_runs import Finished


def known_users(finished: Finished, n: int) -> list[int | str]:
    """Outside ids of the first users."""
    return [finished.magnet.dataset.users.name(number) for number in range(n)]


def test_lists_name_users_and_items_by_their_outside_ids(finished: Finished) -> None:
    run, asked = finished.magnet, known_users(finished, 3)
    frame = recommend(run, asked[::-1], 4)
    assert frame.columns == ["user_id", "rank", "item_id", "score", "title"]
    assert frame["user_id"].to_list() == [user for user in asked[::-1] for _ in range(4)]
    assert frame["rank"].to_list() == [1, 2, 3, 4] * 3
    dataset = run.dataset
    top = run.scorer().top(dataset.users.numbers(asked[::-1]), run.seen, 4)
    assert frame["item_id"].to_list() == dataset.items.of(top.items.ravel()).tolist()
    titles = [dataset.cards.get("title", int(item)) for item in top.items.ravel()]
    assert frame["title"].to_list() == titles
    assert all(titles)


def test_what_the_user_has_is_not_recommended_unless_asked_for(finished: Finished) -> None:
    for run in finished.runs:
        dataset = run.dataset
        for number in range(5):
            user = dataset.users.name(number)
            taken = set(dataset.items.of(run.split.train.of_user(number)).tolist())
            new = recommend(run, [user], dataset.n_items)["item_id"].to_list()
            assert set(new) == set(dataset.items.names.tolist()) - taken
            everything = recommend(run, [user], dataset.n_items, keep_seen=True)["item_id"].to_list()
            assert len(everything) == dataset.n_items
            assert taken <= set(everything)


def test_list_is_never_longer_than_the_catalogue(finished: Finished) -> None:
    (user,) = known_users(finished, 1)
    frame = recommend(finished.popularity, [user], 10_000, keep_seen=True)
    assert len(frame) == finished.popularity.dataset.n_items


def test_questions_that_have_no_answer_are_one_sentence(finished: Finished) -> None:
    with pytest.raises(DataError, match=r"user 'nobody' is not among the \d+ known users"):
        recommend(finished.magnet, ["nobody"])
    with pytest.raises(ConfigError, match="k must be at least 1; found 0"):
        recommend(finished.magnet, known_users(finished, 1), 0)
    (user,) = known_users(finished, 1)
    with pytest.raises(DataError, match=r"item 'nothing' is not among the \d+ known items"):
        explain_pair(finished.magnet, user, "nothing")
    with pytest.raises(UnsupportedError, match="popularity cannot explain its scores; magnet can"):
        explain_pair(finished.popularity, user, "nothing")


def test_first_of_the_list_is_explained_as_first(finished: Finished) -> None:
    run, (user,) = finished.magnet, known_users(finished, 1)
    frame = recommend(run, [user], 2)
    for rank, item, score in frame.select("rank", "item_id", "score").iter_rows():
        why = explain_pair(run, user, item)
        assert why.rank == rank
        assert why.score == pytest.approx(score, rel=1e-4, abs=1e-5)


def test_named_explanation_speaks_in_outside_ids(finished: Finished) -> None:
    run, (user,) = finished.magnet, known_users(finished, 1)
    item = recommend(run, [user], 1)["item_id"][0]
    why = explain_pair(run, user, item)
    told = named(run, why)
    assert (told["user"], told["item"]["item_id"]) == (user, item)
    assert told["item"]["title"] == run.dataset.cards.get("title", why.item)
    history = set(run.dataset.items.of(run.split.train.of_user(why.user)).tolist())
    assert {witness["item"]["item_id"] for witness in told["witnesses"]} <= history


def test_neighbours_are_those_the_run_was_built_with(finished: Finished) -> None:
    lists = neighbour_lists(finished.magnet)
    assert set(lists) == set(finished.magnet.dataset.features.names)
    for name, modality in finished.magnet.dataset.features.items():
        # The run's own setting, not the default of 20.
        np.testing.assert_array_equal(lists[name].items, nearest_neighbours(modality, 5).items)


@pytest.mark.parametrize("change", [{"views": "single"}, {"evidence": True}])
def test_run_without_induced_edges_has_no_neighbours_to_name(
    finished: Finished, tmp_path: Path, change: dict[str, object]
) -> None:
    # Too small a shop for its content to foretell anything beyond chance.
    shutil.copytree(finished.magnet.folder, tmp_path / "run")
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    record["spec"]["model"] |= change
    (tmp_path / "run" / RECORD).write_text(json.dumps(record))
    assert neighbour_lists(open_run(tmp_path / "run")) == {}


def test_run_with_approximate_neighbours_is_asked_about_those(finished: Finished, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    shutil.copytree(finished.magnet.folder, tmp_path / "run")
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    record["spec"]["model"]["neighbour_search"] = "approximate"
    (tmp_path / "run" / RECORD).write_text(json.dumps(record))
    assert all(lists.recall is not None for lists in neighbour_lists(open_run(tmp_path / "run")).values())
