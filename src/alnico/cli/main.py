"""The command line's root: finds the verb that was asked for and turns failures into one line.

A verb's module is imported only when that verb runs, so that ``alnico --help`` answers at once.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from alnico import __version__
from alnico.errors import AlnicoError, ConfigError, nearest

# 130 and 141 are what a shell reports of a program that Ctrl-C or a closed pipe ended.
FAILED, STOPPED, UNHEARD = 2, 130, 141


@dataclass(frozen=True)
class Verb:
    """Where a verb lives (``module:attribute``) and what it does, in one line."""

    home: str
    help: str


# The order is that of use; `alnico --help` prints it as it stands here.
VERBS = {
    "demo": Verb("alnico.cli.demo:demo", "Run everything once on a built-in shop and write a report."),
    "catalogue": Verb("alnico.cli.catalogue:catalogue", "Generate a shop whose truth is known."),
    "data": Verb("alnico.cli.data:app", "Fetch, import, describe, check and split a data set."),
    "encode": Verb("alnico.cli.encode:encode", "Turn images and texts into vectors."),
    "models": Verb("alnico.cli.models:models", "List the models and their settings."),
    "estimate": Verb(
        "alnico.cli.estimate:estimate", "Say what memory and time a run will need, and what fits."
    ),
    "train": Verb("alnico.cli.train:train", "Train one model as a file says, and test it once."),
    "tune": Verb("alnico.cli.tune:tune", "Search for settings, by validation only."),
    "study": Verb("alnico.cli.study:study", "Make all runs of a plan, for its tables and figures."),
    "verify": Verb(
        "alnico.cli.verify:verify", "Evaluate a finished run again and compare with what it stored."
    ),
    "evaluate": Verb("alnico.cli.evaluate:evaluate", "Show the measures of a run: overall and by group."),
    "stress": Verb(
        "alnico.cli.stress:stress", "Measure new items, new users, warm starts and failing content."
    ),
    "compare": Verb("alnico.cli.compare:compare", "Compare two runs user by user, with tests and intervals."),
    "recommend": Verb("alnico.cli.recommend:recommend", "List the best items for a user."),
    "explain": Verb("alnico.cli.explain:explain", "Say why a run recommends an item to a user."),
    "export": Verb(
        "alnico.cli.export:export", "Make a bundle of a run: a model that answers without its data."
    ),
    "serve": Verb("alnico.cli.serve:serve", "Answer over HTTP from a bundle."),
    "add-items": Verb("alnico.cli.add_items:add_items", "Take new items into a bundle, by their content."),
    "report": Verb("alnico.cli.report:report", "Write one self-contained page about runs."),
    "results": Verb("alnico.cli.results:results", "Write the tables of docs/results/ again from the runs."),
}


class VerbGroup(TyperGroup):
    """The verbs of ``VERBS``; each is imported when it is called, none for the list of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all verbs."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of one verb, or None if there is no such verb."""
        del ctx
        return load_verb(cmd_name) if cmd_name in VERBS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb's name, its command and the rest of the line. Raises ConfigError for an unknown verb."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            raise ConfigError(f"there is no verb {args[0]!r}{nearest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the verbs and their lines into the help text."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])


def load_verb(name: str) -> Any:
    """The command behind a verb, its module imported now."""
    module, attribute = VERBS[name].home.split(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        found = _single(name, found)
    # Plain help texts: the same look for every verb, and no import of rich to print them.
    found.rich_markup_mode = None
    return get_command(found)


def _single(name: str, function: Callable[..., Any]) -> typer.Typer:
    verb = typer.Typer(add_completion=False)
    verb.command(name)(function)
    return verb


app = typer.Typer(
    cls=VerbGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    subcommand_metavar="VERB [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Multimodal recommendation: from interactions and item content to explained recommendations.",
    epilog="`alnico VERB --help` explains a verb. Begin with `alnico demo`.",
)


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"alnico {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Options that stand before any verb."""
    del version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: that of the process) and return its exit code.

    An empty line prints the help. 0: done. 1: done, and the answer is no (runs failed, numbers differ). 2: something
    the caller can put right, said in one line on stderr. 130: stopped by Ctrl-C. 141: whoever read stdout has left.
    Anything else that goes wrong is a defect of alnico and keeps its traceback.
    """
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        with _notices_on_stderr():
            command = get_command(app)
            with command.make_context("alnico", given) as context:
                command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _complain("stopped", STOPPED)
    except AlnicoError as problem:
        return _complain(str(problem))
    except typer.TyperException as problem:
        return _usage_problem(problem)
    except BrokenPipeError:
        # Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNHEARD
    except OSError as problem:
        return _complain(_storage_sentence(problem))
    return 0


def _complain(sentence: str, code: int = FAILED) -> int:
    typer.echo(f"alnico: {' '.join(sentence.split())}", err=True)
    return code


def _usage_problem(problem: typer.TyperException) -> int:
    # Only usage errors know the command that they belong to.
    context: Any = getattr(problem, "ctx", None)
    message = problem.format_message()
    if context is not None and message == context.get_help():
        # A verb of several parts was called without any: its help is the answer, not a complaint.
        typer.echo(message)
        return 0
    where = context.command_path if context else "alnico"
    return _complain(f"{message.rstrip('.')}; `{where} --help` shows what it takes")


REASONS = {
    errno.ENOENT: "it does not exist",
    errno.EACCES: "permission is denied",
    errno.EPERM: "the operation is not permitted",
    errno.EROFS: "the disk is read-only",
    errno.ENOSPC: "the disk is full; free some space and run the command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
    errno.EISDIR: "it is a folder, and a file was expected",
    errno.ENOTDIR: "a part of the path is a file, and a folder was expected",
    errno.EEXIST: "it exists already",
    errno.EMFILE: "too many files are open",
}


def _storage_sentence(problem: OSError) -> str:
    reason = REASONS.get(problem.errno or 0) or problem.strerror or str(problem) or type(problem).__name__
    if problem.filename is None:
        return f"a file could not be read or written: {reason}"
    return f"cannot use {str(problem.filename)!r}: {reason}"


class _Notices(logging.Handler):
    """Prints what the library has to say, as one line each, to whatever stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(f"alnico: {record.getMessage()}", err=True)


@contextmanager
def _notices_on_stderr() -> Iterator[None]:
    logger, handler, before = logging.getLogger("alnico"), _Notices(), logging.getLogger("alnico").level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


if __name__ == "__main__":
    sys.exit(main())
