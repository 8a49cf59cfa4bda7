"""One explained recommendation for each kind of user of the demo's shop."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from alnico.catalogue.shop import KINDS
from alnico.experiment.answer import explain_pair, named
from alnico.experiment.demo.sentences import KIND_NAMES
from alnico.experiment.demo.worlds import MAGNET, World
from alnico.experiment.examples import LIST_LENGTH, hits_of_test
from alnico.experiment.folder import Run


def explain_one_of_each_kind(world: World) -> list[dict[str, Any]]:
    """One recommendation of MAGNET for each kind of user, explained, with outside ids.

    Of each kind it takes the user with the largest share of that taste who has a test item among the first
    twenty, and that item at the best place; without any hit, the first recommendation of the most typical
    user.
    """
    run = world.runs[MAGNET]
    scorer = run.scorer()
    told = []
    for kind, column in zip(KINDS, ("style_share", "purpose_share", "fashion_share"), strict=True):
        users = world.truth.users
        own = users.filter(users["kind"] == kind).sort([column, "user_id"], descending=[True, False])
        user, item, hit = _pair_to_explain(run, own["user_id"].to_list())
        why = named(run, explain_pair(run, user, item, scorer))
        share = float(own.filter(own["user_id"] == user)[column][0])
        found = f"a test item in the first {LIST_LENGTH}" if hit else "the first recommendation"
        words = (
            f"{found}; by the truth {share:.0%} of this user's choices go by {column.removesuffix('_share')}"
        )
        told.append({"kind": kind, "hit": hit, "why": f"{KIND_NAMES[kind]}: {words}", **why})
    return told


def _pair_to_explain(run: Run, users: Sequence[str]) -> tuple[str, str, bool]:
    """The best placed hit of the first of these users who has one, else the first user's first
    recommendation."""
    ids, ranking = run.dataset.users, run.test_ranking()
    best: dict[int, int] = {}
    for user, item, _ in hits_of_test(run):
        best.setdefault(user, item)
    numbers = ids.numbers_or_absent(users).tolist()
    found = next((number for number in numbers if number in best), None)
    if found is not None:
        return str(ids.name(found)), str(run.dataset.items.name(best[found])), True
    row = int(np.flatnonzero(np.isin(ranking.users, numbers))[0])
    item = int(ranking.items[row, 0])
    return str(ids.name(int(ranking.users[row]))), str(run.dataset.items.name(item)), False
