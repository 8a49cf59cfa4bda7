"""Bundles answer as the run does, by themselves."""

import pytest

from alnico.experiment.answer import recommend
from alnico.experiment.folder import Run
from alnico.serving.bundle import Bundle
from alnico.serving.export import bundle_of
from alnico.serving.folder import load_bundle, save_bundle
from finished_runs import Finished

NAMES = ("magnet", "item_knn", "popularity")


@pytest.fixture(scope="module")
def bundles(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Each finished run as a bundle that was written and read back."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in NAMES:
        save_bundle(bundle_of(getattr(finished, name)), folder / name)
    return {name: load_bundle(folder / name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_lists_are_those_of_the_run_to_the_bit(
    finished: Finished, bundles: dict[str, Bundle], name: str
) -> None:
    run: Run = getattr(finished, name)
    bundle = bundles[name]
    for user in bundle.users.names.tolist():
        asked = recommend(run, [user], 12)
        answer = bundle.recommend(user, 12)
        assert [listed.item for listed in answer.items] == asked["item_id"].to_list()
        assert [listed.score for listed in answer.items] == asked["score"].to_list()
        assert answer.basis == "trained"
