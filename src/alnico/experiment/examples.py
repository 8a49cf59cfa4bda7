"""A closer look at the test pairs that a run stored: which to show, and how they differ by kind of user."""

from collections.abc import Mapping

from alnico.contracts import ExplainingScorer
from alnico.diagnostics.routing import RoutedPairs, by_user_kind, reliance_shares
from alnico.experiment.folder import Run

LIST_LENGTH = 20
"""A test item within these first places is a hit."""


def hits_of_test(run: Run, length: int = LIST_LENGTH) -> list[tuple[int, int, int]]:
    """(user, item, place from 1) of every test item in the first ``length`` places, by user, best place
    first.

    Empty for a run that stored no routing of its test pairs.
    """
    stored, ranking = run.routing(), run.test_ranking()
    if stored is None:
        return []
    asked = set(zip(stored["users"].tolist(), stored["items"].tolist(), strict=True))
    lists = ranking.items[:, :length].tolist()
    return [
        (user, item, place)
        for user, items in zip(ranking.users.tolist(), lists, strict=True)
        for place, item in enumerate(items, start=1)
        if (user, item) in asked
    ]


def pairs_to_show(run: Run, parts: tuple[str, ...], most: int = 3) -> list[tuple[int, int, str]]:
    """At most ``most`` (user, item, why) with different users, in inside numbers.

    For each part the hit that relied on it most; without any hit, first recommendations of the first users.
    """
    stored, hits = run.routing(), hits_of_test(run)
    chosen: list[tuple[int, int, str]] = []
    if stored is None or not hits:
        ranking = run.test_ranking()
        pairs = zip(ranking.users[:most].tolist(), ranking.items[:most, 0].tolist(), strict=True)
        return [(user, item, "the first recommendation of a test user") for user, item in pairs]
    found = {(user, item): place for user, item, place in hits}
    pairs_in_order = list(zip(stored["users"].tolist(), stored["items"].tolist(), strict=True))
    shares = reliance_shares(stored["reliance"])
    for column, part in enumerate(parts[:most]):
        order = shares[:, column].argsort(descending=True, stable=True).tolist()
        used = {user for user, _, _ in chosen}
        best = next(
            (
                pairs_in_order[row]
                for row in order
                if pairs_in_order[row] in found and pairs_in_order[row][0] not in used
            ),
            None,
        )
        if best is not None:
            chosen.append(
                (
                    *best,
                    f"a test item in the first {LIST_LENGTH}, of those the one that relied most on {part}",
                )
            )
    return chosen


def routing_by_kind(run: Run, kinds: Mapping[int, str]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean group mass and reliance of the run's test pairs by kind of user; empty if the run routes
    nothing."""
    stored, scorer = run.routing(), run.scorer()
    if stored is None or not isinstance(scorer, ExplainingScorer):
        return {}
    routed = RoutedPairs(
        stored["users"].numpy(), stored["items"].numpy(), stored["routing"], stored["reliance"]
    )
    return by_user_kind(kinds, scorer.experts, scorer.parts, routed)
