"""Which recommendations are shown."""

from pathlib import Path

import numpy as np
import torch

from alnico.evaluation.evaluate import Scores
from alnico.experiment.examples import hits_of_test, pairs_to_show
from alnico.experiment.folder import ROUTING, Run, store_test
from alnico.ranking import Ranking
from alnico.storage import write_tensors

PARTS = ("behaviour", "image")


def run_with(
    folder: Path, lists: list[list[int]], pairs: list[tuple[int, int]], reliance: list[list[float]]
) -> Run:
    """A run folder with test lists of users 0, 1, ... and the reliance of its test pairs."""
    ranking = Ranking(
        np.arange(len(lists)), np.array(lists), np.zeros((len(lists), len(lists[0])), np.float32)
    )
    store_test(folder, ranking, Scores(np.arange(len(lists)), {}))
    users, items = (torch.tensor(side) for side in zip(*pairs, strict=True))
    write_tensors(folder / ROUTING, {"users": users, "items": items, "reliance": torch.tensor(reliance)}, {})
    return Run(folder)


def test_hits_are_test_pairs_within_the_list(tmp_path: Path) -> None:
    run = run_with(tmp_path, [[4, 5, 6], [7, 8, 9]], [(0, 6), (0, 4), (1, 9), (1, 3)], [[1.0, 1.0]] * 4)
    assert hits_of_test(run) == [(0, 4, 1), (0, 6, 3), (1, 9, 3)]
    assert hits_of_test(run, length=2) == [(0, 4, 1)]


def test_each_part_gets_the_hit_that_relied_on_it_most(tmp_path: Path) -> None:
    # Behaviour: shares .9 (user 0), .8 (user 1), .1 (user 2). Image: user 2. The pair of user 3 is no hit.
    run = run_with(
        tmp_path,
        [[1], [1], [1], [1]],
        [(0, 1), (1, 1), (2, 1), (3, 5)],
        [[0.9, 0.1], [0.8, -0.2], [-0.1, 0.9], [1.0, 0.0]],
    )
    assert [(user, item) for user, item, _ in pairs_to_show(run, PARTS)] == [(0, 1), (2, 1)]


def test_no_user_is_shown_twice(tmp_path: Path) -> None:
    run = run_with(tmp_path, [[1, 2], [1, 2]], [(0, 1), (0, 2), (1, 1)], [[0.9, 0.1], [0.0, 1.0], [0.6, 0.4]])
    assert [(user, item) for user, item, _ in pairs_to_show(run, PARTS)] == [(0, 1), (1, 1)]


def test_without_a_hit_first_recommendations_are_shown(tmp_path: Path) -> None:
    run = run_with(tmp_path, [[4, 5], [6, 7]], [(0, 1)], [[1.0, 0.0]])
    assert [(user, item) for user, item, _ in pairs_to_show(run, PARTS)] == [(0, 4), (1, 6)]
