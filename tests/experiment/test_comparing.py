"""Only like is compared with like."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from alnico.errors import ConfigError, StorageError
from alnico.experiment.comparing import compare_runs
from alnico.experiment.folder import Run, open_run
from finished_runs import Finished


def altered(run: Run, to: Path, group: str, **values: Any) -> Run:
    """A copy of a run whose record says something else."""
    shutil.copytree(run.folder, to)
    record = json.loads((to / "run.json").read_text())
    place = record["spec"]["evaluation"] if group == "evaluation" else record[group] or {}
    record.update({group: place} if group == "protocol" else {})
    place.update(values)
    (to / "run.json").write_text(json.dumps(record))
    return open_run(to)


def test_difference_is_first_minus_second(finished: Finished) -> None:
    told = compare_runs(finished.magnet, finished.popularity, "recall@20")
    means = [run.result["test"]["recall@20"] for run in (finished.magnet, finished.popularity)]
    assert [told.mean_a, told.mean_b] == pytest.approx(means)
    assert told.difference == pytest.approx(means[0] - means[1])
    assert told.wins + told.ties + told.losses == finished.magnet.result["test_users"]
    back = compare_runs(finished.popularity, finished.magnet, "recall@20")
    assert back.difference == -told.difference
    assert (back.wins, back.losses) == (told.losses, told.wins)


@pytest.mark.parametrize("test", ["wilcoxon", "permutation", "t"])
def test_same_question_has_the_same_answer(finished: Finished, test: str) -> None:
    told = [compare_runs(finished.magnet, finished.item_knn, "ndcg@20", test) for _ in range(2)]
    assert told[0] == told[1]
    assert 0 <= told[0].p_value <= 1


def test_run_does_not_differ_from_itself(finished: Finished) -> None:
    told = compare_runs(finished.magnet, finished.magnet, "recall@10")
    assert (told.difference, told.p_value, told.interval) == (0, 1, (0, 0))


@pytest.mark.parametrize(
    ("group", "values", "what"),
    [
        ("dataset", {"fingerprint": "other"}, "data"),
        ("split", {"fingerprint": "other"}, "split"),
        ("evaluation", {"mask": "train+valid"}, "mask"),
        ("protocol", {"kind": "another"}, "protocol"),
    ],
)
def test_runs_that_answered_different_questions_are_refused(
    finished: Finished, tmp_path: Path, group: str, values: dict[str, Any], what: str
) -> None:
    other = altered(finished.popularity, tmp_path / "other", group, **values)
    with pytest.raises(ConfigError, match=f"differ in their {what}; only like can be compared with like"):
        compare_runs(finished.magnet, other, "recall@20")


def test_unknown_measure_and_test_get_the_nearest_one(finished: Finished) -> None:
    pair = finished.magnet, finished.popularity
    with pytest.raises(ConfigError, match=r"has no measure 'recal@20'; did you mean 'recall@20'\?"):
        compare_runs(*pair, "recal@20")
    with pytest.raises(ConfigError, match=r"there is no test 'wilcoxn'; did you mean 'wilcoxon'\?"):
        compare_runs(*pair, "recall@20", "wilcoxn")


def test_unfinished_run_is_not_compared(finished: Finished, tmp_path: Path) -> None:
    begun = altered(finished.popularity, tmp_path / "begun", "dataset")
    # Killed after the lists were stored and before the measures were.
    (begun.folder / "result.json").unlink()
    for pair in ((finished.magnet, begun), (begun, finished.magnet)):
        with pytest.raises(StorageError, match="begun is not finished; go on with `alnico train --resume"):
            compare_runs(*pair, "recall@20")
