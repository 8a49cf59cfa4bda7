"""Bundles of finished runs, to be read only."""

import pytest

from exported_bundles import Exported, export_all
from finished_runs import Finished


@pytest.fixture(scope="session")
def exported(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """One bundle for each kind of finished model, by name."""
    return export_all(finished, tmp_path_factory.mktemp("exported"))
