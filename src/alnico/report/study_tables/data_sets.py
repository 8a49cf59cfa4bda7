"""The data sets of a study: Table 2."""

from collections.abc import Sequence

from alnico.errors import DataError, StorageError
from alnico.experiment.variants import Field, StudyRow, fields
from alnico.report.study_tables.sheet import StudyTable, place_names
from alnico.report.tables import Table


def statistics_table(rows: Sequence[StudyRow]) -> StudyTable:
    """Users, items, interactions and content of each data set, and its split. Implements: Table 2."""
    found = fields([row.on_intact for row in rows])
    header = (
        "data set",
        "users",
        "items",
        "interactions",
        "per user",
        "per item",
        "density",
        "content",
        "training",
        "validation",
        "test",
    )
    lines = []
    for name, field in zip(place_names(found), found, strict=True):
        told = field.variants[0].first.record.record
        data, facts = told["dataset"], told["split"]["facts"]
        total = sum(
            facts.get(part, 0) for part in ("train", "valid", "test", "held_out_interactions_dropped")
        )
        users, items = data["users"], data["items"]
        lines.append(
            (
                name,
                f"{users:,}",
                f"{items:,}",
                f"{total:,}",
                f"{total / users:.2f}",
                f"{total / items:.2f}",
                f"{total / (users * items):.4%}",
                ", ".join(_content(field)) or "none",
                *(f"{facts[part]:,}" for part in ("train", "valid", "test")),
            )
        )
    return StudyTable(
        "table-2",
        "Table 2: the data sets",
        Table(header, tuple(lines)),
        (
            "Interactions are distinct pairs of a user and an item; behind each modality the length of its vectors.",
        ),
    )


def _content(field: Field) -> list[str]:
    """Modalities with the length of their vectors, where the data are there to be measured."""
    names: list[str] = field.variants[0].first.record.record["dataset"]["modalities"]
    for variant in field.variants:
        for row in variant.rows:
            if row.run is None:
                continue
            try:
                features = row.run.dataset.features
            except (DataError, StorageError):
                continue
            return [f"{name} {modality.width}" for name, modality in features.items()]
    return names
