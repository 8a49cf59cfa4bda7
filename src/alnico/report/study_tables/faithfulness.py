"""Whether the routing can be believed: the part that it names against the others."""

from collections.abc import Sequence

from alnico.diagnostics.faithfulness import PROMISED, NamedPart
from alnico.experiment.dissection import asked_pairs, faithfulness_of, routed_run, routed_scorer
from alnico.experiment.variants import StudyRow, fields
from alnico.report.study_tables.sheet import StudyTable, place_names
from alnico.report.tables import Table


def faithfulness_tables(rows: Sequence[StudyRow]) -> list[StudyTable]:
    """Per data set whether the part that MAGNET's routing names matters most, for its first routed run."""
    tables = []
    found = fields(rows)
    for name, field in zip(place_names(found), found, strict=True):
        found_run = routed_run(field)
        if found_run is None:
            continue
        row, run = found_run
        scorer = routed_scorer(run)
        assert scorer is not None
        told = faithfulness_of(scorer, asked_pairs(run))
        lines = [
            *(_promise("score", one) for one in told.by_score),
            *(_promise("lead", one) for one in told.by_lead),
        ]
        tables.append(
            StudyTable(
                f"faithfulness-{name}",
                f"Faithfulness of the routing of {row.label} on {name}",
                Table(_FAITHFUL, tuple(lines)),
                (
                    f"{told.pairs:,} test pairs. Each part in turn is replaced by its mean on both sides, the routing "
                    "held fixed. Named: the part whose anchor group has the largest mass. Share: pairs in which the "
                    "named part costs more than the mean of the others, by the pair's score, or by its lead over ten "
                    "random items of the same user.",
                    "Exchanged: each pair is scored with the routing of another, and named by it. Misnamed: its own "
                    f"routing, the name of another. Kept: at least {PROMISED:.0%} and above both.",
                ),
            )
        )
    return tables


_FAITHFUL = ("measured by", "named part", "pairs", "share", "exchanged", "misnamed", "kept")


def _promise(by: str, one: NamedPart) -> tuple[str, ...]:
    shares = (f"{share:.1%}" for share in (one.share, one.exchanged_share, one.misnamed_share))
    return (by, one.part, f"{one.pairs:,}", *shares, "yes" if one.keeps_promise else "no")
