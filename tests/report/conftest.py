"""Runs that a report can be about."""

import pytest

from finished_runs import Finished, finish


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Three finished runs on a tiny shop."""
    return finish(tmp_path_factory.mktemp("finished"))
