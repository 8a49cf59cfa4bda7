"""Figures that look into finished runs: routing, stages, groups, time, maps and cases."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from alnico.errors import StorageError
from alnico.experiment.folder import Run
from alnico.experiment.run import run as make_run
from alnico.experiment.spec import read_spec
from alnico.experiment.variants import StudyRow, fields
from alnico.report.exhibits.cases import case_sheets
from alnico.report.exhibits.clock import quality_against_time
from alnico.report.exhibits.groups import bucket_means, group_tables, view_groups, views_of
from alnico.report.exhibits.maps import embedding_maps, item_labels, majority
from alnico.report.exhibits.routing import routing_dynamics, routing_overview, stage_mechanism
from alnico.report.exhibits.shown import Figures, LeftOut, StudyFigure
from finished_runs import Finished, record_row
from study_rows import study_row


@pytest.fixture(scope="module")
def single(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The finished MAGNET once more with a single view."""
    told = finished.magnet.record["spec"]
    spec = read_spec({**told, "model": {**told["model"], "views": "single"}})
    return make_run(spec, tmp_path_factory.mktemp("single") / "run", label="single")


@pytest.fixture
def rows(finished: Finished, single: Run) -> list[StudyRow]:
    """MAGNET with both views and with one, and two models without routing."""
    return [
        record_row(finished.popularity),
        record_row(finished.magnet, "dual view"),
        record_row(single, "single view"),
        record_row(finished.item_knn),
    ]


def only(made: Figures) -> StudyFigure:
    """The one figure that was made."""
    (figure,) = made
    assert isinstance(figure, StudyFigure), figure
    return figure


def texts(figure: StudyFigure) -> Iterator[str]:
    """Everything that is written on a figure."""
    for element in ET.fromstring(figure.picture.svg).iter():
        if element.tag.endswith("text"):
            yield element.text or ""


def bare(rows: list[StudyRow]) -> list[StudyRow]:
    """The rows of which the folders are gone."""
    return [replace(row, run=None) for row in rows]


def test_overview_reads_what_the_test_stored(rows: list[StudyRow], finished: Finished) -> None:
    figure = only(routing_overview(bare(rows)))
    told = finished.magnet.result["routing"]
    assert f"toy: dual view, N_eff {told['effective_experts']:.2f}" in figure.caption
    assert f"Div {told['diversity']:.2f}" in set(texts(figure))


def test_overview_averages_seeds_and_adds_replicas_up() -> None:
    def routed(first: float, replica: float) -> dict[str, Any]:
        experts = {"behaviour dominant": first, "behaviour dominant #2": replica}
        experts["image dominant"] = 1 - first - replica
        return {
            "routing": {
                "experts": experts,
                "groups": {"behaviour": first + replica, "image": 1 - first - replica},
                "families": {"dominant": 1.0},
                "reliance": {"behaviour": first, "image": 1 - first},
                "effective_experts": 2.0,
                "diversity": 0.5,
            }
        }

    seeds = [
        study_row("MAGNET", [1, 0], seed=seed, result=routed(*shares))
        for seed, shares in enumerate([(0.5, 0.25), (0.25, 0.5)])
    ]
    figure = only(routing_overview(seeds))
    radar = figure.picture.figure.axes[0]
    # Behaviour .75 in both seeds, image .25; the line is closed.
    assert [float(value) for value in radar.lines[1].get_ydata()] == pytest.approx([0.75, 0.25, 0.75])  # type: ignore[union-attr]


def test_without_routing_the_overview_is_left_out(finished: Finished) -> None:
    (told,) = routing_overview([record_row(finished.popularity)])
    assert isinstance(told, LeftOut)


def test_stages_are_told_from_the_step_log(rows: list[StudyRow], finished: Finished) -> None:
    figure = only(stage_mechanism(rows))
    assert "Stage 2 never began in dual view" in figure.caption
    assert "no epoch after a switch" in set(texts(figure))
    assert "dual view" in set(texts(figure))
    (told,) = stage_mechanism(bare(rows))
    assert isinstance(told, LeftOut)
    assert "without their step logs" in told.why


def test_dynamics_have_a_line_per_data_set(rows: list[StudyRow]) -> None:
    figure = only(routing_dynamics(rows))
    assert [len(axes.lines) for axes in figure.picture.figure.axes] == [1, 1, 1]
    assert figure.caption.startswith("Means over the steps of an epoch")
    assert "True ranges: toy (dual view, seed 1): effective experts" in figure.caption
    assert "normalised hhi, pairs" in figure.caption
    assert isinstance(routing_dynamics(bare(rows))[0], LeftOut)


def test_groups_compare_the_views_with_the_same_seed_and_split(rows: list[StudyRow]) -> None:
    figure = only(view_groups(rows))
    assert figure.caption.startswith("Dual view against single view, 1 seed.")
    # These runs have view contrast, which the paper leaves out here.
    assert "here λ_ctr is ['0.01']" in figure.caption
    (table,) = group_tables(rows)
    assert [line[1] for line in table.table.rows] == ["easy", "medium", "hard"] * 2
    (told,) = view_groups([row for row in rows if row.label != "single view"])
    assert isinstance(told, LeftOut)
    assert group_tables(bare(rows)) == []


