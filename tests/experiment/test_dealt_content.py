"""Runs on content that was dealt out anew: what they are known by, and what they answer."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alnico.data.store import save_dataset
from alnico.errors import DataError, StorageError, UnsupportedError
from alnico.experiment.answer import content_lists, explain_pair, recommend
from alnico.experiment.folder import Run, open_for, settings_fingerprint
from alnico.experiment.results import by_question, record_of
from alnico.experiment.run import build_model, run
from alnico.experiment.shelf import Shelf, told_identity
from alnico.experiment.spec import RunSpec, load_spec, read_spec
from alnico.experiment.verifying import verify
from alnico.graphs.content import nearest_neighbours
from alnico.serving.export import bundle_of
from finished_runs import Finished


def dealt(finished: Finished, *names: str, **changes: Any) -> RunSpec:
    """The settings of the finished MAGNET with these modalities dealt out."""
    return read_spec({**finished.magnet.spec.resolved(), "content": {"dealt": names, **changes}})


@pytest.fixture(scope="module")
def image_dealt(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The finished MAGNET once more, its images dealt out."""
    return run(dealt(finished, "image"), tmp_path_factory.mktemp("runs") / "dealt", label="dealt")


def test_record_says_what_was_dealt_out_and_from_what(image_dealt: Run, finished: Finished) -> None:
    record, intact = image_dealt.record, finished.magnet.record
    assert record["spec"]["content"] == {"dealt": ["image"], "seed": 0}
    assert record["dataset"]["name"] == "toy-dealt-image"
    assert record["dataset"]["dealt_from"] == intact["dataset"]["fingerprint"]
    assert record["dataset"]["fingerprint"] == image_dealt.dataset.fingerprint
    assert record["dataset"]["fingerprint"] != intact["dataset"]["fingerprint"]
    assert record["split"]["fingerprint"] == intact["split"]["fingerprint"]
    assert "content" not in intact["spec"]
    assert "dealt_from" not in intact["dataset"]
    assert load_spec(image_dealt.folder / "run.json") == image_dealt.spec


def test_order_and_repetition_say_nothing_but_the_seed_does(finished: Finished) -> None:
    both = dealt(finished, "text", "image", "text")
    assert both == dealt(finished, "image", "text")
    prints = {
        open_for(spec).fingerprint
        for spec in (both, dealt(finished, "image"), dealt(finished, "image", seed=1), finished.magnet.spec)
    }
    assert len(prints) == 4


def test_nothing_dealt_out_is_the_run_that_it_always_was(finished: Finished) -> None:
    spec = dealt(finished, seed=7)
    assert spec.resolved() == finished.magnet.spec.resolved()
    assert settings_fingerprint(spec, "d", "s") == settings_fingerprint(finished.magnet.spec, "d", "s")


def test_modality_that_is_not_there_is_refused_before_anything_is_written(
    finished: Finished, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no modality 'audio' whose content could be dealt out; found image"):
        run(dealt(finished, "audio"), tmp_path / "run")
    only = read_spec({**dealt(finished, "image").model_dump(), "modalities": ["text"]})
    with pytest.raises(DataError, match="no modality 'image' whose content could be dealt out; found text"):
        run(only, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_studies_know_it_from_the_run_on_intact_content(
    image_dealt: Run, finished: Finished, tmp_path: Path
) -> None:
    shelf = Shelf(tmp_path, tmp_path)
    identity = shelf.identity(image_dealt.spec)
    assert identity == told_identity(image_dealt.record)
    assert identity != shelf.identity(finished.magnet.spec) == told_identity(finished.magnet.record)
    assert shelf.identity(dealt(finished, "image", seed=1)) != identity
    # Tables never hold both.
    records = [record_of(finished.magnet), record_of(image_dealt)]
    assert by_question(records) == [[records[0]], [records[1]]]


def test_its_questions_are_answered_on_the_same_content(image_dealt: Run, finished: Finished) -> None:
    assert verify(image_dealt).verdict == "identical"
    content = open_for(image_dealt.spec).features
    own, intact = (content_lists(one) for one in (image_dealt, finished.magnet))
    np.testing.assert_array_equal(own["image"].items, nearest_neighbours(content["image"], 5).items)
    assert not np.array_equal(own["image"].items, intact["image"].items)
    np.testing.assert_array_equal(own["text"].items, intact["text"].items)
    user = image_dealt.dataset.users.name(0)
    (item,) = recommend(image_dealt, [user], 1)["item_id"].to_list()
    told = explain_pair(image_dealt, user, item)
    assert image_dealt.dataset.items.name(told.item) == item


def test_cues_of_the_neighbourhood_follow_lists_that_came_with_the_data(
    finished: Finished, tmp_path: Path
) -> None:
    # Lists that are what would be computed have to be so after dealing too, all the way to the scores.
    whole = open_for(finished.magnet.spec)
    lists = {name: nearest_neighbours(modality, 9) for name, modality in whole.features.items()}
    save_dataset(replace(whole, neighbours=lists), tmp_path / "given")
    model = {**finished.magnet.spec.model, "cue": "neighbourhood"}
    scores = []
    for place, names in ((finished.data, ["image"]), (tmp_path / "given", ["image"]), (finished.data, [])):
        spec = read_spec({**dealt(finished, *names).model_dump(), "dataset": str(place), "model": model})
        built = build_model(spec, open_for(spec), finished.magnet.split.train)
        scores.append(built.scorer().scores(torch.arange(whole.n_users)))
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-5, atol=1e-6)
    assert (scores[0] - scores[2]).abs().max() > 1e-3


def test_it_is_not_served(image_dealt: Run) -> None:
    with pytest.raises(
        UnsupportedError, match=r"trained on content dealt out among other items .*\['image'\]"
    ):
        bundle_of(image_dealt)


def test_its_data_may_move_but_not_change(image_dealt: Run, finished: Finished, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(image_dealt.folder, tmp_path / "run"))
    same = shutil.copytree(finished.data, tmp_path / "same", ignore=shutil.ignore_patterns("cache"))
    dataset = open_for(finished.magnet.spec)
    # Dealt out already, these are other data to deal out.
    save_dataset(replace(open_for(image_dealt.spec), name=dataset.name), tmp_path / "other")
    with pytest.raises(StorageError, match="are not those that run"):
        Run(folder).moved(str(tmp_path / "other"))
    assert Run(folder).record == image_dealt.record
    assert Run(folder).moved(str(same)).dataset.fingerprint == image_dealt.dataset.fingerprint
