"""Runs that begin from another run's weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

import worlds
from alnico.data.dataset import Dataset
from alnico.data.ids import IdMap
from alnico.data.store import save_dataset
from alnico.errors import ConfigError
from alnico.experiment.folder import Run
from alnico.experiment.run import resume, run
from alnico.experiment.spec import read_spec
from alnico.training.checkpoint import model_weights
from short_runs import WHOLE, killed, spec_of

# Adam at this rate moves no single-precision weight of usual size.
STILL = {"training": {"learning_rate": 1e-30, "epochs": 1}}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the first 20 users and 18 items of the data, which it numbers backwards."""
    events = WHOLE.interactions
    rows = (events.users < 20) & (events.items < 18)
    pairs = zip((19 - events.users[rows]).tolist(), (17 - events.items[rows]).tolist(), strict=True)
    content = worlds.features(
        18,
        **{
            name: worlds.modality(
                table.vectors[17::-1], absent=np.flatnonzero(~table.present[17::-1]).tolist()
            )
            for name, table in WHOLE.features.items()
        },
    )
    users, items = IdMap(np.arange(19, -1, -1), "user"), IdMap(np.arange(17, -1, -1), "item")
    part = Dataset("part", worlds.interactions(pairs, 20, 18), content, users, items)
    folder = tmp_path_factory.mktemp("small")
    save_dataset(part, folder / "data")
    return run(spec_of(folder / "data"), folder / "run")


def weights(made: Run) -> dict[str, torch.Tensor]:
    """The model in a run's checkpoint."""
    return model_weights(made.folder / "checkpoint.safetensors")


def assert_adopted(warm: Run, small: Run, fresh: Run) -> None:
    """Known rows come from the small run, turned round; the others are those of a fresh start."""
    for name, known in (("users.weight", 20), ("items.weight", 18)):
        mine, old, new = (weights(made)[name] for made in (warm, small, fresh))
        assert torch.equal(mine[:known], old.flip(0))
        assert torch.equal(mine[known:], new[known:])


def test_warm_start_keeps_who_is_known_by_outside_id(small: Run, data: Path, tmp_path: Path) -> None:
    fresh = run(spec_of(data, **STILL), tmp_path / "fresh")
    warm = run(spec_of(data, **STILL), tmp_path / "warm", warm_start=small)
    assert_adopted(warm, small, fresh)
    assert warm.record["warm_start"] == str(small.folder)


def test_warm_start_goes_on_learning(small: Run, data: Path, tmp_path: Path) -> None:
    warm = run(spec_of(data), tmp_path / "warm", warm_start=small)
    assert warm.is_tested
    assert not torch.equal(weights(warm)["users.weight"][:20], weights(small)["users.weight"].flip(0))


def test_warm_start_survives_a_kill_before_the_first_checkpoint(
    small: Run, data: Path, tmp_path: Path
) -> None:
    fresh = run(spec_of(data, **STILL), tmp_path / "fresh")
    killed(spec_of(data, **STILL), tmp_path / "warm", epoch=1, warm_start=small)
    (tmp_path / "warm" / "checkpoint.safetensors").unlink()
    assert_adopted(resume(tmp_path / "warm"), small, fresh)


def test_warm_start_needs_the_same_model_and_widths(small: Run, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs a run of the same model; .* trained 'bpr_mf'"):
        run(spec_of(data, model={"name": "lightgcn"}), tmp_path / "run", warm_start=small)
    with pytest.raises(ConfigError, match=r"nothing of .* fits this model; are its widths the same\?"):
        run(spec_of(data, model={"width": 6}), tmp_path / "run", warm_start=small)
    popularity = read_spec({"dataset": str(data), "model": {"name": "popularity"}})
    with pytest.raises(ConfigError, match="has no weights, so there is nothing to start from"):
        run(popularity, tmp_path / "run", warm_start=small)
    assert not (tmp_path / "run").exists()
