"""docs/paper-map.md tells the truth: every equation has a row, and what a row names exists.

How to fill a row: name the code by import path and the test by file and name, each in backticks, several
separated by commas:

    | Eq. 26 | when it switches | `alnico.models.magnet.stages.after_step` | `tests/a/test_b.py::test_c` | |

Ranges are written `Eq. 4-5`. An equation may have several rows. Until both code and test exist, both cells
say `not built yet`. A docstring claims an equation by a line `Implements: Eq. (26).`; the row must then name
something in that file. `Departs: A12.` in a docstring must name an entry of docs/assumptions.md.
"""

import ast
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from alnico.models.magnet.config import PAPER, PROJECTED, MagnetConfig

ROOT = Path(__file__).parents[1]
MAP = ROOT / "docs" / "paper-map.md"
ASSUMPTIONS = ROOT / "docs" / "assumptions.md"
SOURCE = ROOT / "src"

NOT_BUILT = "not built yet"
EXPECTED = {
    *((f"Eq. {n}") for n in range(1, 35)),
    *((f"Algorithm {n}") for n in (1, 2)),
    *((f"Table {n}") for n in range(2, 8)),
    *((f"Figure {n}") for n in range(3, 15)),
}


@dataclass(frozen=True)
class Row:
    """One row of the map: what it covers, and what its cells name."""

    label: str
    covers: frozenset[str]
    code: tuple[str, ...]
    tests: tuple[str, ...]
    says_not_built: tuple[bool, bool]

    @property
    def is_built(self) -> bool:
        """Whether the row claims that there is code."""
        return not any(self.says_not_built)


def numbers(text: str) -> list[int]:
    """The whole numbers that a text such as ``4-5, 7`` means."""
    found = []
    for first, last in re.findall(r"(\d+)(?:\s*(?:-|–|to)\s*(\d+))?", text):
        found += range(int(first), int(last or first) + 1)
    return found


def read_map() -> list[Row]:
    """All rows of the map whose first cell names an equation, algorithm, table or figure."""
    rows = []
    for line in MAP.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        kind = re.match(r"(Eq\.|Algorithm|Table|Figure) [\d, –-]+$", cells[0])
        if not line.startswith("|") or kind is None:
            continue
        assert len(cells) == 5, f"a row has five cells, found {len(cells)}: {line}"
        rows.append(
            Row(
                label=cells[0],
                covers=frozenset(f"{kind[1]} {number}" for number in numbers(cells[0])),
                code=tuple(re.findall(r"`([^`]+)`", cells[2])),
                tests=tuple(re.findall(r"`([^`]+)`", cells[3])),
                says_not_built=(cells[2] == NOT_BUILT, cells[3] == NOT_BUILT),
            )
        )
    return rows


ROWS = read_map()


@cache
def parsed(file: Path) -> ast.Module:
    """The syntax of a file."""
    return ast.parse(file.read_text(encoding="utf-8"))


def module_of(path: str) -> tuple[Path | None, list[str]]:
    """The source file of an import path such as ``alnico.nn.losses.bpr`` and the names inside it."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        stem = SOURCE.joinpath(*parts[:length])
        for file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if file.is_file():
                return file, parts[length:]
    return None, parts


def defined(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """Names that these statements define, each with what is defined inside it."""
    names: dict[str, list[ast.stmt]] = {}
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            names[statement.name] = statement.body
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            names[statement.target.id] = []
        elif isinstance(statement, ast.Assign):
            names |= {target.id: [] for target in statement.targets if isinstance(target, ast.Name)}
    return names


def exists(path: str) -> bool:
    """Whether an import path leads to a module, or to something defined in one."""
    file, inside = module_of(path)
    if file is None:
        return False
    body = parsed(file).body
    for name in inside:
        known = defined(body)
        if name not in known:
            return False
        body = known[name]
    return True


def leads_to_test(place: str) -> bool:
    """Whether ``tests/x.py::name`` (or ``::Class::name``) is a test that pytest would find."""
    name, *inside = place.split("::")
    file = ROOT / name
    if not file.is_file() or not inside or not inside[-1].startswith("test_"):
        return False
    body = parsed(file).body
    for step in inside:
        known = defined(body)
        if step not in known:
            return False
        body = known[step]
    return True


def docstrings() -> list[tuple[Path, str]]:
    """Every docstring of the package with the file that it stands in."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [
        (file, text)
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(parsed(file))
        if isinstance(node, kinds) and (text := ast.get_docstring(node))
    ]


