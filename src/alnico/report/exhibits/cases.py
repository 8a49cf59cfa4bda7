"""Three recommendations taken apart: Figure 14."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alnico.diagnostics.cases import LIST_LENGTH, Case, case_of, choose, mean_cosine
from alnico.diagnostics.routing import RoutedPairs
from alnico.errors import AlnicoError
from alnico.experiment.dissection import routed_scorer
from alnico.experiment.folder import Run
from alnico.experiment.variants import Field, StudyRow, fields
from alnico.ranking import Ranking
from alnico.report.exhibits.shown import Figures, LeftOut, StudyFigure
from alnico.report.explained import signed
from alnico.report.figures.canvas import brief
from alnico.report.figures.cases import CaseSheet, ItemCard, case
from alnico.report.pictures import thumbnail
from alnico.report.study_tables import place_names, routed_run

MOST_EXPERTS = 6


def case_sheets(rows: Sequence[StudyRow]) -> Figures:
    """One test pair per dominant family (or group) of each data set's MAGNET. Implements: Figure 14."""
    name, title = "figure-14", "Figure 14: recommendations taken apart"
    made: list[StudyFigure | LeftOut] = []
    found = fields(rows)
    for place, field in zip(place_names(found), found, strict=True):
        chosen = routed_run(field)
        if chosen is None:
            made.append(
                LeftOut(
                    name, f"{title}, {place}", "it needs the run folder of a MAGNET with a mixture of experts"
                )
            )
            continue
        try:
            made += _sheets(f"{name}-{place}", f"{title}, {place}", *chosen, _without_experts(field))
        except AlnicoError as problem:
            made.append(LeftOut(name, f"{title}, {place}", str(problem)))
    return made


def _without_experts(field: Field) -> dict[tuple[str, ...], Run]:
    """Runs of the same field whose model has no mixture, by what they were asked."""
    return {
        row.record.question: row.run
        for variant in field.variants
        for row in variant.rows
        if row.run is not None and row.setting("model.mixture") is False
    }


def _sheets(
    name: str, title: str, row: StudyRow, run: Run, without: dict[tuple[str, ...], Run]
) -> list[StudyFigure]:
    scorer, stored = routed_scorer(run), run.routing()
    assert scorer is not None
    assert stored is not None
    pairs = RoutedPairs(
        stored["users"].numpy(), stored["items"].numpy(), stored["routing"], stored["reliance"]
    )
    ranking, train, features = run.test_ranking(), run.split.train, run.dataset.features
    valid_users, valid_items = run.split.valid.pairs()
    plain = without.get(row.record.question)
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
                _caption(told),
            )
        )
    return made


def _rank(run: Run | None, told: Case) -> int | None:
    """The target's place in another model's list over the whole catalogue."""
    if run is None:
        return None
    user = np.array([told.choice.user])
    listed = run.scorer().top(user, run.seen, run.dataset.n_items).items[0]
    return int(np.flatnonzero(listed == told.choice.item)[0]) + 1


def _sheet(run: Run, told: Case, ranking: Ranking, rank_of_plain: int | None) -> CaseSheet:
    why, choice = told.explanation, told.choice
    row = ranking.items[int(np.flatnonzero(ranking.users == choice.user)[0])].tolist()

    def place(item: int) -> str:
        return f"rank {row.index(item) + 1}" if item in row else f"beyond {len(row)}"

    features = run.dataset.features
    cards = [_card(run, item, "history", "") for item in reversed(told.history)]
    cards.append(_card(run, choice.item, "target", f"rank {why.rank}"))
    for role, item in (("candidate", told.candidate), ("hard negative", told.hard_negative)):
        if item is not None:
            remark = f"{place(item)}, cosine {mean_cosine(features, choice.item, item):.2f}"
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


def _caption(told: Case) -> str:
    choice, why = told.choice, told.explanation
    first = f"Among the pairs in which {choice.kind} has the largest mass"
    if not choice.is_dominant:
        first = f"No test pair has {choice.kind} on top; this one has most of it"
    hit = (
        f"its item stands at place {choice.place} of the list"
        if choice.place
        else f"no such item stands in the first {LIST_LENGTH} places"
    )
    parts = ", ".join(f"{part} {signed(value)}" for part, value in why.contributions.items())
    return (
        f"{first}; {hit}. Parts contribute (Shapley values) {parts}; the bars are what the kept experts contribute, "
        "with their weights. History: the last training items, latest on the right. Candidate: the best-ranked item "
        "that is not held out; hard negative: of the other listed ones that are not held out, the most similar to the "
        "target by mean cosine."
    )
