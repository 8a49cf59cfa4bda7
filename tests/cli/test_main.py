"""The root of the command line: finding verbs, and one line for whatever goes wrong."""

import ast
import errno
import importlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import pytest
import typer

import alnico
from alnico.cli import main as root
from alnico.cli.main import VERBS, Verb, main
from alnico.errors import ConfigError

HEAVY = {"torch", "numba", "polars", "scipy", "pydantic", "numpy", "rich", "matplotlib", "sklearn"}


def fresh(program: str) -> subprocess.CompletedProcess[str]:
    """A Python process of its own that runs ``program``."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[..., None]], None]]:
    """Makes a function the verb ``try-it`` for one test."""

    def install(function: Callable[..., None]) -> None:
        monkeypatch.setattr(root, "one_verb", function, raising=False)
        monkeypatch.setitem(VERBS, "try-it", Verb("alnico.cli.main:one_verb", "Only for this test."))

    return install


def test_help_lists_every_verb_and_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom alnico.cli.main import main\ncode = main(['--help'])\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))\nsys.exit(code)"
    )
    answer = fresh(program)
    assert answer.returncode == 0, answer.stderr
    shown, loaded = answer.stdout.split("LOADED")
    assert [name for name in VERBS if f"\n  {name} " not in shown] == []
    assert HEAVY & set(loaded.split()) == set()


@pytest.mark.slow
def test_help_answers_in_under_half_a_second() -> None:
    # Wall time, so not among the quick tests: a busy machine must not fail them. The best of five counts.
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        assert fresh("from alnico.cli.main import main; main(['--help'])").returncode == 0
        taken.append(time.perf_counter() - started)
    assert min(taken) < 0.5


def test_no_verb_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: alnico [OPTIONS] VERB" in capsys.readouterr().out


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"alnico {alnico.__version__}\n"


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_is_there(name: str) -> None:
    module, attribute = VERBS[name].home.split(":")
    assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: alnico {name}" in capsys.readouterr().out


def test_misspelt_verb_gets_the_nearest_one_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recomend", "runs/shop"]) == 2
    said = capsys.readouterr()
    assert said.err == "alnico: there is no verb 'recomend'; did you mean 'recommend'?\n"
    assert said.out == ""


def test_misspelt_option_gets_the_nearest_one_in_one_line(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def try_it(patience: int = 3) -> None: ...

    verb(try_it)
    assert main(["try-it", "--patiense", "4"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.err.startswith("alnico: No such option: --patiense (Possible options: --patience)")
    assert "`alnico try-it --help`" in said.err


def test_missing_argument_is_one_line_without_a_box(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def try_it(config: Annotated[Path, typer.Argument()]) -> None: ...

    verb(try_it)
    assert main(["try-it"]) == 2
    assert capsys.readouterr().err == (
        "alnico: Missing argument 'config'; `alnico try-it --help` shows what it takes\n"
    )


def test_wrong_kind_of_value_names_the_option(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def try_it(k: Annotated[int, typer.Option("-k")] = 10) -> None: ...

    verb(try_it)
    assert main(["try-it", "-k", "many"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "'-k'" in said
    assert "integer" in said


def test_error_of_ours_is_one_line_on_stderr_and_exit_code_two(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def try_it() -> None:
        raise ConfigError("model.width must be positive;\n  found -3")

    verb(try_it)
    assert main(["try-it"]) == 2
    said = capsys.readouterr()
    assert said.err == "alnico: model.width must be positive; found -3\n"
    assert said.out == ""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOENT, "it does not exist"),
        (errno.EACCES, "permission is denied"),
        (errno.ENOSPC, "the disk is full; free some space and run the command again"),
    ],
)
def test_failing_file_is_named_with_the_reason(
    code: int, reason: str, verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def try_it() -> None:
        raise OSError(code, os.strerror(code), "runs/shop/scores.npz")

    verb(try_it)
    assert main(["try-it"]) == 2
    assert capsys.readouterr().err == f"alnico: cannot use 'runs/shop/scores.npz': {reason}\n"


def test_full_disk_is_told_even_when_the_file_is_not_known(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def try_it() -> None:
        # What write() raises: a number and a text, no name.
        raise OSError(errno.ENOSPC, "No space left on device")

    verb(try_it)
    assert main(["try-it"]) == 2
    assert "the disk is full" in capsys.readouterr().err


def test_interrupt_says_stopped(verb: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    def try_it() -> None:
        raise KeyboardInterrupt

    verb(try_it)
    assert main(["try-it"]) == 130
    assert capsys.readouterr().err == "alnico: stopped\n"


def test_exit_code_of_a_verb_is_passed_on_and_its_result_is_not(verb: Callable[..., None]) -> None:
    def try_it(leave: bool = False) -> int:
        if leave:
            raise typer.Exit(143)
        return 7

    verb(try_it)
    assert main(["try-it", "--leave"]) == 143
    assert main(["try-it"]) == 0


def test_defect_keeps_its_traceback(verb: Callable[..., None]) -> None:
    def try_it() -> None:
        raise ZeroDivisionError("ours to mend")

    verb(try_it)
    with pytest.raises(ZeroDivisionError, match="ours to mend"):
        main(["try-it"])


def test_notices_of_the_library_reach_stderr_once_and_only_while_a_verb_runs(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    speaker = logging.getLogger("alnico.data.sources")

    def try_it() -> None:
        speaker.info("%d all-zero rows are taken as absent", 3)

    verb(try_it)
    assert main(["try-it"]) == 0
    speaker.info("nobody asked")
    said = capsys.readouterr()
    assert said.err == "alnico: 3 all-zero rows are taken as absent\n"
    assert said.out == ""


def test_verbs_of_several_parts_keep_their_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = typer.Typer(no_args_is_help=True)

    @parts.command("describe")
    def describe() -> None:
        typer.echo("described")

    @parts.command("check")
    def check() -> None:
        typer.echo("checked")

    monkeypatch.setattr(root, "one_verb", parts, raising=False)
    monkeypatch.setitem(VERBS, "try-it", Verb("alnico.cli.main:one_verb", "Only for this test."))
    assert main(["try-it", "describe"]) == 0
    assert capsys.readouterr().out == "described\n"
    assert main(["try-it"]) == 0
    assert "describe" in capsys.readouterr().out
    assert main(["try-it", "chek"]) == 2
    assert "Did you mean 'check'?" in capsys.readouterr().err


def test_reader_that_leaves_early_is_no_error() -> None:
    # `true` reads nothing and closes the pipe; the text is far larger than a pipe holds.
    program = (
        "import sys, typer\nfrom alnico.cli import main as root\n"
        "def try_it() -> None:\n    typer.echo('x' * 1_000_000)\n"
        "root.one_verb = try_it\n"
        "root.VERBS['try-it'] = root.Verb('alnico.cli.main:one_verb', '')\n"
        "sys.exit(root.main(['try-it']))"
    )
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.close()
    said = writer.stderr.read()
    writer.stderr.close()
    assert writer.wait() == 141
    assert said == b""


def test_front_door_has_at_most_fifteen_names_told_once_to_each_reader() -> None:
    source = ast.parse(Path(alnico.__file__).read_text(encoding="utf-8"))
    for_checkers = {
        alias.asname: statement.module
        for block in source.body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert for_checkers == alnico._HOMES
    assert alnico.__all__ == sorted(alnico.__all__, key=lambda name: (not name.isupper(), name))
    assert len(alnico.__all__) <= 15


@pytest.mark.parametrize("name", alnico.__all__)
def test_every_name_of_the_front_door_opens(name: str) -> None:
    opened = getattr(alnico, name)
    assert isinstance(opened, dict) or opened.__name__ == name


def test_front_door_loads_nothing_before_it_is_used() -> None:
    answer = fresh("import sys, alnico; print(*sorted({name.split('.')[0] for name in sys.modules}))")
    assert HEAVY & set(answer.stdout.split()) == set()


def test_unknown_name_of_the_front_door_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Datset'; it offers .*Dataset"):
        alnico.Datset  # noqa: B018
