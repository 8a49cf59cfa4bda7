"""Who may import whom, and what may stand nowhere. Reads the sources; runs none of them."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "alnico"

# For each part of the package, the other parts that it may import. A part is a folder or a file directly
# under alnico; itself and what ANYONE names are always allowed. A part missing here fails the tests: say
# where it stands before it is imported.
ANYONE = {"errors", "randomness", "model_card"}
DATA_WAY = {"data", "kernels", "graphs", "ranking", "contracts"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "randomness": set(),
    "storage": set(),
    "lock": set(),
    "model_card": set(),
    "template": set(),
    "kernels": set(),
    "data": {"storage", "lock"},
    "graphs": {"data", "kernels", "storage"},
    "ranking": {"data", "kernels"},
    "contracts": {"data", "graphs", "ranking"},
    "nn": {"data", "graphs", "kernels", "contracts"},
    "scorers": DATA_WAY,
    "models": DATA_WAY | {"nn", "scorers"},
    "training": {"data", "kernels", "contracts", "storage"},
    "evaluation": {"data", "ranking", "storage"},
    "encoders": {"data", "storage"},
    "catalogue": {"data", "storage"},
    "doctor": {"data", "encoders", "graphs", "kernels", "storage", "template"},
    "explain": DATA_WAY | {"scorers", "evaluation", "storage"},
    "diagnostics": DATA_WAY | {"scorers", "evaluation", "explain", "storage"},
    # The last two for the demo, which begins with raw pictures and texts.
    "experiment": DATA_WAY
    | {"nn", "scorers", "models", "training", "evaluation", "explain", "diagnostics", "storage"}
    | {"catalogue", "encoders", "lock"},
    "report": DATA_WAY | {"evaluation", "explain", "diagnostics", "experiment", "storage", "template"},
    # A finished run made into something that answers by itself; of training it reads a finished model's file.
    "serving": DATA_WAY
    | {
        "scorers",
        "models",
        "training",
        "explain",
        "diagnostics",
        "experiment",
        "encoders",
        "storage",
        "report",
    },
}
# The command line joins all parts, and the front door names them.
FREE = {"cli", "__init__"}

# The test part of a split is opened by one function of one file; data/ makes it.
MAY_OPEN_THE_TEST_PART = {"experiment/run.py"}
# EfficientNet-Lite0 is published as a .pth file only: its bytes are compared with a pinned checksum first, and nothing
# but tensors is read from them.
READS_ONE_TORCH_FILE = "encoders/efficientnet.py"
MAY_DRAW = "report/figures/"
NAMES_WITHOUT_MEANING = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}

SOURCES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}


def part_of(name: str) -> str:
    """The part of the package that a file, given relative to it, belongs to."""
    first = name.split("/")[0]
    return first.removesuffix(".py")


def tree(name: str) -> ast.Module:
    """The syntax of one source file."""
    return ast.parse(SOURCES[name].read_text(encoding="utf-8"), filename=name)


def imported_modules(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Every module that is imported anywhere in the file, inside functions too, with its line.

    ``from alnico import x`` yields ``alnico.x``, because x may be a part.
    """
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            if origin == "alnico":
                for alias in node.names:
                    yield f"alnico.{alias.name}", node.lineno
            else:
                yield origin, node.lineno


def found(where: Callable[[ast.AST], bool], among: list[str]) -> list[str]:
    """``file:line`` of every piece of syntax in these files for which ``where`` holds."""
    return [
        f"{name}:{getattr(node, 'lineno', 0)}"
        for name in among
        for node in ast.walk(tree(name))
        if where(node)
    ]


