"""What all tests share: real data where it is, finished runs, the command line in and out of this process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# First, because it sets how threads wait before anything loads torch.
import alnico  # noqa: F401
from command_lines import Answer, CommandLine

if TYPE_CHECKING:
    from finished_runs import Finished

# The same examples on every machine and no files left in the tree; a busy machine must not fail a test.
settings.register_profile("alnico", deadline=None, derandomize=True, database=None)
settings.load_profile("alnico")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Gives the folder of a real data set by name; skips the test where it is not."""

    def find(name: str) -> Path:
        places = [Path(given)] if (given := os.environ.get("ALNICO_REAL_DATA")) else []
        places.append(ROOT.parent / "shared" / "data")
        for place in places:
            if (place / name).is_dir():
                return place / name
        pytest.skip(
            f"real data set {name!r} is not in {' or '.join(map(str, places))}; set ALNICO_REAL_DATA to the "
            "folder that holds it"
        )

    return find


@pytest.fixture
def command_line(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs ``alnico ARGUMENTS`` inside this process: quick, and defects keep their traceback."""
    from alnico.cli.main import main

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return run


@pytest.fixture
def command_process() -> CommandLine:
    """Runs ``alnico ARGUMENTS`` as a user does, in a process of its own (about a second each)."""

    def run(*arguments: object) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "alnico.cli.main", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> "Finished":
    """Three finished runs on a tiny shop, to be read only."""
    from finished_runs import finish

    return finish(tmp_path_factory.mktemp("finished"))
