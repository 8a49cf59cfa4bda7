"""Whether reliance moves away from a modality whose content says nothing: runs on dealt content and on intact."""

from collections.abc import Sequence

from alnico.diagnostics.faithfulness import Shift
from alnico.experiment.dissection import DealtPair, dealt_pairs
from alnico.experiment.variants import StudyRow, fields
from alnico.report.study_tables.sheet import StudyTable, place_names
from alnico.report.study_tables.variants import variant_tables
from alnico.report.tables import ABSENT, Table, number


def corruption_tables(rows: Sequence[StudyRow]) -> list[StudyTable]:
    """Per data set how reliance on each part moved where a modality was dealt out, and what that did to accuracy."""
    tables = []
    found = fields([row.on_intact for row in rows])
    for name, field in zip(place_names(found), found, strict=True):
        pairs = dealt_pairs(field)
        if not pairs:
            continue
        told = [(pair, _shifts(pair)) for pair in pairs]
        tables.append(
            StudyTable(
                f"corruption-{name}",
                f"Reliance with content dealt out anew on {name}",
                Table(_HEADER, tuple(_line(pair, shift) for pair, shifts in told for shift in shifts)),
                (_WHAT, _COLUMNS),
                Table(_DATA_HEADER, tuple(_data(pair, shift) for pair, shifts in told for shift in shifts)),
            )
        )
        own = [row for variant in field.variants for row in variant.rows]
        tables += variant_tables(own, "corruption-accuracy", "Accuracy with content dealt out anew")
    return tables


_HEADER = (
    *(
        "run",
        "dealt out",
        "seed",
        "part",
        "reliance, intact",
        "reliance, dealt out",
        "change (95 % interval)",
    ),
    *("pairs that rely less", "moved away"),
)
_DATA_HEADER = (
    *("run", "dealt out", "seed", "part", "intact", "dealt out", "low", "high", "share that relies less"),
    "moved away",
)
_WHAT = (
    "Each run was trained on content of which the named modalities were dealt out anew among the items that have them, "
    "vectors and given neighbours alike, and stands beside its twin on intact content: same split, seed and settings. "
    "Reliance: the share of a part in what the score of a test pair is made of, mean over the pairs of the split."
)
_COLUMNS = (
    "Change: users drawn anew with all their pairs. Moved away: of the part that was dealt out, whether the whole "
    "interval lies below zero."
)


def _shifts(pair: DealtPair) -> list[Shift | tuple[str, float, float]]:
    """What moved; where the folders are gone, part by part the means that the records still know."""
    before, after = (row.record.result["routing"]["reliance"] for row in (pair.intact, pair.dealt))
    return [*pair.shifts()] or [(part, before[part], after[part]) for part in before]


def _line(pair: DealtPair, told: Shift | tuple[str, float, float]) -> tuple[str, ...]:
    head = (pair.dealt.label, ", ".join(pair.dealt.dealt), str(pair.dealt.seed))
    if not isinstance(told, Shift):
        part, before, after = told
        return (*head, part, f"{before:.1%}", f"{after:.1%}", f"{after - before:+.1%}", ABSENT, ABSENT)
    low, high = told.interval
    change = f"{told.after - told.before:+.1%} ({low:+.1%} to {high:+.1%})"
    return (
        *(*head, told.part, f"{told.before:.1%}", f"{told.after:.1%}", change, f"{told.moved_share:.1%}"),
        _verdict(pair, told),
    )


def _data(pair: DealtPair, told: Shift | tuple[str, float, float]) -> tuple[str, ...]:
    head = (pair.dealt.label, ", ".join(pair.dealt.dealt), str(pair.dealt.seed))
    if not isinstance(told, Shift):
        part, before, after = told
        return (*head, part, number(before, 10), number(after, 10), *(ABSENT,) * 4)
    values = (told.before, told.after, *told.interval, told.moved_share)
    return (*head, told.part, *(number(value, 10) for value in values), _verdict(pair, told))


def _verdict(pair: DealtPair, told: Shift) -> str:
    if told.part not in pair.dealt.dealt:
        return ABSENT
    return "yes" if told.moved_away else "no"