def calls(function: str) -> Callable[[ast.AST], bool]:
    """Holds for a call of the built-in ``function``; methods of that name are something else."""

    def matches(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function

    return matches


def outside(*parts: str) -> list[str]:
    """All files that are in none of these parts."""
    return [name for name in SOURCES if part_of(name) not in parts]


def test_there_is_something_to_read() -> None:
    assert {"errors.py", "cli/main.py", "data/dataset.py"} <= set(SOURCES)


@pytest.mark.parametrize("part", sorted({part_of(name) for name in SOURCES} - FREE))
def test_part_imports_only_what_stands_before_it(part: str) -> None:
    assert part in MAY_IMPORT, f"alnico.{part} is new: give it a row in MAY_IMPORT"
    allowed = MAY_IMPORT[part] | {part} | (ANYONE if part not in ANYONE else set())
    forbidden = [
        f"{name}:{line} imports {module}"
        for name in SOURCES
        if part_of(name) == part
        for module, line in imported_modules(tree(name))
        if module.split(".")[0] == "alnico" and module.split(".")[1] not in allowed
    ]
    assert forbidden == []


def test_table_of_imports_has_no_circle() -> None:
    # Kahn: take away whatever depends on nothing that is left; a circle is what remains.
    left = {part: set(needs) for part, needs in MAY_IMPORT.items()}
    while ready := [part for part, needs in left.items() if not needs & set(left)]:
        for part in ready:
            del left[part]
    assert left == {}


def test_imports_are_written_from_the_root() -> None:
    relative = [
        f"{name}:{line}"
        for name in SOURCES
        for module, line in imported_modules(tree(name))
        if module.startswith(".") or module == ""
    ]
    assert relative == []


def test_models_and_evaluation_never_meet_the_trainer() -> None:
    # The rules that matter most, once more in plain words: a slip in the table above must not undo them.
    for part in ("models", "nn", "scorers", "graphs", "evaluation"):
        assert not MAY_IMPORT[part] & {"training", "experiment", "report", "cli"}
    assert not MAY_IMPORT["evaluation"] & {"models", "scorers"}
    assert not MAY_IMPORT["training"] & {"models", "evaluation"}


def test_test_part_is_opened_in_one_file() -> None:
    def may_hold_a_split(name: str) -> bool:
        # It names a split, or imports what makes or describes one; elsewhere `.test` is something else.
        module = tree(name)
        imports = {origin for origin, _ in imported_modules(module)}
        names = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(module) if isinstance(node, ast.Attribute)}
        return bool(imports & {"alnico.data.split", "alnico.data.splitting"}) or "split" in names

    def opens(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == "test"

    others = [name for name in outside("data") if name not in MAY_OPEN_THE_TEST_PART]
    assert found(opens, [name for name in others if may_hold_a_split(name)]) == []


def test_only_the_command_line_prints() -> None:
    assert found(calls("print"), outside("cli")) == []


def test_nothing_is_unpickled_or_evaluated() -> None:
    def unpickles(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.keyword)
            and node.arg == "allow_pickle"
            and (not isinstance(node.value, ast.Constant) or node.value.value is not False)
        )

    def loads_with_torch(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Attribute)
            and node.attr in {"load", "save"}
            and isinstance(node.value, ast.Name)
            and node.value.id == "torch"
        )

    everywhere = list(SOURCES)
    picklers = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    assert found(unpickles, everywhere) == []

    def reads_tensors_only(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "torch.load"
            and any(ast.unparse(keyword) == "weights_only=True" for keyword in node.keywords)
        )

    assert found(loads_with_torch, [name for name in everywhere if name != READS_ONE_TORCH_FILE]) == []
    (place,) = found(loads_with_torch, [READS_ONE_TORCH_FILE])
    assert found(reads_tensors_only, [READS_ONE_TORCH_FILE]) == [place]
    assert found(calls("eval"), everywhere) == []
    assert found(calls("exec"), everywhere) == []
    assert [
        f"{name}:{line}"
        for name in everywhere
        for module, line in imported_modules(tree(name))
        if module.split(".")[0] in picklers
    ] == []


def test_no_error_is_swallowed_unseen() -> None:
    def catches_all(node: ast.AST) -> bool:
        if not isinstance(node, ast.ExceptHandler):
            return False
        last = node.body[-1]
        if isinstance(last, ast.Raise) and last.exc is None:
            return False  # it tidies up and lets the error go on
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        return any(
            kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
            for kind in kinds
        )

    assert found(catches_all, list(SOURCES)) == []


def test_one_folder_draws() -> None:
    drawing = {
        name
        for name in SOURCES
        for module, _ in imported_modules(tree(name))
        if module.split(".")[0] == "matplotlib"
    }
    assert drawing
    assert [name for name in sorted(drawing) if not name.startswith(MAY_DRAW)] == []


def test_annotations_are_real_objects() -> None:
    # Postponed annotations would hide the shapes from the checks that run during the tests.
    assert [
        name for name in SOURCES for module, _ in imported_modules(tree(name)) if module == "__future__"
    ] == []


def test_files_are_named_after_an_idea() -> None:
    assert [name for name in SOURCES if Path(name).name in NAMES_WITHOUT_MEANING] == []