def claims(keyword: str) -> list[tuple[Path, str]]:
    """What follows ``keyword:`` in docstrings, up to the end of its paragraph or the next such keyword."""
    ends = r"(?=\n\s*\n|\b(?:Implements|Source|Departs|Raises|Weights|Shapes?):|\Z)"
    pattern = re.compile(rf"\b{keyword}:(.*?){ends}", re.DOTALL)
    return [(file, claim) for file, text in docstrings() for claim in pattern.findall(text)]


def claimed(text: str) -> set[str]:
    """What a text such as ``Eq. (4), Eqs. (7) to (8), Algorithm 1`` claims."""
    found = set()
    for run in re.findall(r"Eqs?\.\s*((?:\(\d+\)(?:\s*(?:,|-|–|to|and)\s*)?)+)", text):
        found |= {f"Eq. {number}" for number in numbers(run.replace("(", "").replace(")", ""))}
    for kind, number in re.findall(r"\b(Algorithm|Table|Figure)\s+(\d+)", text):
        found.add(f"{kind} {number}")
    return found


def value_in(cell: str) -> object:
    """The setting that a cell such as `` `"mean"` `` shows, read as TOML; none where it says so."""
    if cell == "none":
        return None
    value = tomllib.loads(f"value = {cell.strip('`')}")["value"]
    return tuple(value) if isinstance(value, list) else value


def test_everything_in_the_paper_has_a_row() -> None:
    covered = {what for row in ROWS for what in row.covers}
    assert covered == EXPECTED


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_row_names_code_and_test_that_exist_or_says_that_there_is_none(row: Row) -> None:
    if not row.is_built:
        assert row.says_not_built == (True, True), "code without a test: name one in the fourth cell"
        return
    assert row.code, "the third cell names no code in backticks"
    assert row.tests, "the fourth cell names no test in backticks"
    assert [path for path in row.code if not exists(path)] == []
    assert [place for place in row.tests if not leads_to_test(place)] == []


def test_every_claim_in_the_code_is_in_the_map() -> None:
    listed = {(what, module_of(path)[0]) for row in ROWS for what in row.covers for path in row.code}
    missing = [
        f"{file.relative_to(ROOT)} implements {what}, but no row of docs/paper-map.md names something in it"
        for file, text in claims("Implements")
        for what in sorted(claimed(text))
        if (what, file) not in listed
    ]
    assert missing == []


def test_every_claim_in_the_code_can_be_read() -> None:
    # A claim in any other form would be overlooked by the test above.
    assert [f"{file.name}: {text!r}" for file, text in claims("Implements") if not claimed(text)] == []


def test_every_departure_is_an_entry_of_the_assumptions() -> None:
    entries = set(re.findall(r"^\*\*(A\d+)\.", ASSUMPTIONS.read_text(encoding="utf-8"), re.MULTILINE))
    named = {entry for _, text in claims("Departs") for entry in re.findall(r"\bA\d+\b", text)}
    assert named - entries == set()


def test_assumptions_are_numbered_in_order_without_gaps() -> None:
    entries = re.findall(r"^\*\*A(\d+)\.", ASSUMPTIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(entry) for entry in entries] == list(range(1, len(entries) + 1))


def test_table_of_presets_is_that_of_the_code() -> None:
    page = ASSUMPTIONS.read_text(encoding="utf-8")
    lines = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| A\d+ \|$", page, re.MULTILINE)
    written = {name: tuple(map(value_in, cells)) for name, *cells in lines}
    presets = [MagnetConfig(preset=preset) for preset in ("alnico", "projected", "paper")]
    fixed = {*PAPER, *PROJECTED}
    assert written == {name: tuple(getattr(config, name) for config in presets) for name in fixed}


def test_links_between_documents_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Eq. (4), Eq. (5).", {"Eq. 4", "Eq. 5"}),
        ("Eqs. (7) to (9).", {"Eq. 7", "Eq. 8", "Eq. 9"}),
        ("Algorithm 1 (scoring), Eq. (20)", {"Algorithm 1", "Eq. 20"}),
        ("Eq. (31) and the strategies of Table 6.", {"Eq. 31", "Table 6"}),
        ("the usual thing", set()),
    ],
)
def test_claims_are_understood(text: str, meaning: set[str]) -> None:
    assert claimed(text) == meaning
