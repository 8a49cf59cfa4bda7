"""Two runs against each other, from what their tests stored."""

from typing import get_args

from alnico.errors import ConfigError, nearest
from alnico.evaluation.significance import Comparison, PairedTest, compare
from alnico.experiment.folder import QUESTION, Run, question_of
from alnico.randomness import rng


def compare_runs(first: Run, second: Run, metric: str, test: str = "wilcoxon") -> Comparison:
    """First minus second, paired by user.

    Raises ConfigError when the runs answered different questions (data, split, mask or protocol differ), or lack the
    metric; StorageError when one is not finished.
    """
    asked = question_of(first.record), question_of(second.record)
    for what, one, other in zip(QUESTION, *asked, strict=True):
        if one != other:
            raise ConfigError(
                f"{first.folder} and {second.folder} differ in their {what}; only like can be compared with like"
            )
    for run in (first, second):
        run.require_finished()
    scores = first.test_scores(), second.test_scores()
    for run, own in zip((first, second), scores, strict=True):
        if metric not in own.values:
            raise ConfigError(f"{run.folder} has no measure {metric!r}{nearest(metric, own.values)}")
    for known in get_args(PairedTest):
        if test == known:
            return compare(*scores, metric, rng(0, "comparison"), test=known)
    raise ConfigError(f"there is no test {test!r}{nearest(test, get_args(PairedTest))}")
