"""The page about new items, new users, warm starts and failing content, from the numbers beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alnico.experiment.spec import RunSpec
from alnico.experiment.stress import SECTIONS
from alnico.storage import read_json, write_json, write_text

INTRODUCTIONS = {
    "cold": "A fifth of the items left training with all that happened to them; models learned from the others alone "
    "and then took them in as a bundle does. Measured on the held-out interactions: with the whole catalogue as "
    "candidates (all), with the new items alone (among), and the same model on held-out interactions of known "
    "items (known).",
    "users": "The same users twice: as they were trained, and as people of whom only the training items are known. "
    "Their interactions did take part in the items' training; for people who truly come later it can be lower.",
    "warm": "Yesterday knew the earliest 80 % of today's training interactions. Best epoch and measures by the same "
    "held-out tenth of today's data.",
    "content": "Content of a share of the items is missing, or is another item's, in training and after. Measured on a "
    "held-out tenth of the interactions.",
}


def write_section(
    folder: Path, dataset: str, section: str, rows: Sequence[Mapping[str, Any]], specs: Sequence[RunSpec]
) -> Path:
    """Put a section's rows among the numbers of this data set, write its page again, and return the page's path."""
    numbers = folder / f"stress-{dataset}.json"
    kept: dict[str, Any] = read_json(numbers) if numbers.exists() else {}
    kept[section] = {"settings": [spec.resolved() for spec in specs], "rows": [dict(row) for row in rows]}
    write_json(numbers, kept)
    page = folder / f"stress-{dataset}.md"
    write_text(page, _page(dataset, kept))
    return page


def _page(dataset: str, kept: Mapping[str, Any]) -> str:
    lines = [
        f"# {dataset}: what training did not know",
        "",
        "Written by `alnico stress` from the numbers beside it. No test part of any run was opened.",
    ]
    for name, (title, _) in SECTIONS.items():
        if name in kept:
            plan = [settings["training"] for settings in kept[name]["settings"]]
            epochs = ", ".join(str(own["epochs"]) for own in plan)
            lines += ["", f"## {title}", "", INTRODUCTIONS[name], f"Epochs at most: {epochs}.", ""]
            lines += _table(kept[name]["rows"])
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    told = [
        columns,
        ["---"] * len(columns),
        *([_cell(row.get(column)) for column in columns] for row in rows),
    ]
    return [f"| {' | '.join(cells)} |" for cells in told]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.4f}"
        if isinstance(value, float) and abs(value) < 1
        else f"{value:.4g}"
        if isinstance(value, float)
        else str(value)
    )