def test_buckets_cover_all_test_pairs_and_agree_with_the_whole(
    rows: list[StudyRow], finished: Finished
) -> None:
    views = views_of(fields(rows)[0])
    assert views is not None
    buckets = bucket_means(views)
    pairs = finished.magnet.result["test_pairs"]
    for kind in {one.kind for one in buckets}:
        assert sum(one.pairs for one in buckets if one.kind == kind) == pairs
    for one in buckets:
        assert (one.dual is None) == (one.pairs == 0)
    # Hard is the same group in both readings.
    hard = [(one.pairs, one.dual, one.single) for one in buckets if one.name == "hard"]
    assert hard[0] == hard[1]


def test_groups_say_when_the_data_are_gone(rows: list[StudyRow], tmp_path: Path) -> None:
    class Moved(Run):
        @property
        def dataset(self) -> object:  # type: ignore[override]
            raise StorageError("the data are gone")

    moved = [replace(row, run=Moved(row.run.folder)) for row in rows if row.run is not None]
    for make in (view_groups, embedding_maps, case_sheets):
        (told,) = make(moved)
        assert isinstance(told, LeftOut)
        assert told.why == "the data are gone"
    assert group_tables(moved) == []


def test_time_needs_histories_only(rows: list[StudyRow], finished: Finished) -> None:
    figure = only(quality_against_time(bare(rows)))
    axes = figure.picture.figure.axes[0]
    history = finished.magnet.history
    curve = next(line for line in axes.lines if line.get_label() == "dual view")
    seconds = np.cumsum([row["epoch_seconds"] for row in history])
    assert [float(x) for x in curve.get_xdata()] == pytest.approx(seconds.tolist())  # type: ignore[union-attr]
    assert [float(y) for y in curve.get_ydata()] == [row["valid/ndcg@20"] for row in history]  # type: ignore[union-attr]
    (told,) = quality_against_time([record_row(finished.popularity)])
    assert isinstance(told, LeftOut)


def test_maps_colour_by_category(rows: list[StudyRow], finished: Finished) -> None:
    figure = only(embedding_maps(rows))
    told = set(texts(figure))
    labels, names, what = item_labels(finished.magnet)
    assert set(names) <= told
    assert what == "the item's first category"
    assert what in figure.caption
    assert labels.max() < len(names)
    assert any(text.startswith("silhouette ") for text in told)
    assert isinstance(embedding_maps(bare(rows))[0], LeftOut)


def test_without_categories_texts_are_clustered(finished: Finished) -> None:
    class Plain(Run):
        @property
        def dataset(self) -> Any:  # type: ignore[override]
            whole = finished.magnet.dataset
            return replace(whole, cards=type(whole.cards)())

    labels, names, what = item_labels(Plain(finished.magnet.folder))
    assert what == "k-means on the text vectors, for want of categories"
    assert names[-1] == "other"
    assert set(labels.tolist()) <= set(range(len(names)))


def test_majority_by_hand() -> None:
    owners, labels = np.array([0, 0, 0, 2, 2]), np.array([1, 1, 0, 2, 0])
    # User 1 has nothing; user 2 has one of each and takes the smaller.
    assert majority(owners, labels, 3, 3).tolist() == [1, 0, 0]


def test_cases_show_one_pair_per_group_with_titles(rows: list[StudyRow], finished: Finished) -> None:
    made = case_sheets(rows)
    # One family, hence one pair for each of three groups, as far as users go.
    assert 1 <= len(made) <= 3
    titles = set(finished.magnet.dataset.cards.columns["title"])
    for figure in made:
        assert isinstance(figure, StudyFigure)
        written = list(texts(figure))
        assert {"target", "Routing of the target", "Contributions"} <= set(written)
        assert any(any(title.startswith(text) for title in titles) for text in written if len(text) > 6)
    assert isinstance(case_sheets(bare(rows))[0], LeftOut)


def test_case_is_held_against_a_model_without_experts(
    rows: list[StudyRow], finished: Finished, tmp_path: Path
) -> None:
    # Popularity in the place of a MAGNET without a mixture: any scorer can rank the target.
    folder = copytree(finished.popularity.folder, tmp_path / "plain")
    plain = record_row(Run(folder), "w/o mixture")
    told = {**plain.record.record}
    model = record_row(finished.magnet).record.settings["model"]

    def written(settings: dict[str, Any]) -> list[str]:
        told["spec"] = {**told["spec"], "model": settings}
        other = replace(plain, record=replace(plain.record, record=dict(told)))
        return [text for figure in case_sheets([*rows, other]) for text in texts(figure)]  # type: ignore[arg-type]

    without = "in the model without experts"
    assert any(without in text for text in written({**model, "mixture": False}))
    # Another model than this one's is no such comparison.
    assert not any(without in text for text in written({**model, "mixture": False, "preset": "another"}))
