"""Stored data and a study that was made, to be read only, for what is tested of experiments."""

from pathlib import Path

import pytest

import searches
from alnico.data.store import save_dataset
from alnico.experiment.study import Study
from short_runs import WHOLE
from studied import PARTS, furnish, study


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored checkerboard, to be read only."""
    return searches.checkerboard(tmp_path_factory.mktemp("data") / "board")


@pytest.fixture(scope="session")
def tastes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stored tastes, to be read only."""
    return searches.two_tastes(tmp_path_factory.mktemp("data") / "tastes")


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of three parts, to be read only."""
    return furnish(tmp_path_factory.mktemp("plan"), PARTS)


@pytest.fixture(scope="session")
def made(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, list[str]]:
    """The study that was made of it, to be read only."""
    return study(plan, tmp_path_factory.mktemp("study"), oracle=True)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored data set of 30 users and 20 items, to be read only."""
    folder = tmp_path_factory.mktemp("data") / "scattered"
    save_dataset(WHOLE, folder)
    return folder
