"""Three recommendations taken apart: Figure 14."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alnico.diagnostics.cases import LIST_LENGTH, Case, case_of, choose, mean_cosine
from alnico.diagnostics.routing import RoutedPairs
from alnico.experiment.dissection import routed_run, routed_scorer
from alnico.experiment.folder import Run
from alnico.experiment.variants import Field, StudyRow
from alnico.ranking import Ranking, Seen
from alnico.report.exhibits.shown import NOT_ROUTED, Figures, StudyFigure, of_each_field
from alnico.report.explained import signed
from alnico.report.figures.canvas import brief
from alnico.report.figures.cases import CaseSheet, ItemCard, case
from alnico.report.pictures import thumbnail

MOST_EXPERTS = 6


def case_sheets(rows: Sequence[StudyRow]) -> Figures:
    """One test pair per dominant family (or group) of each data set's MAGNET. Implements: Figure 14."""
    return of_each_field(rows, "figure-14", "Figure 14: recommendations taken apart", _of_field)


def _of_field(name: str, title: str, field: Field) -> Sequence[StudyFigure] | str:
    chosen = routed_run(field)
    return NOT_ROUTED if chosen is None else _sheets(name, title, *chosen, _without_experts(field, chosen[0]))


def _without_experts(field: Field, own: StudyRow) -> Run | None:
    """The run of the same model without a mixture that was asked the same."""
    found = (
        row.run
        for variant in field.variants
        for row in variant.rows
        if row.setting("model.mixture") is False
        and _but_mixture(row) == _but_mixture(own)
        and row.record.question == own.record.question
        and row.run is not None
    )
    return next(found, None)


def _but_mixture(row: StudyRow) -> dict[str, Any]:
    return {name: value for name, value in row.record.settings["model"].items() if name != "mixture"}


def _sheets(name: str, title: str, row: StudyRow, run: Run, plain: Run | None) -> list[StudyFigure]:
    scorer, stored = routed_scorer(run), run.routing()
    assert scorer is not None
    assert stored is not None
    pairs = RoutedPairs(
        stored["users"].numpy(), stored["items"].numpy(), stored["routing"], stored["reliance"]
    )
    ranking, train, features = run.test_ranking(), run.split.train, run.dataset.features
    valid_users, valid_items = run.split.valid.pairs()
    made = []
    for number, choice in enumerate(choose(scorer.experts, pairs, ranking), start=1):
        held_out = {
            *pairs.items[pairs.users == choice.user].tolist(),
            *valid_items[valid_users == choice.user].tolist(),
        }
        told = case_of(scorer, choice, train, features, ranking, held_out)
        made.append(
            StudyFigure(
                f"{name}-{number}",
                f"{title}, {number}",
                case(_sheet(run, told, ranking, _rank(plain, told))),
                f"{row.label}, seed {row.seed}. {_caption(told, has_times=train.times is not None)}",
            )
        )
    return made


def _rank(run: Run | None, told: Case) -> int | None:
    """The target's place in another model's list of all items that the user has not in training."""
    if run is None:
        return None
    user, train = np.array([told.choice.user]), run.split.train
    seen = Seen(train.offsets, train.items_by_id)
    listed = run.scorer().top(user, seen, run.dataset.n_items).items[0]
    return int(np.flatnonzero(listed == told.choice.item)[0]) + 1


def _sheet(run: Run, told: Case, ranking: Ranking, rank_of_plain: int | None) -> CaseSheet:
    why, choice = told.explanation, told.choice
    row = ranking.items[int(np.flatnonzero(ranking.users == choice.user)[0])].tolist()

    features = run.dataset.features
    cards = [_card(run, item, "history", "") for item in reversed(told.history)]
    cards.append(_card(run, choice.item, "target", f"rank {why.rank}"))
    for role, item in (("candidate", told.candidate), ("hard negative", told.hard_negative)):
        if item is not None:
            remark = f"rank {row.index(item) + 1}, cosine {mean_cosine(features, choice.item, item):.2f}"
            cards.append(_card(run, item, role, remark))
    facts = [
        f"rank {why.rank} with routing",
        f"{told.rank_without_routing} with all experts alike",
        f"N_eff {told.spread.effective_experts:.2f}",
        f"HHI {told.spread.hhi:.2f}",
        f"score {why.score:.3f}",
    ]
    if rank_of_plain is not None:
        facts.insert(2, f"{rank_of_plain} in the model without experts")
    return CaseSheet(
        heading=f"user {run.dataset.users.name(choice.user)}: {choice.kind} has {choice.share:.0%} of the routing",
        items=cards,
        routing=why.routing,
        groups=why.groups,
        families=why.families,
        reliance=why.reliance,
        experts=[
            (
                f"{expert.group} {brief(expert.family)} ({expert.weight:.0%})",
                expert.group,
                expert.contribution,
            )
            for expert in why.experts[:MOST_EXPERTS]
        ],
        facts=facts,
    )


def _card(run: Run, item: int, role: str, remark: str) -> ItemCard:
    cards = run.dataset.cards
    picture = thumbnail(cards.get("image", item), Path(run.spec.dataset))
    title = cards.get("title", item) or f"item {run.dataset.items.name(item)}"
    return ItemCard(role, title, remark, None if picture is None else np.asarray(picture, dtype=np.uint8))


def _caption(told: Case, *, has_times: bool) -> str:
    choice, why = told.choice, told.explanation
    first = f"A pair in which {choice.kind} has the largest mass"
    if not choice.is_dominant:
        first = (
            f"Of users not shown before, none has a pair with {choice.kind} on top; this one has most of it"
        )
    hit = (
        f"its item stands at place {choice.place} of the list"
        if choice.place
        else f"its item is not in the first {LIST_LENGTH} places"
    )
    history = (
        "the last training items, latest on the right"
        if has_times
        else "some training items, in no order of time"
    )
    parts = ", ".join(f"{part} {signed(value)}" for part, value in why.contributions.items())
    return (
        f"{first}; {hit}. Parts contribute (Shapley values) {parts}; the bars are what the kept experts contribute, "
        f"with their weights. History: {history}. Candidate: the best-ranked item "
        "that is not held out; hard negative: of the other listed ones that are not held out, the most similar to the "
        "target by mean cosine."
    )
